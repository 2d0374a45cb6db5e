"""Representations: what classical methods see of a window, computed once for all windows, without any label."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.probing.fit import Progress

BANDS_HZ = ((1.0, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 45.0))
"""Delta, theta, alpha, beta and low gamma."""

_BATCH = 256
_ORDER = 4  # of each Butterworth filter, there and back
_LOADING = 1e-6  # added to the diagonal, as a share of the mean variance, so that no covariance is singular
_SILENT_UV2 = 1e-12  # power below that of any amplifier


def band_power(windows: Windows, progress: Progress) -> NDArray[np.float32]:
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


def covariances(windows: Windows, bands_hz: tuple[tuple[float, float], ...], progress: Progress) -> NDArray[np.float64]:
    """Return the covariance (µV²) of the electrodes that every window has: windows × bands × electrodes × electrodes.

    Windows are filtered by Butterworth filters of fourth order, there and back.
    """
    from scipy.signal import butter, sosfiltfilt

    top_hz = 0.99 * windows.sfreq / 2
    filters = [
        butter(_ORDER, (low, min(high, top_hz)), "bandpass", fs=windows.sfreq, output="sos") for low, high in bands_hz
    ]
    rows = np.flatnonzero(windows.present.all(axis=0)).tolist()
    parts = []
    for x_uv, _ in _batches(windows, rows, progress):
        filtered = np.stack([sosfiltfilt(one, x_uv, axis=-1) for one in filters], axis=1)
        parts.append(filtered @ filtered.swapaxes(-1, -2) / x_uv.shape[-1])
    found = np.concatenate(parts)
    variance = np.trace(found, axis1=-2, axis2=-1)[..., None, None] / len(rows)
    return np.asarray(found + (_LOADING * variance + _SILENT_UV2) * np.eye(len(rows)))


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


def _whitened(covariances: NDArray[np.floating]) -> NDArray[np.floating]:
    from pyriemann.geometry.base import invsqrtm
    from pyriemann.geometry.mean import mean_riemann

    root = invsqrtm(mean_riemann(covariances))
    return np.asarray(root @ covariances @ root)


def _batches(
    windows: Windows, rows: list[int], progress: Progress
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Yield (µV, electrodes it has) of some windows and electrodes after the others."""
    for start in range(0, len(windows), _BATCH):
        numbers = np.arange(start, min(start + _BATCH, len(windows)))
        progress(start / len(windows))
        yield windows.take(numbers)[:, rows].astype(np.float64), windows.present[numbers][:, rows]
