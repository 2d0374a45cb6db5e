"""Filter design: the edges and widths of the zero-phase FIR filters that a recipe's band and notch mean."""

from typing import NamedTuple


class FilterDesign(NamedTuple):
    """What `mne.filter.create_filter` is asked: edges in Hz, high below low for a notch, and transition widths in Hz.

    An edge of None is none; a width of "auto" is MNE's own rule (Widmann et al. 2015).
    """

    l_freq: float | None
    h_freq: float | None
    l_trans_bandwidth: float | str = "auto"
    h_trans_bandwidth: float | str = "auto"


def is_notched(sfreq_hz: float, notch_hz: float) -> bool:
    """Return whether a recording of this rate holds a notch at this frequency; 0 is none."""
    return 0 < notch_hz < sfreq_hz / 2 - 1


def designs(sfreq_hz: float, band_hz: tuple[float, float], notch_hz: float) -> list[FilterDesign]:
    """Return the filters of `mne.filter.filter_data` and `mne.filter.notch_filter` for a band and a notch.

    An edge that the rate does not hold, or that is 0, is left out, and so is such a notch.
    """
    low, high = band_hz[0] or None, band_hz[1] if band_hz[1] < sfreq_hz / 2 else None
    found = [FilterDesign(low, high)] if (low, high) != (None, None) else []
    if is_notched(sfreq_hz, notch_hz):
        half = notch_hz / 400 + 0.5
        found.append(FilterDesign(notch_hz + half, notch_hz - half, 0.5, 0.5))
    return found
