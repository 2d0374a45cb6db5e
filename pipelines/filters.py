"""Filters: the taps that `mne.filter.create_filter` designs, to the last bit, without the memory that MNE takes."""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from manifests.errors import UnfitError

_HAMMING = 3.3
"""Taps of a filter with a Hamming window, times the width of its transition as a share of the rate."""

Width = float | Literal["auto"]
"""Of a transition, Hz; "auto" is MNE's own rule (Widmann et al. 2015)."""


def create_filter(
    sfreq_hz: float,
    l_freq: float | None,
    h_freq: float | None,
    l_trans_bandwidth: Width = "auto",
    h_trans_bandwidth: Width = "auto",
) -> NDArray[np.float64]:
    """Return the taps of a zero-phase FIR filter (firwin, Hamming).

    Edges are in Hz; None is open, and both are not. High below low is a notch, which has widths of its own. Raises
    UnfitError where the rate does not hold it.
    """
    if l_freq is not None and h_freq is not None and l_freq > h_freq:
        assert l_trans_bandwidth != "auto"
        assert h_trans_bandwidth != "auto"
        low_hz, high_hz, inner_hz, outer_hz = h_freq, l_freq, h_trans_bandwidth, l_trans_bandwidth
        # As MNE computes them, to the last bit.
        stop = [(low_hz - inner_hz + inner_hz, 1), (low_hz + inner_hz, 0)]
        stop += [(high_hz - outer_hz, 0), (high_hz + outer_hz - outer_hz, 1)]
        return _designed(sfreq_hz, stop, min(inner_hz, outer_hz))
    corners, widths_hz = [], []
    if l_freq is not None:
        width_hz = min(max(0.25 * l_freq, 2.0), l_freq) if l_trans_bandwidth == "auto" else l_trans_bandwidth
        corners += [(l_freq - width_hz, 0), (l_freq, 1)]
        widths_hz.append(width_hz)
    if h_freq is not None:
        most_hz = sfreq_hz / 2 - h_freq
        width_hz = min(max(0.25 * h_freq, 2.0), most_hz) if h_trans_bandwidth == "auto" else h_trans_bandwidth
        corners += [(h_freq, 1), (h_freq + width_hz, 0)]
        widths_hz.append(width_hz)
    return _designed(sfreq_hz, corners, min(widths_hz))


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
