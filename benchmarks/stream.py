"""How fast training is fed: our loader against one file per window, as the published code reads them, in one run.

    python benchmarks/stream.py [--windows N] [--folder DIR]

Makes a synthetic 64-electrode corpus, shards it by `dare preprocess physionetmi --for pretrain` in windows of 4 s and
of 10 s (cropped to 4 s by the loader), and writes every 4 s window once more as float32 with `torch.save`, one file
each. Then, one thread at a time and everything in the page cache: the loader's own thread filling its reused buffers,
in a first epoch, which takes every checksum, and in the four after it, which trust it; a plain copy of the same bytes,
the least there is to do; and torch's DataLoader without workers over the files. The ways take turns, and the table has
medians.
Last, how long a plan of 100 million windows takes to find the windows of any step.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from dare_eeg.config import PretrainConfig
from dare_eeg.loader import Loader
from dare_eeg.order import Plan, Source
from dare_eeg.pretrain import make_plan
from dare_eeg.shards import TrainingSet, training_sets

BATCH = 64
ROUNDS = 5
LATER_EPOCHS = 4
MANY = 100_000_000
DARE = Path(sys.executable).with_name("dare")


class Files(Dataset[torch.Tensor]):
    """Windows as the published code keeps them: one file each, read by `torch.load`."""

    def __init__(self, folder: Path, weights_only: bool) -> None:
        self.files, self.weights_only = sorted(folder.iterdir()), weights_only

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> torch.Tensor:
        return torch.load(self.files[number], weights_only=self.weights_only)


def main() -> None:
    """Make the windows, read them in every way and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--windows", type=int, default=3000, help="windows of 4 s, about (default 3000: 0.4 GB)")
    arguments.add_argument("--folder", type=Path, help="where to make them and keep them; a temporary one otherwise")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        measure(given.folder or Path(folder), given.windows)
    plans()


def measure(folder: Path, windows: int) -> None:
    """Print windows a second by way of reading."""
    short, long = make(folder, windows, 4), make(folder, windows, 10)
    files = folder / "files"
    if not files.exists():
        save_files(short, files)
    taken = len(short.train) // BATCH * BATCH
    ways: dict[str, Callable[[], float]] = {
        "loader, 58 x 1024, every checksum taken": lambda: rate(streamed(training_sets(short.train.folder)[0])),
        "loader, 58 x 1024, checksums trusted": lambda: rate(streamed(short, LATER_EPOCHS)),
        "loader, 58 x 2560 cropped, every checksum taken": lambda: rate(streamed(training_sets(long.train.folder)[0])),
        "loader, 58 x 2560 cropped, checksums trusted": lambda: rate(streamed(long, LATER_EPOCHS)),
        "copy of the bytes of 58 x 1024": lambda: rate(copied(short)),
        "DataLoader, one file a window": lambda: rate(loaded(files, True)),
        "DataLoader, one file a window, unpickled": lambda: rate(loaded(files, False)),
    }
    told: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS + 1):  # the first round fills the page cache and is left out
        for name, way in ways.items():
            told[name].append(way())
    base = statistics.median(told["DataLoader, one file a window"][1:])
    stored = sum(path.stat().st_size for path in files.iterdir())
    print(f"{cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; torch {torch.__version__}, one thread")
    print(
        f"{taken} windows of 4 s an epoch: {size(short) / 1e6:.0f} MB in shards, {stored / 1e6:.0f} MB in files, cached"
    )
    print("| way | windows/s, median (range) | times the DataLoader |\n|---|---|---|")
    for name, rates in told.items():
        middle, low, high = statistics.median(rates[1:]), min(rates[1:]), max(rates[1:])
        print(f"| {name} | {middle:,.0f} ({low:,.0f}–{high:,.0f}) | {middle / base:.1f} |")


def plans() -> None:
    """Print how long it takes to find the windows of a step among very many."""
    print(
        f"\n| plan of {MANY:,} windows | to make and name | any step, longest of five | next step |\n|---|---|---|---|"
    )
    for rows in (2260, 900):
        num_shards = MANY // rows
        names = tuple(f"{number:064x}" for number in range(num_shards))
        began = time.perf_counter()
        plan = Plan((Source("many", names, (rows,) * num_shards, 1.0, "58"),), 2025, 256, BATCH, 10**9)
        plan.fields()
        made = time.perf_counter() - began
        found = []
        for step in (0, 7_000_000, 123_456_789, 5_000, 999_999_998):
            began = time.perf_counter()
            plan.slots(step)
            found.append(time.perf_counter() - began)
        began = time.perf_counter()
        plan.slots(999_999_999)
        following = time.perf_counter() - began
        print(f"| in {num_shards:,} shards | {made:.3f} s | {max(found):.3f} s | {following * 1e3:.2f} ms |")


def make(folder: Path, windows: int, seconds: int) -> TrainingSet:
    """Return a set of synthetic windows of 58 electrodes at 256 Hz, made unless it is there."""
    raw, out = folder / "raw" / "eegmmidb", folder / f"{seconds}s"
    runs = 3 * 14
    if not raw.exists():
        command = [
            "synth",
            "physionetmi",
            "--out",
            raw,
            "--subjects",
            3,
            "--seconds",
            max(20, windows * 4 * 3 // 2 // runs),
        ]
        subprocess.run([str(word) for word in (DARE, *command)], check=True, capture_output=True)
    if not out.exists():
        cut = ["--set", f"window_s={seconds}", "--set", f"stride_s={seconds}"]
        command = ["preprocess", "physionetmi", "--for", "pretrain", "--src", raw.parent, "--out", out, *cut]
        subprocess.run([str(word) for word in (DARE, *command)], check=True, capture_output=True)
    return training_sets(out / "physionetmi-pretrain")[0]


def save_files(one: TrainingSet, folder: Path) -> None:
    """Write every window of train as a float32 tensor in a file of its own."""
    folder.mkdir()
    for number in range(len(one.train)):
        torch.save(torch.from_numpy(one.train[number][0]), folder / f"{number:06d}.edf")


def rate(batches: Iterator[int]) -> float:
    """Return windows a second, from the first batch to the last."""
    began = time.perf_counter()
    count = sum(batches)
    return count / (time.perf_counter() - began)


def streamed(one: TrainingSet, epochs: int = 1) -> Iterator[int]:
    """Yield the sizes of the batches of some epochs as training gets them."""
    steps = epochs * len(one.train) // BATCH
    config = PretrainConfig(shards="", out="", steps=steps, global_batch=BATCH, micro_batch=BATCH)
    loader = Loader(make_plan(config, [one]), [one], config, 0, 0, 1)
    try:
        for batch in loader:
            yield len(batch.counts)
    finally:
        loader.close()


def copied(one: TrainingSet) -> Iterator[int]:
    """Yield the sizes of batches of plain copies of rows in the order they are stored, nothing checked."""
    counts = np.empty((BATCH, *one.train.shape), np.int16)
    rows = zip(one.train.shard.tolist(), one.train.row.tolist(), strict=True)
    while len(batch := list(islice(rows, BATCH))) == BATCH:
        for position, (shard, row) in enumerate(batch):
            counts[position] = one.train.stored(shard, row)[0]
        yield BATCH


def loaded(files: Path, weights_only: bool) -> Iterator[int]:
    """Yield the sizes of the batches of a DataLoader over files, shuffled and stacked in this process."""
    for batch in DataLoader(Files(files, weights_only), batch_size=BATCH, shuffle=True, num_workers=0, drop_last=True):
        yield len(batch)


def size(one: TrainingSet) -> int:
    """Return the bytes of the shards of train."""
    return sum(entry.bytes for entry in one.train.entries)


def cpu() -> str:
    """Return the processor's name."""
    told = Path("/proc/cpuinfo")
    names = (
        [line.partition(": ")[2] for line in told.read_text().splitlines() if line.startswith("model name")]
        if told.exists()
        else []
    )
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
