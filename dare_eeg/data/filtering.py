"""Filtering: the filters of preprocessing for arrays, so that their features are those that shards would give."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests import filter_design


def clean(
    x_uv: NDArray[Any], sfreq: float, notch_hz: float, band_hz: tuple[float, float] = (0.1, 75.0)
) -> NDArray[np.float64]:
    """Return a continuous recording, or several, filtered as `dare preprocess` does; the time axis is the last.

    Band-pass and notch are zero-phase FIR filters by MNE's design, of a recipe's ``band_hz`` and ``notch_hz`` (50 or
    60, the mains where it was recorded; 0 for none). Edges beyond half of ``sfreq`` Hz are left out, and the mean goes,
    as it does there. Clean a recording before windows are cut from it: what is shorter than the filter (33 s for a
    band from 0.1 Hz) is distorted at its ends, which MNE warns of. Raises ValueError for NaN and infinity, and for a
    notch or a band that no filter has.
    """
    import mne

    low, high = band_hz
    if not 0 <= low < high or notch_hz < 0:
        raise ValueError(f"band_hz {band_hz} and notch_hz {notch_hz:g} are no frequencies of filters, in Hz")
    cleaned = np.array(x_uv, np.float64)
    if not np.isfinite(cleaned).all():
        raise ValueError("x_uv holds NaN or infinity, which a filter would spread: leave out or interpolate them first")
    cleaned -= cleaned.mean(axis=-1, keepdims=True)
    for design in filter_design.designs(sfreq, band_hz, notch_hz):
        cleaned = mne.filter.filter_data(cleaned, sfreq, **design._asdict(), copy=False, verbose="error")
    return cleaned
