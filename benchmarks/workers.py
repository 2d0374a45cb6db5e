"""What a second worker is worth: recordings a second with one and with two, taking turns in one run.

    python -m benchmarks.workers [--files N] [--minutes M] [--rounds R]

Files and work are those of benchmarks/preprocess.py: `dare preprocess tuab` whole, a shard a recording, synced to disk.
One worker is the command's own process, once with the allocator as Python has it and once as workers have it. Rates
are from the n-th shard of n workers to the last, so that no start of a process counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.preprocess import quiet, write_recording
from manifests import recipe as recipes
from pipelines import run, scan
from pipelines.workers import ENVIRONMENT, Workers

WAYS = {
    "1 worker, plain allocator": (1, {}),
    "1 worker": (1, ENVIRONMENT),
    "2 workers": (2, ENVIRONMENT),
}


def main() -> None:
    """Write the files, build them each way in turn, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--files", type=int, default=16)
    arguments.add_argument("--minutes", type=float, default=20)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(rate(Path(given.one[0]), int(given.one[1]))))
        return
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.files):
            write_recording(Path(folder), number, given.minutes)
        for _ in range(given.rounds):
            for way, (count, variables) in WAYS.items():
                command = [sys.executable, "-m", "benchmarks.workers", "--one", folder, str(count)]
                done = subprocess.run(
                    command, env=os.environ | {"OMP_NUM_THREADS": "1"} | variables, capture_output=True, check=True
                )
                rates[way].append(json.loads(done.stdout))
    print(table(rates))


def rate(src: Path, count: int) -> float:
    """Return the recordings a second that so many workers build."""
    recipe = recipes.load("tuab", settings=("shard_mb=1",))  # a shard for each recording
    tree = scan.scan(src, recipe, quiet)
    times_s: list[float] = []
    with tempfile.TemporaryDirectory(dir=src.parent) as out:
        run.preprocess(
            tree, recipe, src, Path(out), Workers(count), lambda done, total: times_s.append(time.perf_counter())
        )
    return (len(times_s) - count) / (times_s[-1] - times_s[count - 1])


def table(rates: dict[str, list[float]]) -> str:
    """Return medians and ranges as Markdown, with each way's ratio to one worker."""
    one = statistics.median(rates["1 worker"])
    rows = ["| way | recordings a second, median (range) | times one worker |", "|---|---|---|"]
    for name, found in rates.items():
        median = statistics.median(found)
        rows.append(f"| {name} | {median:.2f} ({min(found):.2f}–{max(found):.2f}) | {median / one:.2f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
