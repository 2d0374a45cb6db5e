"""Chosen: the signal of a file's chosen channels at one rate, and of several on one electrode one where they agree."""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np

from manifests.notes import Note, note
from pipelines.channels import Choice
from pipelines.recording import AMBIGUOUS, RawFile, Recording, Segment

_BLOCK = 1 << 23
"""Samples, over all channels, that are compared at a time."""

_ROUNDING = 1e-3
"""Share of a signal's standard deviation by which another may differ everywhere and still be the same."""

_HALF_WIDTH = 32
"""Samples of the lower of two rates, to either side, that the filter between them looks at."""


def read(file: RawFile, path: Path, choice: Choice, start_s: float, stop_s: float) -> Recording:
    """Return the signal of a choice among the channels of a file, in its order, with notes on the choice.

    Electrodes on which several channels have different signals are left out. Channels of other rates than most are
    brought to theirs; segments then begin and end where all rates have a sample.
    """
    kept, notes = _without_ambiguous(file, path, choice)
    by_rate: dict[float, list[int]] = {}
    for place in sorted(kept, key=lambda place: choice.channels[place].sfreq != choice.sfreq):
        by_rate.setdefault(choice.channels[place].sfreq, []).append(place)
    groups = list(by_rate.values()) or [[]]
    recording, *others = (file.read(places, start_s, stop_s) for places in groups)
    for other in others:
        recording = _joined(recording, other)
    if others:
        order = np.argsort([place for places in groups for place in places])
        recording = replace(recording, data_uv=recording.data_uv[order])
    electrodes = tuple(choice.channels[place].electrode for place in kept)
    return replace(recording, electrodes=electrodes, notes=(*choice.notes, *notes, *recording.notes))


def _without_ambiguous(file: RawFile, path: Path, choice: Choice) -> tuple[list[int], list[Note]]:
    """Return (the places of a choice whose repeats, if any, have the same signal; notes on all repeats)."""
    kept: list[int] = []
    notes = []
    for place in choice.places:
        repeats = choice.repeats.get(place, ())
        if repeats and not _agree(_Repeats(path, path.stat().st_mtime_ns, (place, *repeats), file)):
            says = "{count} channels are {names} and their signals differ: taken as absent"
            names = [choice.channels[place].electrode]
            notes.append(note(AMBIGUOUS, says, names, count=1 + len(repeats)))
            continue
        kept.append(place)
        says = "channel {names!r} repeats an electrode: its signal is the same"
        notes += [note("repeated channel", says, [choice.channels[one].label]) for one in repeats]
    return kept, notes


@dataclass(frozen=True)
class _Repeats:
    """The channels of one electrode, of a file as it was at some time, which they are known by."""

    path: Path
    modified_ns: int
    places: tuple[int, ...]
    file: RawFile = field(compare=False)


@lru_cache(maxsize=16)
def _agree(repeats: _Repeats) -> bool:
    """Return whether channels hold the same signal all through a file, so that all pieces of it are read alike."""
    header = repeats.file.header
    step_s = _BLOCK / len(repeats.places) / header.channels[repeats.places[0]].sfreq
    for number in range(math.ceil(header.duration_s / step_s)):
        first_uv, *others_uv = repeats.file.read(repeats.places, number * step_s, (number + 1) * step_s).data_uv
        tolerance_uv = _ROUNDING * float(np.nanstd(first_uv)) if np.isfinite(first_uv).any() else 0.0
        if not all(np.allclose(one, first_uv, rtol=0, atol=tolerance_uv, equal_nan=True) for one in others_uv):
            return False
    return True


def _joined(recording: Recording, other: Recording) -> Recording:
    """Return a recording with the channels of another, of the same span of its file, brought to its rate."""
    from scipy.signal import firwin, resample_poly  # slow to import, and hardly ever needed

    ratio = Fraction(other.sfreq / recording.sfreq).limit_denominator(100_000)
    num_theirs, num_ours = ratio.as_integer_ratio()  # samples of a common period
    widest = max(num_theirs, num_ours)
    taps = firwin(2 * _HALF_WIDTH * widest + 1, 1 / widest, window=("kaiser", 8.0)).astype(np.float32)
    brought_uv = np.zeros((len(other.data_uv), recording.data_uv.shape[1]), np.float32)
    segments = []
    for segment in recording.segments:
        first, end = -(-segment.start // num_ours), segment.stop // num_ours
        if first >= end:
            continue
        start, stop = first * num_ours, end * num_ours
        segments.append(Segment(start, stop, segment.onset_s + (start - segment.start) / recording.sfreq))
        theirs_uv = other.data_uv[:, first * num_theirs : end * num_theirs]
        brought_uv[:, start:stop] = resample_poly(theirs_uv, num_ours, num_theirs, axis=1, window=taps, padtype="line")
    new_notes = [one for one in other.notes if one not in recording.notes]
    return replace(
        recording,
        data_uv=np.concatenate([recording.data_uv, brought_uv]),
        segments=tuple(segments),
        notes=(*recording.notes, *new_notes),
    )
