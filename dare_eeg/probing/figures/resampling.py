"""Resampling: every metric of a fit for many draws of its subjects at once, as sums of what each subject adds."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 1 << 22  # numbers, draws × windows, that ranks are taken of together


def resampled_scores(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    subjects: NDArray[np.str_],
    drawn: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics that `metrics.scores` has, (draws,), of subjects drawn so many times each, (draws, subjects).

    Subjects count in the order of their names. NaN where a draw misses a class that the labels hold.
    """
    names, of_subject = np.unique(subjects, return_inverse=True)
    num_classes = probabilities.shape[1]
    confusions = np.zeros((len(names), num_classes, num_classes))
    np.add.at(confusions, (of_subject, labels, probabilities.argmax(axis=1)), 1.0)
    found = _of_the_likeliest(np.tensordot(drawn.astype(np.float64), confusions, axes=1), np.unique(labels))
    ranked = [1] if num_classes == 2 else list(range(num_classes))
    truths = [labels == number for number in ranked]
    if len(np.unique(labels)) < num_classes:
        nothing = np.full(len(drawn), np.nan)
        return found | {"auroc": nothing, "auc_pr": nothing}
    pairs = [
        _ranks(truth, probabilities[:, number], of_subject, drawn) for number, truth in zip(ranked, truths, strict=True)
    ]
    auroc, auc_pr = np.mean(pairs, axis=0)
    return found | {"auroc": auroc, "auc_pr": auc_pr}


def _of_the_likeliest(confusions: NDArray[np.float64], there: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of confusion matrices (draws, true, predicted), of which the classes ``there`` count."""
    right = np.einsum("dkk->dk", confusions)
    true, guessed, total = confusions.sum(axis=2), confusions.sum(axis=1), confusions.sum(axis=(1, 2))
    whole = (true[:, there] > 0).all(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = right.sum(axis=1) / total
        chance = (true * guessed).sum(axis=1) / total**2
        f1 = np.where(true + guessed > 0, 2 * right / (true + guessed), 0.0)
        metrics = {
            "balanced_accuracy": (right[:, there] / true[:, there]).mean(axis=1),
            "accuracy": accuracy,
            "kappa": (accuracy - chance) / (1 - chance),
            "weighted_f1": (f1 * true).sum(axis=1) / total,
        }
    return {name: np.where(whole, values, np.nan) for name, values in metrics.items()}


def _ranks(
    positive: NDArray[np.bool_], score: NDArray[np.float64], of_subject: NDArray[np.int64], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return area under the curve of (receiver operating, precision over recall), (2, draws), of a class's scores.

    Ties count half in the first and are one threshold in the second, as in scikit-learn.
    """
    order = np.argsort(-score, kind="stable")
    lasts = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    positive, of_subject = positive[order], of_subject[order]
    parts = [
        _areas(np.cumsum(weights * positive, axis=1)[:, lasts], np.cumsum(weights * ~positive, axis=1)[:, lasts])
        for weights in (part[:, of_subject] for part in _in_parts(drawn, len(score)))
    ]
    return np.concatenate([np.zeros((2, 0)), *parts], axis=1)


def _in_parts(drawn: NDArray[np.int64], num_windows: int) -> Iterator[NDArray[np.float64]]:
    step = max(1, _AT_ONCE // max(1, num_windows))
    for start in range(0, len(drawn), step):
        yield drawn[start : start + step].astype(np.float64)


def _areas(hits: NDArray[np.float64], alarms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return both areas, (2, draws), of the positives and negatives at or above each threshold, (draws, thresholds)."""
    added, negatives = np.diff(hits, axis=1, prepend=0.0), np.diff(alarms, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        auroc = (negatives * (hits - added / 2)).sum(axis=1) / (hits[:, -1] * alarms[:, -1])
        precision = np.where(hits > 0, hits / (hits + alarms), 0.0)
        auc_pr = (added * precision).sum(axis=1) / hits[:, -1]
    missing = (hits[:, -1] == 0) | (alarms[:, -1] == 0)
    return np.where(missing, np.nan, [auroc, auc_pr])
