"""Micro-batch: windows of one signature as they were stored, with what is drawn for them, on their way to a device."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dare_eeg.network.constants import CROP, SFREQ
from dare_eeg.network.masks import Masks
from dare_eeg.network.resample import resample
from dare_eeg.training.augment import Augmentation


@dataclass(frozen=True)
class MicroBatch:
    """Windows of one signature and the masks they share.

    ``counts`` (B, C, T) int16 at ``sfreq``; ``scale`` (B, C) µV per count, 0 where absent; ``crop`` (B,) first sample
    of the crop at the network's rate; ``ids`` (C,) places in the vocabulary; ``weight`` (B,) 0 for padding;
    ``describe`` says which recording and moment each is; ``augmentation`` what the views undergo, if anything.
    """

    step: int
    number: int
    counts: NDArray[np.int16]
    scale: NDArray[np.float32]
    crop: NDArray[np.int64]
    ids: NDArray[np.int64]
    sfreq: float
    weight: NDArray[np.float32]
    masks: Masks
    describe: Callable[[], list[str]]
    augmentation: Augmentation | None = None

    @property
    def windows(self) -> list[str]:
        """Which recording and moment each window is; put into words only when asked for."""
        return self.describe()

    def tensors(
        self, device: torch.device, unit_scale: float, nearest: bool = False
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Return (x_BCT in network units at 256 Hz, ids_C, present_BC, weight_B) on a device.

        ``present_BC`` is None where no window lacks an electrode. Other rates are brought to 256 Hz with nothing
        beyond their band, or, as published, by taking the ``nearest`` sample.
        """
        scale = torch.from_numpy(self.scale).to(device)
        x_BCT = torch.from_numpy(self.counts).to(device) * (scale * unit_scale)[..., None]
        if self.sfreq != SFREQ:
            if nearest:
                x_BCT = F.interpolate(x_BCT, int(x_BCT.shape[-1] * SFREQ / self.sfreq), mode="nearest")
            else:
                x_BCT = resample(x_BCT, self.sfreq, SFREQ)
            length = min(CROP, x_BCT.shape[-1])
            places = torch.from_numpy(self.crop).to(device)[:, None] + torch.arange(length, device=device)
            x_BCT = x_BCT.gather(-1, places[:, None].expand(-1, x_BCT.shape[1], -1))
        present_BC = None if (self.scale > 0).all() else scale > 0
        return x_BCT, torch.from_numpy(self.ids).to(device), present_BC, torch.from_numpy(self.weight).to(device)
