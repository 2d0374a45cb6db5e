"""Frozen: the features that classifiers without a network are fitted on."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.probing.fit import Progress, device
from dare_eeg.probing.options import Pool
from manifests.errors import UsageError

_BATCH = 32


def features(encoder: EEGEncoder, windows: Windows, pool: Pool, progress: Progress) -> NDArray[np.float32]:
    """Return frozen features of all windows, a row each, pooled over their moments.

    By ``mean`` a row has S × D numbers, by ``mean+std`` twice as many, by ``flatten`` all, N × S × D. They are computed
    on a GPU where there is one. Electrodes that the encoder cannot read are left out.
    Raises UsageError where it can read none.
    """
    encoder = encoder.to(device()).eval()
    known = encoder.known(windows.electrodes)
    if not known:
        raise UsageError(
            "none of its electrodes is the network's", path=windows.folder, remedy="probe it with --mode conv-linear"
        )
    electrodes = [windows.electrodes[row] for row in known]
    parts = []
    with torch.no_grad():
        for start in range(0, len(windows), _BATCH):
            numbers = np.arange(start, min(start + _BATCH, len(windows)))
            present = windows.present[numbers][:, known]
            # Not called, as that warns of what `dare preprocess` was asked to leave in.
            prepared = encoder.prepare(windows.take(numbers)[:, known], electrodes, windows.sfreq, present)
            found = encoder.encode(prepared)
            progress(start / len(windows))
            parts.append(_pooled(found, pool).float().cpu().numpy())
    return np.concatenate(parts)


def _pooled(features: Tensor, pool: Pool) -> Tensor:
    """Return features (B, N, S, D) as rows (B, numbers)."""
    if pool == "flatten":
        return features.flatten(1)
    rows = features.mean(dim=1).flatten(1)
    return rows if pool == "mean" else torch.cat([rows, features.std(dim=1, correction=0).flatten(1)], dim=1)
