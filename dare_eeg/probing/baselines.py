"""Baselines: the ladder that an encoder has to beat, each on the very windows and folds of the encoder."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.probing import trained_baselines
from dare_eeg.probing.classifiers.forest import Forest
from dare_eeg.probing.classifiers.representations import (
    Seen,
    band_power,
    covariances,
    in_every_window,
    riemannian_mean,
)
from dare_eeg.probing.classifiers.search import Candidate, Classifying, Family, Numbers
from dare_eeg.probing.fit import Fitter, Progress, Restorer
from dare_eeg.probing.modes.linear import Standardised, logistic
from dare_eeg.probing.options import Baseline, ClassicalBaseline, ProbeOptions, is_trained_baseline
from dare_eeg.running.ranks import ALONE, Ranks
from manifests.errors import MissingError, RefusedError

_WHOLE_HZ = ((1.0, 45.0),)
_FILTER_BANK_HZ = ((4.0, 8.0), (8.0, 13.0), (13.0, 30.0))
_MOTOR_HZ = ((8.0, 30.0),)
_LEAVES = (1, 2, 4, 8, 16, 32)
_COMPONENTS = (1, 2, 3, 4, 6, 8)


@dataclass(frozen=True)
class _Method:
    """What a method sees of some electrodes of windows, by place, and what is chosen among.

    There are as many candidates as for an encoder's features.
    """

    see: Callable[[AnyWindows, list[int], Progress], NDArray[Any]]
    family: Callable[[], Family]


def fitter(name: Baseline, windows: Windows, options: ProbeOptions, ranks: Ranks = ALONE) -> Fitter:
    """Return what fits a fold by a baseline; what it sees of the windows is computed by the first fit.

    ``ranks`` train a network together. Raises RefusedError where there is no such choice or the baseline is for two
    classes, MissingError where pyriemann, or of networks braindecode, is not installed.
    """
    if is_trained_baseline(name):
        return trained_baselines.fitter(name, windows, options, ranks)
    if name == "csp-lda" and len(windows.classes) != 2:
        reason = f"tells two classes apart, and there are {len(windows.classes)}"
        raise RefusedError(reason, path=name, remedy="leave it out: --baselines takes names by commas")
    return _classifying(name, electrodes_used(name, windows), options).on(windows)


def restorer(name: Baseline, windows: AnyWindows, electrodes: list[int], settled: ProbeOptions) -> Restorer:
    """Return what makes again what a fit that used ``electrodes``, by place, left, of windows like these."""
    if is_trained_baseline(name):
        return trained_baselines.restorer(name, windows, settled)
    return partial(_classifying(name, electrodes, settled).restored, num_classes=len(windows.classes))


def electrodes_used(name: Baseline, windows: AnyWindows) -> list[int]:
    """Return the places of the electrodes that a baseline uses: a covariance is of those that every window has."""
    return in_every_window(windows) if name in OF_COVARIANCES else list(range(len(windows.electrodes)))


def electrodes_left_out(name: Baseline, windows: AnyWindows) -> tuple[str, ...]:
    """Return the electrodes that a baseline does not use."""
    used = electrodes_used(name, windows)
    return tuple(electrode for place, electrode in enumerate(windows.electrodes) if place not in used)


def _classifying(name: ClassicalBaseline, electrodes: list[int], options: ProbeOptions) -> Classifying:
    method, centre = _METHODS[name], options.centre == "subject"
    return Classifying(method.family, Seen(lambda windows, told: method.see(windows, electrodes, told), centre))


class _Imputed:
    """Rows with a column's mean in the place of electrodes that a window lacks, then standardised if so wished."""

    def __init__(self, is_standardised: bool) -> None:
        self._standardised = Standardised() if is_standardised else None

    def fit_transform(self, rows: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[Any]:
        is_there = ~np.isnan(rows)
        sums = np.where(is_there, rows, 0).sum(axis=0, dtype=np.float64)
        self._means = sums / np.maximum(is_there.sum(axis=0), 1)
        filled = self._filled(rows)
        return filled if self._standardised is None else self._standardised.fit_transform(filled, labels)

    def transform(self, rows: NDArray[Any]) -> NDArray[Any]:
        filled = self._filled(rows)
        return filled if self._standardised is None else self._standardised.transform(filled)

    def numbers(self) -> Numbers:
        further = {} if self._standardised is None else self._standardised.numbers()
        return {"imputed": self._means} | further

    def restore(self, numbers: Numbers) -> None:
        self._means = numbers["imputed"]
        if self._standardised is not None:
            self._standardised.restore(numbers)

    def _filled(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.where(np.isnan(rows), self._means.astype(rows.dtype), rows)


class _AsTheyAre:
    """Rows as they are."""

    def fit_transform(self, rows: NDArray[Any], _labels: NDArray[np.int64]) -> NDArray[Any]:
        return rows

    def transform(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows

    def numbers(self) -> Numbers:
        return {}

    def restore(self, _numbers: Numbers) -> None:
        pass


class _Tangent:
    """Covariances, windows × bands × electrodes × electrodes, in the tangent space at the mean of those fitted on."""

    def __init__(self) -> None:
        self._standardised = Standardised()

    def fit_transform(self, covariances: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[Any]:
        _tangent_space()
        self._means = np.stack([riemannian_mean(covariances[:, band]) for band in range(covariances.shape[1])])
        return self._standardised.fit_transform(self._mapped(covariances), labels)

    def transform(self, covariances: NDArray[Any]) -> NDArray[Any]:
        return self._standardised.transform(self._mapped(covariances))

    def numbers(self) -> Numbers:
        return {"means": self._means} | self._standardised.numbers()

    def restore(self, numbers: Numbers) -> None:
        self._means = numbers["means"]
        self._standardised.restore(numbers)

    def _mapped(self, covariances: NDArray[Any]) -> NDArray[np.float64]:
        parts = []
        for band, mean in enumerate(self._means):
            space = _tangent_space()
            space.reference_ = mean
            parts.append(space.transform(covariances[:, band]))
        return np.hstack(parts)


class _CommonSpatialPatterns:
    """Covariances of one band as log variances of spatial filters, those that tell most of the classes first."""

    def fit_transform(self, covariances: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[Any]:
        from pyriemann.spatialfilters import CSP

        most = min(max(_COMPONENTS), covariances.shape[-1])
        self._filters = CSP(nfilter=most, metric="euclid").fit(covariances[:, 0], labels).filters_
        return self.transform(covariances)

    def transform(self, covariances: NDArray[Any]) -> NDArray[Any]:
        variances = np.einsum("nfc,fc->nf", self._filters @ covariances[:, 0], self._filters)
        return np.asarray(np.log(variances))

    def numbers(self) -> Numbers:
        return {"filters": self._filters}

    def restore(self, numbers: Numbers) -> None:
        self._filters = numbers["filters"]


class _Prior:
    """The share of each class, whatever the row."""

    def fit(self, _rows: NDArray[Any], labels: NDArray[np.int64]) -> "_Prior":
        self.classes_, counts = np.unique(labels, return_counts=True)
        self.shares = counts / len(labels)
        return self

    def predict_proba(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        return np.tile(self.shares, (len(rows), 1))


class _FirstColumns:
    """A linear discriminant analysis of the first columns."""

    def __init__(self, count: int) -> None:
        self._count = count

    @classmethod
    def of(cls, numbers: Numbers) -> "_FirstColumns":
        """Return one that was fitted."""
        made = cls(numbers["coef_"].shape[1])
        made.classes_, made.coef_, made.intercept_ = (numbers[name] for name in ("classes_", "coef_", "intercept_"))
        return made

    def fit(self, rows: NDArray[np.float64], labels: NDArray[np.int64]) -> "_FirstColumns":
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        model = LinearDiscriminantAnalysis().fit(rows[:, : self._count], labels)
        self.classes_, self.coef_, self.intercept_ = model.classes_, model.coef_, model.intercept_
        return self

    def predict_proba(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.special import expit

        second = expit((rows[:, : self._count] @ self.coef_.T + self.intercept_)[:, 0])
        return np.stack([1 - second, second], axis=1)


def _majority() -> Family:
    return Family(_AsTheyAre, [Candidate({}, _Prior)], ("classes_", "shares"), _with(_Prior))


def _forest() -> Family:
    candidates = [Candidate({"min_samples_leaf": leaf}, partial(Forest, leaf)) for leaf in _LEAVES]
    kept = ("classes_", "roots", "left", "right", "feature", "threshold", "shares")
    return Family(partial(_Imputed, False), candidates, kept, _with(Forest))


def _csp() -> Family:
    _tangent_space()
    candidates = [Candidate({"components": count}, partial(_FirstColumns, count)) for count in _COMPONENTS]
    kept = ("classes_", "coef_", "intercept_")
    return Family(_CommonSpatialPatterns, candidates, kept, _FirstColumns.of)


def _with(make: Callable[[], Any]) -> Callable[[Numbers], Any]:
    """Return what makes something and gives it attributes."""

    def restore(numbers: Numbers) -> Any:
        made = make()
        for name, value in numbers.items():
            setattr(made, name, value)
        return made

    return restore


def _tangent_space() -> Any:
    """Return a tangent space of pyriemann's, not fitted; MissingError where it is not installed."""
    try:
        from pyriemann.tangentspace import TangentSpace
    except ImportError:
        remedy = (
            "pip install 'dare-eeg[baselines]', or name the baselines without: --baselines majority,band-power-forest"
        )
        raise MissingError("pyriemann is not installed", path="--baselines", remedy=remedy) from None
    return TangentSpace(metric="riemann")


def _nothing(windows: AnyWindows, _electrodes: list[int], _progress: Progress) -> NDArray[np.float32]:
    return np.zeros((len(windows), 1), np.float32)


def _powers(windows: AnyWindows, _electrodes: list[int], progress: Progress) -> NDArray[np.float32]:
    return band_power(windows, progress)


def _of(bands_hz: tuple[tuple[float, float], ...]) -> Callable[[AnyWindows, list[int], Progress], NDArray[Any]]:
    return lambda windows, electrodes, progress: covariances(windows, bands_hz, electrodes, progress)


_METHODS: dict[ClassicalBaseline, _Method] = {
    "majority": _Method(_nothing, _majority),
    "band-power-logistic": _Method(_powers, partial(logistic, partial(_Imputed, True))),
    "band-power-forest": _Method(_powers, _forest),
    "tangent-space": _Method(_of(_WHOLE_HZ), partial(logistic, _Tangent)),
    "filter-bank-tangent-space": _Method(_of(_FILTER_BANK_HZ), partial(logistic, _Tangent)),
    "csp-lda": _Method(_of(_MOTOR_HZ), _csp),
}
OF_COVARIANCES: frozenset[Baseline] = frozenset({"tangent-space", "filter-bank-tangent-space", "csp-lda"})
"""Those that want every electrode which they were fitted on."""
