"""Our encoder: it takes EEG as it comes, in µV, electrodes by name, at any sampling rate."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dare_eeg.encoders.base import EEGEncoder, Identity, Prepared
from dare_eeg.encoders.weights import Provenance, file_of, read_weights
from dare_eeg.network.blocks import initialise
from dare_eeg.network.model import SIZES, Encoder, Size, unless_complete
from dare_eeg.network.resample import resample
from manifests import electrodes as names
from manifests.atomic_io import sha256_file
from manifests.electrodes import PRETRAIN_58
from manifests.errors import UsageError


class PretrainedEncoder(EEGEncoder):
    """The encoder of DARE-EEG with what it was trained on; it scales, resamples and names its input itself.

    Called with windows (B, C, T) in µV, the names of their electrodes and their rate in Hz it returns features
    (B, N, S, D): N whole patches of 64 samples at its `sfreq`, S summary tokens of width D. ``provenance`` is what its
    file says it was trained on, ``notes`` what of that file lies unused, ``file`` where its weights were read from,
    None where they were not. `load_encoder` makes one.
    """

    def __init__(
        self, encoder: Encoder, provenance: Provenance, notes: tuple[str, ...] = (), file: Path | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.provenance = provenance
        self.notes = notes
        self._file = file

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
        """The network's shape: `name`, `width`, `summary_tokens`, `depths` and `heads`."""
        return self.provenance.size

    @cached_property
    def identity(self) -> Identity:
        """Its size by name, and what it was pretrained on; without a file it was not."""
        return Identity(
            name=self.size.name,
            sha256="" if self._file is None else sha256_file(self._file),
            is_pretrained=self._file is not None,
            pretrained_on=self.provenance.manifest_sha256,
            step=self.provenance.step,
            subjects=self.provenance.subjects,
            more_subjects=self.provenance.more_subjects,
            notes=self.notes,
        )

    def known(self, electrodes: Sequence[str]) -> list[int]:
        """Return the places of the electrodes that the vocabulary holds, older names and file spellings included."""
        return names.in_vocabulary([names.canonical(name) for name in electrodes])

    def prepare(
        self,
        x_uv: Tensor | NDArray[Any],
        electrodes: Sequence[str],
        sfreq: float,
        present: Tensor | NDArray[Any] | None = None,
    ) -> Prepared:
        """Return windows at its rate in its unit; those of absent electrodes are zeros."""
        device = self.encoder.summary_token.device
        x_BCT = torch.as_tensor(x_uv, dtype=torch.float32, device=device)
        present_BC = None
        if present is not None:
            present_BC = unless_complete(torch.as_tensor(present, dtype=torch.bool, device=device))
        if present_BC is not None:
            x_BCT = x_BCT.masked_fill(~present_BC[..., None], 0)
        x_BCT = resample(x_BCT, sfreq, self.sfreq) * self.unit_scale
        return Prepared(x_BCT, tuple(electrodes), present_BC)

    def encode(self, prepared: Prepared) -> Tensor:
        """Return features (B, N, S, D), N the whole patches of the windows.

        Raises ValueError for an electrode that is there twice and for windows shorter than one patch, KeyError for one
        that the vocabulary does not hold.
        """
        ids_C = torch.tensor(self._ids(prepared.electrodes), device=prepared.x.device)
        features: Tensor = self.encoder(prepared.x, ids_C, present_BC=prepared.present)
        return features

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters of its embeddings, then of each block; its last norm is in no layer."""
        network = self.encoder
        embeddings = [network.summary_token, *network.patch_embed.parameters(), *network.chan_embed.parameters()]
        return [embeddings, *(list(block.parameters()) for block in network.blocks)]

    def _ids(self, electrodes: Sequence[str]) -> list[int]:
        """Return the places of electrodes in the vocabulary."""
        canonical = [names.canonical(name) for name in electrodes]
        if twice := sorted({name for name in canonical if canonical.count(name) > 1}):
            raise ValueError(f"electrodes there more than once: {', '.join(twice)}")
        return names.ids(canonical)


def load_encoder(
    path: str | Path, size: str | Size | None = None, unit_scale: float | None = None
) -> PretrainedEncoder:
    """Return the encoder of a run's folder, a .safetensors, a published .ckpt or a published .pth.

    It is in eval mode and its parameters take no gradient; ``requires_grad_(True)`` undoes that for fine-tuning.
    ``size`` (nano, light, small, base, deep or a `Size`) requires a shape and says the number of heads, which published
    weights do not tell: 8 where the width is 512, else 4. ``unit_scale`` (network input per µV) replaces what the file
    says; published pretrained files are taken to be in mV, 1e-3, fine-tuned ones in units of 100 µV, as the published
    code feeds them. Raises MissingError where there is no file, DamagedError for one that is not a whole encoder,
    UsageError for one of another size, ValueError for a ``unit_scale`` that is no positive number.
    """
    state, provenance, notes = read_weights(Path(path))
    if size is not None:
        provenance = provenance.model_copy(update=vars(_required(Path(path), provenance.size, size)))
    if unit_scale is not None:
        if not (isinstance(unit_scale, int | float) and 0 < unit_scale < math.inf):
            raise ValueError(f"unit_scale {unit_scale!r} is no positive number")
        provenance = provenance.model_copy(update={"unit_scale": unit_scale})
    encoder = Encoder(provenance.size)
    encoder.load_state_dict(state)
    return _frozen(PretrainedEncoder(encoder, provenance, notes, file_of(Path(path))))


def untrained_encoder(size: str) -> PretrainedEncoder:
    """Return an encoder of one of `SIZES` with weights drawn from torch's global generator: the control of a probe."""
    encoder = Encoder(SIZES[size])
    initialise(encoder, "fan_in")
    return _frozen(PretrainedEncoder(encoder, Provenance(**vars(SIZES[size]), electrodes=PRETRAIN_58)))


def _frozen(encoder: PretrainedEncoder) -> PretrainedEncoder:
    return encoder.eval().requires_grad_(False)


def _required(path: Path, found: Size, wanted: str | Size) -> Size:
    """Return the wanted size; DareError where it is unknown or the weights have another shape."""
    if isinstance(wanted, str):
        if wanted not in SIZES:
            raise UsageError(f"no size {wanted!r}", path=path, remedy=f"name one of {', '.join(SIZES)}")
        wanted = SIZES[wanted]
    shapes = [(size.width, size.summary_tokens, size.depths[0]) for size in (found, wanted)]
    if shapes[0] != shapes[1]:
        told = " but ".join("width {}, {} summary tokens, {} blocks".format(*shape) for shape in shapes)
        reason = f"has {told} are required ({wanted.name})"
        raise UsageError(reason, path=path, remedy="name the file's own size or none")
    return wanted
