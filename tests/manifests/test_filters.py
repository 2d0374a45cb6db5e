"""Filters are those that MNE designs, to the last bit."""

import mne
import numpy as np
import pytest

from manifests.errors import UnfitError
from manifests.filters import is_notched, taps

RATES_HZ = (100.0, 128.0, 173.61, 200.0, 250.0, 256.0, 399.6097561, 499.907, 512.0, 1000.0, 2048.0)


@pytest.mark.parametrize("sfreq_hz", RATES_HZ)
@pytest.mark.parametrize("band_hz", [(0.1, 75), (0.3, 45), (0.01, 30.5), (8, 30), (0, 40), (1, 1e4), (4.7, 49.9)])
def test_bands_are_those_of_mne(sfreq_hz: float, band_hz: tuple[float, float]) -> None:
    low, high = band_hz[0] or None, band_hz[1] if band_hz[1] < sfreq_hz / 2 else None
    want = mne.filter.create_filter(None, sfreq_hz, low, high, verbose="error")
    (found,) = taps(sfreq_hz, band_hz, 0.0)
    assert np.array_equal(found, want)


@pytest.mark.parametrize("sfreq_hz", RATES_HZ)
@pytest.mark.parametrize("notch_hz", [16.7, 25, 48.3, 60, 100, 240.5])
def test_notches_are_those_of_mne(sfreq_hz: float, notch_hz: float) -> None:
    if not is_notched(sfreq_hz, notch_hz):
        assert taps(sfreq_hz, (0.0, 1e4), notch_hz) == ()
        return
    edges = notch_hz + (notch_hz / 400 + 0.5), notch_hz - (notch_hz / 400 + 0.5)
    widths = {"l_trans_bandwidth": 0.5, "h_trans_bandwidth": 0.5}
    want = mne.filter.create_filter(None, sfreq_hz, *edges, **widths, verbose="error")
    (found,) = taps(sfreq_hz, (0.0, 1e4), notch_hz)
    assert np.array_equal(found, want)


def test_a_notch_whose_edge_the_rate_does_not_hold_is_refused() -> None:
    assert is_notched(480.0, 238.5)
    with pytest.raises(UnfitError, match="480 Hz, which does not hold"):
        taps(480.0, (0.1, 75.0), 238.99)
