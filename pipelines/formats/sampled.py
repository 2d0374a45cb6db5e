"""Sampled: a file whose channels share one rate, and that gives its samples from any to any other."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError, DareError
from manifests.notes import Note, note
from pipelines.formats.matrix import digits
from pipelines.recording import (
    MISSING,
    Channel,
    Decoded,
    Event,
    Header,
    Recording,
    Segment,
    settle_units,
    without_missing,
)

_JOINTS = ("new segment", "boundary")  # BrainVision's mark of a restart, and MNE's of recordings put end to end
_BLOCK_BYTES = 1 << 23
"""What a library may hold of a span at a time: it reads float64, and often channels that are not wanted."""


@dataclass(frozen=True)
class SampledFile:
    """A parsed file: all that its header tells, and ``load``, which reads samples (rows, start, stop) of it.

    What ``load`` returns, rows × samples, is in µV where the channels have a unit, else as it is in the file.
    ``segments`` and ``events`` are those of the whole file; ``files`` are those beside it that are read with it.
    """

    path: Path
    format: str
    channels: tuple[Channel, ...]
    num_samples: int
    segments: tuple[Segment, ...]
    events: tuple[Event, ...]
    notes: tuple[Note, ...]
    load: Callable[[list[int], int, int], NDArray[np.float32]]
    num_records: int = 1
    files: tuple[Path, ...] = ()

    @property
    def header(self) -> Header:
        """What the file says of itself, put right by its size."""
        duration_s = self.num_samples / self.channels[0].sfreq if self.channels else 0.0
        return Header(self.path, self.format, self.channels, duration_s, self.num_records, self.notes, self.files)

    def read(self, places: Sequence[int], start_s: float, stop_s: float) -> Recording:
        """Return the samples of these channels from ``start_s`` to ``stop_s``, and at least one."""
        if not places:
            return Recording((), np.empty((0, 0), np.float32), 0.0, self.events, (), ())
        rows, channels = list(places), [self.channels[place] for place in places]
        sfreq = channels[0].sfreq
        start = min(max(0, math.floor(start_s * sfreq)), self.num_samples - 1)
        stop = self.num_samples if stop_s == math.inf else min(math.ceil(stop_s * sfreq), self.num_samples)
        data_uv, missing = _marked(self.load(rows, start, max(start + 1, stop)))
        notes = settle_units(
            data_uv, channels, self.num_samples, sfreq, lambda *edges: _marked(self.load(rows, *edges))
        )
        return Recording(
            electrodes=tuple(channel.electrode for channel in channels),
            data_uv=data_uv,
            sfreq=sfreq,
            events=self.events,
            segments=without_missing(
                _within(self.segments, start, start + data_uv.shape[1], sfreq), missing, sfreq, least=1
            ),
            notes=notes if missing is None else (*notes, _told(missing)),
            first_sample=start,
        )


def _told(missing: NDArray[np.bool_]) -> Note:
    """Return a note on samples that no channel has."""
    says = "{count} of {total} samples are in no channel: gaps"
    return note(MISSING, says, count=int(missing.sum()), total=len(missing))


def stretches(edges: Collection[int], num_samples: int, sfreq: float) -> tuple[Segment, ...]:
    """Return the segments that the samples ``edges`` begin, whose onsets count seconds of signal."""
    inside = {edge for edge in edges if 0 < edge < num_samples}
    return tuple(Segment(start, stop, start / sfreq) for start, stop in pairwise(sorted({0, num_samples} | inside)))


def is_joint(text: str) -> bool:
    """Return whether an event with this text says that what follows it was not recorded right after what it follows."""
    return any(joint in text.lower() for joint in _JOINTS)


def in_blocks(
    load: Callable[[int, int], NDArray[np.floating]], num_rows: int, num_channels: int, start: int, stop: int
) -> NDArray[np.float32]:
    """Return (num_rows, stop - start) of what ``load`` returns for shorter spans, of a file of so many channels."""
    data = np.empty((num_rows, stop - start), np.float32)
    step = max(1, _BLOCK_BYTES // (8 * num_channels))
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(start, stop, step):
            end = min(first + step, stop)
            data[:, first - start : end - start] = load(first, end)
    return data


def runs(values: NDArray[Any]) -> list[tuple[int, int, str]]:
    """Return (start, stop, value as text) of each run of one number other than 0 and NaN."""
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return [
        (start, stop, digits(values[start]))
        for start, stop in pairwise(edges)
        if values[start] and values[start] == values[start]
    ]


@contextmanager
def error_context(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a library raises at a damaged file into one line that names the file."""
    try:
        yield
    except DareError:
        raise
    except Exception as problem:
        text = str(problem).replace(str(path.resolve()), path.name).replace(str(path), path.name)
        text = " ".join(text.split())[:300]
        raise DamagedError(f"cannot be read as {what} ({type(problem).__name__}: {text})", path=path) from problem


def _within(segments: Sequence[Segment], start: int, stop: int, sfreq: float) -> list[Segment]:
    """Return what of the segments lies from one sample to another, which they count from."""
    parts = []
    for segment in segments:
        first, end = max(segment.start, start), min(segment.stop, stop)
        if first < end:
            onset_s = segment.onset_s + (first - segment.start) / sfreq
            parts.append(Segment(first - start, end - start, onset_s))
    return parts


def _marked(data_uv: NDArray[np.float32]) -> Decoded:
    """Return samples, and where every channel is NaN."""
    missing = np.isnan(data_uv[0])
    for row in data_uv[1:]:
        if not missing.any():
            break
        missing &= np.isnan(row)
    return data_uv, missing if missing.any() else None
