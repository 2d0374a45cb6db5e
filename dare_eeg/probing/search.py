"""Search: of a few classifiers the one that does best on training subjects held out, fitted again on all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.probing.fit import FoldFit
from dare_eeg.probing.metrics import balanced_accuracy
from dare_eeg.probing.splits import Fold

_MOST_INNER_FOLDS = 5

Judge = Literal["inner folds", "valid"]
"""What chooses among candidates: folds of the subjects of train and valid together, or valid alone."""


@dataclass(frozen=True)
class Candidate:
    """A classifier that might be taken: by which figures it differs from the others, and what makes it, not fitted.

    Fitted, it has ``predict_proba`` and ``classes_`` as scikit-learn's have.
    """

    figures: dict[str, int | float]
    make: Callable[[], Any]


def fit_each(candidates: Sequence[Candidate], rows: NDArray[Any], labels: NDArray[np.int64]) -> list[Any]:
    """Return candidates fitted one after another."""
    return [candidate.make().fit(rows, labels) for candidate in candidates]


@dataclass(frozen=True)
class Family:
    """Candidates, how they are fitted, and what makes the transformer that is fitted before, on the same windows.

    The transformer is given rows that nobody else has, and may change them in place.
    """

    transformer: Callable[[], Any]
    candidates: Sequence[Candidate]
    fit: Callable[[Sequence[Candidate], NDArray[Any], NDArray[np.int64]], list[Any]] = fit_each


def fit_best(
    family: Family, table: NDArray[Any], windows: Windows, fold: Fold, judge: Judge = "inner folds"
) -> FoldFit:
    """Return what the best candidate by balanced accuracy says of the tested windows; rows of ``table`` are windows.

    By ``inner folds`` it is fitted on all of train and valid in the end, by ``valid`` on train alone. Of equals the
    first is taken, as where too few windows are there to judge by. Labels of tested windows are not looked at.
    """
    labels, num_classes = fold.labels(windows), len(windows.classes)
    candidates, best, chosen = family.candidates, 0, {}
    rows = fold.train if judge == "valid" else np.sort(np.concatenate([fold.train, fold.valid]))
    parts = [(fold.train, fold.valid)] if judge == "valid" else _inner_folds(rows, labels, windows)
    if len(candidates) > 1 and parts:
        told = [_told(family, candidates, table, labels, part, num_classes) for part in parts]
        judged_on = labels[np.concatenate([held_out for _, held_out in parts])]
        of_candidates = [np.concatenate(of_one) for of_one in zip(*told, strict=True)]
        figures = [balanced_accuracy(judged_on, probabilities) for probabilities in of_candidates]
        best = int(np.argmax(figures))
        chosen = {f"{judge.replace(' ', '_')}_balanced_accuracy": figures[best]}
    (probabilities,) = _told(family, [candidates[best]], table, labels, (rows, fold.test), num_classes)
    return FoldFit(probabilities, candidates[best].figures | chosen | {"candidates": len(candidates)})


def _inner_folds(
    rows: NDArray[np.int64], labels: NDArray[np.int64], windows: Windows
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return (fitted on, held out) of folds by subject, by recording where there is one subject.

    Those with too few windows to fit on are left out, so that of few shots there may be none.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    groups = windows.subjects[rows]
    if len(set(groups.tolist())) == 1:
        groups = windows.recordings[rows]
    num_folds = min(_MOST_INNER_FOLDS, len(set(groups.tolist())), int(np.bincount(labels[rows]).max()))
    if num_folds < 2:
        return []
    parts = StratifiedGroupKFold(num_folds).split(rows, labels[rows], groups)
    return [
        (rows[fitted], rows[held_out])
        for fitted, held_out in parts
        if 1 < len(set(labels[rows[fitted]].tolist())) < len(fitted)
    ]


def _told(
    family: Family,
    candidates: Sequence[Candidate],
    table: NDArray[Any],
    labels: NDArray[np.int64],
    part: tuple[NDArray[np.int64], NDArray[np.int64]],
    num_classes: int,
) -> list[NDArray[np.float64]]:
    """Return, by candidate, the probabilities (n, classes) of windows by what is fitted on others.

    ``part`` is (the windows to fit on, the windows to ask of).
    """
    fitted_on, asked = part
    prepare = family.transformer()
    fitted = prepare.fit_transform(table[fitted_on], labels[fitted_on])
    rows = prepare.transform(table[asked])
    found = []
    for model in family.fit(candidates, fitted, labels[fitted_on]):
        told = np.zeros((len(asked), num_classes))
        told[:, model.classes_] = model.predict_proba(rows)
        found.append(told)
    return found
