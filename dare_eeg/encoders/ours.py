"""A pretrained encoder that takes EEG as it comes: microvolts, electrodes by name, any sampling rate."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dare_eeg.encoders.weights import Provenance, read_weights
from dare_eeg.network.model import SIZES, Encoder, Size, unless_complete
from dare_eeg.network.resample import resample
from manifests import electrodes as names
from manifests.errors import DareError


class PretrainedEncoder(nn.Module):
    """An encoder with what it was trained on; it scales, resamples and names its input itself."""

    def __init__(self, encoder: Encoder, provenance: Provenance, notes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.encoder = encoder
        self.provenance = provenance
        self.notes = notes

    @property
    def electrodes(self) -> tuple[str, ...]:
        """Names of the electrodes it was trained on."""
        return self.provenance.electrodes

    @property
    def sfreq(self) -> float:
        """Sampling rate in Hz that input is brought to."""
        return self.provenance.sfreq

    @property
    def patch(self) -> int:
        """Samples of one time patch at `sfreq`."""
        return self.provenance.patch

    @property
    def unit_scale(self) -> float:
        """Network input = µV × this."""
        return self.provenance.unit_scale

    @property
    def size(self) -> Size:
        """The network's shape."""
        return self.provenance.size

    def forward(
        self,
        x_uv: Tensor | NDArray,
        electrodes: Sequence[str],
        sfreq: float,
        present: Tensor | NDArray | None = None,
    ) -> Tensor:
        """Return features (B, N, S, D) of windows (B, C, T) in µV, N = floor(T × 256 / sfreq) // 64.

        Electrodes go by name in any order, older names and file spellings included; those that the network
        has no name for are left out with a warning. Where ``present`` (B, C) is False a window lacks that
        electrode, whatever its row holds. Raises ValueError where no electrode remains, one is there twice,
        shapes do not agree, or the window is shorter than one patch.
        """
        device = self.encoder.summary_token.device
        x_BCT = torch.as_tensor(x_uv, dtype=torch.float32, device=device)
        if x_BCT.dim() != 3 or x_BCT.shape[1] != len(electrodes):
            raise ValueError(f"{tuple(x_BCT.shape)} is not (windows, {len(electrodes)} electrodes, samples)")
        columns, ids = _look_up(electrodes)
        x_BCT = x_BCT[:, columns]
        present_BC = None
        if present is not None:
            present_BC = torch.as_tensor(present, dtype=torch.bool, device=device)
            if present_BC.shape != (len(x_BCT), len(electrodes)):
                raise ValueError(f"present {tuple(present_BC.shape)} is not (windows, electrodes)")
            present_BC = unless_complete(present_BC[:, columns])
        if present_BC is not None:
            x_BCT = x_BCT.masked_fill(~present_BC[..., None], 0)
        x_BCT = resample(x_BCT, sfreq, self.sfreq) * self.unit_scale
        return self.encoder(x_BCT, torch.tensor(ids, device=device), present_BC=present_BC)


def _look_up(electrodes: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the columns whose electrode the vocabulary holds, and their ids there."""
    canonical = [names.canonical(name) for name in electrodes]
    columns = names.in_vocabulary(canonical)
    known = [canonical[column] for column in columns]
    if not known:
        raise ValueError(f"none of {', '.join(electrodes) or 'no electrodes'} is among the network's electrodes")
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise ValueError(f"electrodes there more than once: {', '.join(twice)}")
    if left := [name for column, name in enumerate(electrodes) if column not in columns]:
        warnings.warn(f"electrodes the network does not know are left out: {', '.join(left)}", stacklevel=3)
    return columns, names.ids(known)


def load_encoder(
    path: str | Path, size: str | Size | None = None, unit_scale: float | None = None
) -> PretrainedEncoder:
    """Return the encoder of a run's folder, a .safetensors, a published .ckpt or a published .pth.

    It is in eval mode and its parameters take no gradient; ``requires_grad_(True)`` undoes that for
    fine-tuning. ``size`` requires a shape, by name or as a whole, and says the heads, which weights do not
    tell; ``unit_scale`` replaces the stored scale. Raises DareError, in one line, for a file that is not a
    whole encoder and for one of another size.
    """
    state, provenance, notes = read_weights(Path(path))
    if size is not None:
        provenance = provenance.model_copy(update=vars(_required(Path(path), provenance.size, size)))
    if unit_scale is not None:
        provenance = provenance.model_copy(update={"unit_scale": unit_scale})
    encoder = Encoder(provenance.size)
    encoder.load_state_dict(state)
    return PretrainedEncoder(encoder, provenance, notes).eval().requires_grad_(False)


def _required(path: Path, found: Size, wanted: str | Size) -> Size:
    """Return the wanted size; DareError where it is unknown or the weights have another shape."""
    if isinstance(wanted, str):
        if wanted not in SIZES:
            raise DareError(f"{path}: no size {wanted!r}; name one of {', '.join(SIZES)}")
        wanted = SIZES[wanted]
    shapes = [(size.width, size.summary_tokens, size.depths[0]) for size in (found, wanted)]
    if shapes[0] != shapes[1]:
        told = " but ".join("width {}, {} summary tokens, {} blocks".format(*shape) for shape in shapes)
        raise DareError(f"{path}: has {told} are required ({wanted.name}); name the file's own size or none")
    return wanted
