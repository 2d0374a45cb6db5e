"""What a plan costs that is as large as the largest corpus: seconds, memory and disk, without any raw file.

    python benchmarks/plan.py [--recordings N ...]

Each size is simulated in a process of its own: headers as TUEG has them, planned for pretraining, adopted, cut into
tasks, every task given the receipt that its build would have left, and folded into a manifest. Times are of the
processor, so that other work on the machine counts little.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from manifests import keyed, manifest
from manifests import recipe as recipes
from manifests.atomic_io import write_bytes
from manifests.manifest import ChannelSums, Receipt
from manifests.notes import prose
from manifests.plan import RawRecording, ScannedRecording
from manifests.recipe import Recipe
from manifests.shard_format import Index
from pipelines import plan as planning
from pipelines import run
from pipelines.adopt_plan import adopt_plan
from pipelines.plan import SetOptions, Task
from pipelines.run_marker import mark_run
from pipelines.scan import Tree
from pipelines.sources.raw import RawTree

SKIPPED_SHARE = 7
"""Every seventh recording is shorter than a window, as many of TUEG are."""

Result = TypeVar("Result")


def main() -> None:
    """Simulate each size and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--recordings", type=int, nargs="+", default=[7_000, 70_000])
    arguments.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.one:
        print(json.dumps(simulate(given.one)))
        return
    columns: dict[int, dict[str, float]] = {}
    for count in given.recordings:
        command = [sys.executable, __file__, "--one", str(count)]
        columns[count] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print("| step | " + " | ".join(f"{count:,} recordings" for count in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for step in next(iter(columns.values())):
        print(f"| {step} | " + " | ".join(f"{column[step]:,.2f}" for column in columns.values()) + " |")


def simulate(count: int) -> dict[str, float]:
    """Plan and fold a corpus of so many recordings; return what each step took."""
    recipe = recipes.load("tuab", "pretrain")
    told: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Result]) -> Result:
        begun_s = time.process_time()
        result = work()
        told[f"{name}, s"] = time.process_time() - begun_s
        return result

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "set"
        tree, source = simulated_tree(count, recipe), RawTree(Path(scratch))
        with mark_run(folder) as marker:
            plan = timed("plan and adopt", lambda: adopt_plan(marker, tree, recipe, source, SetOptions()))
            timed("adopt again", lambda: adopt_plan(marker, tree, recipe, source, SetOptions()))
        tasks = timed("tasks", lambda: planning.tasks(plan))
        for task in tasks:
            write_bytes(folder / f"{task.shard}.json", manifest.dump(simulated_receipt(task, recipe)))
            write_bytes(folder / f"{task.shard}.idx.npz", simulated_index(task, recipe))
        timed("fold", lambda: run.fold(folder, plan, recipe))
        told["shards"] = len(tasks)
        told["plan.json, MB"] = (folder / "plan.json").stat().st_size / 1e6
        told["recordings.jsonl, MB"] = (folder / "recordings.jsonl").stat().st_size / 1e6
    told["peak memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return told


def simulated_tree(count: int, recipe: Recipe) -> Tree:
    """Return a tree of recordings of about twenty minutes, five a subject, some too short to be used."""
    channel_map = {name: f"EEG {name}-REF" for name in recipe.electrodes}
    recordings = []
    for number in range(count):
        subject = "".join(chr(97 + number // 5 // 26**place % 26) for place in range(7, -1, -1))
        session = f"s{number % 5:03d}"
        path = f"edf/{number // 500:03d}/{subject}/{session}_2012/01_tcp_ar/{subject}_{session}_t000.edf"
        too_short = number % SKIPPED_SHARE == 0
        recordings.append(
            ScannedRecording(
                raw=RawRecording(path=path, subject=f"tuh:{subject}", session=session),
                bytes=16_000_000 + number,
                fingerprint=f"{number:032x}",
                sfreq=256.0,
                duration_s=5.0 if too_short else 900.0 + number % 600,
                channel_map=dict(channel_map),
                outcome="skipped" if too_short else "",
                notes=prose("lasts 5 s, shorter than a window of 10 s" if too_short else ""),
            )
        )
    return Tree(recordings, "2.0.1", 0, count)


def simulated_index(task: Task, recipe: Recipe) -> bytes:
    """Return the index of a shard that holds ten windows of each recording, no two alike."""
    raw = [piece.recording.raw for piece in task.pieces]
    owners = np.repeat(np.arange(len(raw), dtype=np.int32), 10)
    keys = [keyed.key(one.path, window) & 0xFFFFFFFF for one in raw for window in range(10)]
    return Index(
        offset=np.arange(len(owners) + 1),
        recording=owners,
        window=np.tile(np.arange(10, dtype=np.int32), len(raw)),
        start_s=np.zeros(len(owners)),
        label=np.full(len(owners), -1, np.int32),
        scale=np.ones((len(owners), len(recipe.electrodes)), np.float32),
        crc32=np.array(keys, np.uint32),
        recordings=np.array([one.path for one in raw]),
        subjects=np.array([one.subject for one in raw]),
        shape=np.array([len(recipe.electrodes), recipe.window_samples]),
    ).to_bytes()


def simulated_receipt(task: Task, recipe: Recipe) -> Receipt:
    """Return the receipt that a task leaves whose recordings are all read."""
    rows = [
        planning.row(piece.recording).model_copy(update={"sha256": "0" * 64, "windows": 100}) for piece in task.pieces
    ]
    return Receipt(
        shard=task.shard,
        identity=task.identity,
        samples=100 * len(rows),
        bytes=1,
        sha256="0" * 64,
        index_sha256="0" * 64,
        labels={},
        signal={name: ChannelSums(samples=1, total=0.5, squares=1.0) for name in recipe.electrodes},
        recordings=rows,
        changes={},
    )


if __name__ == "__main__":
    main()
