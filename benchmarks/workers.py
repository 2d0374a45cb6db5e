"""What a second worker is worth: recordings a second with one and with two, taking turns in one run.

    python -m benchmarks.workers [--files N] [--minutes M] [--rounds R] [--shard-mb S]

Files and work are those of benchmarks/preprocess.py: `dare preprocess tuab` whole, synced to disk. A shard is four
recordings, a fifth of what it is by default, so that a few files suffice; with --shard-mb 1 it is one recording.
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
from pipelines import run
from pipelines.plan import SetOptions
from pipelines.sources.raw import RawTree
from pipelines.workers import ENVIRONMENT, Workers

WAYS = {
    "1 worker, plain allocator": (1, {}),
    "1 worker": (1, ENVIRONMENT),
    "2 workers": (2, ENVIRONMENT),
}


def main() -> None:
    """Write the files, build them each way in turn, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--files", type=int, default=64)
    arguments.add_argument("--minutes", type=float, default=20)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--shard-mb", type=float, default=48)
    arguments.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(rate(Path(given.one[0]), int(given.one[1]), given.shard_mb)))
        return
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.files):
            write_recording(Path(folder), number, given.minutes)
        for _ in range(given.rounds):
            for way, (count, variables) in WAYS.items():
                one = ["--one", folder, str(count), "--shard-mb", str(given.shard_mb)]
                command = [sys.executable, "-m", "benchmarks.workers", *one]
                done = subprocess.run(
                    command, env=os.environ | {"OMP_NUM_THREADS": "1"} | variables, stdout=subprocess.PIPE, check=True
                )
                rates[way].append(json.loads(done.stdout))
    print(table(rates))


def rate(src: Path, count: int, shard_mb: float) -> float:
    """Return the recordings a second that so many workers build."""
    recipe = recipes.load("tuab", settings=(f"shard_mb={shard_mb}",))
    source = RawTree(src)
    tree = source.scan(recipe, quiet)
    times_s: list[float] = []
    with tempfile.TemporaryDirectory(dir=src.parent) as out:

        def noted(_done: int, _total: int) -> None:
            times_s.append(time.perf_counter())

        run.preprocess(tree, recipe, source, Path(out), Workers(count), SetOptions(), noted)
    a_shard = len(tree.recordings) / len(times_s)
    return a_shard * (len(times_s) - count) / (times_s[-1] - times_s[count - 1])


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
