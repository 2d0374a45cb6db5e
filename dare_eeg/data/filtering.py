"""Filtering: the filters of preprocessing for arrays, so that their features are those that shards would give."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests import filters
from manifests.recipe import is_mains


def clean(
    x_uv: NDArray[Any], sfreq: float, notch_hz: float, band_hz: tuple[float, float] = (0.1, 75.0)
) -> NDArray[np.float64]:
    """Return a continuous recording, or several, filtered as `dare preprocess` does; the time axis is the last.

    Band-pass and notch are zero-phase FIR filters by MNE's design, of a recipe's ``band_hz`` and ``notch_hz`` (50 or
    60, the mains where it was recorded; 0 for none). Edges beyond half of ``sfreq`` Hz are left out, and the mean goes,
    as it does there. Clean a recording before windows are cut from it: half the filter's length (16 s for a band from
    0.1 Hz) at both ends is of signal that was made up by reflection, and what is shorter than that is warned of.
    Raises ValueError for NaN and infinity, for a notch that is no mains or a band that no filter has, and for a table
    with more rows than samples, UnfitError where the rate does not hold a filter.
    """
    low, high = band_hz
    if not 0 <= low < high or not (notch_hz == 0 or is_mains(notch_hz)):
        reason = f"band_hz {band_hz} and notch_hz {notch_hz:g} are no band and no mains in Hz"
        raise ValueError(f"{reason}: the mains are 50 or 60 (16.7 by a railway), or 0 for no notch")
    if hasattr(x_uv, "get_data"):
        kind = type(x_uv).__name__
        raise ValueError(f'{kind} is no array in µV: of a Raw of MNE give get_data(picks="eeg") * 1e6')
    cleaned = np.asarray(x_uv, np.float64)
    if cleaned.ndim == 2 and cleaned.shape[0] > cleaned.shape[1]:
        rows, num_samples = cleaned.shape
        raise ValueError(f"{rows} rows of {num_samples} samples: the time axis is the last; give x_uv.T if it is not")
    if not np.isfinite(cleaned).all():
        raise ValueError("x_uv holds NaN or infinity, which a filter would spread: leave out or interpolate them first")
    cleaned = cleaned - cleaned.mean(axis=-1, keepdims=True)
    for taps in filters.taps(sfreq, (low, high), notch_hz):
        half_s, has_s = len(taps) // 2 / sfreq, cleaned.shape[-1] / sfreq
        if has_s < half_s:
            says = f"{has_s:.3g} s are less than half a filter, {half_s:.3g} s: clean the recording, then cut windows"
            warnings.warn(says, stacklevel=2)
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
