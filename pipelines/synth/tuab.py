"""TUH Abnormal EEG Corpus, release 3.0.1: normal and abnormal clinical recordings in folders of those names.

What makes a recording abnormal here is what most often does in the clinic: excess theta and delta over one
site or the whole head, and a slower, weaker posterior alpha rhythm (Lopez et al. 2015).
"""

from pathlib import Path

import numpy as np

from pipelines.synth.scalp import reach
from pipelines.synth.signals import Signal, generator, rhythm
from pipelines.synth.tuh import ELECTRODES, head_uv, patient_field, subject_name, write_recording

_FIRST_SUBJECT = 16
_SFREQ = 250
_ODD_SFREQ = 256
_ODD_SUBJECT = 1
_BOTH_CLASSES_SUBJECT = 0


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write one recording a subject, classes in turn, and a second, abnormal one of the first subject."""
    num_eval = max(2, subjects // 4)
    written = []
    for number in range(subjects):
        split = "eval" if number >= subjects - num_eval else "train"
        label = "abnormal" if number % 2 else "normal"
        written.append(_write_recording(out, split, label, number, 1, seconds, seed))
    written.append(_write_recording(out, "train", "abnormal", _BOTH_CLASSES_SUBJECT, 2, seconds, seed))
    return written


def _write_recording(out: Path, split: str, label: str, number: int, session: int, seconds: float, seed: int) -> Path:
    name = subject_name(_FIRST_SUBJECT + number)
    path = out / "edf" / split / label / "01_tcp_ar" / f"{name}_s{session:03d}_t000.edf"
    sfreq = _ODD_SFREQ if number == _ODD_SUBJECT else _SFREQ
    rng = generator("tuab", seed, number, session)
    signal_uv = _signal_uv(label, int(seconds) * sfreq, sfreq, rng)
    write_recording(path, signal_uv, sfreq, patient_field(name, rng), rng)
    return path


def _signal_uv(label: str, num_samples: int, sfreq: int, rng: np.random.Generator) -> Signal:
    # The classes overlap: a normal head may be drowsy and an abnormal one nearly well.
    if label == "abnormal":
        alpha_hz, alpha_uv = rng.normal(8.6, 0.7), rng.uniform(4.0, 12.0)
        slowing_uv = rng.uniform(4.0, 15.0)
    else:
        alpha_hz, alpha_uv = rng.normal(10.0, 0.7), rng.uniform(8.0, 18.0)
        slowing_uv = rng.uniform(0.0, 4.0)
    signal_uv = head_uv(num_samples, sfreq, rng, alpha_hz=max(alpha_hz, 7.0), alpha_uv=alpha_uv)
    return rng.uniform(0.8, 1.25) * (signal_uv + _slowing_uv(slowing_uv, num_samples, sfreq, rng))


def _slowing_uv(strength_uv: float, num_samples: int, sfreq: int, rng: np.random.Generator) -> Signal:
    site, width_rad = rng.choice(["F7", "T7", "T8", "P8", "CZ"]), rng.choice([0.6, 2.0])
    theta_uv = strength_uv * rhythm(rng.uniform(4.0, 6.5), 0.8, num_samples, sfreq, rng)
    delta_uv = strength_uv * rhythm(rng.uniform(1.5, 3.0), 0.5, num_samples, sfreq, rng)
    return np.outer(reach(ELECTRODES, str(site), float(width_rad)), theta_uv + delta_uv)
