"""Finetune: all of an encoder between a deeper adapter and a deeper head, as published for TUAB and TUEV."""

from functools import partial

from torch import nn

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.network.heads import Adapter, FinetuneHead
from dare_eeg.probing.classifiers.cache import FeatureCache
from dare_eeg.probing.fit import Fitter, FoldFit, Progress, Restorer
from dare_eeg.probing.networks.network import ProbeNetwork
from dare_eeg.probing.networks.training import FittedNetwork, Training, fit_network
from dare_eeg.probing.options import ProbeOptions
from dare_eeg.probing.splits import Fold
from dare_eeg.running.ranks import Ranks

_TIME_KERNEL = 15
"""Samples of the adapter's filter over time."""


def fitter(
    encoder: EEGEncoder, windows: Windows, options: ProbeOptions, _cache: FeatureCache | None, ranks: Ranks
) -> Fitter:
    """Return what fits adapter, encoder and head on a fold, the encoder's lower layers at lower rates."""
    options = options.settled("finetune", len(windows.classes))
    training = Training.of(options, ranks, options.layer_decay)

    def fit(fold: Fold, seed: int, progress: Progress) -> FoldFit:
        made = network(encoder, windows, options)
        return fit_network(made, made.encoder.layers(), windows, fold, training, seed, progress)

    return fit


def restorer(encoder: EEGEncoder, windows: AnyWindows, settled: ProbeOptions) -> Restorer:
    """Return what makes again the network that a fit left, of windows like these."""
    return lambda tensors: FittedNetwork.of(network(encoder, windows, settled), tensors, settled.passes)


def network(encoder: EEGEncoder, windows: AnyWindows, settled: ProbeOptions) -> ProbeNetwork:
    """Return the network of a probe, not fitted."""
    return deep(encoder, windows, settled, is_frozen=False)


def deep(encoder: EEGEncoder, windows: AnyWindows, settled: ProbeOptions, is_frozen: bool) -> ProbeNetwork:
    """Return an encoder between the deeper adapter and the deeper head."""

    def head(patches: int, summary_tokens: int, width: int, classes: int) -> nn.Module:
        classes = 1 if settled.single_logit else classes
        return FinetuneHead(patches, summary_tokens, width, classes, settled.dropout or 0.0)

    adapter = partial(Adapter, time_kernel=_TIME_KERNEL, layers=2)
    return ProbeNetwork(encoder, windows, adapter, head, is_frozen)
