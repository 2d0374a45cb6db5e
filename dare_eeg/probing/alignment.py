"""Alignment: windows whitened by the mean covariance of their session, as the published recipe of BCIC-2b has it."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from manifests.manifest import Manifest

_AT_ONCE = 64


class AlignedWindows(Windows):
    """Windows after Euclidean alignment (He & Wu 2020) and then an average reference, both as published.

    Every subject's test part, and all else of the subject, is whitened by the inverse root of the mean of X Xᵀ over
    its own windows, not divided by their length: it sees the tested windows, though not their labels.
    """

    def __init__(self, folder: Path, manifest: Manifest, splits: Collection[str]) -> None:
        super().__init__(folder, manifest, splits)
        names = np.char.add(self.subjects, np.where(self.split == "test", " test", ""))
        parts, self._part = np.unique(names, return_inverse=True)
        self._maps = np.stack([self._map(np.flatnonzero(self._part == part)) for part in range(len(parts))])

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return windows by number, aligned: float32, windows × electrodes × samples, without unit."""
        aligned: NDArray[np.float32] = self._maps[self._part[numbers]] @ super().take(numbers)
        return aligned

    def _map(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what whitens the windows of a part and takes off their mean over electrodes."""
        total = np.zeros((self.shape[0],) * 2)
        for start in range(0, len(numbers), _AT_ONCE):
            x_uv = super().take(numbers[start : start + _AT_ONCE]).astype(np.float64)
            total += np.einsum("nct,ndt->cd", x_uv, x_uv)
        power, axes = np.linalg.eigh(total / len(numbers))
        whitening = axes @ np.diag(np.maximum(power, power[-1] * 1e-12) ** -0.5) @ axes.T
        centred: NDArray[np.float64] = whitening - whitening.mean(axis=0)
        return centred.astype(np.float32)
