"""Statistics: whether two sets of predictions of the same windows differ, judged over subjects and not over windows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from manifests import keyed

MOST_EXACT = 13
"""Subjects up to which every flip of signs is tried, as in MOABB (Jayaram & Barachant 2018)."""

NUM_PERMUTATIONS = 10_000


@dataclass(frozen=True)
class PairedTest:
    """How two figures differ over subjects: by how much, the two-sided p, the effect size, of how many subjects.

    ``effect`` is the mean of the subjects' differences over their deviation (Cohen's d of pairs).
    """

    difference: float
    p: float
    effect: float
    subjects: int


def contributions(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], subjects: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Return what each subject, in the order of their names, adds to balanced accuracy, (subjects,): they sum to it.

    Of each window that is right, 1 / (classes × windows of its class).
    """
    _, of_subject = np.unique(subjects, return_inverse=True)
    classes, of_class, counts = np.unique(labels, return_inverse=True, return_counts=True)
    right = (labels == predicted) / (len(classes) * counts[of_class])
    return np.bincount(of_subject, right).astype(np.float64)


def sign_flips(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> PairedTest:
    """Return how the contributions of the same subjects differ: p by flipping the signs of the differences.

    Every flip is tried of up to `MOST_EXACT` subjects, and `NUM_PERMUTATIONS` keyed ones of more.
    """
    differences = ours - theirs
    count = len(differences)
    observed = abs(differences.sum())
    if count <= MOST_EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=count)))
        at_least, tried = _reaching(signs @ differences, observed), len(signs)
    else:
        bits = keyed.integers(keyed.key("sign flips"), np.arange(NUM_PERMUTATIONS * count)) >> np.uint64(63)
        signs = 1.0 - 2.0 * bits.reshape(NUM_PERMUTATIONS, count)
        at_least, tried = 1 + _reaching(signs @ differences, observed), 1 + NUM_PERMUTATIONS
    spread = float(differences.std(ddof=1)) if count > 1 else 0.0
    return PairedTest(
        difference=float(differences.sum()),
        p=at_least / tried,
        effect=float(differences.mean()) / spread if spread else 0.0,
        subjects=count,
    )


def p_of_folds(p: float) -> float:
    """Return a p by flipping signs as it is where the subjects train what each other is tested with.

    Their differences are then not independent: the variance of the sum is up to twice that of independent ones, by
    Nadeau & Bengio (2003) for folds, so the score that p stands for is divided by √2.
    """
    normal = NormalDist()
    return 2 * normal.cdf(normal.inv_cdf(min(max(p, 1e-16), 1.0) / 2) / math.sqrt(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for being several (Holm 1979), in the order they came in."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def stouffer(tests: Sequence[PairedTest]) -> float:
    """Return the two-sided p of one difference over several data sets, weighted by √subjects (Stouffer 1949)."""
    normal = NormalDist()
    scores = [math.copysign(-normal.inv_cdf(min(max(one.p, 1e-16), 1.0) / 2), one.difference) for one in tests]
    weights = [math.sqrt(one.subjects) for one in tests]
    combined = sum(score * weight for score, weight in zip(scores, weights, strict=True))
    return 2 * normal.cdf(-abs(combined) / math.sqrt(sum(weight**2 for weight in weights)))


def _reaching(flipped: NDArray[np.float64], observed: float) -> int:
    """Return how many sums are as far from 0 as the one observed, but for rounding."""
    return int(np.count_nonzero(np.abs(flipped) >= observed - 1e-12))
