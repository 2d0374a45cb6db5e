"""Sleep-EDF expanded of PhysioNet: nights of the cassette and the telemetry study, hypnograms beside them (Kemp 2000).

What tells the stages apart follows Rechtschaffen & Kales (1968): alpha awake, theta in light sleep, spindles in stage
2, slow waves in 3 and 4, and eye movements over theta in REM.
"""

from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyedflib
from scipy.ndimage import uniform_filter1d

from pipelines.synth.edf_writer import Annotation, Channel, write_edf_plus
from pipelines.synth.signals import Signal, generator, muscle, rhythm

_SFREQ, _TREND_HZ = 100, 1
_EPOCH_S = 30
_LABELS = ("EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal")
_NO_SUBJECT = (39, 68, 69, 78, 79)
_NO_NIGHT = {("SC4", 13, 2), ("SC4", 36, 1), ("SC4", 52, 1)}
_SCORERS = "CHJPV"


class _Band(NamedTuple):
    """A rhythm, and its amplitude in µV at each channel by stage."""

    hz: float
    width_hz: float
    weights: tuple[float, float, float]
    amplitude_uv: dict[str, float]


_BANDS = (
    _Band(0.9, 0.4, (1.0, 0.7, 0.6), {"W": 6, "1": 10, "2": 20, "3": 45, "4": 65, "R": 8}),
    _Band(5.5, 1.0, (1.0, 0.8, 0.3), {"W": 3, "1": 9, "2": 8, "3": 8, "4": 8, "R": 9}),
    _Band(10.0, 0.7, (0.4, 1.0, 0.2), {"W": 16, "1": 4, "2": 2, "3": 2, "4": 2, "R": 3}),
    _Band(13.5, 0.6, (1.0, 0.7, 0.1), {"W": 1, "1": 1, "2": 9, "3": 5, "4": 3, "R": 1}),
    _Band(0.4, 0.2, (0.2, 0.0, 1.0), {"W": 30, "1": 15, "2": 2, "3": 2, "4": 2, "R": 60}),
)
_CYCLE = ("1", "2", "2", "2", "3", "4", "4", "3", "2", "R", "R", "1", "2", "3", "2", "R")
"""The stages of a night in order, each for the same share of it."""

_AWAKE = 0.1
"""Share of wake before and after sleep: in the real recordings, which last a day, it is most of it."""

_UNSCORED_EPOCHS = 4


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write two nights a subject, an epoch of thirty seconds for every second asked for; every fourth by telemetry."""
    written = []
    for number in range(subjects):
        study, subject = ("ST7", 1 + number // 4) if number % 4 == 3 else ("SC4", _cassette(number - number // 4))
        for night in (1, 2):
            if (study, subject, night) not in _NO_NIGHT:
                rng = generator("sleepedf", seed, study, subject, night)
                written += _write_night(out, f"{study}{subject:02d}{night}", max(40, int(seconds)), rng)
    return written


def _cassette(number: int) -> int:
    return [subject for subject in range(83) if subject not in _NO_SUBJECT][number]


def _write_night(out: Path, name: str, num_epochs: int, rng: np.random.Generator) -> list[Path]:
    folder, letter = (out / "sleep-cassette", "E") if name.startswith("SC") else (out / "sleep-telemetry", "J")
    psg = folder / f"{name}{letter}0-PSG.edf"
    scorer = generator("sleepedf", name, "scorer").choice(list(_SCORERS))
    hypnogram = folder / f"{name}{letter}{scorer}-Hypnogram.edf"
    stages = _stages(num_epochs, rng)
    num_seconds = num_epochs * _EPOCH_S
    channels = [Channel(*one) for one in zip(_LABELS, (_SFREQ,) * 3, _signal_uv(stages, rng), strict=True)]
    channels += [
        Channel("EMG submental", _TREND_HZ, rng.uniform(1.0, 4.0, num_seconds)),
        Channel("Temp rectal", _TREND_HZ, np.full(num_seconds, 37.0), "DegC"),
    ]
    write_edf_plus(psg, channels, ())
    _write_hypnogram(hypnogram, _scored(stages))
    return [psg, hypnogram]


def _stages(num_epochs: int, rng: np.random.Generator) -> list[str]:
    """Return the stage of every epoch: wake, sleep in cycles with one movement in it, wake."""
    num_awake = max(2, round(_AWAKE * num_epochs))
    num_asleep = num_epochs - 2 * num_awake
    asleep = [_CYCLE[epoch * len(_CYCLE) // num_asleep] for epoch in range(num_asleep)]
    asleep[int(rng.integers(num_asleep // 4, 3 * num_asleep // 4))] = "M"
    return ["W"] * num_awake + asleep + ["W"] * num_awake


def _signal_uv(stages: list[str], rng: np.random.Generator) -> Signal:
    """Return the derivations and the eye movements (3, T) in µV; one who moves looks awake, with muscle on top."""
    num_samples = len(stages) * _EPOCH_S * _SFREQ
    signal_uv = 3.0 * rng.standard_normal((len(_LABELS), num_samples))
    for band in _BANDS:
        by_epoch = [float(band.amplitude_uv["W" if stage == "M" else stage]) for stage in stages]
        # From one stage to the next takes a few seconds.
        course = uniform_filter1d(np.repeat(by_epoch, _EPOCH_S * _SFREQ), 4 * _SFREQ, mode="nearest")
        shared = rhythm(band.hz, band.width_hz, num_samples, _SFREQ, rng)
        for row, weight in zip(signal_uv, band.weights, strict=True):
            own = rhythm(band.hz, band.width_hz, num_samples, _SFREQ, rng)
            row += weight * course * (0.8 * shared + 0.6 * own)
    moves = np.repeat([stage == "M" for stage in stages], _EPOCH_S * _SFREQ)
    return signal_uv + 40.0 * moves * muscle(num_samples, _SFREQ, rng)


def _write_hypnogram(path: Path, annotations: list[Annotation]) -> None:
    """Write EDF+ of annotations alone."""
    with pyedflib.EdfWriter(str(path), 0, file_type=pyedflib.FILETYPE_EDFPLUS) as writer:
        writer.setStartdatetime(datetime(2010, 1, 1))
        for annotation in annotations:
            writer.writeAnnotation(*annotation)


def _scored(stages: list[str]) -> list[Annotation]:
    """Return the hypnogram: an annotation for every stretch of one stage, and what nobody scored after the end."""
    annotations, epoch = [], 0
    for stage, stretch in groupby([*stages, *["?"] * _UNSCORED_EPOCHS]):
        num_epochs = len(list(stretch))
        text = "Movement time" if stage == "M" else f"Sleep stage {stage}"
        annotations.append(Annotation(float(epoch * _EPOCH_S), float(num_epochs * _EPOCH_S), text))
        epoch += num_epochs
    return annotations
