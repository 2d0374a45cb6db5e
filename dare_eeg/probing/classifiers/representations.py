"""Representations: what a classifier without a network sees of windows, computed once for all, without any label."""

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.windows import AnyWindows
from dare_eeg.probing.fit import Progress

BANDS_HZ = ((1.0, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 45.0))
"""Delta, theta, alpha, beta and low gamma."""

_BATCH = 256
_ORDER = 4  # of each Butterworth filter, there and back
_LOADING = 1e-6  # added to the diagonal, as a share of the mean variance, so that no covariance is singular
_SILENT_UV2 = 1e-12  # power below that of any amplifier


See = Callable[[AnyWindows, Progress], NDArray[Any]]
"""What makes of windows what is seen of them, a row each."""


class Seen:
    """What is seen of windows, computed once for as long as somebody holds them, in so many ``seconds`` till now.

    With ``centre`` it is centred on each subject without labels.
    """

    def __init__(self, see: See, centre: bool = False) -> None:
        self._see, self._centre = see, centre
        self._tables: WeakKeyDictionary[AnyWindows, NDArray[Any]] = WeakKeyDictionary()
        self.seconds = 0.0

    def of(self, windows: AnyWindows, progress: Progress = lambda _share: None) -> NDArray[Any]:
        """Return what is seen of all windows, a row each; it is not to be changed."""
        if windows not in self._tables:
            began = monotonic()
            table = self._see(windows, progress)
            self._tables[windows] = centred(table, windows.subjects) if self._centre else table
            self.seconds += monotonic() - began
        return self._tables[windows]


def band_power(windows: AnyWindows, progress: Progress) -> NDArray[np.float32]:
    """Return the log power (µV², by Welch) of each of `BANDS_HZ` at each electrode: windows × (electrodes × bands).

    NaN where a window lacks the electrode; a band beyond half of the rate is of what is there.
    """
    from scipy.signal import welch

    parts = []
    for x_uv, present in _batches(windows, list(range(len(windows.electrodes))), progress):
        frequencies, density = welch(x_uv, windows.sfreq, nperseg=min(x_uv.shape[-1], round(2 * windows.sfreq)))
        powers = [density[..., (frequencies >= low) & (frequencies < high)].mean(axis=-1) for low, high in BANDS_HZ]
        logs = np.log(np.stack(powers, axis=-1) + _SILENT_UV2)
        parts.append(np.where(present[..., None], logs, np.nan).reshape(len(x_uv), -1).astype(np.float32))
    return np.concatenate(parts)


def in_every_window(windows: AnyWindows) -> list[int]:
    """Return the places of the electrodes that every window has."""
    return [int(place) for place in np.flatnonzero(windows.present.all(axis=0))]


def covariances(
    windows: AnyWindows, bands_hz: tuple[tuple[float, float], ...], electrodes: list[int], progress: Progress
) -> NDArray[np.float64]:
    """Return the covariance (µV²) of some electrodes, by place: windows × bands × electrodes × electrodes.

    Windows are filtered by Butterworth filters of fourth order, there and back.
    """
    from scipy.signal import butter, sosfiltfilt

    top_hz = 0.99 * windows.sfreq / 2
    filters = [
        butter(_ORDER, (low, min(high, top_hz)), "bandpass", fs=windows.sfreq, output="sos") for low, high in bands_hz
    ]
    parts = []
    for x_uv, _ in _batches(windows, electrodes, progress):
        filtered = np.stack([sosfiltfilt(one, x_uv, axis=-1) for one in filters], axis=1)
        parts.append(filtered @ filtered.swapaxes(-1, -2) / x_uv.shape[-1])
    found = np.concatenate(parts)
    variance = np.trace(found, axis1=-2, axis2=-1)[..., None, None] / len(electrodes)
    return np.asarray(found + (_LOADING * variance + _SILENT_UV2) * np.eye(len(electrodes)))


def centred(table: NDArray[np.floating], subjects: NDArray[np.str_]) -> NDArray[np.floating]:
    """Return representations of windows, each less what its subject's windows have in common; no label is asked.

    Of rows of numbers, their mean; covariances are whitened by their Riemannian mean (Zanini et al. 2018).
    """
    moved = np.empty_like(table)
    for subject in sorted(set(subjects.tolist())):
        mine = subjects == subject
        if table.ndim == 2:
            moved[mine] = table[mine] - np.nanmean(table[mine], axis=0)
            continue
        for band in range(table.shape[1]):
            moved[mine, band] = _whitened(table[mine, band])
    return moved


def riemannian_mean(covariances: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the Riemannian mean (Karcher) of covariances, (n, C, C), as a matrix (C, C)."""
    from pyriemann.geometry.mean import mean_riemann

    # Of electrodes that say nearly the same it takes more than pyriemann's 50 steps.
    return np.asarray(mean_riemann(covariances, maxiter=1000))


def _whitened(covariances: NDArray[np.floating]) -> NDArray[np.floating]:
    from pyriemann.geometry.base import invsqrtm

    root = invsqrtm(riemannian_mean(covariances))
    return np.asarray(root @ covariances @ root)


def _batches(
    windows: AnyWindows, rows: list[int], progress: Progress
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Yield (µV, electrodes it has) of some windows and electrodes after the others."""
    for start in range(0, len(windows), _BATCH):
        numbers = np.arange(start, min(start + _BATCH, len(windows)))
        progress(start / len(windows))
        yield windows.take(numbers)[:, rows].astype(np.float64), windows.present[numbers][:, rows]
