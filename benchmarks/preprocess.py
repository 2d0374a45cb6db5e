"""Preprocessing against the published chain on the same files, in one process, in one run.

    python benchmarks/preprocess.py [--files N] [--minutes M]

Each file is a 28-channel, 250 Hz EDF as TUAB has them. The chain is what the published code does with MNE: read, pick,
band-pass, notch, resample, pickle each window as float64. Ours is `dare preprocess tuab`'s own work on the same files:
read, filter, resample, cut, quantise, hash and write the shard, synced to disk. Pairs alternate; the table has medians.
"""

import argparse
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mne
import numpy as np

from manifests import recipe as recipes
from pipelines import build, readers, scan
from pipelines import plan as planning
from pipelines.signal import condition
from pipelines.synth.edf_writer import Channel, write_edf

SFREQ_HZ = 250
EXTRAS = ("EEG EKG1-REF", "EEG ROC-REF", "EEG LOC-REF", "EEG 26-REF", "PHOTIC-REF")


def main() -> None:
    """Write the files, time both ways on each, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--files", type=int, default=5)
    arguments.add_argument("--minutes", type=float, default=20)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        src, out = Path(folder) / "raw", Path(folder) / "out"
        paths = [write_recording(src, number, given.minutes) for number in range(given.files)]
        recipe = recipes.load("tuab", settings=("shard_mb=1",))  # a shard for each recording
        tasks = planning.tasks(planning.make(scan.scan(src, recipe, quiet), recipe))
        ways: dict[str, list[float]] = {"published chain": [], "ours": [], "read": [], "read and condition": []}
        for path, task in zip(sorted(paths), sorted(tasks, key=lambda one: one.recordings[0]["path"]), strict=True):
            ways["published chain"].append(timed(lambda path=path: chain(path, out)))
            ways["ours"].append(timed(lambda task=task: build.build(task, recipe, src, out)))
            ways["read"].append(timed(lambda path=path: readers.read(path, recipe.electrodes)))
            ways["read and condition"].append(
                timed(lambda path=path: condition(readers.read(path, recipe.electrodes), recipe))
            )
    print(table(ways))


def quiet(done: int, total: int) -> None:
    """Show no progress."""


def timed(work: Callable[[], object]) -> float:
    """Return the wall time of some work, in seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def write_recording(src: Path, number: int, minutes: float) -> Path:
    """Write one recording of 1/f noise at some 30 µV in TUAB's tree."""
    random = np.random.default_rng(number)
    num_samples = round(minutes * 60 * SFREQ_HZ)
    scale = 1 / np.maximum(np.fft.rfftfreq(num_samples, 1 / SFREQ_HZ), 0.5)
    channels = []
    for label in [*(f"EEG {name}-REF" for name in recipes.load("tuab").electrodes), *EXTRAS]:
        spectrum = scale * (random.standard_normal(len(scale)) + 1j * random.standard_normal(len(scale)))
        noise = np.fft.irfft(spectrum, n=num_samples)
        channels.append(Channel(label, SFREQ_HZ, 30 * noise / noise.std()))
    folder = src / "edf" / "train" / ("normal", "abnormal")[number % 2] / "01_tcp_ar"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"aaaaaa{chr(97 + number // 26)}{chr(97 + number % 26)}_s001_t000.edf"
    write_edf(path, channels, "X X X X")
    return path


def chain(path: Path, out: Path) -> None:
    """Do what the published code does with one recording."""
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    raw.pick([name for name in raw.ch_names if name not in EXTRAS])
    raw.filter(0.1, 75.0, verbose="error")
    raw.notch_filter(50.0, verbose="error")
    raw.resample(200, n_jobs=1, verbose="error")
    signal_uv = raw.get_data(units="uV")
    folder = out / "pickles"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(signal_uv.shape[1] // 2000):
        window = signal_uv[:, number * 2000 : (number + 1) * 2000]
        with (folder / f"{path.stem}-{number}.pkl").open("wb") as stream:
            pickle.dump({"X": window, "y": 0}, stream)


def table(ways: dict[str, list[float]]) -> str:
    """Return medians and ranges as Markdown, with each way's ratio to the chain."""
    base = statistics.median(ways["published chain"])
    rows = ["| way | s a recording, median (range) | times faster than the chain |", "|---|---|---|"]
    for name, seconds in ways.items():
        median = statistics.median(seconds)
        rows.append(f"| {name} | {median:.3f} ({min(seconds):.3f}–{max(seconds):.3f}) | {base / median:.1f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
