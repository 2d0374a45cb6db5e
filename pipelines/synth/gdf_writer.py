"""GDF 1.25 files of 16-bit µV as in BCI Competition IV (Schloegl, "GDF - a general dataformat", 2006)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DIGITAL_MAX = 32767
DIGITAL_MIN = -32768
"""The digital minimum marks missing samples: no genuine sample is stored as it."""

_START = b"2008010112000000"
_INT16 = 3
_EVENTS_WITHOUT_DURATION = 1


class Event(NamedTuple):
    """One event: its sample, counted from 0, and its code in the GDF event table."""

    sample: int
    code: int


def write_gdf(
    path: Path,
    labels: Sequence[str],
    range_uv: NDArray[np.float64],
    signal_uv: NDArray[np.float64],
    sfreq: int,
    events: Sequence[Event],
) -> None:
    """Write a signal (C, T) in µV and its events, one sample a record, so that any length is whole records.

    Channel c spans ±``range_uv[c]`` and is clipped there; NaN is stored as the digital minimum.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = _header(labels, range_uv, signal_uv.shape[1], sfreq)
    path.write_bytes(header + _digital(signal_uv, range_uv).T.tobytes() + _event_table(events, sfreq))


def _digital(signal_uv: NDArray[np.float64], range_uv: NDArray[np.float64]) -> NDArray[np.int16]:
    step_uv = 2 * range_uv / (DIGITAL_MAX - DIGITAL_MIN)
    digital = np.rint((signal_uv + range_uv[:, None]) / step_uv[:, None]) + DIGITAL_MIN
    genuine = np.clip(digital, DIGITAL_MIN + 1, DIGITAL_MAX)
    return np.where(np.isnan(signal_uv), DIGITAL_MIN, genuine).astype("<i2")


def _header(labels: Sequence[str], range_uv: NDArray[np.float64], num_samples: int, sfreq: int) -> bytes:
    num_channels = len(labels)
    fixed = [
        b"GDF 1.25",
        b"X".ljust(80),
        b"X".ljust(80),
        _START,
        np.int64(256 * (1 + num_channels)).tobytes(),
        bytes(8 + 8 + 8 + 20),
        np.int64(num_samples).tobytes(),
        np.array([1, sfreq], "<u4").tobytes(),
        np.uint32(num_channels).tobytes(),
    ]
    per_channel = [
        b"".join(label.encode("ascii").ljust(16) for label in labels),
        b" " * 80 * num_channels,
        b"uV".ljust(8) * num_channels,
        (-range_uv).astype("<f8").tobytes(),
        range_uv.astype("<f8").tobytes(),
        np.full(num_channels, DIGITAL_MIN, "<i8").tobytes(),
        np.full(num_channels, DIGITAL_MAX, "<i8").tobytes(),
        b"HP:0.5Hz LP:100.0Hz".ljust(80) * num_channels,
        np.ones(num_channels, "<i4").tobytes(),
        np.full(num_channels, _INT16, "<i4").tobytes(),
        bytes(32 * num_channels),
    ]
    return b"".join(fixed + per_channel)


def _event_table(events: Sequence[Event], sfreq: int) -> bytes:
    return b"".join(
        [
            bytes([_EVENTS_WITHOUT_DURATION]),
            sfreq.to_bytes(3, "little"),
            np.uint32(len(events)).tobytes(),
            # Positions count from 1 in the file.
            np.array([event.sample + 1 for event in events], "<u4").tobytes(),
            np.array([event.code for event in events], "<u2").tobytes(),
        ]
    )
