"""Filters: the taps that a recipe's band and notch mean, those that MNE designs, without the memory that MNE takes."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from manifests.errors import UnfitError

_HAMMING = 3.3
"""Taps of a filter with a Hamming window, times the width of its transition as a share of the rate."""

_NOTCH_WIDTH_HZ = 0.5
"""Of each transition of a notch; those of a band follow MNE's own rule (Widmann et al. 2015)."""

Taps = tuple[float, ...]
Corners = list[tuple[float, int]]
"""Frequencies in Hz and the gain there, rising."""


def is_notched(sfreq_hz: float, notch_hz: float) -> bool:
    """Return whether a recording of this rate holds a notch at this frequency; 0 is none."""
    return 0 < notch_hz < sfreq_hz / 2 - 1


@lru_cache(maxsize=32)
def taps(sfreq_hz: float, band_hz: tuple[float, float], notch_hz: float) -> tuple[Taps, ...]:
    """Return the taps of the zero-phase FIR filters that `mne.filter.filter_data` and `notch_filter` design.

    An edge that the rate does not hold, or that is 0, is left out, and so is such a notch. Raises UnfitError where the
    rate holds an edge and not the transition to it.
    """
    low_hz, high_hz = band_hz[0], band_hz[1] if band_hz[1] < sfreq_hz / 2 else 0.0
    found = [_band(sfreq_hz, low_hz, high_hz)] if low_hz or high_hz else []
    if is_notched(sfreq_hz, notch_hz):
        found.append(_notch(sfreq_hz, notch_hz))
    return tuple(tuple(one.tolist()) for one in found)


def _band(sfreq_hz: float, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Return the taps of a band-pass, open at an edge that is 0."""
    corners: Corners = []
    widths_hz = []
    if low_hz:
        widths_hz.append(min(max(0.25 * low_hz, 2.0), low_hz))
        corners += [(low_hz - widths_hz[-1], 0), (low_hz, 1)]
    if high_hz:
        widths_hz.append(min(max(0.25 * high_hz, 2.0), sfreq_hz / 2 - high_hz))
        corners += [(high_hz, 1), (high_hz + widths_hz[-1], 0)]
    return _designed(sfreq_hz, corners, min(widths_hz))


def _notch(sfreq_hz: float, notch_hz: float) -> NDArray[np.float64]:
    half_hz, width_hz = notch_hz / 400 + 0.5, _NOTCH_WIDTH_HZ
    low_hz, high_hz = notch_hz - half_hz, notch_hz + half_hz
    # As MNE computes them, to the last bit.
    corners: Corners = [(low_hz - width_hz + width_hz, 1), (low_hz + width_hz, 0)]
    corners += [(high_hz - width_hz, 0), (high_hz + width_hz - width_hz, 1)]
    return _designed(sfreq_hz, corners, width_hz)


def _designed(sfreq_hz: float, corners: list[tuple[float, int]], width_hz: float) -> NDArray[np.float64]:
    """Return the taps of a filter with this gain at its corners (Hz, gain); ``width_hz`` is its narrowest transition.

    Each transition is a low-pass of its own, no longer than it must be.
    """
    nyquist_hz = sfreq_hz / 2
    first_hz, last_hz = corners[0][0], corners[-1][0]
    if first_hz < 0 or last_hz > nyquist_hz:
        reason = f"sampled at {sfreq_hz:g} Hz, which does not hold a filter from {first_hz:g} to {last_hz:g} Hz"
        raise UnfitError(reason, remedy="choose another with --set band_hz or --set notch_hz")
    before, after = [(0.0, corners[0][1])] * (first_hz != 0), [(nyquist_hz, corners[-1][1])] * (last_hz != nyquist_hz)
    taps = np.zeros(_odd(math.ceil(_HAMMING / width_hz * sfreq_hz)))
    (above, gain_above), *below = [(hz / nyquist_hz, gain) for hz, gain in reversed(before + corners + after)]
    taps[len(taps) // 2] = gain_above
    for here, gain in below:
        if gain != gain_above:
            low_pass = _low_pass(_odd(round(_HAMMING / ((above - here) / 2))), (above + here) / 2)
            around = (len(taps) - len(low_pass)) // 2
            taps[around : len(taps) - around] += low_pass if gain else -low_pass
        above, gain_above = here, gain
    return taps


def _odd(num_taps: int) -> int:
    return num_taps + 1 - num_taps % 2


def _low_pass(num_taps: int, cutoff: float) -> NDArray[np.float64]:
    """Return what `scipy.signal.firwin` does for a cutoff as a share of the Nyquist frequency."""
    taps = cutoff * np.sinc(cutoff * (np.arange(num_taps) - 0.5 * (num_taps - 1)))
    taps *= 0.54 + (1 - 0.54) * np.cos(np.linspace(-np.pi, np.pi, num_taps))
    return np.asarray(taps / taps.sum(), np.float64)
