"""TUH EEG Seizure Corpus, release 2.0.3: recordings of all four montages, seizures in tables of two kinds.

One table goes by derivation and says what kind of seizure it is, the other says of the head as a whole whether one
goes on (Shah et al. 2018).
"""

from pathlib import Path

from pipelines.synth.seizures import add_seizure
from pipelines.synth.signals import generator
from pipelines.synth.tuh import (
    MONTAGES,
    head_uv,
    patient_field,
    seen_on,
    subject_name,
    write_recording,
    write_table,
)

_FIRST_SUBJECT = 2 * 26**3
_RATES = (250, 256, 400, 512)
_DATES = ("2003", "2012_05_14")
"""Some sessions tell the year alone."""

_LEAD_S = 4.0


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write one recording with a seizure a subject, and one without of every second."""
    num_test = max(1, subjects // 4)
    splits = ["train"] * (subjects - 2 * num_test) + ["dev"] * num_test + ["eval"] * num_test
    written = []
    for number, split in enumerate(splits):
        for token in range(1 + (number + 1) % 2):
            written += _write_recording(out / "edf" / split, number, token, int(seconds), seed)
    return written


def _write_recording(folder: Path, number: int, token: int, num_seconds: int, seed: int) -> list[Path]:
    name, montage, sfreq = subject_name(_FIRST_SUBJECT + number), MONTAGES[number % 4], _RATES[number % 4]
    stem = folder / name / f"s001_{_DATES[number % 2]}" / montage.folder / f"{name}_s001_t{token:03d}"
    rng = generator("tusz", seed, number, token)
    signal_uv = head_uv(num_seconds * sfreq, sfreq, rng, electrodes=montage.electrodes)
    end_s = float(num_seconds)
    derivations = ["-".join(pair) for pair in montage.pairs]
    if token:
        head = [("TERM", 0.0, end_s, "bckg")]
        rows = [(channel, 0.0, end_s, "bckg") for channel in derivations]
    else:
        length_s = round(rng.uniform(0.3, 0.45) * num_seconds, 4)
        start_s = round(rng.uniform(_LEAD_S, num_seconds - length_s - _LEAD_S), 4)
        stop_s = round(start_s + length_s, 4)
        kind, gains = add_seizure(
            signal_uv, montage.electrodes, round(start_s * sfreq), round(length_s * sfreq), sfreq, rng
        )
        times_s = [(0.0, start_s), (start_s, stop_s), (stop_s, end_s)]
        head = [("TERM", *span, label) for span, label in zip(times_s, ("bckg", "seiz", "bckg"), strict=True)]
        seen = seen_on(montage, gains)
        rows = [
            (channel, *span, label)
            for channel in derivations
            for span, label in (
                zip(times_s, ("bckg", kind, "bckg"), strict=True) if channel in seen else [((0.0, end_s), "bckg")]
            )
        ]
    recording = stem.with_suffix(".edf")
    write_recording(recording, signal_uv, sfreq, patient_field(name, rng), rng, montage)
    return [
        recording,
        write_table(stem.with_suffix(".csv"), num_seconds, rows),
        write_table(stem.with_suffix(".csv_bi"), num_seconds, head),
    ]
