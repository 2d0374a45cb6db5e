"""Records: what EDF, BDF and GDF have in common, a file of equal records with a block of samples of every channel."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.notes import Note, note
from pipelines.formats.sampled import is_joint
from pipelines.recording import (
    SEGMENTS,
    Channel,
    Decoded,
    Event,
    Header,
    Recording,
    Segment,
    settle_units,
    split_at,
    without_missing,
)

MAX_RECORD_S = 1e6
"""Longer records, eleven days and more, are damaged headers."""

_NUM_LOOKS = 100  # records that tell whether samples have a sign

_MAPPED_BYTES = 1 << 22  # of a file at a time: about what a processor's second cache holds

_LEAST_MISSING = 10
"""Samples in a row that are a gap where all channels lie at their lowest; fewer may be a signal that is clipped."""

_TIME_JITTER_S = 1e-3  # record onsets are written with few decimals


def unknown_count(declared: int, held: int) -> Note:
    """Return a note on a file that does not say how many records it has; ``held`` are those its size makes."""
    says = "number of records unknown ({declared}): {held} by the size of the file"
    return note("record count unknown", says, declared=declared, held=held)


@dataclass(frozen=True)
class Timeline:
    """When each record begins, in seconds from the first sample, and the events of the file."""

    record_onsets_s: NDArray[np.float64]
    events: tuple[Event, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Signal:
    """Where the samples of a channel lie in each record, and the two ranges that define its calibration."""

    channel: Channel
    num_samples: int
    byte_offset: int
    dtype: str
    digital_range: tuple[float, float]
    physical_range: tuple[float, float]

    @property
    def fault(self) -> Note | None:
        """Why there is nothing to read, or no calibration follows from the two ranges; None where one does."""
        if not self.num_samples:
            kind, why = "no samples", "it has no regular samples"
        elif not np.isfinite([*self.digital_range, *self.physical_range]).all():
            kind, why = "range not finite", "its ranges are not finite"
        elif self.digital_range[0] == self.digital_range[1]:
            kind, why = "no digital range", "its digital minimum equals its maximum"
        elif self.physical_range[0] == self.physical_range[1]:
            kind, why = "no physical range", "its physical minimum equals its maximum"
        else:
            return None
        return note(kind, f"channel {{names!r}} left out: {why}", [self.channel.label])

    @property
    def byte_stop(self) -> int:
        """Where in each record its samples end."""
        return self.byte_offset + self.num_samples * int(self.dtype[-1])

    @property
    def lowest(self) -> float:
        """The digital minimum, at which and below which there is no sample; none where its type does not hold both."""
        return min(self.digital_range) if max(self.digital_range) <= self._top else -math.inf

    @property
    def unsigned(self) -> "Signal | None":
        """The signal without a sign, None where its digital range is none of numbers that need all bits for that."""
        fits = min(self.digital_range) < 0 or max(self.digital_range) <= self._top
        return None if fits else replace(self, dtype=self.dtype.replace("i", "u"))

    @property
    def _top(self) -> float:
        """The highest number that a sample can be."""
        kind, width = self.dtype[1], int(self.dtype[2])
        return math.inf if kind == "f" else 2.0 ** (8 * width - (kind == "i")) - 1

    def to_uv(self, digital: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write digital samples in µV (Kemp 1992), in the channel's own unit where none is known.

        Either range may be inverted. Float32 holds samples of two bytes and less; where it holds the offset too, all
        is computed in it, which is as good as float64 rounded at the end.
        """
        (digital_min, digital_max), (physical_min, physical_max) = self.digital_range, self.physical_range
        gain = (physical_max - physical_min) / (digital_max - digital_min)
        offset = physical_min / gain - digital_min if gain else math.inf
        scale = 1.0 if math.isnan(self.channel.scale_to_uv) else self.channel.scale_to_uv
        if digital.dtype.kind in "iu" and digital.itemsize <= 2 and abs(float(np.float32(offset)) - offset) < 1e-6:
            out[...] = digital  # alone, which is faster than while adding
            out += np.float32(offset)
            out *= np.float32(gain * scale)
            return
        samples = digital.astype(np.float64)
        samples *= gain
        samples += physical_min - digital_min * gain
        samples *= scale
        out[...] = samples


def decoded(block: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
    """Return bytes (records × bytes) as numbers of a type, which may have three bytes; only those are copied."""
    if dtype[-1] != "3":
        return block.view(dtype)
    # The three bytes go to the top of four, so that shifting down extends the sign where there is one.
    padded = np.zeros((len(block), block.shape[1] // 3, 4), np.uint8)
    padded[..., 1:] = block.reshape(len(block), -1, 3)
    return padded.view(f"{dtype[:2]}4")[..., 0] >> 8


def _decode(block: NDArray[np.uint8], signals: Sequence[Signal], out: NDArray[np.float32]) -> NDArray[np.bool_] | bool:
    """Write records (records × bytes) in µV, channels × records × samples; return where all channels miss theirs."""
    missing: NDArray[np.bool_] | bool = True
    for row, signal in zip(out, signals, strict=True):
        digital = decoded(block[:, signal.byte_offset : signal.byte_stop], signal.dtype)
        signal.to_uv(digital, row)
        if missing is not False:
            # Not greater, rather than equal, so that NaN is missing too.
            missing = missing & ~(digital > signal.lowest)
            missing = missing if missing.any() else False
    return missing


def with_signs(path: Path, signals: Sequence[Signal], data_offset: int, shape: tuple[int, int]) -> tuple[Signal, ...]:
    """Return signals whose samples have a sign or none, whichever their digital range and their bytes fit better.

    The formats' numbers have one, and some devices write 0 to 65535 all the same. A signal that crosses the middle of
    its range jumps across all of it where the sign is taken wrongly. ``shape`` is records × bytes.
    """
    if not any(signal.unsigned for signal in signals):
        return tuple(signals)
    records = np.memmap(path, np.uint8, "r", data_offset, shape)
    looks = records[np.unique(np.linspace(0, len(records) - 1, _NUM_LOOKS).astype(np.int64))]
    return tuple(_with_sign(signal, looks) for signal in signals)


def _with_sign(signal: Signal, looks: NDArray[np.uint8]) -> Signal:
    unsigned = signal.unsigned
    if unsigned is None:
        return signal
    block = np.ascontiguousarray(looks[:, signal.byte_offset : signal.byte_stop])
    signed_jumps, jumps = (
        np.abs(np.diff(decoded(block, one.dtype).astype(np.float64))).sum() for one in (signal, unsigned)
    )
    return unsigned if jumps <= signed_jumps else signal


@dataclass(frozen=True)
class RecordFile(ABC):
    """A parsed file of equal records, each holding a block of samples of every channel in turn."""

    path: Path
    format: str
    signals: tuple[Signal, ...]
    data_offset: int
    num_records: int
    record_bytes: int
    record_s: float
    notes: tuple[Note, ...]

    @property
    def header(self) -> Header:
        """What the header says, put right by the file's size."""
        channels = tuple(signal.channel for signal in self.signals)
        return Header(self.path, self.format, channels, self.num_records * self.record_s, self.num_records, self.notes)

    def read(self, places: Sequence[int], start_s: float, stop_s: float) -> Recording:
        """Return whole records that hold the signal of these channels from ``start_s`` to ``stop_s``."""
        timeline = self.timeline()
        if not places:
            return Recording((), np.empty((0, 0), np.float32), 0.0, timeline.events, (), timeline.notes)
        signals = [self.signals[place] for place in places]
        channels = [signal.channel for signal in signals]
        span = self._span(start_s, stop_s)
        data_uv, missing = self._decode(signals, span)
        per_second = 1 / self.record_s if self.record_s else 0.0
        unit_notes = settle_units(
            data_uv, channels, self.num_records, per_second, lambda *edges: self._decode(signals, slice(*edges))
        )
        whole = self._stretches(timeline.record_onsets_s[span], signals[0])
        joints_s = [event.onset_s for event in timeline.events if self.is_joint(event.text)]
        joined = split_at(whole, joints_s, channels[0].sfreq)
        segments = without_missing(joined, missing, channels[0].sfreq, _LEAST_MISSING)
        gaps = note(SEGMENTS, "{segments} segments of contiguous signal", segments=len(segments))
        return Recording(
            electrodes=tuple(channel.electrode for channel in channels),
            data_uv=data_uv,
            sfreq=channels[0].sfreq,
            events=timeline.events,
            segments=segments,
            notes=(*timeline.notes, *unit_notes, *[gaps] * (len(segments) != 1)),
            first_sample=span.start * signals[0].num_samples,
        )

    @abstractmethod
    def timeline(self) -> Timeline:
        """Return record onsets and events; raises DareError where they show that the file is damaged."""

    def blocks(self, span: slice) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (the first record, the bytes of it and of those that follow, records × bytes) all through a span.

        They are mapped and not read, a few at a time: all that is mapped at once counts as this process's memory.
        """
        step = max(1, _MAPPED_BYTES // max(1, self.record_bytes))
        for first in range(span.start, span.stop, step):
            shape = (min(step, span.stop - first), self.record_bytes)
            offset = self.data_offset + first * self.record_bytes
            yield first, np.asarray(np.memmap(self.path, np.uint8, "r", offset, shape))

    def is_joint(self, text: str) -> bool:
        """Return whether an event with this text says that what follows it was not recorded right after the rest."""
        return is_joint(text)

    def even_onsets_s(self) -> NDArray[np.float64]:
        """Return when each record begins if none is missing, (num_records,)."""
        return np.arange(self.num_records, dtype=np.float64) * self.record_s

    def _span(self, start_s: float, stop_s: float) -> slice:
        """Return the records that hold a span of the signal, at least one."""
        if not self.record_s:
            return slice(0, self.num_records)
        first = min(max(0, int(start_s / self.record_s)), self.num_records - 1)
        end = self.num_records if stop_s == math.inf else math.ceil(stop_s / self.record_s)
        return slice(first, min(max(first + 1, end), self.num_records))

    def _decode(self, signals: Sequence[Signal], span: slice) -> Decoded:
        """Return what some records hold, µV."""
        shape = (span.stop - span.start, signals[0].num_samples)
        data_uv = np.empty((len(signals), *shape), np.float32)
        missing = np.zeros(shape, np.bool_)
        with np.errstate(over="ignore", invalid="ignore"):
            for first, block in self.blocks(span):
                there = slice(first - span.start, first - span.start + len(block))
                missing[there] = _decode(block, signals, data_uv[:, there])
        return data_uv.reshape(len(signals), -1), missing.reshape(-1) if missing.any() else None

    def _stretches(self, record_onsets_s: NDArray[np.float64], signal: Signal) -> list[Segment]:
        """Return the stretches between jumps of the records' time."""
        tolerance_s = max(_TIME_JITTER_S, 1 / signal.channel.sfreq)
        jumps = np.flatnonzero(np.abs(np.diff(record_onsets_s) - self.record_s) > tolerance_s) + 1
        edges = [0, *jumps.tolist(), len(record_onsets_s)]
        return [
            Segment(first * signal.num_samples, end * signal.num_samples, float(record_onsets_s[first]))
            for first, end in pairwise(edges)
        ]
