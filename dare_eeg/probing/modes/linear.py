"""Linear: a logistic regression on frozen features, its penalty chosen on valid."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.probing.fit import Fitter, FoldFit, Progress
from dare_eeg.probing.frozen import all_classes, features
from dare_eeg.probing.metrics import scores
from dare_eeg.probing.options import ProbeOptions
from dare_eeg.probing.splits import Fold

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def fitter(encoder: EEGEncoder, windows: Windows, _options: ProbeOptions, _epochs: int) -> Fitter:
    """Return what fits a fold on features that the first fit computes; nothing in it is drawn: no seed changes it.

    A fit raises UsageError where the encoder can read none of the electrodes.
    """
    labels = windows.labels.astype(np.int64)
    table: NDArray[np.float32] | None = None

    def fit(fold: Fold, _seed: int, progress: Progress) -> FoldFit:
        nonlocal table
        if table is None:
            table = features(encoder, windows, progress)
        return fit_linear(table, labels, fold, len(windows.classes))

    return fit


def fit_linear(table: NDArray[np.float32], labels: NDArray[np.int64], fold: Fold, num_classes: int) -> FoldFit:
    """Fit a logistic regression on features; its penalty is the one that does best on valid."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    best: tuple[float, float, Any] | None = None
    for penalty in _PENALTIES:
        regression = LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000)
        model = make_pipeline(StandardScaler(), regression).fit(table[fold.train], labels[fold.train])
        probabilities = all_classes(model.predict_proba(table[fold.valid]), regression.classes_, num_classes)
        score = scores(labels[fold.valid], probabilities)["balanced_accuracy"]
        if best is None or score > best[0]:
            best = score, penalty, model
    assert best is not None
    score, penalty, model = best
    probabilities = all_classes(model.predict_proba(table[fold.test]), model[-1].classes_, num_classes)
    return FoldFit(probabilities, {"C": penalty, "valid_balanced_accuracy": score})
