"""Trees with a recording that is well and one that is not, and what sets of them are to hold."""

from itertools import groupby
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from tests.commands import contents, preprocess
from tests.judges import write_edf

ELECTRODES = tuple("F3 FZ F4 C3 CZ C4 P3 PZ P4 O1 OZ O2".split())
SFREQ, SECONDS, RANGE_UV = 128, 60, 3276.7
RELEASE = Path(__file__).parents[1] / "data" / "release_0_1_0"

Signal = NDArray[np.float64]


def noise_uv(seed: int, seconds: int = SECONDS, sd_uv: float = 20.0) -> Signal:
    return sd_uv * np.random.default_rng(seed).standard_normal((len(ELECTRODES), seconds * SFREQ))


def written(path: Path, signal_uv: Signal, range_uv: float = RANGE_UV) -> Path:
    """Write an EDF file that holds what its range does of a signal."""
    held_uv = np.clip(signal_uv, -range_uv, range_uv)
    return write_edf(path, dict(zip(ELECTRODES, held_uv, strict=True)), SFREQ, range_uv=range_uv)


def recipe(folder: Path, suffix: str = "edf") -> Path:
    file = folder / "mine.toml"
    file.write_text(
        f'corpus = "mine"\nelectrodes = {list(ELECTRODES)}\nnotch_hz = 0\nsfreq_hz = {SFREQ}\nband_hz = [0.5, 40]\n'
        'classes = ["rest", "task"]\n[pretrain]\nclasses = []\n'
        f"sfreq_hz = {SFREQ}\n"
        f'[layout]\nfiles = "{{subject}}_{{label}}.{suffix}"\nlabels = "name"\n'
    )
    return file


def tree(folder: Path, signal_uv: Signal) -> Path:
    """Write a recording that is well, S1_rest.edf, and one of some signal, S2_task.edf."""
    written(folder / "raw" / "S1_rest.edf", noise_uv(1))
    written(folder / "raw" / "S2_task.edf", signal_uv)
    return folder / "raw"


def made(src: Path, out: Path, *options: object, purpose: str = "pretrain", suffix: str = "edf") -> Path:
    return preprocess("mine", src, out, "--recipe", recipe(src.parent, suffix), "--for", purpose, *options)


def tars(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name.endswith((".tar", ".idx.npz"))}


def kinds(row: dict[str, Any]) -> set[str]:
    return {note["kind"] for note in row["notes"]}


def dead_shares(path: Path, window_s: float = 10.0) -> Signal:
    """Return, windows × electrodes, the share of time in runs of equal samples of half a second and more, by MNE."""
    data = mne.io.read_raw_edf(path, preload=True, verbose="error").get_data(picks=list(ELECTRODES))
    dead = np.zeros(data.shape)
    for row, electrode in zip(dead, data, strict=True):
        at = 0
        for _, equal in groupby(electrode.tolist()):
            length = len(list(equal))
            row[at : at + length] = length >= SFREQ / 2
            at += length
    length = round(window_s * SFREQ)
    num_windows = data.shape[1] // length
    return dead[:, : num_windows * length].reshape(len(data), num_windows, length).mean(axis=2).T


def disconnected(seconds: float, value_uv: float) -> Signal:
    """Return a recording of which all electrodes hold a value to its end."""
    signal_uv = noise_uv(2)
    signal_uv[:, -round(seconds * SFREQ) :] = value_uv
    return signal_uv


def partly_dead() -> Signal:
    """Return a recording of which two electrodes are dead for a while, one at a rail and one at another value."""
    signal_uv = noise_uv(5)
    signal_uv[4, 12 * SFREQ : 26 * SFREQ] = RANGE_UV
    signal_uv[7, 41 * SFREQ : 45 * SFREQ] = -7.0
    signal_uv[8, 51 * SFREQ : 53 * SFREQ] = 0.0  # shorter than a quarter of a window
    return signal_uv
