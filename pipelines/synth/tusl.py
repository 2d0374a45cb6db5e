"""TUH EEG Slowing Corpus, release 2.0.1: ten seconds each of background, seizure and slowing, by turns.

Slowing is delta and theta over one site, which neither grows nor changes its pace as a seizure does (von Weltin et al.
2017).
"""

from pathlib import Path

import numpy as np

from pipelines.synth.scalp import reach
from pipelines.synth.seizures import add_seizure
from pipelines.synth.signals import Signal, generator, rhythm
from pipelines.synth.tuh import (
    MONTAGES,
    Montage,
    head_uv,
    patient_field,
    seen_on,
    subject_name,
    write_recording,
    write_table,
)

_FIRST_SUBJECT = 3 * 26**3
_SFREQ = 250
_LABELS = ("bckg", "seiz", "slow")
_STRETCH_S, _PITCH_S, _LEAD_S = 10.0, 11.5, 1.0

_Row = tuple[str, float, float, str]


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write one recording a subject, its stretches in an order of its own."""
    return [path for number in range(subjects) for path in _write_recording(out / "edf", number, int(seconds), seed)]


def _write_recording(folder: Path, number: int, num_seconds: int, seed: int) -> list[Path]:
    name, montage = subject_name(_FIRST_SUBJECT + number), MONTAGES[number % 2]
    stem = folder / name / "s001_2010" / montage.folder / f"{name}_s001_t000"
    rng = generator("tusl", seed, number)
    signal_uv = head_uv(num_seconds * _SFREQ, _SFREQ, rng, electrodes=montage.electrodes)
    by_channel: list[_Row] = []
    lines = ["version = tse_v1.0.0", ""]
    for start_s, label in _stretches(num_seconds, rng):
        stop_s = start_s + _STRETCH_S
        for channel in _add_stretch(signal_uv, montage, label, start_s, rng):
            by_channel.append((channel, start_s, stop_s, label))
        lines.append(f"{start_s:.4f} {stop_s:.4f} {label} 1.0000")
    recording, aggregate = stem.with_suffix(".edf"), stem.with_suffix(".tse_agg")
    write_recording(recording, signal_uv, _SFREQ, patient_field(name, rng), rng, montage)
    aggregate.write_text("\n".join(lines) + "\n")
    return [recording, write_table(stem.with_suffix(".csv"), num_seconds, sorted(by_channel)), aggregate]


def _stretches(num_seconds: int, rng: np.random.Generator) -> list[tuple[float, str]]:
    """Return (start in s, label): each label as often as the others, give or take one."""
    starts_s = np.arange(_LEAD_S, num_seconds - _STRETCH_S + 1e-9, _PITCH_S)
    labels = [_LABELS[position % len(_LABELS)] for position in range(len(starts_s))]
    return [
        (float(start_s), labels[position])
        for start_s, position in zip(starts_s, rng.permutation(len(labels)), strict=True)
    ]


def _add_stretch(
    signal_uv: Signal, montage: Montage, label: str, start_s: float, rng: np.random.Generator
) -> list[str]:
    """Add what a stretch holds and return the derivations it is listed for: background for all."""
    start, length = round(start_s * _SFREQ), round(_STRETCH_S * _SFREQ)
    gains = np.ones(len(montage.electrodes))
    if label == "seiz":
        _, gains = add_seizure(signal_uv, montage.electrodes, start, length, _SFREQ, rng)
    if label == "slow":
        gains = reach(montage.electrodes, str(rng.choice(["F7", "T7", "T8", "P8"])), 0.8)
        wave_uv = 25.0 * rhythm(rng.uniform(1.5, 3.0), 0.5, length, _SFREQ, rng)
        wave_uv += 12.0 * rhythm(rng.uniform(4.0, 6.0), 0.8, length, _SFREQ, rng)
        signal_uv[:, start : start + length] += np.outer(gains, wave_uv)
    return seen_on(montage, gains)
