"""Baselines: the ladder that an encoder has to beat, each on the very windows and folds of the encoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.probing import trained_baselines
from dare_eeg.probing.fit import Fitter, FoldFit, Progress
from dare_eeg.probing.modes.linear import logistic
from dare_eeg.probing.options import Baseline, ClassicalBaseline, ProbeOptions, is_trained_baseline
from dare_eeg.probing.representations import band_power, centred, covariances
from dare_eeg.probing.search import Candidate, Family, fit_best
from dare_eeg.probing.splits import Fold
from dare_eeg.running.ranks import ALONE, Ranks
from manifests.errors import MissingError, RefusedError

_WHOLE_HZ = ((1.0, 45.0),)
_FILTER_BANK_HZ = ((4.0, 8.0), (8.0, 13.0), (13.0, 30.0))
_MOTOR_HZ = ((8.0, 30.0),)
_TREES = 100
_LEAVES = (1, 2, 4, 8, 16, 32)
_COMPONENTS = (1, 2, 3, 4, 6, 8)


@dataclass(frozen=True)
class _Method:
    """What a method sees of the windows, and what is chosen among, as many candidates as for an encoder's features."""

    representation: Callable[[Windows, Progress], NDArray[Any]]
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
    method, table = _METHODS[name], None

    def fit(fold: Fold, _seed: int, progress: Progress) -> FoldFit:
        nonlocal table
        if table is None:
            table = method.representation(windows, progress)
            table = centred(table, windows.subjects) if options.centre == "subject" else table
        return fit_best(method.family(), table, windows, fold)

    return fit


def electrodes_left_out(name: Baseline, windows: Windows) -> tuple[str, ...]:
    """Return the electrodes that a baseline does not use: a covariance is of those that every window has."""
    if name not in _OF_COVARIANCES:
        return ()
    lacking = np.flatnonzero(~windows.present.all(axis=0)).tolist()
    return tuple(windows.electrodes[place] for place in lacking)


class _Tangent:
    """Covariances, windows × bands × electrodes × electrodes, in the tangent space at the mean of those fitted on."""

    def fit_transform(self, covariances: NDArray[np.floating], _labels: NDArray[np.int64]) -> NDArray[np.float64]:
        from sklearn.preprocessing import StandardScaler

        spaces = _riemannian().TangentSpace
        self._spaces = [spaces(metric="riemann").fit(covariances[:, band]) for band in range(covariances.shape[1])]
        self._scaler = StandardScaler()
        return np.asarray(self._scaler.fit_transform(self._mapped(covariances)))

    def transform(self, covariances: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(self._scaler.transform(self._mapped(covariances)))

    def _mapped(self, covariances: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.hstack([space.transform(covariances[:, band]) for band, space in enumerate(self._spaces)])


class _CommonSpatialPatterns:
    """Covariances of one band as log variances of spatial filters, those that tell most of the classes first."""

    def fit_transform(self, covariances: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        from pyriemann.spatialfilters import CSP

        most = min(max(_COMPONENTS), covariances.shape[-1])
        self._filters = CSP(nfilter=most, metric="euclid", log=True).fit(covariances[:, 0], labels)
        return self.transform(covariances)

    def transform(self, covariances: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(self._filters.transform(covariances[:, 0]))


class _FirstColumns:
    """A linear discriminant analysis of the first columns."""

    def __init__(self, count: int) -> None:
        self._count = count

    def fit(self, rows: NDArray[np.float64], labels: NDArray[np.int64]) -> "_FirstColumns":
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        self._model = LinearDiscriminantAnalysis().fit(rows[:, : self._count], labels)
        self.classes_ = self._model.classes_
        return self

    def predict_proba(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self._model.predict_proba(rows[:, : self._count]))


def _majority() -> Family:
    from sklearn.dummy import DummyClassifier
    from sklearn.preprocessing import FunctionTransformer

    return Family(FunctionTransformer, [Candidate({}, partial(DummyClassifier, strategy="prior"))])


def _imputed(*steps: Callable[[], Any]) -> Any:
    """Return a pipeline that puts a column's mean in the place of electrodes that a window lacks."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(SimpleImputer(keep_empty_features=True), *(step() for step in steps))


def _on_band_power() -> Family:
    from sklearn.preprocessing import StandardScaler

    return Family(partial(_imputed, StandardScaler), logistic().candidates)


def _forest() -> Family:
    from sklearn.ensemble import RandomForestClassifier

    forests = partial(RandomForestClassifier, _TREES, class_weight="balanced", random_state=0, n_jobs=-1)
    return Family(
        _imputed, [Candidate({"min_samples_leaf": leaf}, partial(forests, min_samples_leaf=leaf)) for leaf in _LEAVES]
    )


def _on_tangent() -> Family:
    return Family(_Tangent, logistic().candidates)


def _csp() -> Family:
    _riemannian()
    candidates: Sequence[Candidate] = [
        Candidate({"components": count}, partial(_FirstColumns, count)) for count in _COMPONENTS
    ]
    return Family(_CommonSpatialPatterns, candidates)


def _riemannian() -> Any:
    """Return pyriemann's tangent space; MissingError where it is not installed."""
    try:
        import pyriemann.tangentspace
    except ImportError:
        remedy = (
            "pip install 'dare-eeg[baselines]', or name the baselines without: --baselines majority,band-power-forest"
        )
        raise MissingError("pyriemann is not installed", path="--baselines", remedy=remedy) from None
    return pyriemann.tangentspace


def _nothing(windows: Windows, _progress: Progress) -> NDArray[np.float32]:
    return np.zeros((len(windows), 1), np.float32)


def _of(bands_hz: tuple[tuple[float, float], ...]) -> Callable[[Windows, Progress], NDArray[Any]]:
    return lambda windows, progress: covariances(windows, bands_hz, progress)


_METHODS: dict[ClassicalBaseline, _Method] = {
    "majority": _Method(_nothing, _majority),
    "band-power-logistic": _Method(band_power, _on_band_power),
    "band-power-forest": _Method(band_power, _forest),
    "tangent-space": _Method(_of(_WHOLE_HZ), _on_tangent),
    "filter-bank-tangent-space": _Method(_of(_FILTER_BANK_HZ), _on_tangent),
    "csp-lda": _Method(_of(_MOTOR_HZ), _csp),
}
_OF_COVARIANCES: frozenset[Baseline] = frozenset({"tangent-space", "filter-bank-tangent-space", "csp-lda"})
