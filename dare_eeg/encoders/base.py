"""What any encoder answers: windows in µV go in by the names of their electrodes, features come out."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dare_eeg.encoders.plausible import doubts, require_finite

_CALLER = 4
"""How far up, beyond two frames of torch's, the line lies that called an encoder: a warning is about that line."""

_LEAST_HZ = 1.0


@dataclass(frozen=True)
class Prepared:
    """Windows as an encoder reads them: ``x`` (B, C, T) at its rate, in its unit, of its length, a row per electrode.

    Where ``present`` (B, C) is False a window lacks that electrode; None where no window lacks one.
    """

    x: Tensor
    electrodes: tuple[str, ...]
    present: Tensor | None = None


@dataclass(frozen=True)
class Identity:
    """Who an encoder is: its name, the sha256 of its file ("" where it has none), and what it was pretrained on.

    ``pretrained_on`` is the sha256 of a manifest and ``subjects`` are those it has seen, as namespace:id, or with the
    sha256 of that in place of the id; "" and none where unknown. It has seen ``more_subjects`` where it began with
    weights that do not say whom they had seen. ``notes`` are what the user should know of its file.
    """

    name: str
    sha256: str = ""
    is_pretrained: bool = True
    pretrained_on: str = ""
    step: int = 0
    subjects: tuple[str, ...] = ()
    more_subjects: bool = False
    notes: tuple[str, ...] = ()


class EEGEncoder(nn.Module, ABC):
    """An encoder as probes and reports know it: a torch module with these answers, and nothing else is asked of it."""

    _doubted: frozenset[str] = frozenset()
    """What it has warned of, which is said once."""

    @property
    @abstractmethod
    def electrodes(self) -> tuple[str, ...]:
        """The electrodes it was trained on, which an adapter maps recorded ones onto."""

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """Who it is and what it was pretrained on."""

    @abstractmethod
    def known(self, electrodes: Sequence[str]) -> list[int]:
        """Return the places of those electrodes that it can read."""

    @abstractmethod
    def prepare(
        self,
        x_uv: Tensor | NDArray[Any],
        electrodes: Sequence[str],
        sfreq: float,
        present: Tensor | NDArray[Any] | None = None,
    ) -> Prepared:
        """Return windows (B, C, T) in µV at ``sfreq`` Hz as it reads them, those of electrodes it cannot read too.

        Where ``present`` (B, C) is False a window lacks that electrode, whatever its row holds.
        """

    @abstractmethod
    def encode(self, prepared: Prepared) -> Tensor:
        """Return features (B, N, S, D): N moments of a window, S vectors of width D for each."""

    @abstractmethod
    def layers(self) -> list[list[nn.Parameter]]:
        """Return its parameters layer by layer from the bottom up, for fine-tuning; [] where it has no layers.

        Those above its layers, such as a last norm, are in none.
        """

    def forward(
        self,
        x_uv: Tensor | NDArray[Any],
        electrodes: Sequence[str],
        sfreq: float,
        present: Tensor | NDArray[Any] | None = None,
    ) -> Tensor:
        """Return features (B, N, S, D) of windows (B, C, T) in µV at ``sfreq`` Hz, a row per electrode by name.

        Electrodes that it cannot read are left out with a warning; where ``present`` (B, C) is False a window lacks
        that electrode, whatever its row holds. Windows that look like another unit than µV, carry an offset or a mains
        line are warned of once. Raises ValueError where no electrode remains, where shapes do not agree, for a rate
        below 1 Hz, and where a window holds NaN or infinity.
        """
        places = self.known(electrodes)
        if not places:
            raise ValueError(f"none of {', '.join(electrodes) or 'no electrodes'} is among the network's electrodes")
        if hasattr(x_uv, "get_data"):
            kind = type(x_uv).__name__
            raise ValueError(f'{kind} is no array in µV: of epochs of MNE give get_data(picks="eeg") * 1e6')
        if not math.isfinite(sfreq) or sfreq < _LEAST_HZ:
            raise ValueError(f"sfreq {sfreq:g} is no rate of EEG in Hz")
        x_uv = torch.as_tensor(x_uv)
        if x_uv.dim() != 3 or x_uv.shape[1] != len(electrodes):
            raise ValueError(f"{tuple(x_uv.shape)} is not (windows, {len(electrodes)} electrodes, samples)")
        if present is not None:
            present = torch.as_tensor(present, dtype=torch.bool)
            if present.shape != x_uv.shape[:2]:
                raise ValueError(f"present {tuple(present.shape)} is not (windows, electrodes)")
        if left := [name for place, name in enumerate(electrodes) if place not in places]:
            warnings.warn(f"electrodes the network does not know are left out: {', '.join(left)}", stacklevel=_CALLER)
            x_uv, electrodes = x_uv[:, places], [electrodes[place] for place in places]
            present = None if present is None else present[:, places]
        require_finite(x_uv, electrodes, present)
        for kind, says in doubts(x_uv, electrodes, sfreq, present):
            if kind not in self._doubted:
                self._doubted |= {kind}
                warnings.warn(f"windows with {says}", stacklevel=_CALLER)
        return self.encode(self.prepare(x_uv, electrodes, sfreq, present))
