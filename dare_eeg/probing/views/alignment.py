"""Alignment: windows whitened by the mean covariance of their session, as the published recipe of BCIC-2b has it."""

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows, View
from manifests.manifest import Manifest

_AT_ONCE = 64


class AlignedWindows(Windows):
    """Windows after Euclidean alignment (He & Wu 2020) and then an average reference, both as published.

    Every subject's test part, and all else of the subject, is whitened by the inverse root of the mean of X Xᵀ over
    its own windows, not divided by their length: it sees the tested windows, though not their labels.
    """

    def __init__(self, folder: Path, manifest: Manifest, splits: Collection[str]) -> None:
        super().__init__(folder, manifest, splits)
        self._part, self._maps = _whitenings(self, super().take)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return windows by number, aligned: float32, windows × electrodes × samples, without unit."""
        aligned: NDArray[np.float32] = self._maps[self._part[numbers]] @ super().take(numbers)
        return aligned


class AlignedView(View):
    """All of some windows, each part of a subject aligned by what of it is there, as `AlignedWindows` does."""

    def __init__(self, of: AnyWindows) -> None:
        super().__init__(of, np.arange(len(of)))
        self._part, self._maps = _whitenings(of, of.take)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return windows by number, aligned: float32, windows × electrodes × samples, without unit."""
        aligned: NDArray[np.float32] = self._maps[self._part[numbers]] @ super().take(numbers)
        return aligned


def _whitenings(
    windows: AnyWindows, take: Callable[[NDArray[np.int64]], NDArray[np.float32]]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the part of each window and, by part, what whitens it and takes off the mean over electrodes."""
    names = np.char.add(windows.subjects, np.where(windows.split == "test", " test", ""))
    parts, part_of = np.unique(names, return_inverse=True)
    return part_of, np.stack([_whitening(np.flatnonzero(part_of == part), take) for part in range(len(parts))])


def _whitening(
    numbers: NDArray[np.int64], take: Callable[[NDArray[np.int64]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    total: NDArray[np.float64] | float = 0.0
    for start in range(0, len(numbers), _AT_ONCE):
        x_uv = take(numbers[start : start + _AT_ONCE]).astype(np.float64)
        total = total + np.einsum("nct,ndt->cd", x_uv, x_uv)
    power, axes = np.linalg.eigh(np.asarray(total) / len(numbers))
    whitening = axes @ np.diag(np.maximum(power, power[-1] * 1e-12) ** -0.5) @ axes.T
    centred: NDArray[np.float64] = whitening - whitening.mean(axis=0)
    return centred.astype(np.float32)
