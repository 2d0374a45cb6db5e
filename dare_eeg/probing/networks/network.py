"""The network of a probe: an adapter of electrodes between what an encoder prepares and what it encodes, and a head."""

import copy
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.base import EEGEncoder, Prepared

MakeAdapter = Callable[[tuple[str, ...], tuple[str, ...]], nn.Module]
"""What makes an adapter from the electrodes of prepared windows to those that the encoder is to read."""

MakeHead = Callable[[int, int, int, int], nn.Module]
"""What makes a head of features (B, N, S, D): of N, S, D and the number of classes."""


class ProbeNetwork(nn.Module):
    """Adapter, encoder and head: logits (B, classes) of windows (B, C, T) in µV.

    Windows go as the encoder prepares them through the adapter, whose outputs stand for the electrodes that the corpus
    is probed with, or the encoder's own. Frozen, the encoder keeps its weights and only passes gradients on.
    """

    def __init__(
        self, encoder: EEGEncoder, windows: AnyWindows, adapter: MakeAdapter, head: MakeHead, is_frozen: bool
    ) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(not is_frozen)
        self.is_frozen = is_frozen
        self._recorded, self._sfreq = windows.electrodes, windows.sfreq
        self.electrodes = _adapted(encoder, windows)
        first = torch.from_numpy(windows.take(np.zeros(1, np.int64)))
        self.adapter = adapter(self.encoder.prepare(first, self._recorded, self._sfreq).electrodes, self.electrodes)
        moments, vectors, width = self._features_of(first).shape[1:]
        self.head = head(moments, vectors, width, len(windows.classes))

    def forward(self, x_uv: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        logits: Tensor = self.head(self._features(x_uv))
        # A single logit is of the second class; beside a 0 of the first, softmax is its sigmoid.
        return F.pad(logits, (1, 0)) if logits.shape[1] == 1 else logits

    def train(self, mode: bool = True) -> "ProbeNetwork":
        """Set training mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.is_frozen:
            self.encoder.eval()
        return self

    def _features(self, x_uv: Tensor) -> Tensor:
        prepared = self.encoder.prepare(x_uv, self._recorded, self._sfreq)
        return self.encoder.encode(Prepared(self.adapter(prepared.x), self.electrodes))

    @torch.no_grad()
    def _features_of(self, x_uv: Tensor) -> Tensor:
        """Return features as they are in use, whose shape a head needs to know."""
        self.encoder.eval()
        self.adapter.eval()
        return self._features(x_uv)


def _adapted(encoder: EEGEncoder, windows: AnyWindows) -> tuple[str, ...]:
    """Return the electrodes an adapter maps onto: those the corpus is probed with if the encoder reads them all."""
    asked = windows.recipe.probe_electrodes
    return asked if asked and len(encoder.known(asked)) == len(asked) else encoder.electrodes
