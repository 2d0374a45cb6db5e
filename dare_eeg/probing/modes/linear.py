"""Linear: a logistic or ridge regression on frozen features, its penalty chosen on training subjects."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.probing.classifiers.cache import FeatureCache
from dare_eeg.probing.classifiers.frozen import features
from dare_eeg.probing.classifiers.representations import Seen
from dare_eeg.probing.classifiers.ridge import Ridge, RidgeFit, fit_together
from dare_eeg.probing.classifiers.search import Candidate, ClassifierFitter, Classifying, Family, Numbers, Transformer
from dare_eeg.probing.fit import Progress, Restorer
from dare_eeg.probing.options import Classifier, ProbeOptions
from dare_eeg.running.ranks import Ranks

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_RIDGE_PENALTIES = (100.0, 10.0, 1.0, 1e-1, 1e-2, 1e-3)  # of a window; a column's variance is 1
_AT_ONCE = 4096
_COLUMNS = 64


def fitter(
    encoder: EEGEncoder, windows: Windows, options: ProbeOptions, cache: FeatureCache | None, _ranks: Ranks
) -> ClassifierFitter:
    """Return what fits a fold on features that the first fit computes, or finds in the cache.

    Nothing is drawn: no seed changes it. A fit raises UsageError where the encoder can read none of the electrodes.
    """
    return _classifying(encoder, options, cache).on(windows)


def restorer(encoder: EEGEncoder, windows: AnyWindows, options: ProbeOptions) -> Restorer:
    """Return what makes again the classifier of a fit, of windows like these."""
    return partial(_classifying(encoder, options, None).restored, num_classes=len(windows.classes))


def _classifying(encoder: EEGEncoder, options: ProbeOptions, cache: FeatureCache | None) -> Classifying:
    def see(windows: AnyWindows, progress: Progress) -> NDArray[np.float32]:
        return features(encoder, windows, options.pool, progress, cache, options.precision)

    return Classifying(partial(family_of, options), Seen(see, options.centre == "subject"), options.penalty_by)


class Standardised:
    """Columns less their mean over their deviation, in place and some rows after the others, so that none is copied."""

    def fit_transform(self, rows: NDArray[Any], _labels: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows of a table of its own, standardised."""
        from sklearn.preprocessing import StandardScaler

        self._scaler = StandardScaler(copy=False)
        for some in _in_blocks(rows):
            self._scaler.partial_fit(some)
        return self.transform(rows)

    def transform(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows standardised as those fitted on were."""
        for some in _in_blocks(rows):
            some[:] = self._scaler.transform(some)
        return rows

    def numbers(self) -> Numbers:
        """Return mean and deviation of each column."""
        return {"mean": self._scaler.mean_, "scale": self._scaler.scale_}

    def restore(self, numbers: Numbers) -> None:
        """Be what these numbers were taken of."""
        from sklearn.preprocessing import StandardScaler

        self._scaler = StandardScaler(copy=False)
        self._scaler.mean_, self._scaler.scale_ = numbers["mean"], numbers["scale"]


class Clipped(Standardised):
    """Columns clipped at quantiles of those fitted on, a share from below and above, then standardised, in place."""

    def __init__(self, share: float) -> None:
        self._share = share

    def fit_transform(self, rows: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows of a table of its own, clipped and standardised."""
        shares = [self._share, 1 - self._share]
        some = range(0, rows.shape[1], _COLUMNS)  # quantiles copy what they are of
        bounds = [np.quantile(rows[:, start : start + _COLUMNS], shares, axis=0) for start in some]
        self._low, self._high = np.concatenate(bounds, axis=1).astype(rows.dtype)
        return super().fit_transform(np.clip(rows, self._low, self._high, out=rows), labels)

    def transform(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return rows clipped and standardised as those fitted on were."""
        return super().transform(np.clip(rows, self._low, self._high, out=rows))

    def numbers(self) -> Numbers:
        """Return the bounds, the mean and the deviation of each column."""
        return super().numbers() | {"low": self._low, "high": self._high}

    def restore(self, numbers: Numbers) -> None:
        """Be what these numbers were taken of."""
        super().restore(numbers)
        self._low, self._high = numbers["low"], numbers["high"]


def family_of(options: ProbeOptions) -> Family:
    """Return what is fitted by these options, of the one penalty that they state or of several."""
    transformer = partial(Clipped, options.clip) if options.clip else Standardised
    make = _FAMILIES[options.classifier]
    return make(transformer) if options.penalty is None else make(transformer, (options.penalty,))


def logistic(transformer: Callable[[], Transformer] = Standardised, penalties: Sequence[float] = _PENALTIES) -> Family:
    """Return logistic regressions of several penalties on standardised columns; the strongest penalty comes first."""
    candidates = [Candidate({"C": penalty}, partial(_regression, penalty)) for penalty in penalties]
    return Family(transformer, candidates, ("classes_", "coef_", "intercept_"), _regression_of)


def ridge(
    transformer: Callable[[], Transformer] = Standardised, penalties: Sequence[float] = _RIDGE_PENALTIES
) -> Family:
    """Return ridge regressions of several penalties on standardised columns; the strongest penalty comes first."""
    candidates = [Candidate({"penalty": penalty}, partial(Ridge, penalty)) for penalty in penalties]
    kept = ("classes_", "slopes", "offsets")
    return Family(transformer, candidates, kept, lambda numbers: RidgeFit(**numbers), fit_together)


_FAMILIES: dict[Classifier, Callable[..., Family]] = {"logistic": logistic, "ridge": ridge}


def _regression(penalty: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000)


def _regression_of(numbers: Numbers) -> Any:
    model = _regression(1.0)
    for name, value in numbers.items():
        setattr(model, name, value)
    return model


def _in_blocks(rows: NDArray[Any]) -> list[NDArray[Any]]:
    return [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
