"""Recording: what a raw EEG file holds, and in what unit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from manifests.electrodes import other_kind, split_reference
from manifests.errors import DamagedError
from manifests.notes import Note, note

UV_PER_UNIT: dict[str, float] = {
    "nv": 1e-3,
    "uv": 1.0,
    "µv": 1.0,
    "microv": 1.0,
    "mv": 1e3,
    "v": 1e6,
}
"""Voltage units, case folded: TUH and others write ``UV`` as well as ``uV``."""

_NO_VOLTAGES = frozenset("% bpm 1/min degc °c mmhg l/min g m/s^2 m/s² ohm kohm lux".split())
_MICRO_SIGNS = ("Âµ", "Î¼", "μ")  # UTF-8 micro sign and Greek mu read as latin-1, and Greek mu itself
MARKED_BAD = "marked bad in its file"
"""The fault of a channel that somebody marked."""

AMBIGUOUS = "ambiguous channels"
"""The kind of a note on an electrode that is absent because several channels of it differ."""

UNIT_UNKNOWN, SEGMENTS, MISSING = "unit unknown", "segments", "missing samples"
"""Kinds of notes that are on the part of a file that was read, and not on the whole of it."""

PLAUSIBLE_SD_UV = (0.5, 2000.0)
"""Median standard deviation of scalp EEG in µV; outside of it the unit is more likely wrong than the brain odd."""

_NUM_LOOKS = 10
_LOOK_S = 30.0
_MAX_SFREQ = 1e6


@dataclass(frozen=True)
class Event:
    """An annotation, in seconds from the first sample; ``duration_s`` is 0 where the file gives none."""

    onset_s: float
    duration_s: float
    text: str


@dataclass(frozen=True)
class Segment:
    """Contiguous samples ``start`` to ``stop`` (exclusive); ``onset_s`` is true time from the first."""

    start: int
    stop: int
    onset_s: float


@dataclass(frozen=True)
class Channel:
    """A channel as its file describes it; ``unit`` is as written, ``label`` too, ``electrode`` is canonical.

    ``scale_to_uv`` is µV per unit, NaN where the unit is empty or no voltage: then only the samples can tell. ``fault``
    says why it is not to be used, whatever its label, "" where it is.
    """

    label: str
    electrode: str
    reference: str
    sfreq: float
    unit: str
    scale_to_uv: float
    fault: str = ""


@dataclass(frozen=True)
class Header:
    """The cheap facts of a file; ``duration_s`` counts signal, without the gaps of a discontinuous file.

    ``num_records`` counts the records of EDF, BDF and GDF, and of other formats epochs or trials. ``files`` are those
    beside it that hold the rest, where their names alone do not tell.
    """

    path: Path
    format: str
    channels: tuple[Channel, ...]
    duration_s: float
    num_records: int
    notes: tuple[Note, ...]
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Recording:
    """Signal and events: ``data_uv`` is float32, electrodes × samples; ``sfreq`` is 0 where none was read.

    ``first_sample`` is the file's sample that the data begin with. Samples in no segment (gaps between runs) are never
    to be used. Events are sorted by onset. Where a file does not tell how long its gaps last (epochs, trials, cuts by
    an editor), onsets of segments and of events count seconds of signal.
    """

    electrodes: tuple[str, ...]
    data_uv: NDArray[np.float32]
    sfreq: float
    events: tuple[Event, ...]
    segments: tuple[Segment, ...]
    notes: tuple[Note, ...]
    first_sample: int = 0


class RawFile(Protocol):
    """An opened recording: its header, and its signal from any second to any other."""

    @property
    def header(self) -> Header:
        """What the file says of itself, put right by its size."""

    def read(self, places: Sequence[int], start_s: float, stop_s: float) -> Recording:
        """Return the channels at these places of the header, in µV, and all events.

        The channels have one rate. Of the signal what lies between ``start_s`` and ``stop_s`` is enough, gaps not
        counted, and at least a sample. Notes are those on what was read, without the header's.
        """


@lru_cache(maxsize=4096)
def describe_channel(label: str, position: int, sfreq: float, unit: str, kind: str = "") -> Channel:
    """Return the channel at ``position`` of a file; where its label names no electrode it is ``CH4``, say.

    BCI Competition 2a labels 17 of its electrodes ``EEG``, so only their position tells them apart. Where the unit or
    the ``kind``, as a file has that beside the label, says that a channel is no EEG, it has a fault.
    """
    electrode, reference = split_reference(label)
    if electrode in ("", "EEG"):
        electrode = f"CH{position + 1}"
    folded = unit.strip().replace(" ", "")
    for sign in _MICRO_SIGNS:
        folded = folded.replace(sign, "µ")
    fault = f"{word} by its type" if (word := other_kind(kind)) else ""
    if folded.lower() in _NO_VOLTAGES:
        fault = f"in {unit.strip()}, which is no voltage"
    return Channel(label, electrode, reference, sfreq, unit, UV_PER_UNIT.get(folded.lower(), float("nan")), fault)


def require_rate(path: Path, sfreq: float) -> None:
    """Raise DareError for a rate that no recording has."""
    if not 0 < sfreq <= _MAX_SFREQ:
        raise DamagedError(f"a rate of {sfreq:g} Hz is not possible: its header is wrong", path=path)


Decoded = tuple[NDArray[np.float32], NDArray[np.bool_] | None]
"""Samples, channels × samples, and where all channels miss theirs; None where always one has it."""


def settle_units(
    data_uv: NDArray[np.float32],
    channels: Sequence[Channel],
    num: int,
    num_in_a_second: float,
    decode: Callable[[int, int], Decoded],
) -> tuple[Note, ...]:
    """Scale in place the rows of channels whose unit says nothing, by their spread in the file; return a note on it.

    ``data_uv`` is channels × samples. ``decode`` returns what a span of the file's ``num`` samples (or records) holds:
    the same looks into the file are taken whichever part of it ``data_uv`` is, so that all parts get one scale.
    """
    unknown = [row for row, channel in enumerate(channels) if np.isnan(channel.scale_to_uv)]
    if not unknown or not data_uv.size:
        return ()
    length = math.ceil(_LOOK_S * num_in_a_second) or num
    starts = [0] if num <= _NUM_LOOKS * length else [k * (num - length) // (_NUM_LOOKS - 1) for k in range(_NUM_LOOKS)]
    length = num if len(starts) == 1 else length
    looks = [decode(start, start + length) for start in starts]
    with np.errstate(over="ignore", invalid="ignore"):
        seen = [look if missing is None else look[:, ~missing] for look, missing in looks]
        spreads = np.concatenate([one[unknown] for one in seen], axis=1).std(axis=1, dtype=np.float64)
        scale, said = _guess_unit(float(np.median(spreads)), [channels[row].electrode for row in unknown])
        for row in unknown:
            data_uv[row] *= np.float32(scale)
    return (said,)


def _guess_unit(spread: float, electrodes: Sequence[str]) -> tuple[float, Note]:
    """Return (µV per unit, a note on what it was taken for) of channels of this standard deviation."""
    low, high = PLAUSIBLE_SD_UV
    for scale, unit in ((1.0, "µV"), (1e6, "V"), (1e3, "mV")):
        if low <= spread * scale <= high:
            says = f"unit unknown, read as {unit} by amplitude (median sd {{sd_uv:.3g}} µV): {{names}}"
            return scale, note(UNIT_UNKNOWN, says, electrodes, sd_uv=spread * scale)
    unfit = "unit unknown, read as µV although no unit fits its amplitude"
    if not math.isfinite(spread):
        return 1.0, note(UNIT_UNKNOWN, f"{unfit} (not finite): {{names}}", electrodes)
    return 1.0, note(UNIT_UNKNOWN, f"{unfit} (median sd {{sd:.3g}}): {{names}}", electrodes, sd=spread)


def split_at(segments: Sequence[Segment], joints_s: Sequence[float], sfreq: float) -> list[Segment]:
    """Return segments divided at moments, in s, before which other signal was recorded than what follows them."""
    parts = list(segments)
    for joint_s in joints_s:
        for place, one in enumerate(parts):
            middle = one.start + math.ceil((joint_s - one.onset_s) * sfreq - 1e-6)
            if one.start < middle < one.stop:
                later = Segment(middle, one.stop, one.onset_s + (middle - one.start) / sfreq)
                parts[place : place + 1] = [Segment(one.start, middle, one.onset_s), later]
                break
    return parts


def without_missing(
    segments: Sequence[Segment], missing: NDArray[np.bool_] | None, sfreq: float, least: int
) -> tuple[Segment, ...]:
    """Return what runs of ``least`` missing samples and more leave of the segments."""
    if missing is None:
        return tuple(segments)
    present = np.ones(len(missing), np.bool_)
    for start, stop in runs(missing):
        if stop - start >= least:
            present[start:stop] = False
    return tuple(
        Segment(part.start + start, part.start + stop, part.onset_s + start / sfreq)
        for part in segments
        for start, stop in runs(present[part.start : part.stop])
    )


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the (start, stop) of each run of True."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
