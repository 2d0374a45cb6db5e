"""Ridge: classes told apart by least squares with a penalty, in closed form from products over windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dare_eeg.probing.classifiers.search import Candidate

_AT_ONCE = 4096
"""Rows whose products are taken together; they are added up in float64."""


@dataclass(frozen=True)
class Ridge:
    """A ridge regression of ±1 for each class, every class of equal weight; ``penalty`` is that of a window.

    So it is what scikit-learn's RidgeClassifier is with balanced classes and alpha = penalty × windows.
    """

    penalty: float

    def solve(self, sums: "_Sums") -> "RidgeFit":
        """Return the regression of what was summed."""
        from scipy.linalg import solve

        penalised = sums.gram + self.penalty * sums.windows * np.eye(len(sums.gram))
        slopes = solve(penalised, sums.moments, assume_a="pos", overwrite_a=True)
        slopes = slopes if sums.by_window is None else sums.by_window.T @ slopes
        return RidgeFit(sums.classes, slopes, sums.mean_target - sums.mean @ slopes)


@dataclass(frozen=True)
class RidgeFit:
    """Scores of classes, linear in a window's numbers: ``slopes`` (numbers, classes), ``offsets`` (classes,)."""

    classes_: NDArray[np.int64]
    slopes: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def predict_proba(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the softmax of the scores: they rank as scores do, and are not calibrated."""
        from scipy.special import softmax

        return np.asarray(softmax(self._scores(rows), axis=1))

    def _scores(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(rows @ self.slopes.astype(rows.dtype) + self.offsets, np.float64)


@dataclass(frozen=True)
class _Sums:
    """What the normal equations ask of weighed windows: the Gram matrix about the mean, and products with targets.

    Where there are fewer windows than numbers the equations are those of windows, ``by_window`` (windows, numbers):
    their products with each other, and their targets; the same slopes come of fewer equations.
    """

    classes: NDArray[np.int64]
    windows: int
    mean: NDArray[np.float64]
    mean_target: NDArray[np.float64]
    gram: NDArray[np.float64]
    moments: NDArray[np.float64]
    by_window: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, rows: NDArray[np.floating], labels: NDArray[np.int64]) -> "_Sums":
        """Return the sums of rows, which are not copied; every class has the same weight."""
        classes, of_class, counts = np.unique(labels, return_inverse=True, return_counts=True)
        weights = len(labels) / (len(classes) * counts[of_class])
        targets = np.where(of_class[:, None] == np.arange(len(classes)), 1.0, -1.0)
        mean_target = np.asarray(np.average(targets, axis=0, weights=weights))
        columns = rows.shape[1]
        if len(rows) < columns:
            root, mean = np.sqrt(weights)[:, None], np.asarray(np.average(rows, axis=0, weights=weights))
            by_window = (rows - mean) * root
            gram, moments = by_window @ by_window.T, (targets - mean_target) * root
            return cls(classes, len(labels), mean, mean_target, gram, moments, by_window)
        gram, moments, total = np.zeros((columns, columns)), np.zeros((columns, len(classes))), np.zeros(columns)
        for start in range(0, len(rows), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            root = np.sqrt(weights[some])[:, None]
            weighed = rows[some] * root.astype(rows.dtype)
            gram += weighed.T @ weighed
            moments += weighed.T @ ((targets[some] - mean_target) * root).astype(rows.dtype)
            total += (weighed * root).sum(axis=0)
        mean = total / len(labels)
        return cls(classes, len(labels), mean, mean_target, gram - len(labels) * np.outer(mean, mean), moments)


def fit_together(candidates: Sequence[Candidate], rows: NDArray[Any], labels: NDArray[np.int64]) -> list[RidgeFit]:
    """Return the fits of several `Ridge` on the same windows, over which the sums are taken once."""
    sums = _Sums.of(rows, labels)
    return [candidate.make().solve(sums) for candidate in candidates]
