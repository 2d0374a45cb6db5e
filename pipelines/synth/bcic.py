"""BCI Competition IV data set 2b: left and right hand imagery over three bipolar derivations, in GDF.

Sessions, event codes and timing follow Leeb et al., "BCI Competition 2008 - Graz data set B". The amplifier's
notch at 50 Hz leaves no mains in the signal.
"""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import savemat

from pipelines.synth.gdf_writer import Event, write_gdf
from pipelines.synth.motor import Desynchronisation, rolandic_uv
from pipelines.synth.signals import Signal, generator, resting_uv

_SFREQ = 250
_LABELS = ("EEG:C3", "EEG:Cz", "EEG:C4", "EOG:ch01", "EOG:ch02", "EOG:ch03")
_SITES = ("C3", "CZ", "C4", "LOC", "FPZ", "ROC")
_RANGE_UV = np.array([100.0, 100.0, 100.0, 1000.0, 1000.0, 1000.0])
_GAP_SAMPLES = 100

_NEW_RUN, _TRIAL, _FEEDBACK, _REJECTED = 32766, 768, 781, 1023
_CUES = {1: 769, 2: 770}
_CUE_UNKNOWN = 783
_EYES_OPEN, _EYES_CLOSED, _EYE_MOVEMENTS = 276, 277, 1072
_SITE_OF_HAND = {1: "C4", 2: "C3"}

_CUE_S, _FEEDBACK_S, _IMAGERY_END_S = 3.0, 3.5, 7.0
_CALIBRATION_S = 6.0
_WITHOUT_CALIBRATION = {"B0102T", "B0504E"}


class _Session(NamedTuple):
    name: str
    num_runs: int
    feedback: bool
    cue_shown: bool


class _Subject(NamedTuple):
    mu_hz: float
    depth: float


_SESSIONS = (
    _Session("01T", 6, False, True),
    _Session("02T", 6, False, True),
    _Session("03T", 4, True, True),
    _Session("04E", 4, True, False),
    _Session("05E", 4, True, False),
)


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write five sessions a subject, a trial for every eight seconds asked for, and all their labels."""
    written = []
    for number in range(1, subjects + 1):
        rng = generator("bcic2b", seed, number)
        # Some people move these rhythms by imagination alone and some hardly do.
        subject = _Subject(mu_hz=rng.uniform(10.0, 12.0), depth=rng.uniform(0.0, 0.6))
        for session in _SESSIONS:
            name = f"B{number:02d}{session.name}"
            classes = _classes(max(8, int(seconds // 8)), generator("bcic2b", seed, name, "classes"))
            _write_session(out / f"{name}.gdf", session, subject, classes, generator("bcic2b", seed, name))
            _write_labels(out / "true_labels" / f"{name}.mat", classes)
            written += [out / f"{name}.gdf", out / "true_labels" / f"{name}.mat"]
    return written


def _classes(num_trials: int, rng: np.random.Generator) -> list[int]:
    return [1 + position % 2 for position in rng.permutation(num_trials).tolist()]


def _write_session(
    path: Path, session: _Session, subject: _Subject, classes: list[int], rng: np.random.Generator
) -> None:
    rejected = set(rng.choice(len(classes), size=max(1, len(classes) // 12), replace=False).tolist())
    runs = [] if path.stem in _WITHOUT_CALIBRATION else _calibration(rng)
    for trials in np.array_split(np.arange(len(classes)), session.num_runs):
        runs.append(_run([(classes[trial], trial in rejected) for trial in trials], session, subject, rng))
    signal_uv, events = _join(runs)
    write_gdf(path, _LABELS, _RANGE_UV, signal_uv, _SFREQ, events)


def _calibration(rng: np.random.Generator) -> list[tuple[Signal, list[Event]]]:
    blocks = []
    for code, alpha_uv in ((_EYES_OPEN, 6.0), (_EYES_CLOSED, 16.0), (_EYE_MOVEMENTS, 6.0)):
        signal_uv = resting_uv(_SITES, round(_CALIBRATION_S * _SFREQ), _SFREQ, rng, alpha_uv=alpha_uv)
        if code == _EYE_MOVEMENTS:
            gaze = np.sin(2 * np.pi * 0.5 * np.arange(signal_uv.shape[1]) / _SFREQ)
            signal_uv += np.outer([0.0, 0.0, 0.0, -150.0, 0.0, 150.0], gaze)
        blocks.append((signal_uv, [Event(0, code)]))
    return blocks


def _run(
    trials: list[tuple[int, bool]], session: _Session, subject: _Subject, rng: np.random.Generator
) -> tuple[Signal, list[Event]]:
    starts_s = np.concatenate([[0.0], np.cumsum(rng.uniform(8.5, 9.5, len(trials)).round(2))])
    num_samples = round(float(starts_s[-1]) * _SFREQ)
    rhythms, events = Desynchronisation(num_samples, _SFREQ), []
    for (hand, is_rejected), start_s in zip(trials, starts_s[:-1], strict=True):
        depth = float(np.clip(subject.depth + rng.normal(0.0, 0.2), 0.0, 1.0))
        rhythms.weaken([_SITE_OF_HAND[hand]], depth, start_s + _CUE_S, start_s + _IMAGERY_END_S)
        events += _trial_events(hand, is_rejected, start_s, session)
    signal_uv = resting_uv(_SITES, num_samples, _SFREQ, rng, alpha_uv=6.0)
    return signal_uv + rolandic_uv(_SITES, rhythms.amplitude, subject.mu_hz, _SFREQ, rng), events


def _trial_events(hand: int, is_rejected: bool, start_s: float, session: _Session) -> list[Event]:
    start = round(start_s * _SFREQ)
    events = [Event(start, _TRIAL)]
    if is_rejected:
        events.append(Event(start, _REJECTED))
    events.append(Event(start + round(_CUE_S * _SFREQ), _CUES[hand] if session.cue_shown else _CUE_UNKNOWN))
    if session.feedback:
        events.append(Event(start + round(_FEEDBACK_S * _SFREQ), _FEEDBACK))
    return events


def _join(runs: list[tuple[Signal, list[Event]]]) -> tuple[Signal, list[Event]]:
    gap_uv = np.full((len(_LABELS), _GAP_SAMPLES), np.nan)
    pieces: list[Signal] = []
    events: list[Event] = []
    offset = 0
    for run_uv, run_events in runs:
        if pieces:
            pieces.append(gap_uv)
            offset += _GAP_SAMPLES
        events.append(Event(offset, _NEW_RUN))
        events += [Event(offset + event.sample, event.code) for event in run_events]
        pieces.append(run_uv)
        offset += run_uv.shape[1]
    return np.concatenate(pieces, axis=1), events


def _write_labels(path: Path, classes: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    savemat(buffer, {"classlabel": np.array(classes, np.uint8)[:, None]})
    # The first 116 bytes are free text, and the library puts the time of day there.
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + buffer.getvalue()[116:])
