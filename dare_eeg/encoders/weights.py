"""Encoder weights on disk: ours as safetensors, and the two kinds of file that the published code writes."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dare_eeg.network.constants import PATCH, SFREQ
from dare_eeg.network.model import Encoder, Size, infer_size
from dare_eeg.running.torch_file import read_torch
from manifests import records
from manifests.atomic_io import write_bytes
from manifests.electrodes import PRETRAIN_58, VOCABULARY
from manifests.errors import DamagedError, MissingError
from manifests.records import Fields, Record, added
from manifests.subjects import hashed

ENCODER_FILE = "encoder.safetensors"
"""The name of the encoder in a run's folder."""

OURS = "dare_eeg"
"""Where a Lightning checkpoint that we wrote keeps what the encoder was trained on."""


WAY_OUT = "give a run, an encoder.safetensors or a published .ckpt or .pth that is whole"
"""What to do about a file that is no encoder."""


def _hashed(fields: Fields) -> Fields:
    """Return metadata that name subjects in clear with their hashes instead."""
    return fields | {"subjects": sorted(map(hashed, fields["subjects"]))} if "subjects" in fields else fields


class Provenance(Record):
    """What an encoder is and was trained on: network input = µV × ``unit_scale`` at ``sfreq`` Hz.

    The first five fields are those of its `Size`. ``subjects`` are those it has seen, `hashed`, as such a file is
    passed on; there are none, and no ``manifest_sha256``, where unknown. It has seen ``more_subjects`` where it began
    with weights that do not say whom they had seen.
    """

    KIND = "encoder's metadata"
    SCHEMA: ClassVar = 2
    UPGRADES: ClassVar = {1: _hashed}

    name: str
    width: int
    summary_tokens: int
    depths: tuple[int, int, int]
    heads: int
    electrodes: tuple[str, ...]
    sfreq: float = SFREQ
    unit_scale: float = 0.01
    patch: int = PATCH
    manifest_sha256: str = ""
    step: int = 0
    subjects: tuple[str, ...] = ()
    more_subjects: bool = added(False, absent=False)

    @property
    def size(self) -> Size:
        """The shape of its network."""
        return Size(**{field.name: getattr(self, field.name) for field in fields(Size)})


_UNUSED = {
    "encoder": "the copy that training moved; its slow mean is what is used",
    "predictor": "only pretraining needs it",
    "reconstructor": "only pretraining needs it",
    "loss_mc": "only pretraining needs it",
    "conv_head": "the classifier's own",
    "conv_head.anti_alias": "the published code never reads it",
    "classifier": "the classifier's own",
    "optimizer_states": "a run starts with its own moments",
    "lr_schedulers": "schedules are functions of the step",
}
"""Why parts of a published checkpoint lie unused."""


@dataclass(frozen=True)
class Coverage:
    """Which tensors of a file are used, and which of its names lie unused, each with the reason."""

    used: tuple[str, ...]
    unused: dict[str, str]

    def lines(self) -> tuple[str, ...]:
        """Return a line for each part left aside."""
        parts: dict[tuple[str, str], int] = {}
        for name, reason in self.unused.items():
            part = (name.partition(".")[0] + (".*" if "." in name else ""), reason)
            parts[part] = parts.get(part, 0) + 1
        counted = {part: f" ({count} tensors)" if part[0].endswith(".*") else "" for part, count in parts.items()}
        return tuple(f"left aside: {part}{counted[part, reason]}: {reason}" for part, reason in parts)


Weights = tuple[dict[str, Tensor], Provenance, tuple[str, ...]]
"""The state dict of an `Encoder`, what it was trained on, and notes for the user on what was left aside."""


def save_encoder(path: Path, encoder_state: dict[str, Tensor], provenance: Provenance) -> None:
    """Write an encoder's state dict atomically, with each field of its provenance as JSON metadata."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder_state.items()}
    write_bytes(path, save(state, metadata_of(provenance)))


def metadata_of(provenance: Provenance) -> dict[str, str]:
    """Return each field of a provenance as JSON."""
    return {name: json.dumps(value) for name, value in provenance.as_json().items()}


def file_of(path: Path) -> Path:
    """Return the file with the weights of a run's folder, or the file that is named itself."""
    return path / ENCODER_FILE if path.is_dir() else path


def read_weights(path: Path) -> Weights:
    """Return the encoder of a run's folder, a .safetensors, a published .ckpt or a published .pth.

    Raises MissingError, and DamagedError for a file that is empty, cut short, no checkpoint, or whose
    tensors are not exactly those of an encoder.
    """
    file = file_of(path)
    if not file.exists():
        raise MissingError("not found", path=file, remedy=WAY_OUT)
    if file.stat().st_size == 0:
        raise DamagedError("zero bytes", path=file, remedy=WAY_OUT)
    weights = _read_safetensors(file) if file.suffix == ".safetensors" else _read_published(file)
    size = weights[1].size
    with torch.device("meta"):
        expected = Encoder(size).state_dict()
    require(file, weights[0], expected, f"an encoder of width {size.width}")
    return weights


def _read_safetensors(file: Path) -> Weights:
    try:
        with safe_open(file, framework="pt") as stored:
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
            metadata = stored.metadata() or {}
    except (SafetensorError, OSError) as problem:
        reason = f"not a whole safetensors file ({_line(problem)})"
        raise DamagedError(reason, path=file, remedy=WAY_OUT) from problem
    return state, _provenance(file, metadata), ()


def _provenance(file: Path, stored: object) -> Provenance:
    """Return the provenance of what `metadata_of` returned; DamagedError where it is none."""
    if not isinstance(stored, Mapping) or "electrodes" not in stored:
        raise DamagedError("no metadata of an encoder of ours", path=file, remedy=WAY_OUT)
    try:
        fields = {name: json.loads(value) for name, value in stored.items()}
    except (TypeError, ValueError) as problem:
        reason = f"no metadata of an encoder of ours ({_line(problem)})"
        raise DamagedError(reason, path=file, remedy=WAY_OUT) from problem
    return records.read(Provenance, fields, file, WAY_OUT)


def _read_published(file: Path) -> Weights:
    remedy = "give py:FILE.py:FUNCTION to name a function" if file.suffix == ".py" else WAY_OUT
    stored = read_torch(file, remedy)
    if isinstance(stored.get("state_dict"), dict):
        return _pretrained(file, stored)
    if isinstance(stored.get("model"), dict):
        return _finetuned(file, stored["model"])
    raise DamagedError("a checkpoint with neither 'state_dict' nor 'model'", path=file, remedy=WAY_OUT)


def _pretrained(file: Path, stored: dict[str, Any]) -> Weights:
    """Return the momentum encoder of a Lightning checkpoint; it was trained in mV, if not by us."""
    state, notes = _part(file, stored["state_dict"], "target_encoder.")
    if OURS in stored:
        return state, _provenance(file, stored[OURS]), notes
    size = size_of(file, stored["state_dict"])
    step = int(stored.get("global_step", 0))
    return state, Provenance(**vars(size), electrodes=PRETRAIN_58, unit_scale=1e-3, step=step), notes


def _finetuned(file: Path, model: dict[str, Tensor]) -> Weights:
    """Return the encoder of a fine-tuned classifier.

    It was trained on units of 100 µV at 200 Hz behind a learned adapter, whose outputs took the first 58
    places of the vocabulary.
    """
    state, notes = _part(file, model, "encoder.")
    return state, Provenance(**vars(size_of(file, model)), electrodes=VOCABULARY[:58], sfreq=200.0), notes


def _part(file: Path, state_dict: dict[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors below a prefix, and notes on those left aside."""
    if odd := [str(name) for name, value in state_dict.items() if not isinstance(value, Tensor)]:
        raise DamagedError(f"not tensors: {_some(odd)}", path=file, remedy=WAY_OUT)
    coverage = cover(state_dict, tuple(name for name in state_dict if name.startswith(prefix)))
    if not coverage.used:
        others = dict.fromkeys(name.split(".")[0] for name in state_dict)
        raise DamagedError(f"no {prefix}* tensors, only {_some(others) or 'none'}", path=file, remedy=WAY_OUT)
    return {name.removeprefix(prefix): state_dict[name] for name in coverage.used}, coverage.lines()


def cover(state: Iterable[str], used: tuple[str, ...], beside: tuple[str, ...] = ()) -> Coverage:
    """Return which names of a state dict are used; the others, and what is stored ``beside`` it, lie unused."""
    unused = [*sorted(set(state) - set(used), key=list(state).index), *beside]
    reasons = {name: _UNUSED.get(name.rpartition(".")[0]) or _UNUSED.get(name.split(".")[0]) for name in unused}
    return Coverage(used, {name: reason or "not part of the network" for name, reason in reasons.items()})


def size_of(file: Path, state_dict: dict[str, Tensor]) -> Size:
    """Return the size that a state dict shows; DamagedError where it shows none."""
    try:
        return infer_size(state_dict)
    except (KeyError, ValueError) as problem:
        reason = "no summary_token (1, S, D) that tells the size"
        raise DamagedError(reason, path=file, remedy=WAY_OUT) from problem


def require(file: Path, state: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> None:
    """Raise DamagedError naming every kind of difference from the tensors that ``what`` has."""
    misshapen = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    differences = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "misshapen": misshapen,
    }
    if differing := "; ".join(f"{kind}: {_some(names)}" for kind, names in differences.items() if names):
        raise DamagedError(f"not {what}: {differing}", path=file, remedy=WAY_OUT)


def _some(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _line(problem: Exception) -> str:
    return (str(problem).strip() or type(problem).__name__).splitlines()[0][:120]
