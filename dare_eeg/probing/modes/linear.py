"""Linear: a logistic regression on frozen features, its penalty chosen on valid."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.probing.fit import Fitter, FoldFit, device
from dare_eeg.probing.metrics import scores
from dare_eeg.probing.options import ProbeOptions
from dare_eeg.probing.splits import Fold
from manifests.errors import UsageError

_BATCH = 32
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def fitter(encoder: EEGEncoder, windows: Windows, _options: ProbeOptions, _epochs: int) -> Fitter:
    """Return what fits a fold on features that are computed now; nothing in it is drawn, so no seed changes it.

    Raises UsageError where the encoder can read none of the electrodes.
    """
    if not encoder.known(windows.electrodes):
        raise UsageError(
            "none of its electrodes is the network's", path=windows.folder, remedy="probe it with --mode conv-linear"
        )
    table = features(encoder, windows)
    labels = windows.labels.astype(np.int64)
    return lambda fold, _seed: fit_linear(table, labels, fold, len(windows.classes))


def features(encoder: EEGEncoder, windows: Windows) -> NDArray[np.float32]:
    """Return frozen features of all windows, averaged over their moments: windows × (S × D).

    They are computed on a GPU where there is one. Electrodes that the encoder cannot read are left out.
    """
    encoder = encoder.to(device())
    known = encoder.known(windows.electrodes)
    electrodes = [windows.electrodes[row] for row in known]
    parts = []
    with torch.inference_mode():
        for start in range(0, len(windows), _BATCH):
            numbers = np.arange(start, min(start + _BATCH, len(windows)))
            present = windows.present[numbers][:, known]
            found = encoder(windows.take(numbers)[:, known], electrodes, windows.sfreq, present)
            parts.append(found.mean(dim=1).flatten(1).float().cpu().numpy())
    return np.concatenate(parts)


def fit_linear(table: NDArray[np.float32], labels: NDArray[np.int64], fold: Fold, num_classes: int) -> FoldFit:
    """Fit a logistic regression on features; its penalty is the one that does best on valid."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    best: tuple[float, float, Any] | None = None
    for penalty in _PENALTIES:
        regression = LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000)
        model = make_pipeline(StandardScaler(), regression).fit(table[fold.train], labels[fold.train])
        probabilities = _all_classes(model.predict_proba(table[fold.valid]), regression.classes_, num_classes)
        score = scores(labels[fold.valid], probabilities)["balanced_accuracy"]
        if best is None or score > best[0]:
            best = score, penalty, model
    assert best is not None
    score, penalty, model = best
    probabilities = _all_classes(model.predict_proba(table[fold.test]), model[-1].classes_, num_classes)
    return FoldFit(probabilities, {"C": penalty, "valid_balanced_accuracy": score})


def _all_classes(probabilities: NDArray[np.float64], known: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """Return probabilities with a zero column for every class that the training part lacks."""
    complete = np.zeros((len(probabilities), num_classes))
    complete[:, known] = probabilities
    return complete
