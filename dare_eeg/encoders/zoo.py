"""Zoo: other people's pretrained encoders, as braindecode has them, fed as each was trained."""

import warnings
from collections.abc import Sequence
from importlib import import_module, metadata
from inspect import signature
from types import ModuleType
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dare_eeg.encoders import foreign
from dare_eeg.encoders.architectures import ARCHITECTURES, BIOT_PAIRS, paired
from dare_eeg.encoders.base import EEGEncoder, Identity, Prepared
from dare_eeg.encoders.foreign import Foreign
from dare_eeg.network.resample import resample
from manifests.atomic_io import sha256_file
from manifests.electrodes import canonical, is_site
from manifests.errors import MissingError, RefusedError, UsageError
from manifests.faults import did_you_mean

PREFIX = "braindecode:"
RANDOM = "random"
"""In the place of a folder: weights that are drawn, the control of an architecture."""

_BESIDE = ("final_layer.", "chan_proj.", "chans_id")
"""Tensors of a file that are its head, or that follow from the electrodes."""

_OF_WINDOWS = frozenset({"n_outputs", "n_chans", "chs_info", "n_times", "input_window_seconds", "sfreq"})
_SEEDED_SAMPLES = 3000
"""How long windows are for which an architecture's network is made: 15 s of the longest that LaBraM takes."""


class ZooEncoder(EEGEncoder):
    """One of `ARCHITECTURES` with its weights; ``weights`` None are drawn from torch's global generator.

    Its network depends on electrodes and length of the windows, so that it is made anew for others, with the same
    parameters. What it was not trained on it does not read.
    """

    def __init__(self, name: str, weights: Foreign | None) -> None:
        super().__init__()
        self.name, self._architecture = name, ARCHITECTURES[name]
        self._config = _numbers(weights.config if weights else {})
        rows = weights.tensors.get(self._architecture.rows) if weights else None
        is_known = isinstance(rows, Tensor) and rows.dim() == 3 and rows.shape[1] > 1
        samples = (rows.shape[1] - 1) * self._architecture.whole if is_known else _SEEDED_SAMPLES  # type: ignore[union-attr]
        self.network = self._made(self._architecture.electrodes, samples)
        self._identity = Identity(name, is_pretrained=False)
        if weights is not None:
            own = {key: tensor for key, tensor in self.network.state_dict().items() if not key.startswith(_BESIDE)}
            notes = (f"weights of {weights.source}", *foreign.require(weights, own, self._architecture.blocks, _BESIDE))
            self.network.load_state_dict({key: weights.tensors[key] for key in own}, strict=False)
            corpora = self._architecture.corpora
            self._identity = Identity(name, sha256_file(weights.file), corpora=corpora, notes=notes)
        names = self._architecture.names(self.network)
        self._readable = None if names is None else frozenset(map(canonical, names))
        self._made_for: dict[tuple[tuple[str, ...], int], nn.Module] = {}

    @property
    def electrodes(self) -> tuple[str, ...]:
        """The electrodes, or pairs, that an adapter maps recorded ones onto: one of those it was trained on."""
        return self._architecture.electrodes

    @property
    def identity(self) -> Identity:
        """Its name, the sha256 of its weights, and the corpora it was pretrained on; whom of them it does not say."""
        return self._identity

    @property
    def sfreq(self) -> float:
        """Sampling rate in Hz that input is brought to."""
        return self._architecture.sfreq

    @property
    def form(self) -> dict[str, Any]:
        """What its features depend on besides its weights."""
        return {"braindecode": metadata.version("braindecode")} | self._config

    def known(self, electrodes: Sequence[str]) -> list[int]:
        """Return the places of those electrodes that it has a name or a position for; of BIOT, that make up a pair."""
        names = [canonical(name) for name in electrodes]
        if self._architecture.is_in_pairs:
            pairs = [pair for pair in BIOT_PAIRS if set(pair.split("-")) <= set(names)]
            ends = {end for pair in pairs for end in pair.split("-")}
            return [place for place, name in enumerate(names) if name in ends or name in BIOT_PAIRS]
        return [place for place, name in enumerate(names) if self._reads(name)]

    def _reads(self, name: str) -> bool:
        """Return whether this is one of its names, or, where it knows none, an electrode or a derivation of two."""
        return all(map(is_site, name.split("-"))) if self._readable is None else name in self._readable

    def untrained(self, electrodes: Sequence[str]) -> list[str]:  # noqa: ARG002 - of none
        """Return none: what it was not trained on it does not read."""
        return []

    def prepare(
        self,
        x_uv: Tensor | NDArray[Any],
        electrodes: Sequence[str],
        sfreq: float,
        present: Tensor | NDArray[Any] | None = None,
    ) -> Prepared:
        """Return windows at its rate and in its unit, absent electrodes zero; of BIOT, pairs."""
        wants, names = self._architecture, tuple(map(canonical, electrodes))
        at = next(self.network.parameters()).device
        x_BCT = torch.as_tensor(x_uv, dtype=torch.float32, device=at)
        absent_BC = None
        if present is not None:
            absent_BC = ~torch.as_tensor(present, dtype=torch.bool, device=at)
            x_BCT = x_BCT.masked_fill(absent_BC[..., None], 0)
        x_BCT = resample(x_BCT, sfreq, wants.sfreq)
        if wants.is_in_pairs:
            return self._prepared_in_pairs(x_BCT, names, absent_BC)
        x_BCT = wants.scale(x_BCT)
        return Prepared(x_BCT if absent_BC is None else x_BCT.masked_fill(absent_BC[..., None], 0), names)

    def _prepared_in_pairs(self, x_BCT: Tensor, names: Sequence[str], absent_BC: Tensor | None) -> Prepared:
        """Return pairs in front of the electrodes that are in none; a pair is there where both its ends are."""
        pairs_BCT, made = paired(x_BCT, names)
        if absent_BC is not None:
            ends = [[names.index(end) for end in ([one] if one in names else one.split("-"))] for one in made]
            absent_BC = torch.stack([absent_BC[:, rows].any(dim=1) for rows in ends], dim=1)
            pairs_BCT = pairs_BCT.masked_fill(absent_BC[..., None], 0)
        return Prepared(self._architecture.scale(pairs_BCT), made)

    def encode(self, prepared: Prepared) -> Tensor:
        """Return features (B, N, S, D): moments × electrodes, × summary tokens of EEGPT, of BIOT and BENDR 1 × 1.

        Windows are cut to whole patches; where a tenth of one is lacking, as behind finetune's adapter, zeros fill it.
        Raises RefusedError for windows shorter than a patch, or longer than LaBraM's time embedding.
        """
        wants, x_BCT = self._architecture, self._in_patches(prepared.x)
        network = self._network_for(prepared.electrodes, x_BCT.shape[-1]).train(self.training)
        if not wants.rows:
            return wants.features(network, x_BCT, prepared.electrodes)
        setattr(network, wants.rows, self._rows_for(x_BCT.shape[-1]))
        found = wants.features(network, x_BCT, prepared.electrodes)
        setattr(network, wants.rows, None)  # a part of a parameter cannot be copied
        return found

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters below its blocks, then those of each block; what lies above them is in none."""
        blocks = self._architecture.blocks
        above = (*self._architecture.above, f"{blocks}.")
        below = [tensor for name, tensor in self.network.named_parameters() if not name.startswith(above)]
        return [below, *(list(block.parameters()) for block in self.network.get_submodule(blocks).children())]

    def _in_patches(self, x_BCT: Tensor) -> Tensor:
        """Return windows of a whole number of patches."""
        wants, samples = self._architecture, x_BCT.shape[-1]
        if 0 < (lacking := -samples % wants.whole) <= wants.whole // 10:
            return functional.pad(x_BCT, (0, lacking))
        if samples < wants.least:
            has_s, least_s = samples / wants.sfreq, wants.least / wants.sfreq
            reason = f"windows of {has_s:.3g} s are shorter than {least_s:.3g} s, the least that it reads"
            raise RefusedError(reason, path=PREFIX + self.name, remedy="dare preprocess --set window_s=4")
        return x_BCT[..., : samples // wants.whole * wants.whole]

    def _network_for(self, electrodes: tuple[str, ...], samples: int) -> Any:
        """Return a network for windows of a shape, on the device of this encoder, that shares its parameters."""
        wants = self._architecture
        if not wants.is_made_by_shape:
            return self.network
        if (electrodes, samples) not in self._made_for:
            with torch.random.fork_rng(devices=[]):  # what is drawn gives way to our own parameters
                self._made_for[electrodes, samples] = self._sharing(self._made(electrodes, samples))
        return self._made_for[electrodes, samples].to(next(self.network.parameters()).device)

    def _rows_for(self, samples: int) -> Tensor:
        """Return the rows of the parameter that has one for each patch, and one more; RefusedError beyond the last."""
        wants = self._architecture
        rows, count = self.network.get_parameter(wants.rows), samples // wants.whole + 1
        if count > rows.shape[1]:
            longest_s = (rows.shape[1] - 1) * wants.whole / wants.sfreq
            reason = f"windows of {samples / wants.sfreq:g} s are longer than the {longest_s:g} s that it has learnt"
            raise RefusedError(reason, path=PREFIX + self.name, remedy=f"dare preprocess --set window_s={longest_s:g}")
        found: Tensor = rows[:, :count]
        return found

    def _sharing(self, network: nn.Module) -> nn.Module:
        """Return a network with our parameters in the place of its own, and our blocks with all that is put in them."""
        blocks = self._architecture.blocks
        owner, _, leaf = blocks.rpartition(".")
        setattr(network.get_submodule(owner), leaf, self.network.get_submodule(blocks))
        for name, parameter in self.network.named_parameters():
            owner, _, leaf = name.rpartition(".")
            if name == self._architecture.rows:
                del network._parameters[leaf]
            else:
                setattr(network.get_submodule(owner), leaf, parameter)
        return network

    def _made(self, electrodes: Sequence[str], samples: int) -> Any:
        """Return a network of braindecode's for such windows, without a head and in eval mode."""
        wants = self._architecture
        made = getattr(models(), wants.class_name)
        config = {name: value for name, value in self._config.items() if name in signature(made).parameters}
        try:
            with warnings.catch_warnings():
                # It warns of names that are given with each call, and of names for MNE's montages.
                warnings.simplefilter("ignore")
                arguments = config | {"n_outputs": 1, "sfreq": wants.sfreq} | wants.arguments(electrodes, samples)
                network = made(**arguments)
        except (RuntimeError, TypeError, ValueError, AssertionError) as problem:
            reason = f"braindecode does not make it ({str(problem).strip().splitlines()[0][:160]})"
            raise RefusedError(reason, path=PREFIX + self.name, remedy=_REMEDIES.get(self.name, _REMEDY)) from problem
        network.final_layer = nn.Identity()
        network.eval()
        return network


_REMEDY = "the config.json beside its weights must be that of its own class in braindecode"
_REMEDIES = {
    "reve": "put positions.json of the hub's brain-bzh/reve-positions, as reve_positions.json, into a folder, and set "
    "REVE_POSITIONS_PATH to that"
}


def zoo_encoder(name: str) -> ZooEncoder:
    """Return the encoder ``braindecode:NAME[@PLACE[@REVISION]]`` with the weights of a folder, a file or the hub.

    Without a place they are the public ones of the hub, ``random`` are drawn from torch's global generator. It is in
    eval mode and its parameters take no gradient. Raises DareError where braindecode cannot be imported, there is no
    such encoder, and its weights cannot be had or are not those of it.
    """
    architecture, _, rest = name.removeprefix(PREFIX).partition("@")
    place, _, revision = rest.partition("@")
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        remedy = did_you_mean(architecture, ARCHITECTURES) or f"name one of {known}"
        raise UsageError(f"no encoder {architecture!r}", path=f"--encoder {name}", remedy=remedy)
    if place == RANDOM and revision:
        raise UsageError("drawn weights have no revision", path=f"--encoder {name}", remedy="leave it out")
    models()
    weights = None
    if place != RANDOM:
        weights = foreign.read(place or ARCHITECTURES[architecture].repository, revision)
    return ZooEncoder(architecture, weights).eval().requires_grad_(False)


def models() -> ModuleType:
    """Return braindecode's models; MissingError where they cannot be imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas and MNE tell of what braindecode will have to change
        try:
            return import_module("braindecode.models")
        except ModuleNotFoundError as problem:
            reason = f"{problem.name} is not installed"
            raise MissingError(reason, path="braindecode", remedy="pip install 'dare-eeg[zoo]'") from problem
        except OSError as problem:
            reason = "torchaudio, which it imports, does not load beside this torch: its libraries want those of CUDA"
            remedy = "move the .so files out of torchaudio/lib in the environment, or install a torch for CUDA"
            raise MissingError(reason, path="braindecode", remedy=remedy) from problem


def _numbers(config: dict[str, Any]) -> dict[str, Any]:
    """Return what of a config shapes a network: numbers and lists of them, but nothing that windows decide."""
    return {
        name: value
        for name, value in config.items()
        if name not in _OF_WINDOWS and isinstance(value, int | float | list)
    }
