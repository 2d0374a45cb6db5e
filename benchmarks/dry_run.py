"""What `dare preprocess --dry-run` takes where every file that is opened keeps one waiting: seconds by the clock.

    python benchmarks/dry_run.py [--recordings N ...] [--latency-ms MS] [--workers W]

Each tree is TUEG's, of EDFs of twelve seconds that differ in their headers. The wait is put before every opening of a
file by this benchmark, in its own process and in those that the dry run starts, as a disk far away has it. The sum over
what was found tells whether two versions of the code agree.
"""

import argparse
import builtins
import hashlib
import io
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from manifests import recipe as recipes
from pipelines.doctor import scan_quality
from pipelines.sources.raw import RawTree
from pipelines.synth.edf_writer import Channel, write_edf

LATENCY = "DRY_RUN_LATENCY_MS"
RATE_HZ, SECONDS = 200, 12
PATIENT = slice(8, 88)

_open = io.open


def main() -> None:
    """Look at trees of each size and print what that took."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--recordings", type=int, nargs="+", default=[7_000])
    arguments.add_argument("--latency-ms", type=float, default=5.0)
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--scan-only", action="store_true", help="read headers and no samples")
    given = arguments.parse_args()
    for count in given.recordings:
        with tempfile.TemporaryDirectory() as folder:
            write_tree(Path(folder), count)
            os.environ[LATENCY] = str(given.latency_ms)
            slow_down()
            look(Path(folder), given.workers, given.scan_only)
            builtins.open = io.open = _open


def look(src: Path, workers: int, scan_only: bool) -> None:
    """Do what a dry run does and print the seconds of its steps."""
    recipe, source = recipes.load("tueg"), RawTree(src)
    begun_s, used_s = time.perf_counter(), time.process_time()
    tree = source.apart(source.scan(recipe, quiet), recipe)
    scanned_s = time.perf_counter() - begun_s
    print(
        f"{len(tree.recordings):,} headers: {scanned_s:.1f} s, of the processor {time.process_time() - used_s:.1f} s,"
    )
    print(f"  sum {summed([one.as_json() for one in tree.recordings])}", flush=True)
    if scan_only:
        return
    begun_s = time.perf_counter()
    facts = scan_quality.scan_quality(tree, recipe, source, workers, quiet)
    print(f"  their samples: {time.perf_counter() - begun_s:.1f} s, sum {summed(facts | {'expected': {}})}")


def slow_down() -> None:
    """Have every opening of a file wait; the processes of a dry run import this file and so do as well."""
    wait_s = float(os.environ.get(LATENCY, 0)) / 1000

    def slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(wait_s)
        return _open(*arguments, **options)

    if wait_s:
        builtins.open = io.open = slowly


def write_tree(src: Path, count: int) -> None:
    """Write recordings of one noise under headers of their own, five a subject."""
    names = recipes.load("tueg").electrodes
    noise_uv = 30 * np.random.default_rng(0).standard_normal((len(names), RATE_HZ * SECONDS))
    first = src / "first.edf"
    channels = [Channel(f"EEG {name}-REF", RATE_HZ, row) for name, row in zip(names, noise_uv, strict=True)]
    write_edf(first, channels, "X X X X")
    content = bytearray(first.read_bytes())
    first.unlink()
    for number in range(count):
        subject = "".join(chr(97 + number // 5 // 26**place % 26) for place in range(7, -1, -1))
        session = f"s{number % 5:03d}"
        path = src / f"edf/{number // 500:03d}/{subject}/{session}_2012/01_tcp_ar/{subject}_{session}_t000.edf"
        path.parent.mkdir(parents=True)
        content[PATIENT] = f"{number} X X X".encode().ljust(PATIENT.stop - PATIENT.start)
        path.write_bytes(content)


def quiet(done: int, total: int) -> None:
    """Show no progress."""


def summed(found: object) -> str:
    """Return a hash of what was found."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
else:
    slow_down()
