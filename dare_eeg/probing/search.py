"""Search: of a few classifiers the one that does best on training subjects held out, fitted again on all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.probing.fit import FoldFit
from dare_eeg.probing.metrics import scores
from dare_eeg.probing.splits import Fold

_MOST_INNER_FOLDS = 5

Judge = Literal["inner folds", "valid"]
"""What chooses among candidates: folds of the subjects of train and valid together, or valid alone."""


@dataclass(frozen=True)
class Candidate:
    """A classifier that might be taken: by which figures it differs from the others, and what makes it, not fitted.

    It has ``fit``, ``predict_proba`` and ``classes_`` as scikit-learn's have.
    """

    figures: dict[str, int | float]
    make: Callable[[], Any]


def fit_best(
    candidates: Sequence[Candidate], table: NDArray[Any], windows: Windows, fold: Fold, judge: Judge = "inner folds"
) -> FoldFit:
    """Return what the best candidate by balanced accuracy says of the tested windows; rows of ``table`` are windows.

    By ``inner folds`` it is fitted on all of train and valid in the end, by ``valid`` on train alone. Of equals the
    first is taken. Labels of tested windows are not looked at.
    """
    labels = windows.labels.astype(np.int64)
    num_classes = len(windows.classes)
    if judge == "valid":
        rows, parts = fold.train, [(fold.train, fold.valid)]
    else:
        rows = np.sort(np.concatenate([fold.train, fold.valid]))
        parts = _inner_folds(rows, labels, windows)
    judged_on = np.concatenate([held_out for _, held_out in parts])
    figures = [
        scores(
            labels[judged_on],
            np.concatenate([_told(one.make(), table, labels, fitted, out, num_classes) for fitted, out in parts]),
        )["balanced_accuracy"]
        for one in (candidates if len(candidates) > 1 else [])
    ]
    best = int(np.argmax(figures)) if figures else 0
    chosen: dict[str, int | float] = {**candidates[best].figures, "candidates": len(candidates)}
    if figures:
        chosen[f"{judge.replace(' ', '_')}_balanced_accuracy"] = figures[best]
    probabilities = _told(candidates[best].make(), table, labels, rows, fold.test, num_classes)
    return FoldFit(probabilities, chosen)


def _inner_folds(
    rows: NDArray[np.int64], labels: NDArray[np.int64], windows: Windows
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return (fitted on, held out) of folds by subject, by recording where there is one subject."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups = windows.subjects[rows]
    if len(set(groups.tolist())) == 1:
        groups = windows.recordings[rows]
    num_folds = min(_MOST_INNER_FOLDS, len(set(groups.tolist())))
    parts = StratifiedGroupKFold(num_folds).split(rows, labels[rows], groups)
    return [(rows[fitted], rows[held_out]) for fitted, held_out in parts if len(set(labels[rows[fitted]].tolist())) > 1]


def _told(
    model: Any,
    table: NDArray[Any],
    labels: NDArray[np.int64],
    fitted_on: NDArray[np.int64],
    asked: NDArray[np.int64],
    num_classes: int,
) -> NDArray[np.float64]:
    """Return the probabilities of windows (n, classes) by a model that is fitted on others."""
    model.fit(table[fitted_on], labels[fitted_on])
    told = np.zeros((len(asked), num_classes))
    told[:, model.classes_] = model.predict_proba(table[asked])
    return told
