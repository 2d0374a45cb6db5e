"""Metrics: what predictions are worth, by window and by recording, with intervals over subjects."""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from dare_eeg.probing.figures.resampling import resampled_scores
from manifests import keyed

NUM_RESAMPLES = 500
"""Draws of subjects behind an interval, where nobody says how many."""

Scores = dict[str, float]

NAMES = ("balanced_accuracy", "accuracy", "auroc", "auc_pr", "kappa", "weighted_f1")
LEVELS = ("window", "recording")


class Scored(NamedTuple):
    """Labels (n,), probabilities (n, classes) and subjects (n,) of windows or recordings that a fit was tested on."""

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    subjects: NDArray[np.str_]


def balanced_accuracy(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Return the mean recall of the classes that the labels hold, by the likeliest class."""
    is_right = probabilities.argmax(axis=1) == labels
    return float(np.mean([is_right[labels == label].mean() for label in np.unique(labels)]))


def scores(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> Scores:
    """Return each metric of predictions: labels (n,), probabilities (n, classes).

    Balanced accuracy, Cohen's kappa and weighted F1 are of the likeliest class. AUROC and AUC-PR (average precision)
    are of the second class where there are two, else means over classes, one against the rest; NaN where a class is
    missing.
    """
    predicted = probabilities.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "balanced_accuracy": balanced_accuracy(labels, probabilities),
            "accuracy": float(sk.accuracy_score(labels, predicted)),
            "auroc": _ranked(labels, probabilities, sk.roc_auc_score),
            "auc_pr": _ranked(labels, probabilities, sk.average_precision_score),
            "kappa": float(sk.cohen_kappa_score(labels, predicted)),
            "weighted_f1": float(sk.f1_score(labels, predicted, average="weighted")),
        }


def interval(fits: Sequence[Scored], resamples: int = NUM_RESAMPLES) -> dict[str, tuple[float, float] | None]:
    """Return the 95 % interval of the mean of each metric over fits, over subjects drawn with replacement (bootstrap).

    Windows of one subject are not independent, so whole subjects are drawn, the same in every fit; a draw that misses a
    class is not counted. None where there are fewer than two subjects.
    """
    names = sorted({name for fit in fits for name in fit.subjects.tolist()})
    drawn = np.zeros((resamples if len(names) > 1 else 0, len(names)), np.int64)
    for resample, counts in enumerate(drawn):
        chosen = keyed.integers(keyed.key("bootstrap", resample), np.arange(len(names))) % np.uint64(len(names))
        counts[:] = np.bincount(chosen.astype(np.int64), minlength=len(names))
    of_fits = [resampled_scores(*fit, drawn[:, np.isin(names, fit.subjects)]) for fit in fits]
    return {name: _percentiles(np.mean([one[name] for one in of_fits], axis=0)) for name in of_fits[0]}


def by_recording(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    subjects: NDArray[np.str_],
    recordings: NDArray[np.str_],
) -> Scored | None:
    """Return recordings with the mean probabilities of their windows; None where one has windows of two classes."""
    names, first, inverse = np.unique(recordings, return_index=True, return_inverse=True)
    if (labels != labels[first][inverse]).any():
        return None
    sums = np.zeros((len(names), probabilities.shape[1]))
    np.add.at(sums, inverse, probabilities)
    return Scored(labels[first], sums / np.bincount(inverse)[:, None], subjects[first])


def _ranked(labels: NDArray[np.int64], probabilities: NDArray[np.float64], metric: Callable[..., float]) -> float:
    num_classes = probabilities.shape[1]
    if len(np.unique(labels)) < num_classes:
        return float("nan")
    if num_classes == 2:
        return float(metric(labels, probabilities[:, 1]))
    return float(np.mean([metric(labels == label, probabilities[:, label]) for label in range(num_classes)]))


def _percentiles(values: NDArray[np.float64]) -> tuple[float, float] | None:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)
