"""Clock: the rate, and the gaps, that the times of samples or a counter of them tell."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError, RefusedError
from pipelines.recording import Segment

_REGULAR_SHARE = 0.9
"""Share of steps that are one period, give or take half, in times that were taken sample by sample."""

_ROUNDING = 0.0005
"""How far a rate measured by a clock may be from the whole number of Hz that it is."""

_RATES_HZ = (8.0, 100_000.0)
"""Rates beyond these are of times in another unit than stated."""

_STATED = 0.02
_LONGEST_BURST_S = 1.0
"""Samples that are written in bursts have times of these: a shorter pause is no gap."""

_JITTER = 0.1
"""Standard deviation, in periods, of steps that are not of one length: a long one may be made up for by the next."""

_LEAST_SHIFT = 0.75
_NUM_BESIDE = 8
"""Samples before and after a step that show whether time was lost, or one of them written late."""


def of_times(path: Path, times_s: NDArray[np.float64], stated_hz: float) -> tuple[float, tuple[Segment, ...]]:
    """Return (the rate, the segments between gaps) of samples at these times.

    Raises DareError where the times are none, are too irregular to tell the rate that nobody states, and where they
    tell another one than the ``stated_hz``.
    """
    known = np.isfinite(times_s)
    if known.sum() < 2:
        if stated_hz:
            return stated_hz, (Segment(0, len(times_s), 0.0),)
        raise DamagedError("its column of times holds no numbers", path=path, remedy="state sfreq_hz")
    places = np.arange(len(times_s), dtype=np.float64)
    times_s = np.interp(places, places[known], times_s[known])
    steps_s = np.diff(times_s)
    typical_s = float(np.median(steps_s))
    near = np.abs(steps_s - typical_s) <= 0.5 * typical_s
    is_regular = typical_s > 0 and near.mean() >= _REGULAR_SHARE
    counted_s = steps_s[near] if is_regular else steps_s[np.abs(steps_s) <= _LONGEST_BURST_S]
    if not counted_s.sum() > 0:
        raise DamagedError("its times do not rise", path=path, remedy="is the unit in time_unit right?")
    measured_hz = len(counted_s) / float(counted_s.sum())
    # Nobody knows when the first burst began.
    slack = _STATED if is_regular else _STATED + float(counted_s.max() / counted_s.sum())
    if stated_hz and abs(measured_hz / stated_hz - 1) > slack:
        reason = f"its times tell {measured_hz:g} Hz, where {stated_hz:g} Hz are stated"
        raise RefusedError(reason, path=path, remedy="are sfreq_hz and time_unit right?")
    if not _RATES_HZ[0] <= measured_hz <= _RATES_HZ[1]:
        raise RefusedError(f"its times tell {measured_hz:g} Hz", path=path, remedy="is the unit in time_unit right?")
    if not (stated_hz or is_regular):
        reason = f"its times are too irregular to tell the rate, which is about {measured_hz:.4g} Hz"
        raise RefusedError(reason, path=path, remedy="state sfreq_hz")
    whole = abs(measured_hz - round(measured_hz)) <= _ROUNDING * measured_hz
    sfreq = stated_hz or (float(round(measured_hz)) if whole else measured_hz)
    is_jump = (steps_s > 1.5 / measured_hz) if is_regular else (steps_s > _LONGEST_BURST_S)
    jumps = np.flatnonzero(is_jump | (steps_s < -max(_LONGEST_BURST_S, 1.5 / measured_hz)))
    usual_s = 1 / measured_hz if is_regular else float(np.median(counted_s[counted_s > 0]))
    lost = (steps_s[jumps] - usual_s) * sfreq
    if is_regular and float(counted_s.std()) * measured_hz > _JITTER:
        shifts = _shifts(times_s * measured_hz - places, jumps + 1)
        is_real = ((shifts > _LEAST_SHIFT) & (np.abs(shifts - lost) <= 1)) | (lost < 0)
        jumps, lost = jumps[is_real], lost[is_real]
    return sfreq, _between(jumps + 1, np.maximum(np.rint(lost), 0.0), len(times_s), sfreq)


def _shifts(late: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how much later on average the samples after each edge come than those before it."""
    sums = np.concatenate([[0.0], np.cumsum(late)])
    first, last = np.maximum(edges - _NUM_BESIDE, 0), np.minimum(edges + _NUM_BESIDE, len(late))
    return np.asarray((sums[last] - sums[edges]) / (last - edges) - (sums[edges] - sums[first]) / (edges - first))


def of_counter(counts: NDArray[np.float64], sfreq: float) -> tuple[Segment, ...]:
    """Return the segments between the gaps that a counter of samples shows; it may begin again after its highest."""
    places = np.arange(len(counts), dtype=np.float64)
    known = np.isfinite(counts)
    if known.sum() < 2:
        return (Segment(0, len(counts), 0.0),)
    counts = np.rint(np.interp(places, places[known], counts[known]))
    steps = np.diff(counts)
    each = float(np.median(steps[steps > 0])) if (steps > 0).any() else 1.0
    if (steps < 0).any():
        steps = np.mod(steps, float(counts.max() - counts.min()) + each)
    lost = np.maximum(np.rint(steps / each) - 1, 0.0)
    jumps = np.flatnonzero(lost)
    return _between(jumps + 1, lost[jumps], len(counts), sfreq)


def _between(
    starts: NDArray[np.int64], lost: NDArray[np.float64], num_samples: int, sfreq: float
) -> tuple[Segment, ...]:
    """Return the segments that begin with a file and at these samples, before which so many were lost."""
    edges = [0, *starts.tolist(), num_samples]
    lost_s = np.cumsum([0.0, *lost.tolist()]) / sfreq
    spans = zip(edges[:-1], edges[1:], lost_s.tolist(), strict=True)
    return tuple(Segment(start, stop, start / sfreq + gap_s) for start, stop, gap_s in spans)
