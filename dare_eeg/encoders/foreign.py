"""Foreign weights: other people's, from a folder, a file or the hub, read strictly and never unpickled."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dare_eeg.running.torch_file import read_torch
from manifests.errors import DamagedError, MissingError, UsageError

_FILES = ("model.safetensors", "pytorch_model.bin")
_CONFIG = "config.json"
_REMEDY = f"give a folder with {_FILES[0]} or {_FILES[1]}"
_WHOLE = f"give the folder of its {_FILES[0]} or {_FILES[1]} and its {_CONFIG}"
_MOST = 4


@dataclass(frozen=True)
class Foreign:
    """A file of weights, its tensors by name, what a config beside it says of the network, and where it came from."""

    file: Path
    tensors: dict[str, Tensor]
    config: dict[str, Any]
    source: str


def read(place: str, revision: str) -> Foreign:
    """Return the weights of a folder, a file, or a repository of the hub at a revision ("" for its newest).

    Raises MissingError where there are none or the hub does not give them, DamagedError for what cannot be read,
    UsageError for a revision of what is no repository.
    """
    path, source = Path(place).expanduser(), place
    if revision and path.exists():
        raise UsageError(f"has no revision {revision}, as it is none of the hub's", path=path, remedy="leave that out")
    if not path.exists():
        if place.startswith((".", "/", "~")) or place.count("/") != 1:
            raise MissingError("not found", path=path, remedy=f"{_REMEDY}, or OWNER/NAME of the hub")
        path = _from_hub(place, revision)
        source = f"{place}, revision {path.name}"
    file = next((path / name for name in _FILES if (path / name).is_file()), path)
    if file.is_dir():
        raise MissingError(f"holds neither {_FILES[0]} nor {_FILES[1]}", path=path, remedy=_REMEDY)
    return Foreign(file, _tensors(file), _config(file.with_name(_CONFIG)), source)


def require(foreign: Foreign, expected: dict[str, Tensor], blocks: str, beside: Iterable[str]) -> tuple[str, ...]:
    """Return a note on tensors that lie unused, if any; those whose names begin as ``beside`` says are no matter.

    Raises DamagedError, with a list, where a tensor that is expected is missing or of another shape, or holds what is
    no finite number, and where one of ``blocks`` lies unused: then the network has fewer than were trained.
    """
    found, left = foreign.tensors, tuple(beside)
    missing = [name for name in expected if name not in found]
    misshapen = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    unused = [name for name in found if name not in expected and not name.startswith(left)]
    if missing or misshapen or any(name.startswith(f"{blocks}.") for name in unused):
        told = {"missing": missing, "misshapen": misshapen, "unused": unused}
        reason = "; ".join(f"{kind}: {_some(names)}" for kind, names in told.items() if names)
        raise DamagedError(f"not the weights of this encoder: {reason}", path=foreign.file, remedy=_WHOLE)
    if spoiled := [name for name in expected if not bool(found[name].isfinite().all())]:
        reason = f"not finite: {_some(spoiled)}"
        raise DamagedError(reason, path=foreign.file, remedy="download it again")
    return (f"left aside: {_some(unused)}: not part of the network",) if unused else ()


def _from_hub(repository: str, revision: str) -> Path:
    """Return the folder that the hub's files of a repository lie in."""
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=[*_FILES, _CONFIG]))
    except Exception as problem:  # of the hub, of the network, of the disk: its library has errors of its own for each
        kind = type(problem).__name__
        what = "is gated: accept its terms on its page and log in" if "Gated" in kind else "cannot be had from the hub"
        first = (str(problem).strip() or kind).splitlines()[0][:160]
        remedy = "download it elsewhere and give braindecode:NAME@FOLDER"
        raise MissingError(f"{what} ({kind}: {first})", path=repository, remedy=remedy) from problem


def _tensors(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        try:
            return dict(load_file(file))
        except (SafetensorError, OSError) as problem:
            raise DamagedError("not a whole safetensors file", path=file, remedy=_REMEDY) from problem
    stored = read_torch(file, _REMEDY)
    stored = next((stored[key] for key in ("state_dict", "model") if isinstance(stored.get(key), dict)), stored)
    return {name: value for name, value in stored.items() if isinstance(value, Tensor)}


def _config(file: Path) -> dict[str, Any]:
    """Return what the config beside the weights says, {} where there is none."""
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise DamagedError("not JSON", path=file, remedy="download it again, or remove it") from problem
    return found if isinstance(found, dict) else {}


def _some(names: list[str]) -> str:
    return ", ".join(names[:_MOST]) + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")
