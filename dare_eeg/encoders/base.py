"""What any encoder answers: windows in µV go in by the names of their electrodes, features come out."""

import hashlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dare_eeg.encoders.plausible import as_tensors, doubts, require_finite
from manifests.electrodes import canonical

_CALLER = 4
"""How far up, beyond two frames of torch's, the line lies that called an encoder: a warning is about that line."""


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
    weights that do not say whom they had seen. ``corpora`` are those it was pretrained on where it names no subjects,
    ours by our names. ``notes`` are what the user should know of its file.
    """

    name: str
    sha256: str = ""
    is_pretrained: bool = True
    pretrained_on: str = ""
    step: int = 0
    subjects: tuple[str, ...] = ()
    more_subjects: bool = False
    corpora: tuple[str, ...] = ()
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

    def untrained(self, electrodes: Sequence[str]) -> list[str]:
        """Return those electrodes that it can read and was not trained on; of a control, which never was, none."""
        if not self.identity.is_pretrained:
            return []
        trained = {canonical(name) for name in self.electrodes}
        return [electrodes[place] for place in self.known(electrodes) if canonical(electrodes[place]) not in trained]

    def forward(
        self,
        x_uv: Tensor | NDArray[Any],
        electrodes: Sequence[str],
        sfreq: float,
        present: Tensor | NDArray[Any] | None = None,
    ) -> Tensor:
        """Return features (B, N, S, D) of windows (B, C, T) in µV at ``sfreq`` Hz, a row per electrode by name.

        Electrodes that it cannot read are left out with a warning; where ``present`` (B, C) is False a window lacks
        that electrode, whatever its row holds. Windows that look like another unit than µV or another rate, are flat,
        carry an offset or a mains line are warned of once, and so are electrodes that it was not trained on. Raises
        ValueError where no electrode remains, where shapes do not agree, for a rate below 1 Hz, and where a window
        holds NaN or infinity.
        """
        x_uv, present = as_tensors(x_uv, electrodes, sfreq, present)
        places = self.known(electrodes)
        if not places:
            raise ValueError(f"none of {', '.join(electrodes) or 'no electrodes'} is among the network's electrodes")
        if left := [name for place, name in enumerate(electrodes) if place not in places]:
            warnings.warn(f"electrodes the network does not know are left out: {', '.join(left)}", stacklevel=_CALLER)
            x_uv, electrodes = x_uv[:, places], [electrodes[place] for place in places]
            present = None if present is None else present[:, places]
        require_finite(x_uv, electrodes, present)
        told = [(kind, f"windows {says}") for kind, says in doubts(x_uv, electrodes, sfreq, present)]
        if strange := self.untrained(electrodes):
            says = f"electrodes that this encoder was not trained on: {', '.join(strange)}; what it makes of them is "
            told.append(("untrained", f"{says}left to chance: leave them out, or pretrain on a set that has them"))
        for kind, says in told:
            if kind not in self._doubted:
                self._doubted |= {kind}
                warnings.warn(says, stacklevel=_CALLER)
        return self.encode(self.prepare(x_uv, electrodes, sfreq, present))


def sha256_of_weights(encoder: EEGEncoder) -> str:
    """Return the sha256 of all that an encoder holds: weights may be drawn, or come from a file that nobody named."""
    digest = hashlib.sha256()
    for name, tensor in (*encoder.named_parameters(), *encoder.named_buffers()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
