"""Conv-linear: a map of the electrodes before a frozen encoder and a small head behind it, as published for BCIC-2b."""

from dataclasses import replace

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.network.heads import Adapter, ProbeHead
from dare_eeg.probing.cache import FeatureCache
from dare_eeg.probing.fit import FittedNetwork, Fitter, FoldFit, Progress, Restorer, Training, fit_network
from dare_eeg.probing.network import ProbeNetwork
from dare_eeg.probing.options import ProbeOptions
from dare_eeg.probing.splits import Fold

TRAINING = Training(epochs=100, batch=64, lr=5e-4, weight_decay=0.01)
"""As published for BCIC-2b; rates go by one cycle."""


def fitter(
    encoder: EEGEncoder, windows: Windows, options: ProbeOptions, epochs: int, _cache: FeatureCache | None
) -> Fitter:
    """Return what fits adapter and head on a fold."""
    training = replace(TRAINING, epochs=epochs or TRAINING.epochs, choose_on=options.choose_on)

    def fit(fold: Fold, seed: int, progress: Progress) -> FoldFit:
        return fit_network(_network(encoder, windows), [], windows, fold, training, seed, progress)

    return fit


def restorer(encoder: EEGEncoder, windows: AnyWindows, _options: ProbeOptions) -> Restorer:
    """Return what makes again the network that a fit left, of windows like these."""
    return lambda tensors: FittedNetwork.of(_network(encoder, windows), tensors, TRAINING.batch)


def _network(encoder: EEGEncoder, windows: AnyWindows) -> ProbeNetwork:
    return ProbeNetwork(encoder, windows, Adapter, ProbeHead, is_frozen=True)
