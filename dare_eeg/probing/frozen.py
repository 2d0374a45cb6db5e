"""Frozen: the features that classifiers without a network are fitted on."""

import numpy as np
import torch
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.probing.fit import Progress, device
from manifests.errors import UsageError

_BATCH = 32


def features(encoder: EEGEncoder, windows: Windows, progress: Progress) -> NDArray[np.float32]:
    """Return frozen features of all windows, averaged over their moments: windows × (S × D).

    They are computed on a GPU where there is one. Electrodes that the encoder cannot read are left out.
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
            found = encoder(windows.take(numbers)[:, known], electrodes, windows.sfreq, present)
            progress(start / len(windows))
            parts.append(found.mean(dim=1).flatten(1).float().cpu().numpy())
    return np.concatenate(parts)


def all_classes(probabilities: NDArray[np.float64], known: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """Return probabilities with a zero column for every class that the training part lacks."""
    complete = np.zeros((len(probabilities), num_classes))
    complete[:, known] = probabilities
    return complete
