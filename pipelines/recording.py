"""Recording: what a raw EEG file holds, and the file of records that EDF, BDF and GDF have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.electrodes import split_reference

UV_PER_UNIT: dict[str, float] = {
    "nv": 1e-3,
    "uv": 1.0,
    "µv": 1.0,
    "microv": 1.0,
    "mv": 1e3,
    "v": 1e6,
}
"""Voltage units, case folded: TUH and others write ``UV`` as well as ``uV``."""

MAX_RECORD_S = 1e6
"""Longer records, eleven days and more, are damaged headers."""

_MICRO_SIGNS = ("Âµ", "Î¼", "μ")  # UTF-8 micro sign and Greek mu read as latin-1, and Greek mu itself


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

    ``scale_to_uv`` is µV per unit, NaN where the unit is empty or no voltage: then only the samples can tell.
    """

    label: str
    electrode: str
    reference: str
    sfreq: float
    unit: str
    scale_to_uv: float


@dataclass(frozen=True)
class Header:
    """The cheap facts of a file; ``duration_s`` counts signal, without the gaps of a discontinuous file."""

    path: Path
    format: str
    channels: tuple[Channel, ...]
    duration_s: float
    num_records: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Recording:
    """Signal and events: ``data_uv`` is float32, electrodes × samples; ``sfreq`` is 0 where none was read.

    ``first_sample`` is the file's sample that the data begin with. Samples in no segment (gaps between runs) are never
    to be used. Events are sorted by onset.
    """

    electrodes: tuple[str, ...]
    data_uv: NDArray[np.float32]
    sfreq: float
    events: tuple[Event, ...]
    segments: tuple[Segment, ...]
    notes: tuple[str, ...]
    first_sample: int = 0


@dataclass(frozen=True)
class Timeline:
    """When each record begins, in seconds from the first sample, and the events of the file."""

    record_onsets_s: NDArray[np.float64]
    events: tuple[Event, ...]
    notes: tuple[str, ...]


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
    def fault(self) -> str:
        """Return why no calibration follows from the two ranges, "" where one does."""
        if not np.isfinite([*self.digital_range, *self.physical_range]).all():
            return "its ranges are not finite"
        if self.digital_range[0] == self.digital_range[1]:
            return "its digital minimum equals its maximum"
        if self.physical_range[0] == self.physical_range[1]:
            return "its physical minimum equals its maximum"
        return ""

    def physical(self, digital: NDArray[Any]) -> NDArray[np.float64]:
        """Return digital samples in the unit of the channel (Kemp 1992); either range may be inverted."""
        (digital_min, digital_max), (physical_min, physical_max) = self.digital_range, self.physical_range
        gain = (physical_max - physical_min) / (digital_max - digital_min)
        samples = digital.astype(np.float64)
        samples *= gain
        samples += physical_min - digital_min * gain
        return samples


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
    notes: tuple[str, ...]

    @abstractmethod
    def timeline(self) -> Timeline:
        """Return record onsets and events; raises DareError where they show that the file is damaged."""

    @cached_property
    def records(self) -> NDArray[np.uint8]:
        """The bytes of all records, (num_records, record_bytes), mapped and not read."""
        shape = (self.num_records, self.record_bytes)
        return np.asarray(np.memmap(self.path, np.uint8, "r", self.data_offset, shape))

    def even_onsets_s(self) -> NDArray[np.float64]:
        """Return when each record begins if none is missing, (num_records,)."""
        return np.arange(self.num_records, dtype=np.float64) * self.record_s

    def digital(self, signal: Signal, span: slice) -> NDArray[Any]:
        """Return the samples of a channel in a span of records as stored, (records × num_samples,)."""
        width = int(signal.dtype[-1])
        stop = signal.byte_offset + signal.num_samples * width
        block = np.ascontiguousarray(self.records[span, signal.byte_offset : stop])
        if width != 3:
            return block.reshape(-1).view(signal.dtype)
        # The three bytes go to the top of an int32, so that shifting down extends the sign.
        padded = np.zeros((block.size // 3, 4), np.uint8)
        padded[:, 1:] = block.reshape(-1, 3)
        return padded.view("<i4")[:, 0] >> 8


def describe_channel(label: str, position: int, sfreq: float, unit: str) -> Channel:
    """Return the channel at ``position`` of a file; where its label names no electrode it is ``CH4``, say.

    BCI Competition 2a labels 17 of its electrodes ``EEG``, so only their position tells them apart.
    """
    electrode, reference = split_reference(label)
    if electrode in ("", "EEG"):
        electrode = f"CH{position + 1}"
    folded = unit.strip().replace(" ", "")
    for sign in _MICRO_SIGNS:
        folded = folded.replace(sign, "µ")
    return Channel(label, electrode, reference, sfreq, unit, UV_PER_UNIT.get(folded.lower(), float("nan")))
