"""Preprocessing against the published chain on the same files, in one process, in one run.

    python benchmarks/preprocess.py [--files N] [--minutes M]

Each file is a 28-channel, 250 Hz EDF as TUAB has them. The chain is what the published code does with MNE: read, pick,
band-pass, notch, resample, pickle each window as float64. Ours is `dare preprocess tuab`'s own work on the same files:
read, filter, resample, quantise, cut, hash and write, synced to disk, in shards of the size that is the default. The
chain and ours take turns, once with the allocator as Python has it and once tuned as `dare preprocess` tunes
its own, by the clock and in time of the processor, which other work on the machine moves less. Then come ours by stage
and, beside them, the least there is to do: the file's bytes read once and one FFT each way.
"""

import argparse
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mne
import numpy as np
from scipy.fft import irfft, rfft

from manifests import recipe as recipes
from manifests.atomic_io import sha256_file
from pipelines import build, conditioning, shard
from pipelines import plan as planning
from pipelines.formats import readers
from pipelines.plan import SetOptions
from pipelines.sources import raw
from pipelines.sources.raw import RawTree
from pipelines.synth.edf_writer import Channel, write_edf
from pipelines.workers import ENVIRONMENT

SFREQ_HZ = 250
EXTRAS = ("EEG EKG1-REF", "EEG ROC-REF", "EEG LOC-REF", "EEG 26-REF", "PHOTIC-REF")
ROUNDS = 3
CHAIN, OURS = "published chain", "ours"
OF_PROCESSOR = ", of the processor"


def main() -> None:
    """Write the files, have each allocator's process time them, and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--files", type=int, default=8)
    arguments.add_argument("--minutes", type=float, default=20)
    arguments.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.measure:
        print(json.dumps(measured(given.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for number in range(given.files):
            write_recording(Path(folder) / "raw", number, given.minutes)
        command = [sys.executable, __file__, "--measure", folder]
        medians = {}
        for name, environment in (("as Python has it", {}), ("tuned", ENVIRONMENT)):
            run = subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True)
            figures = json.loads(run.stdout)
            medians[name] = {way: statistics.median(seconds) for way, seconds in figures["ways"].items()}
            print(f"Allocator {name}\n\n{table(figures)}\n")
    ratio = medians["as Python has it"][CHAIN] / medians["tuned"][OURS]
    print(f"Each as it is run, the chain with Python's allocator and ours with its own settings: {ratio:.1f} times")


def measured(folder: Path) -> dict[str, Any]:
    """Return the seconds a recording that each way and stage took, in every round, and the memory ours needed."""
    src, out = folder / "raw", folder / "out"
    recipe = recipes.load("tuab")
    tree = RawTree(src).scan(recipe, quiet)
    tasks = planning.tasks(planning.make(tree, recipe, SetOptions()))
    paths = sorted(src.rglob("*.edf"))
    ways: dict[str, list[float]] = {name + kind: [] for kind in ("", OF_PROCESSOR) for name in (CHAIN, OURS)}
    idle_mb = peak_mb = 0.0
    for number in range(ROUNDS + 1):  # the first warms caches and is left out
        for name, work in (
            (CHAIN, lambda: [chain(path, out) for path in paths]),
            (OURS, lambda: [build.build(task, recipe, src, out) for task in tasks]),
        ):
            raw._sha256.cache_clear()  # a file is hashed once a run, and each round stands for one
            used_s = time.process_time()
            seconds = timed(work)
            ways[name] += [seconds / len(paths)] * bool(number)
            ways[name + OF_PROCESSOR] += [(time.process_time() - used_s) / len(paths)] * bool(number)
    stages = [stage_times(path, recipe, out) for path in paths]
    one = planning.tasks(planning.make(tree.only(set(), 1), recipe, SetOptions()))[0]
    idle_mb = resident_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    build.build(one, recipe, src, out)
    peak_mb = resident_mb("VmHWM")
    return {
        "ways": ways,
        "stages": {name: [each[name] for each in stages] for name in stages[0]},
        "memory_mb": [idle_mb, peak_mb],
    }


def stage_times(path: Path, recipe: recipes.Recipe, out: Path) -> dict[str, float]:
    """Return the seconds of each stage of one recording, and of the least that could be done."""
    recording = readers.read(path, recipe.needed)
    conditioned = conditioning.condition(recording, recipe)
    (segment,) = conditioned.segments
    one_pass = conditioning._Pass.of(recording.sfreq, recording.data_uv.shape[1], recipe)
    blocks = -(-recording.data_uv.shape[1] // (one_pass.length - 2 * one_pass.margin))
    four = np.ones((4, one_pass.length), np.float32)
    spectrum = rfft(four)[:, : len(one_pass.response) // 2]
    groups = len(recipe.electrodes) / 4
    fft = min(timed(lambda: rfft(four)) for _ in range(5))
    length = one_pass.num_resampled(one_pass.length)
    inverse = min(timed(lambda: irfft(spectrum, n=length)) for _ in range(5))
    raw = timed(lambda: sha256_file(path))
    read = timed(lambda: readers.read(path, recipe.needed))
    whole = timed(lambda: conditioning.condition(recording, recipe))
    scale = np.where(conditioned.present, recipe.quantum_uv, 0).astype(np.float32)
    samples = shard_samples(path, segment.counts, scale, recipe)
    written = timed(lambda: shard.write(out / "stage.tar", samples, recipe))
    transforms = (fft + inverse) * blocks * groups
    return {
        "hash the file": raw,
        "read and decode": read,
        "FFT each way": transforms,
        "rest of conditioning: padding, response, quantising": whole - transforms,
        "cut, checksum, hash, write and sync the shard": written,
        "least: the bytes once and one FFT each way": timed(path.read_bytes) + transforms,
    }


def shard_samples(path: Path, counts: Any, scale: Any, recipe: recipes.Recipe) -> list[Any]:
    """Return the samples of one recording as a task gives them to its shard."""
    from manifests.manifest import RecordingRow
    from pipelines.windows import ConditionedSegment, on_a_grid

    windows = on_a_grid([ConditionedSegment(0.0, counts, range(counts.shape[1]))], 0, recipe)
    channel_map = {name: f"EEG {name}-REF" for name in recipe.electrodes}
    row = RecordingRow(
        path=path.name, bytes=1, sha256="", subject="tuh:a", session="s001", split="train", channel_map=channel_map,
        sfreq=SFREQ_HZ, duration_s=1.0, windows=len(windows), outcome="ok", notes=(), reason="",
    )  # fmt: skip
    samples = shard.RecordingWindows.of(row, path.stem, windows, scale, recipe)
    return [(samples, window) for window in windows]


def resident_mb(field: str) -> float:
    """Return a figure of this process's memory, MB: VmRSS now, VmHWM at most since it was cleared."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(field))


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


def table(figures: dict[str, Any]) -> str:
    """Return medians and ranges as Markdown, the chain's ratio to ours, and memory."""
    rows = ["| way | s a recording, median (range) | times faster than the chain |", "|---|---|---|"]
    for name, seconds in figures["ways"].items():
        median = statistics.median(seconds)
        base = statistics.median(figures["ways"][CHAIN + OF_PROCESSOR * name.endswith(OF_PROCESSOR)])
        rows.append(f"| {name} | {median:.3f} ({min(seconds):.3f}–{max(seconds):.3f}) | {base / median:.1f} |")
    rows += ["", "| stage of ours | s a recording, median |", "|---|---|"]
    rows += [f"| {name} | {statistics.median(seconds):.4f} |" for name, seconds in figures["stages"].items()]
    idle_mb, peak_mb = figures["memory_mb"]
    return "\n".join([*rows, "", f"Memory: {idle_mb:.0f} MB idle, {peak_mb - idle_mb:.0f} MB more for one recording"])


if __name__ == "__main__":
    main()
