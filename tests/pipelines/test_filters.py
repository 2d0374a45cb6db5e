"""Filters are those that MNE designs, to the last bit."""

import mne
import numpy as np
import pytest

from manifests.errors import UnfitError
from pipelines.filters import create_filter

RATES_HZ = (100.0, 128.0, 173.61, 200.0, 250.0, 256.0, 399.6097561, 499.907, 512.0, 1000.0, 2048.0)


@pytest.mark.parametrize("sfreq_hz", RATES_HZ)
@pytest.mark.parametrize("band_hz", [(0.1, 75), (0.3, 45), (0.01, 30.5), (8, 30), (None, 40), (1, None), (4.7, 49.9)])
def test_bands_are_those_of_mne(sfreq_hz: float, band_hz: tuple[float | None, float | None]) -> None:
    low, high = band_hz
    if high is not None and high >= sfreq_hz / 2:
        high = None
    want = mne.filter.create_filter(None, sfreq_hz, low, high, verbose="error")
    assert np.array_equal(create_filter(sfreq_hz, low, high), want)


@pytest.mark.parametrize("sfreq_hz", RATES_HZ)
@pytest.mark.parametrize("notch_hz", [16.7, 25, 48.3, 60, 100, 240.5])
def test_notches_are_those_of_mne(sfreq_hz: float, notch_hz: float) -> None:
    edges = notch_hz + (notch_hz / 400 + 0.5), notch_hz - (notch_hz / 400 + 0.5)
    if edges[0] > sfreq_hz / 2:
        with pytest.raises(UnfitError, match=f"{sfreq_hz:g} Hz, which does not hold"):
            create_filter(sfreq_hz, *edges, 0.5, 0.5)
        return
    widths = {"l_trans_bandwidth": 0.5, "h_trans_bandwidth": 0.5}
    want = mne.filter.create_filter(None, sfreq_hz, *edges, **widths, verbose="error")
    assert np.array_equal(create_filter(sfreq_hz, *edges, **widths), want)
