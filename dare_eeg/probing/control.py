"""Control: whether what was fitted on permuted labels is chance, as it should be."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.probing.fit import FoldFit
from dare_eeg.probing.results import Figure
from dare_eeg.probing.splits import Fold

_LEVEL = 0.05

Fits = Sequence[tuple[Fold, FoldFit]]
"""The folds of a repeat and what was fitted on each with a seed."""


def cautions(figure: Figure, windows: Windows, rounds: Sequence[Fits]) -> list[str]:
    """Return what is to be said of a balanced accuracy by permuted labels: nothing where it is chance.

    Its interval is over subjects, and one permutation gives a classifier that is better or worse than chance for all of
    them. So the fits, each of a permutation of its own, must agree, too, by a t test of what each adds beyond chance.
    """
    chance = 1 / len(set(windows.labels[_tested(rounds[0])].tolist()))
    if figure.ci95 is None or figure.ci95[0] <= chance <= figure.ci95[1]:
        return []
    beyond = [part for one in rounds for part in _beyond_chance(windows, one)]
    told = f"its labels were permuted, and its 95 % interval is without {chance:.3g}, which is chance"
    if len(beyond) < 2:
        return [f"{told}: a single permutation may do that, so ask for --repeats 5"]
    if not _differ_from_0(beyond):
        return []
    return [
        f"{told}: windows that are tested reach what is fitted, or subjects differ in how often they have each class; "
        "true labels profit from it, too"
    ]


def _tested(fits: Fits) -> NDArray[np.int64]:
    return np.concatenate([fold.test for fold, _ in fits])


def _beyond_chance(windows: Windows, fits: Fits) -> list[float]:
    """Return what each fit adds to the balanced accuracy of all above the share that chance would add."""
    counts = np.bincount(windows.labels[_tested(fits)], minlength=len(windows.classes))
    num_classes = np.count_nonzero(counts)
    found = []
    for fold, fit in fits:
        labels = windows.labels[fold.test]
        right = fit.probabilities.argmax(axis=1) == labels
        found.append(float(((right - 1 / num_classes) / (num_classes * counts[labels])).sum()))
    return found


def _differ_from_0(values: list[float]) -> bool:
    from scipy.stats import t

    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    return bool(abs(mean) > t.ppf(1 - _LEVEL / 2, len(values) - 1) * error + 1e-12)
