"""How fast training is fed: our loader against one file per window, as the published code reads them, in one run.

    python benchmarks/stream.py [--windows N] [--folder DIR] [--wait]

Makes a synthetic 64-electrode corpus, shards it by `dare preprocess physionetmi --for pretrain` in windows of 4 s and
of 10 s (cropped to 4 s by the loader), and writes every 4 s window once more as float32 with `torch.save`, one file
each. Then, one thread at a time and everything in the page cache: the loader's own thread filling its reused buffers,
from its start on, which opens the shards, and taking the checksum of every row; the least there is to do, each row
read and summed in the order it is stored, or read alone; and torch's DataLoader without workers over the files. The
ways take turns, and the table has medians.
Last, how long a set of 100 million windows takes to open, and its plan to find the windows of any step, and how much
memory both hold.

With ``--wait`` instead: which share of a step of `dare pretrain` each size of network waits for its data.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from zlib_ng.zlib_ng import crc32

from dare_eeg.data.shards import TrainingSet, training_sets
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.loader import Loader
from dare_eeg.training.pretrain import plan_order
from manifests import manifest
from manifests.atomic_io import write_bytes
from manifests.shard_format import Index

BATCH = 64
ROUNDS = 5
EPOCHS = 4
MANY = 100_000_000
STEPS = {"nano": 25, "light": 15, "small": 9, "base": 5, "deep": 5}
"""Steps of each size whose wait is told, the first left out."""
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
    arguments.add_argument("--windows", type=int, default=12000, help="windows of 4 s, about (default 12000: 1.4 GB)")
    arguments.add_argument("--folder", type=Path, help="where to make them and keep them; a temporary one otherwise")
    arguments.add_argument("--wait", action="store_true", help="how long a step of each size waits for its data")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if given.wait:
            waits(make(folder, given.windows, 4))
        else:
            measure(folder, given.windows)
            plans(make(folder, given.windows, 4))


def measure(folder: Path, windows: int) -> None:
    """Print windows a second by way of reading."""
    short, long = make(folder, windows, 4), make(folder, windows, 10)
    files = folder / "files"
    if not files.exists():
        save_files(short, files)
    num_windows = len(short.train) // BATCH * BATCH
    ways: dict[str, Callable[[], float]] = {
        "loader, 58 x 1024, one epoch": lambda: rate(streamed(training_sets(short.train.folder)[0], 1)),
        f"loader, 58 x 1024, {EPOCHS} epochs": lambda: rate(streamed(training_sets(short.train.folder)[0], EPOCHS)),
        "loader, 58 x 2560 cropped, one epoch": lambda: rate(streamed(training_sets(long.train.folder)[0], 1)),
        "rows of 58 x 1024 read and summed": lambda: rate(least(short, crc32)),
        "rows of 58 x 1024 read": lambda: rate(least(short, len)),
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
    megabytes = f"{size(short) / 1e6:.0f} MB in shards, {stored / 1e6:.0f} MB in files"
    print(f"{num_windows} windows of 4 s an epoch: {megabytes}, cached")
    print("| way | windows/s, median (range) | times the DataLoader |\n|---|---|---|")
    for name, rates in told.items():
        middle, low, high = statistics.median(rates[1:]), min(rates[1:]), max(rates[1:])
        print(f"| {name} | {middle:,.0f} ({low:,.0f}–{high:,.0f}) | {middle / base:.1f} |")


def plans(one: TrainingSet) -> None:
    """Print how long it takes to go on at a step among very many windows, and what memory that holds."""
    print(f"\n| {MANY:,} windows | to open | to plan | any step, longest of five | next step | held |")
    print("|---|---|---|---|---|---|")
    for rows in (2260, 900):
        with tempfile.TemporaryDirectory() as temporary:
            folder = many(one, rows, Path(temporary))
            began = time.perf_counter()
            (opened,) = training_sets(folder)
            seconds = [time.perf_counter() - began]
            config = PretrainConfig(shards="", out="", steps=10**9, global_batch=256, micro_batch=BATCH)
            began = time.perf_counter()
            plan = plan_order(config, [opened])
            _ = [source.identity for source in plan.sources]
            seconds.append(time.perf_counter() - began)
            found = []
            for step in (0, 7_000_000, 123_456_789, 5_000, 999_999_998, 999_999_999):
                began = time.perf_counter()
                plan.slots(step)
                found.append(time.perf_counter() - began)
            seconds.append(max(found[:-1]))
            tracemalloc.start()
            again = training_sets(folder)
            plan_order(config, again).slots(0)
            held, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        told = " | ".join(f"{each:.3f} s" for each in seconds)
        print(f"| in {MANY // rows:,} shards | {told} | {found[-1] * 1e3:.2f} ms | {held / 1e6:.0f} MB |")


def many(one: TrainingSet, rows: int, folder: Path) -> Path:
    """Return a set of very many windows whose shards are there, but empty: nothing is read of them before training."""
    (folder / "train").mkdir()
    like = one.train.entries[0]
    names = [f"train/{number:06d}" for number in range(MANY // rows)]
    for name in names:
        (folder / f"{name}.tar").touch()
        (folder / f"{name}.idx.npz").touch()
    shards = [like.model_copy(update={"path": f"{name}.tar", "samples": rows}) for name in names]
    train = one.manifest.splits["train"].model_copy(update={"shards": shards})
    valid = one.manifest.splits["valid"].model_copy(update={"shards": []})
    only_train = one.manifest.model_copy(update={"splits": one.manifest.splits | {"train": train, "valid": valid}})
    write_bytes(folder / "manifest.json", manifest.dump(only_train))
    return folder


def waits(one: TrainingSet) -> None:
    """Print the share of a step that waits for data, by size of network, as `dare pretrain` logs it."""
    print(f"{cpu()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; torch {torch.__version__}")
    print("| size | steps | s a step, median | waited, median | longest | share, median |\n|---|---|---|---|---|---|")
    for size_name, steps in STEPS.items():
        with tempfile.TemporaryDirectory() as temporary:
            run = Path(temporary) / "run"
            options = ["--shards", one.train.folder, "--out", run, "--size", size_name, "--steps", 10**6]
            command = [DARE, "pretrain", *options, "--stop-after", steps + 1]
            subprocess.run([str(word) for word in command], check=True, capture_output=True)
            lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][1:]
        config = PretrainConfig(shards="", out="")
        seconds = [config.global_batch / line["samples_per_s"] for line in lines]
        waited = [line["data_wait_s"] for line in lines]
        share = statistics.median(wait / whole for wait, whole in zip(waited, seconds, strict=True))
        print(
            f"| {size_name} | {steps} | {statistics.median(seconds):.2f} | {statistics.median(waited) * 1e3:.2f} ms "
            f"| {max(waited) * 1e3:.2f} ms | {share:.4%} |",
            flush=True,
        )


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


def streamed(one: TrainingSet, epochs: int) -> Iterator[int]:
    """Yield the sizes of the batches of some epochs as training gets them."""
    steps = epochs * len(one.train) // BATCH
    config = PretrainConfig(shards="", out="", steps=steps, global_batch=BATCH, micro_batch=BATCH)
    loader = Loader(plan_order(config, [one]), [one], config)
    try:
        for batch in loader:
            yield len(batch.counts)
    finally:
        loader.close()


def least(one: TrainingSet, judge: Callable[[memoryview], int]) -> Iterator[int]:
    """Yield the sizes of batches of rows read one after the other from their tars and judged."""
    counts = np.empty((BATCH, *one.train.shape), np.int16)
    for entry in one.train.entries:
        tar = one.train.folder / entry.path
        offsets = Index.read(tar.with_suffix(".idx.npz")).offset[:-1].tolist()
        with tar.open("rb", buffering=0) as file:
            for start in range(0, len(offsets) - BATCH + 1, BATCH):
                for into, offset in zip(counts, offsets[start : start + BATCH], strict=True):
                    os.preadv(file.fileno(), [into.data], offset)
                    judge(into.data)
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
