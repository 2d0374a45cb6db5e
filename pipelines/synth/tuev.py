"""TUH EEG Events corpus, release 2.0.1: six kinds of events, one second a row, on the 22 TCP derivations.

The rows do what the released ones may do (Harati et al. 2015): name one event on many derivations, again a
tenth of a second later, give two labels at one time, and reach to, or past, the ends of the recording.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.synth.discharges import EVENT_NAMES, Discharge, add_discharge, derivations
from pipelines.synth.signals import generator
from pipelines.synth.tuh import TCP_PAIRS, head_uv, patient_field, subject_name, write_recording

_SFREQ = 250
_FIRST_SUBJECT = 26**3
"""No subject is shared with the abnormal corpus, so that one may be trained on and the other tested on."""

_LEAD_S, _PITCH_S = 2.5, 3.0
"""Events keep clear of both ends by the reach of the usual five-second window around them."""

_ROW_S = 1.0
_REPEATS_S = {"gped": (0.1, 1.0), "pled": (0.1, 1.0), "artf": (0.1,), "bckg": (0.1, 1.0)}
"""What lasts is annotated again a tenth of a second, and a second, later; what is over in a moment once."""

_COMMON = ("bckg", "bckg", "bckg", "artf", "gped", "pled")
_EVAL_PREFIXES = ("bckg", "pled", "gped", "spsw", "eyem", "artf")
_TENS_OF_MICROSECONDS = 100_000


class _Row(NamedTuple):
    channel: int
    start_s: float
    name: str


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write one recording a subject with its rows, and a second of the first subject with a single row."""
    num_eval = max(2, subjects // 4)
    written = []
    for number in range(subjects - num_eval):
        name = subject_name(_FIRST_SUBJECT + number)
        stem = out / "edf" / "train" / name / f"{name}_00000001"
        written += _write_recording(stem, name, seconds, generator("tuev", seed, "train", number))
    name = subject_name(_FIRST_SUBJECT)
    stem = out / "edf" / "train" / name / f"{name}_00000002"
    written += _write_single_row(stem, name, seconds, generator("tuev", seed, "single row"))
    for number in range(num_eval):
        prefix, run = _EVAL_PREFIXES[number % len(_EVAL_PREFIXES)], ("", "1", "2")[number % 3]
        stem = out / "edf" / "eval" / f"{number:03d}" / f"{prefix}_{number:03d}_a_{run}"
        written += _write_recording(stem, "000", seconds, generator("tuev", seed, "eval", number))
    return written


def _write_recording(stem: Path, patient: str, seconds: float, rng: np.random.Generator) -> list[Path]:
    num_slots = int((int(seconds) - _LEAD_S - _PITCH_S) // _PITCH_S)
    # Every class once, then what the corpus is full of.
    names = [*EVENT_NAMES, *rng.choice(_COMMON, max(0, num_slots - len(EVENT_NAMES))).tolist()]
    starts_s = [round(_LEAD_S + _PITCH_S * slot, 1) for slot in range(len(names))]
    discharges = [
        Discharge.draw(names[position], start_s, rng)
        for position, start_s in zip(rng.permutation(len(names)), starts_s, strict=True)
    ]
    rows = _rows_at_the_ends(int(seconds))
    for discharge in discharges:
        rows += _rows_of(discharge)
    return _write_files(stem, patient, int(seconds), discharges, rows, rng)


def _write_single_row(stem: Path, patient: str, seconds: float, rng: np.random.Generator) -> list[Path]:
    spike = Discharge.draw("spsw", _LEAD_S, rng)
    return _write_files(stem, patient, int(seconds), [spike], _rows_of(spike)[:1], rng)


def _rows_of(discharge: Discharge) -> list[_Row]:
    channels = derivations(discharge)
    offsets_s = (0.0, *_REPEATS_S.get(discharge.name, ()))
    rows = [
        _Row(channel, discharge.start_s + offset_s, discharge.name) for offset_s in offsets_s for channel in channels
    ]
    if discharge.name == "eyem":
        # A blink in front leaves the back of the head as it was: two labels at one time.
        rows.append(_Row(TCP_PAIRS.index(("P4", "O2")), discharge.start_s, "bckg"))
    return rows


def _rows_at_the_ends(num_seconds: int) -> list[_Row]:
    starts_s = (0.0, num_seconds - _ROW_S, num_seconds + 0.5)
    return [_Row(TCP_PAIRS.index(("C3", "CZ")), start_s, "bckg") for start_s in starts_s]


def _write_files(
    stem: Path,
    patient: str,
    num_seconds: int,
    discharges: Sequence[Discharge],
    rows: Sequence[_Row],
    rng: np.random.Generator,
) -> list[Path]:
    signal_uv = head_uv(num_seconds * _SFREQ, _SFREQ, rng)
    for discharge in discharges:
        add_discharge(signal_uv, discharge, _SFREQ, rng)
    recording = stem.with_name(stem.name + ".edf")
    write_recording(recording, signal_uv, _SFREQ, patient_field(patient, rng), rng)
    return [recording, *_write_rows(stem, sorted(rows))]


def _write_rows(stem: Path, rows: Sequence[_Row]) -> list[Path]:
    table = stem.with_name(stem.name + ".rec")
    table.write_text("".join(_rec_line(row) for row in rows))
    written = [table]
    for channel in range(len(TCP_PAIRS)):
        labels = stem.with_name(f"{stem.name}_ch{channel:03d}.lab")
        labels.write_text("".join(_lab_line(row) for row in rows if row.channel == channel))
        written.append(labels)
    return written


def _rec_line(row: _Row) -> str:
    return f"{row.channel},{row.start_s:.1f},{row.start_s + _ROW_S:.1f},{EVENT_NAMES.index(row.name) + 1}\n"


def _lab_line(row: _Row) -> str:
    start, stop = (round(time_s * _TENS_OF_MICROSECONDS) for time_s in (row.start_s, row.start_s + _ROW_S))
    return f"{start} {stop} {row.name}\n"
