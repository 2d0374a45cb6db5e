"""Finetune: all of an encoder between a deeper adapter and a deeper head, as published for TUAB and TUEV."""

from functools import partial

from torch import nn

from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.network.heads import Adapter, FinetuneHead
from dare_eeg.probing.modes.trained import fitter_of, restorer_of
from dare_eeg.probing.networks.network import ProbeNetwork
from dare_eeg.probing.options import ProbeOptions

_TIME_KERNEL = 15
"""Samples of the adapter's filter over time."""


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


fitter, restorer = fitter_of("finetune", network), restorer_of(network)
