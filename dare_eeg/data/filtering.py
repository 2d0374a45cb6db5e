"""Filtering: the filters of preprocessing for arrays, so that their features are those that shards would give."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests import filters


def clean(
    x_uv: NDArray[Any], sfreq: float, notch_hz: float, band_hz: tuple[float, float] = (0.1, 75.0)
) -> NDArray[np.float64]:
    """Return a continuous recording, or several, filtered as `dare preprocess` does; the time axis is the last.

    Band-pass and notch are zero-phase FIR filters by MNE's design, of a recipe's ``band_hz`` and ``notch_hz`` (50 or
    60, the mains where it was recorded; 0 for none). Edges beyond half of ``sfreq`` Hz are left out, and the mean goes,
    as it does there. Clean a recording before windows are cut from it: half the filter's length (16 s for a band from
    0.1 Hz) at both ends is of signal that was made up by reflection. Raises ValueError for NaN and infinity, and for a
    notch or a band that no filter has, UnfitError where the rate does not hold one.
    """
    low, high = band_hz
    if not 0 <= low < high or notch_hz < 0:
        raise ValueError(f"band_hz {band_hz} and notch_hz {notch_hz:g} are no frequencies of filters, in Hz")
    cleaned = np.asarray(x_uv, np.float64)
    if not np.isfinite(cleaned).all():
        raise ValueError("x_uv holds NaN or infinity, which a filter would spread: leave out or interpolate them first")
    cleaned = cleaned - cleaned.mean(axis=-1, keepdims=True)
    for taps in filters.taps(sfreq, (low, high), notch_hz):
        cleaned = _filtered(cleaned, np.array(taps))
    return cleaned


def _filtered(x: NDArray[np.float64], taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a signal filtered without delay, continued oddly about its ends once, and by zeros beyond."""
    from scipy.signal import oaconvolve

    half, (*_, num_samples) = len(taps) // 2, x.shape
    reach = min(half, num_samples - 1)
    before, after = 2 * x[..., :1] - x[..., reach:0:-1], 2 * x[..., -1:] - x[..., -2 : -2 - reach : -1]
    beyond = np.zeros((*x.shape[:-1], half - reach))
    padded = np.concatenate([beyond, before, x, after, beyond], axis=-1)
    return np.asarray(oaconvolve(padded, taps.reshape((1,) * (x.ndim - 1) + (-1,)), mode="valid", axes=-1))
