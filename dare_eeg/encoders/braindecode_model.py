"""An encoder the other way round: a module with a head that braindecode's classifiers train like one of theirs."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dare_eeg.encoders.base import EEGEncoder
from manifests.errors import UsageError


class BraindecodeModel(nn.Module):
    """An encoder with a head as a module that braindecode's EEGClassifier and its like train, fed µV.

    It says logits (B, n_outputs) of windows (B, n_chans, n_times); its attributes are those of a model of theirs, its
    head is ``final_layer``. The encoder is trained where its parameters take gradients, which those of `load_encoder`
    do only after ``requires_grad_(True)``, and stays in eval mode where they take none. ``chs_info`` are MNE's
    ``info["chs"]``, of which names are read. braindecode's windows are in V unless its preprocessing multiplies them by
    1e6. Raises UsageError for channels that the encoder cannot read and for a ``chs_info`` of others.
    """

    def __init__(
        self,
        encoder: EEGEncoder,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float,
        chs_info: Sequence[Mapping[str, Any]],
    ) -> None:
        super().__init__()
        names = [str(one["ch_name"]) for one in chs_info]
        if len(names) != n_chans:
            reason = f"{n_chans} channels, of which chs_info names {len(names)}"
            raise UsageError(reason, path="braindecode_model", remedy="give the info['chs'] of these channels")
        self.encoder = encoder
        self.n_chans, self.n_times, self.n_outputs, self.sfreq = n_chans, n_times, n_outputs, sfreq
        self.chs_info = chs_info
        self._places = encoder.known(names)
        self._names = [names[place] for place in self._places]
        if not self._places:
            reason = f"the encoder can read none of {', '.join(names)}"
            raise UsageError(reason, path="braindecode_model", remedy="name electrodes as the 10-10 system does")
        if left := [name for place, name in enumerate(names) if place not in self._places]:
            warnings.warn(f"electrodes the encoder cannot read are left out: {', '.join(left)}", stacklevel=2)
        with torch.no_grad():
            nothing = torch.zeros(1, len(self._places), n_times)
            features_BNSD = encoder.encode(encoder.prepare(nothing, self._names, sfreq))
        self.final_layer = nn.Linear(features_BNSD.numel(), n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, n_outputs); what looks like another unit than µV is warned of once."""
        features_BNSD = self.encoder(x[:, self._places], self._names, self.sfreq)
        logits: Tensor = self.final_layer(features_BNSD.flatten(1))
        return logits

    def train(self, mode: bool = True) -> "BraindecodeModel":
        """Set training mode; an encoder that takes no gradient stays in eval mode."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.encoder.parameters()):
            self.encoder.eval()
        return self


braindecode_model = BraindecodeModel
"""The name that it goes by outside, where it is called as a function is."""
