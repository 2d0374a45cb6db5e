"""Linear: a logistic regression on frozen features, its penalty chosen on training subjects."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.probing.cache import FeatureCache
from dare_eeg.probing.fit import Fitter, FoldFit, Progress
from dare_eeg.probing.frozen import features
from dare_eeg.probing.options import ProbeOptions
from dare_eeg.probing.representations import centred
from dare_eeg.probing.search import Candidate, Family, fit_best
from dare_eeg.probing.splits import Fold

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def fitter(
    encoder: EEGEncoder, windows: Windows, options: ProbeOptions, _epochs: int, cache: FeatureCache | None
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
        return fit_best(logistic(), table, windows, fold, options.penalty_by)

    return fit


def logistic() -> Family:
    """Return logistic regressions of several penalties on standardised columns; the strongest penalty comes first."""
    from sklearn.preprocessing import StandardScaler

    return Family(StandardScaler, [Candidate({"C": penalty}, partial(_regression, penalty)) for penalty in _PENALTIES])


def _regression(penalty: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000)
