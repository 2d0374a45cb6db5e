"""Interpolation: electrodes that are not there, for methods that know of no absent ones, from those that are."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.windows import AnyWindows, View
from manifests.electrodes import derivation
from manifests.positions import positions

_NEAREST_M = 1e-3


class InterpolatedView(View):
    """All of some windows, with every electrode: those that a window lacks are interpolated."""

    def __init__(self, of: AnyWindows) -> None:
        super().__init__(of, np.arange(len(of)))
        self._there, self.present = self.present, np.ones_like(self.present)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return windows by number: µV, float32, windows × electrodes × samples."""
        return interpolated(super().take(numbers), self._there[numbers], self.electrodes)


def interpolated(x_uv: NDArray[np.float32], there: NDArray[np.bool_], electrodes: Sequence[str]) -> NDArray[np.float32]:
    """Return windows (n, C, T) with each electrode that is not ``there`` (n, C) as the mean of those that are.

    The mean is weighed by 1 / distance² on the head (Shepard 1968); a derivation lies midway between its two
    electrodes, and where the place of one is not known all weigh alike. Windows without any electrode stay as they are.
    """
    closeness = _closeness(tuple(electrodes))
    filled = x_uv.copy()
    for kind in np.unique(there, axis=0):
        if kind.all() or not kind.any():
            continue
        of_kind = np.flatnonzero((there == kind).all(axis=1))
        weights = closeness[np.ix_(~kind, kind)]
        weights = weights / weights.sum(axis=1, keepdims=True)
        filled[np.ix_(of_kind, ~kind)] = weights.astype(np.float32) @ x_uv[np.ix_(of_kind, kind)]
    return filled


@cache
def _closeness(electrodes: tuple[str, ...]) -> NDArray[np.float64]:
    """Return 1 / distance² between electrodes, 1 where it is not known."""
    places = np.array([positions(derivation(name) or (name,)).mean(axis=0) for name in electrodes])
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    return np.where(np.isnan(distances), 1.0, np.maximum(distances, _NEAREST_M) ** -2.0)
