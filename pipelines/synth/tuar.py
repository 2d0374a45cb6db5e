"""TUH EEG Artifact Corpus, release 3.0.1: calm recordings and, in tables by derivation, what disturbs them.

Rows name one kind of artifact or two at once; popping electrodes are ``elec`` or, in the first subject, ``elpp``.
"""

from pathlib import Path

import numpy as np

from pipelines.synth.artifacts import KINDS, add_artifact
from pipelines.synth.signals import Signal, calm_uv, generator, mains_uv
from pipelines.synth.tuh import (
    MAINS_HZ,
    MONTAGES,
    Montage,
    patient_field,
    seen_on,
    subject_name,
    write_recording,
    write_table,
)

_FIRST_SUBJECT = 4 * 26**3
_RATES = (250, 256, 400)
_SLOT_S = 5
_ONCE = (*KINDS, "eyem_musc", "clean", "clean", "clean")
_COMMON = ("clean", "clean", "eyem", "musc", "elec")

_Row = tuple[str, float, float, str]


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write one recording a subject; every five seconds hold one artifact or none."""
    return [path for number in range(subjects) for path in _write_recording(out / "edf", number, int(seconds), seed)]


def _write_recording(folder: Path, number: int, num_seconds: int, seed: int) -> list[Path]:
    name, montage, sfreq = subject_name(_FIRST_SUBJECT + number), MONTAGES[number % 3], _RATES[number % 3]
    stem = folder / montage.folder / f"{name}_s001_t000"
    rng = generator("tuar", seed, number)
    num_samples = num_seconds * sfreq
    signal_uv = calm_uv(montage.electrodes, num_samples, sfreq, rng)
    signal_uv += mains_uv(len(montage.electrodes), num_samples, sfreq, MAINS_HZ, rng)
    num_slots = num_seconds // _SLOT_S
    names = [*_ONCE, *rng.choice(_COMMON, num_slots - len(_ONCE)).tolist()]
    rows: list[_Row] = []
    for slot, position in enumerate(rng.permutation(num_slots)):
        rows += _disturbed(signal_uv, montage, names[position], slot, sfreq, rng)
    if number == 0:
        rows = [(*row[:3], row[3].replace("elec", "elpp")) for row in rows]
    recording = stem.with_suffix(".edf")
    write_recording(recording, signal_uv, sfreq, patient_field(name, rng), rng, montage)
    return [recording, write_table(stem.with_suffix(".csv"), num_seconds, sorted(rows))]


def _disturbed(
    signal_uv: Signal, montage: Montage, label: str, slot: int, sfreq: int, rng: np.random.Generator
) -> list[_Row]:
    """Add what a slot is named after to the signal and return its rows, none where it stays clean."""
    if label == "clean":
        return []
    start_s = round(slot * _SLOT_S + rng.uniform(0.2, 1.0), 4)
    stop_s = round(start_s + rng.uniform(2.5, 3.8), 4)
    start, length = round(start_s * sfreq), round((stop_s - start_s) * sfreq)
    channels: dict[str, None] = {}
    for kind in label.split("_"):
        gains = add_artifact(signal_uv, montage.electrodes, kind, start, length, sfreq, rng)
        channels |= dict.fromkeys(seen_on(montage, gains))
    return [(channel, start_s, stop_s, label) for channel in channels]
