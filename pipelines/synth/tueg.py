"""TUH EEG Corpus, release 2.0.1: unlabelled recordings of every montage and rate the hospital used.

Its patients begin with those of the abnormal corpus, which is a part of it, so that leaving them out can be tried.
"""

from pathlib import Path

from pipelines.synth.signals import generator
from pipelines.synth.tuh import MONTAGES, head_uv, patient_field, subject_name, write_recording

_FIRST_SUBJECT = 16
_SUBJECTS_PER_FOLDER = 140
_RATES = (250, 256, 400, 512)
_DATES = ("2003", "2012_05_14")


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write one recording a subject, and of the first a second piece, whose name has four parts."""
    written = [_write_recording(out, number, 0, "", int(seconds), seed) for number in range(subjects)]
    return [*written, _write_recording(out, 0, 2, "x_", int(seconds), seed)]


def _write_recording(out: Path, number: int, token: int, prefix: str, num_seconds: int, seed: int) -> Path:
    name, montage, sfreq = subject_name(_FIRST_SUBJECT + number), MONTAGES[number % 4], _RATES[number % 4]
    folder = out / "edf" / f"{number // _SUBJECTS_PER_FOLDER:03d}" / name / f"s001_{_DATES[number % 2]}"
    path = folder / montage.folder / f"{prefix}{name}_s001_t{token:03d}.edf"
    rng = generator("tueg", seed, number, token)
    signal_uv = head_uv(
        num_seconds * sfreq,
        sfreq,
        rng,
        electrodes=montage.electrodes,
        alpha_hz=rng.uniform(8.0, 11.0),
        alpha_uv=rng.uniform(5.0, 18.0),
    )
    write_recording(path, signal_uv, sfreq, patient_field(name, rng), rng, montage)
    return path
