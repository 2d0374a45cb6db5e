"""Trained: what the modes that train a network have in common; each of them says which network that is."""

from collections.abc import Callable
from typing import Any

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.probing.classifiers.cache import FeatureCache
from dare_eeg.probing.fit import Fitter, FoldFit, Progress, Restorer
from dare_eeg.probing.networks.network import ProbeNetwork
from dare_eeg.probing.networks.training import FittedNetwork, Training, fit_network
from dare_eeg.probing.options import Mode, ProbeOptions
from dare_eeg.probing.splits import Fold
from dare_eeg.running.ranks import Ranks

MakeNetwork = Callable[[EEGEncoder, AnyWindows, ProbeOptions], ProbeNetwork]
"""What makes the network of a mode, not fitted, of an encoder, for windows like some, by settled options."""


def fitter_of(mode: Mode, network: MakeNetwork) -> Callable[..., Fitter]:
    """Return what a mode has under the name ``fitter``; the encoder's lower layers, if trained, go at lower rates."""

    def fitter(
        encoder: EEGEncoder, windows: Windows, options: ProbeOptions, _cache: FeatureCache | None, ranks: Ranks
    ) -> Fitter:
        settled = options.settled(mode, len(windows.classes))
        training = Training.of(settled, ranks)
        network(encoder, windows, settled)  # what cannot be had is said before anything is fitted

        def fit(fold: Fold, seed: int, progress: Progress) -> FoldFit:
            made = network(encoder, windows, settled)
            layers = [] if made.is_frozen else made.encoder.layers()
            return fit_network(made, layers, windows, fold, training, seed, progress)

        return fit

    return fitter


def restorer_of(network: MakeNetwork) -> Callable[..., Restorer]:
    """Return what a mode has under the name ``restorer``."""

    def restorer(encoder: EEGEncoder, windows: AnyWindows, settled: ProbeOptions) -> Restorer:
        def restored(tensors: dict[str, Any]) -> FittedNetwork:
            return FittedNetwork.of(network(encoder, windows, settled), tensors, settled.passes)

        return restored

    return restorer
