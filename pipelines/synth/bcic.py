"""BCI Competition IV data sets 2a and 2b: movements imagined on cue, in GDF sessions with their labels beside them.

Sessions, event codes and timing follow Brunner et al., "BCI Competition 2008 - Graz data set A", and Leeb et al.,
"- Graz data set B". The amplifier's notch at 50 Hz leaves no mains in the signal.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.synth.gdf_writer import Event, write_gdf
from pipelines.synth.mat_writer import write_mat
from pipelines.synth.motor import FACE, HANDS_AND_FEET, Desynchronisation, rolandic_uv
from pipelines.synth.signals import Signal, generator, resting_uv

SFREQ = 250
TRIAL, REJECTED = 768, 1023
"""The events that begin a trial and, at the same sample, mark one that an expert rejected."""

_GAP_SAMPLES = 100
_EOG_SITES = ("LOC", "FPZ", "ROC")
_NEW_RUN, _FEEDBACK = 32766, 781
_FIRST_CUE, _CUE_UNKNOWN = 769, 783
_EYES_OPEN, _EYES_CLOSED, _EYE_MOVEMENTS = 276, 277, 1072
_FEEDBACK_S = 3.5
_CALIBRATION_S = 6.0

Run = tuple[Signal, list[Event]]
"""Signal (C, T) in µV and its events, counted from the run's first sample."""


class Session(NamedTuple):
    """How one session of a set is run; ``name`` is what its file's name ends in."""

    name: str
    num_runs: int
    feedback: bool = False


class Paradigm(NamedTuple):
    """One of the two sets: its channels, its sessions, and the sites that each class, from 1, makes quiet.

    ``trial_s`` and ``depths`` are ranges: how long a trial lasts, and how much of their rhythms subjects lose.
    ``calibrations`` are the blocks, by code, that the sessions of these names begin with; others have all three.
    """

    corpus: str
    letter: str
    labels: tuple[str, ...]
    sites: tuple[str, ...]
    sessions: tuple[Session, ...]
    quiet: dict[int, tuple[str, ...]]
    sources: tuple[str, ...]
    cue_s: float
    imagery_end_s: float
    trial_s: tuple[float, float]
    depths: tuple[float, float]
    calibrations: dict[str, tuple[int, ...]]


class Recorded(NamedTuple):
    """A session as it was recorded: runs in order, and the classes of all trials."""

    name: str
    runs: list[Run]
    classes: list[int]


SET_2A = Paradigm(
    corpus="bcic2a",
    letter="A",
    labels=(
        *("EEG-Fz", *["EEG"] * 6, "EEG-C3", "EEG", "EEG-Cz", "EEG", "EEG-C4", *["EEG"] * 7, "EEG-Pz", "EEG", "EEG"),
        *("EOG-left", "EOG-central", "EOG-right"),
    ),
    sites=(
        *"FZ FC3 FC1 FCZ FC2 FC4 C5 C3 C1 CZ C2 C4 C6 CP3 CP1 CPZ CP2 CP4 P1 PZ P2 POZ".split(),
        *_EOG_SITES,
    ),
    sessions=(Session("T", 6), Session("E", 6)),
    quiet={1: ("C4",), 2: ("C3",), 3: ("CZ",), 4: FACE},
    sources=(*HANDS_AND_FEET, *FACE),
    cue_s=2.0,
    imagery_end_s=6.0,
    trial_s=(7.5, 8.5),
    depths=(0.3, 0.9),
    calibrations={"A04T": (_EYE_MOVEMENTS,)},
)
SET_2B = Paradigm(
    corpus="bcic2b",
    letter="B",
    labels=("EEG:C3", "EEG:Cz", "EEG:C4", "EOG:ch01", "EOG:ch02", "EOG:ch03"),
    sites=("C3", "CZ", "C4", *_EOG_SITES),
    sessions=(
        Session("01T", 6),
        Session("02T", 6),
        Session("03T", 4, feedback=True),
        Session("04E", 4, feedback=True),
        Session("05E", 4, feedback=True),
    ),
    quiet={1: ("C4",), 2: ("C3",)},
    sources=HANDS_AND_FEET,
    cue_s=3.0,
    imagery_end_s=7.0,
    trial_s=(8.5, 9.5),
    depths=(0.0, 0.6),
    calibrations={"B0102T": (), "B0504E": ()},
)


class _Subject(NamedTuple):
    mu_hz: float
    depth: float


def write_2a(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write two sessions a subject, a trial for every eight seconds asked for, and all their labels."""
    return _write(SET_2A, out, subjects, seconds, seed)


def write_2b(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write five sessions a subject, a trial for every eight seconds asked for, and all their labels."""
    return _write(SET_2B, out, subjects, seconds, seed)


def recorded(paradigm: Paradigm, number: int, seconds: float, seed: int) -> Iterator[Recorded]:
    """Yield the sessions of a subject."""
    rng = generator(paradigm.corpus, seed, number)
    # Some people move these rhythms by imagination alone and some hardly do.
    subject = _Subject(mu_hz=rng.uniform(10.0, 12.0), depth=rng.uniform(*paradigm.depths))
    for session in paradigm.sessions:
        name = f"{paradigm.letter}{number:02d}{session.name}"
        order = generator(paradigm.corpus, seed, name, "classes").permutation(max(8, int(seconds // 8)))
        classes = [1 + position % len(paradigm.quiet) for position in order.tolist()]
        rng = generator(paradigm.corpus, seed, name)
        rejected = set(rng.choice(len(classes), size=max(1, len(classes) // 12), replace=False).tolist())
        runs = _calibration(paradigm, name, rng)
        for trials in np.array_split(np.arange(len(classes)), session.num_runs):
            runs.append(
                _run([(classes[trial], trial in rejected) for trial in trials], paradigm, session, subject, rng)
            )
        yield Recorded(name, runs, classes)


def _write(paradigm: Paradigm, out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    written = []
    is_eog = np.array([label.startswith("EOG") for label in paradigm.labels])
    for number in range(1, subjects + 1):
        for session in recorded(paradigm, number, seconds, seed):
            gdf, labels = out / f"{session.name}.gdf", out / "true_labels" / f"{session.name}.mat"
            signal_uv, events = _join(session.runs)
            write_gdf(gdf, paradigm.labels, np.where(is_eog, 1000.0, 100.0), signal_uv, SFREQ, events)
            write_mat(labels, {"classlabel": np.array(session.classes, np.uint8)[:, None]})
            written += [gdf, labels]
    return written


def _calibration(paradigm: Paradigm, name: str, rng: np.random.Generator) -> list[Run]:
    alpha_uv = {_EYES_OPEN: 6.0, _EYES_CLOSED: 16.0, _EYE_MOVEMENTS: 6.0}
    blocks = []
    for code in paradigm.calibrations.get(name, tuple(alpha_uv)):
        signal_uv = resting_uv(paradigm.sites, round(_CALIBRATION_S * SFREQ), SFREQ, rng, alpha_uv=alpha_uv[code])
        if code == _EYE_MOVEMENTS:
            gaze = np.sin(2 * np.pi * 0.5 * np.arange(signal_uv.shape[1]) / SFREQ)
            signal_uv[-3:] += np.outer([-150.0, 0.0, 150.0], gaze)
        blocks.append((signal_uv, [Event(0, code)]))
    return blocks


def _run(
    trials: list[tuple[int, bool]], paradigm: Paradigm, session: Session, subject: _Subject, rng: np.random.Generator
) -> Run:
    starts_s = np.concatenate([[0.0], np.cumsum(rng.uniform(*paradigm.trial_s, len(trials)).round(2))])
    num_samples = round(float(starts_s[-1]) * SFREQ)
    rhythms, events = Desynchronisation(num_samples, SFREQ, paradigm.sources), []
    for (label, is_rejected), start_s in zip(trials, starts_s[:-1], strict=True):
        depth = float(np.clip(subject.depth + rng.normal(0.0, 0.2), 0.0, 1.0))
        sites = paradigm.quiet[label]
        rhythms.weaken(sites, depth, start_s + paradigm.cue_s, start_s + paradigm.imagery_end_s)
        events += _trial_events(label, is_rejected, start_s, paradigm, session)
    signal_uv = resting_uv(paradigm.sites, num_samples, SFREQ, rng, alpha_uv=6.0)
    return signal_uv + rolandic_uv(paradigm.sites, rhythms.amplitude, subject.mu_hz, SFREQ, rng), events


def _trial_events(label: int, is_rejected: bool, start_s: float, paradigm: Paradigm, session: Session) -> list[Event]:
    start = round(start_s * SFREQ)
    cue = _CUE_UNKNOWN if session.name.endswith("E") else _FIRST_CUE + label - 1
    events = [Event(start, TRIAL)]
    if is_rejected:
        events.append(Event(start, REJECTED))
    events.append(Event(start + round(paradigm.cue_s * SFREQ), cue))
    if session.feedback:
        events.append(Event(start + round(_FEEDBACK_S * SFREQ), _FEEDBACK))
    return events


def _join(runs: list[Run]) -> Run:
    gap_uv = np.full((len(runs[0][0]), _GAP_SAMPLES), np.nan)
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
