"""Conv-linear: a map of the electrodes before a frozen encoder and a small head behind it, as published for BCIC-2b."""

from functools import partial

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.network.heads import Adapter, ProbeHead
from dare_eeg.probing.classifiers.cache import FeatureCache
from dare_eeg.probing.fit import Fitter, FoldFit, Progress, Restorer
from dare_eeg.probing.networks.network import ProbeNetwork
from dare_eeg.probing.networks.training import FittedNetwork, Training, fit_network
from dare_eeg.probing.options import ProbeOptions
from dare_eeg.probing.splits import Fold
from dare_eeg.running.ranks import Ranks


def fitter(
    encoder: EEGEncoder, windows: Windows, options: ProbeOptions, _cache: FeatureCache | None, ranks: Ranks
) -> Fitter:
    """Return what fits adapter and head on a fold."""
    options = options.settled("conv-linear", len(windows.classes))
    training = Training.of(options, ranks)

    def fit(fold: Fold, seed: int, progress: Progress) -> FoldFit:
        return fit_network(network(encoder, windows, options), [], windows, fold, training, seed, progress)

    return fit


def restorer(encoder: EEGEncoder, windows: AnyWindows, settled: ProbeOptions) -> Restorer:
    """Return what makes again the network that a fit left, of windows like these."""
    return lambda tensors: FittedNetwork.of(network(encoder, windows, settled), tensors, settled.passes)


def network(encoder: EEGEncoder, windows: AnyWindows, settled: ProbeOptions) -> ProbeNetwork:
    """Return the network of a probe, not fitted."""
    head = partial(ProbeHead, dropout=settled.dropout or 0.0)
    return ProbeNetwork(encoder, windows, Adapter, head, is_frozen=True)
