"""Conv-linear: a map of the electrodes before a frozen encoder and a small head behind it, as published for BCIC-2b."""

from functools import partial

from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.network.heads import Adapter, ProbeHead
from dare_eeg.probing.modes.trained import fitter_of, restorer_of
from dare_eeg.probing.networks.network import ProbeNetwork
from dare_eeg.probing.options import ProbeOptions


def network(encoder: EEGEncoder, windows: AnyWindows, settled: ProbeOptions) -> ProbeNetwork:
    """Return the network of a probe, not fitted."""
    head = partial(ProbeHead, dropout=settled.dropout or 0.0)
    return ProbeNetwork(encoder, windows, Adapter, head, is_frozen=True)


fitter, restorer = fitter_of("conv-linear", network), restorer_of(network)
