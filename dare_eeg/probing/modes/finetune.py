"""Finetune: all of an encoder between a deeper adapter and a deeper head, as published for TUAB and TUEV."""

from dataclasses import replace
from functools import partial

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.network.heads import Adapter, FinetuneHead
from dare_eeg.probing.cache import FeatureCache
from dare_eeg.probing.fit import FittedNetwork, Fitter, FoldFit, Progress, Restorer, Training, fit_network
from dare_eeg.probing.network import ProbeNetwork
from dare_eeg.probing.options import ProbeOptions
from dare_eeg.probing.splits import Fold

TRAINING = Training(epochs=50, batch=100, lr=5e-4, weight_decay=0.05)
"""As published for TUAB; rates go by one cycle."""

_TIME_KERNEL = 15
"""Samples of the adapter's filter over time."""


def fitter(
    encoder: EEGEncoder, windows: Windows, options: ProbeOptions, epochs: int, _cache: FeatureCache | None
) -> Fitter:
    """Return what fits adapter, encoder and head on a fold, the encoder's lower layers at lower rates."""
    training = replace(
        TRAINING,
        epochs=epochs or TRAINING.epochs,
        layer_decay=options.layer_decay,
        choose_on=options.choose_on,
    )

    def fit(fold: Fold, seed: int, progress: Progress) -> FoldFit:
        network = _network(encoder, windows)
        return fit_network(network, network.encoder.layers(), windows, fold, training, seed, progress)

    return fit


def restorer(encoder: EEGEncoder, windows: AnyWindows, _options: ProbeOptions) -> Restorer:
    """Return what makes again the network that a fit left, of windows like these."""
    return lambda tensors: FittedNetwork.of(_network(encoder, windows), tensors, TRAINING.batch)


def _network(encoder: EEGEncoder, windows: AnyWindows) -> ProbeNetwork:
    adapter = partial(Adapter, time_kernel=_TIME_KERNEL, layers=2)
    return ProbeNetwork(encoder, windows, adapter, FinetuneHead, is_frozen=False)
