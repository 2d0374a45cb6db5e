"""Our encoder fed as the published scripts feed it: rate, unit and electrodes their way, slips included."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dare_eeg.encoders.base import Prepared
from dare_eeg.encoders.ours import PretrainedEncoder
from dare_eeg.network.resample import resample

Resampling = Literal["band_limited", "nearest", "none"]


class AsPublished(PretrainedEncoder):
    """The same weights, fed otherwise.

    ``resampling`` to the encoder's rate is band-limited, by the nearest sample, or none, whatever the rate.
    ``unit_scale`` is network input per unit of the windows, None the encoder's own. With ``by_position`` electrodes are
    numbered from 0 in their order, whatever their names.
    """

    def __init__(
        self, ours: PretrainedEncoder, resampling: Resampling, unit_scale: float | None, by_position: bool
    ) -> None:
        super().__init__(ours.encoder, ours.provenance, ours.notes)
        self.identity = ours.identity
        self._resampling, self._by_position = resampling, by_position
        self._scale = unit_scale or ours.unit_scale

    def prepare(
        self,
        x_uv: Tensor | NDArray[Any],
        electrodes: Sequence[str],
        sfreq: float,
        present: Tensor | NDArray[Any] | None = None,
    ) -> Prepared:
        """Return windows at its rate in its unit; ValueError where some lack electrodes, as published know of none."""
        if present is not None:
            raise ValueError("the published ways of feeding know of no absent electrode")
        x_BCT = torch.as_tensor(x_uv, dtype=torch.float32, device=self.encoder.summary_token.device)
        if self._resampling == "band_limited":
            x_BCT = resample(x_BCT, sfreq, self.sfreq)
        elif self._resampling == "nearest":
            x_BCT = F.interpolate(x_BCT, int(x_BCT.shape[-1] * self.sfreq / sfreq), mode="nearest")
        return Prepared(x_BCT * self._scale, tuple(electrodes))

    def _ids(self, electrodes: Sequence[str]) -> list[int]:
        return list(range(len(electrodes))) if self._by_position else super()._ids(electrodes)
