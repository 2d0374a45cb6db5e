"""Search: of a few classifiers the one that does best on training subjects held out, fitted again on all of them."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.probing.classifiers.representations import Seen
from dare_eeg.probing.figures.metrics import balanced_accuracy
from dare_eeg.probing.fit import FoldFit, Progress
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


Numbers = dict[str, NDArray[Any]]
"""What a transformer or a classifier consists of once it is fitted, by name."""


class Transformer(Protocol):
    """What rows go through before the classifier, fitted on the same rows, which it may change in place."""

    def fit_transform(self, rows: NDArray[Any], labels: NDArray[np.int64], /) -> NDArray[Any]:
        """Fit it on rows that nobody else has and return them transformed."""

    def transform(self, rows: NDArray[Any], /) -> NDArray[Any]:
        """Return other rows, which nobody else has, transformed."""

    def numbers(self) -> Numbers:
        """Return what it consists of."""

    def restore(self, numbers: Numbers, /) -> None:
        """Be what these numbers were taken of."""


@dataclass(frozen=True)
class Family:
    """Candidates, how they are fitted, and what makes the transformer that is fitted before, on the same windows.

    ``kept`` are the attributes that a fitted classifier consists of, and ``restore`` makes one of them.
    """

    transformer: Callable[[], Transformer]
    candidates: Sequence[Candidate]
    kept: tuple[str, ...]
    restore: Callable[[Numbers], Any]
    fit: Callable[[Sequence[Candidate], NDArray[Any], NDArray[np.int64]], list[Any]] = fit_each


@dataclass(frozen=True)
class FittedClassifier:
    """A transformer and a classifier as they were fitted, and what is seen of the windows that they are asked of."""

    transformer: Transformer
    classifier: Any
    num_classes: int
    kept: tuple[str, ...]
    seen: Seen | None = None

    def told(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return probabilities (n, classes) of what is seen of windows; the rows may be changed."""
        return _probabilities(self.classifier, self.transformer.transform(rows), self.num_classes)

    def predict(self, windows: AnyWindows, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return probabilities (n, classes) of windows by number."""
        assert self.seen is not None
        return self.told(self.seen.of(windows)[numbers])

    def tensors(self) -> dict[str, Tensor]:
        """Return the numbers it consists of."""
        parts = {f"transformer.{name}": part for name, part in self.transformer.numbers().items()}
        parts |= {f"classifier.{name}": np.asarray(getattr(self.classifier, name)) for name in self.kept}
        return {name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in parts.items()}


@dataclass(frozen=True)
class Classifying:
    """A family by what is seen of windows: it fits folds of some, and restores what was fitted once."""

    family: Callable[[], Family]
    seen: Seen
    judge: Judge = "inner folds"

    def on(self, windows: Windows) -> "ClassifierFitter":
        """Return what fits folds of these windows."""
        return ClassifierFitter(self, windows)

    def restored(self, tensors: Mapping[str, Tensor], num_classes: int) -> FittedClassifier:
        """Return what left these tensors; KeyError where one is missing."""
        family = self.family()
        parts: dict[str, Numbers] = {"transformer": {}, "classifier": {}}
        for name, tensor in tensors.items():
            of, _, attribute = name.partition(".")
            parts[of][attribute] = tensor.numpy()
        transformer = family.transformer()
        transformer.restore(parts["transformer"])
        classifier = family.restore({name: parts["classifier"][name] for name in family.kept})
        return FittedClassifier(transformer, classifier, num_classes, family.kept, self.seen)


@dataclass(frozen=True)
class ClassifierFitter:
    """What fits a fold of some windows; what is seen of them is computed by the first fit. No seed changes it."""

    how: Classifying
    windows: Windows

    def __call__(self, fold: Fold, _seed: int, progress: Progress) -> FoldFit:
        """Return the best of the family on a fold."""
        table = self.how.seen.of(self.windows, progress)
        return fit_best(self.how.family(), table, self.windows, fold, self.how.judge, self.how.seen)


def fit_best(
    family: Family,
    table: NDArray[Any],
    windows: Windows,
    fold: Fold,
    judge: Judge = "inner folds",
    seen: Seen | None = None,
) -> FoldFit:
    """Return what the best candidate by balanced accuracy says of the tested windows; rows of ``table`` are windows.

    By ``inner folds`` it is fitted on all of train and valid in the end, by ``valid`` on train alone. Of equals the
    first is taken, as where too few windows are there to judge by; where there are no inner folds valid judges. Labels
    of tested windows are not looked at. What is selected says of a classifier that did not converge ``unconverged``.
    """
    labels, num_classes = fold.labels(windows), len(windows.classes)
    candidates, best, chosen = family.candidates, 0, {}
    rows = fold.train if judge == "valid" else np.sort(np.concatenate([fold.train, fold.valid]))
    parts = _inner_folds(rows, labels, windows) if judge == "inner folds" else []
    if not parts and (judge == "valid" or _is_enough(labels[fold.train])):
        judge, parts = "valid", [(fold.train, fold.valid)]
    if len(candidates) > 1 and parts:
        told = [_told(family, candidates, table, labels, part, num_classes) for part in parts]
        judged_on = labels[np.concatenate([held_out for _, held_out in parts])]
        of_candidates = [np.concatenate(of_one) for of_one in zip(*told, strict=True)]
        figures = [balanced_accuracy(judged_on, probabilities) for probabilities in of_candidates]
        best = int(np.argmax(figures))
        chosen = {f"{judge.replace(' ', '_')}_balanced_accuracy": figures[best]}
    transformer, (classifier,), is_converged = _fitted(family, [candidates[best]], table[rows], labels[rows])
    model = FittedClassifier(transformer, classifier, num_classes, family.kept, seen)
    selected = candidates[best].figures | chosen | {"candidates": len(candidates)}
    selected |= {} if is_converged else {"unconverged": 1}
    return FoldFit(model.told(table[fold.test]), selected, model=model)


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
    return [(rows[fitted], rows[held_out]) for fitted, held_out in parts if _is_enough(labels[rows[fitted]])]


def _is_enough(labels: NDArray[np.int64]) -> bool:
    """Return whether windows of these classes can be fitted on: of two at least, and not of one window each."""
    return 1 < len(set(labels.tolist())) < len(labels)


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
    transformer, models, _ = _fitted(family, candidates, table[fitted_on], labels[fitted_on])
    rows = transformer.transform(table[asked])
    return [_probabilities(model, rows, num_classes) for model in models]


def _fitted(
    family: Family, candidates: Sequence[Candidate], rows: NDArray[Any], labels: NDArray[np.int64]
) -> tuple[Transformer, list[Any], bool]:
    """Return the transformer and, by candidate, the classifier, both fitted on rows that nobody else has.

    And whether all have converged, of which scikit-learn warns otherwise.
    """
    from sklearn.exceptions import ConvergenceWarning

    transformer = family.transformer()
    ready = transformer.fit_transform(rows, labels)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        models = family.fit(candidates, ready, labels)
    others = [one for one in caught if not issubclass(one.category, ConvergenceWarning)]
    for one in others:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return transformer, models, len(others) == len(caught)


def _probabilities(classifier: Any, rows: NDArray[Any], num_classes: int) -> NDArray[np.float64]:
    """Return probabilities (n, classes) of transformed rows; those of classes that it was not fitted on are 0."""
    told = np.zeros((len(rows), num_classes))
    told[:, classifier.classes_] = classifier.predict_proba(rows)
    return told
