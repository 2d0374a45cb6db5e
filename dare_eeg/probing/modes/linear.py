"""Linear: a logistic or ridge regression on frozen features, its penalty chosen on training subjects."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.probing.cache import FeatureCache
from dare_eeg.probing.fit import Fitter, FoldFit, Progress
from dare_eeg.probing.frozen import features
from dare_eeg.probing.options import Classifier, ProbeOptions
from dare_eeg.probing.representations import centred
from dare_eeg.probing.ridge import Ridge, fit_together
from dare_eeg.probing.search import Candidate, Family, fit_best
from dare_eeg.probing.splits import Fold
from dare_eeg.running.ranks import Ranks

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_RIDGE_PENALTIES = (100.0, 10.0, 1.0, 1e-1, 1e-2, 1e-3)  # of a window; a column's variance is 1
_AT_ONCE = 4096
_COLUMNS = 64


def fitter(
    encoder: EEGEncoder, windows: Windows, options: ProbeOptions, cache: FeatureCache | None, _ranks: Ranks
) -> Fitter:
    """Return what fits a fold on features that the first fit computes, or finds in the cache.

    Nothing is drawn: no seed changes it. A fit raises UsageError where the encoder can read none of the electrodes.
    """
    table: NDArray[np.float32] | None = None

    def fit(fold: Fold, _seed: int, progress: Progress) -> FoldFit:
        nonlocal table
        if table is None:
            table = features(encoder, windows, options.pool, progress, cache)
            table = centred(table, windows.subjects) if options.centre == "subject" else table
        return fit_best(family_of(options), table, windows, fold, options.penalty_by)

    return fit


class _Standardised:
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


class _Clipped(_Standardised):
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


def family_of(options: ProbeOptions) -> Family:
    """Return what is fitted by these options, of the one penalty that they state or of several."""
    make = _FAMILIES[options.classifier]
    family = make() if options.penalty is None else make((options.penalty,))
    return replace(family, transformer=partial(_Clipped, options.clip)) if options.clip else family


def logistic(penalties: Sequence[float] = _PENALTIES) -> Family:
    """Return logistic regressions of several penalties on standardised columns; the strongest penalty comes first."""
    return Family(_Standardised, [Candidate({"C": penalty}, partial(_regression, penalty)) for penalty in penalties])


def ridge(penalties: Sequence[float] = _RIDGE_PENALTIES) -> Family:
    """Return ridge regressions of several penalties on standardised columns; the strongest penalty comes first."""
    candidates = [Candidate({"penalty": penalty}, partial(Ridge, penalty)) for penalty in penalties]
    return Family(_Standardised, candidates, fit_together)


_FAMILIES: dict[Classifier, Callable[..., Family]] = {"logistic": logistic, "ridge": ridge}


def _regression(penalty: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000)


def _in_blocks(rows: NDArray[Any]) -> list[NDArray[Any]]:
    return [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
