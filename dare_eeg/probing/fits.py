"""Fits: what each fit of a row leaves on disk: what it said of the tested windows, how it got there, and itself."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, from_numpy, uint8

from dare_eeg.probing.fit import FoldFit
from manifests.atomic_io import PARTIAL, write_bytes
from manifests.errors import DamagedError

FOLDER = "fits"
"""The folder of fits within that of a row."""

_TOLD = "probabilities"
_OF_MODEL = "model."
_SUFFIX = ".safetensors"
_REMEDY = "the same dare probe fits it anew"


class Place(NamedTuple):
    """Which of a row's fits it is, each counted from 0."""

    repeat: int
    seed: int
    fold: int

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"repeat-{self.repeat}-seed-{self.seed}-fold-{self.fold}{_SUFFIX}"


@dataclass(frozen=True)
class KeptFits:
    """The fits of a row in a folder, a file each, of one ``question``: all that the answer depends on.

    ``tell`` is told of files that go because they are damaged or of another question.
    """

    folder: Path
    question: dict[str, Any]
    tell: Callable[[str], None]

    def remove_others(self) -> None:
        """Remove fits of other questions, and files of a run that was killed."""
        for path in self.folder.glob(f"*{_SUFFIX}{PARTIAL}*"):
            path.unlink(missing_ok=True)
        others = [path for path in sorted(self.folder.glob(f"*{_SUFFIX}")) if self._metadata(path) is None]
        for path in others:
            path.unlink(missing_ok=True)
        if others:
            self.tell(f"{self.folder}: {len(others)} fits of another question, or damaged, are removed")

    def keep(self, place: Place, fit: FoldFit) -> None:
        """Write a fit."""
        model = {} if fit.model is None else fit.model.tensors()
        tensors = {_TOLD: from_numpy(fit.probabilities)} | {f"{_OF_MODEL}{name}": one for name, one in model.items()}
        tensors = {name: one.detach().cpu().contiguous().clone() for name, one in tensors.items()}
        facts = {"question": self.question, "selected": fit.selected, "curves": fit.curves, "trained": fit.trained}
        facts["sum"] = _sum(tensors)
        metadata = {name: json.dumps(fact, sort_keys=True) for name, fact in facts.items()}
        write_bytes(self.folder / place.file, save(tensors, metadata))

    def load(self, place: Place) -> FoldFit | None:
        """Return a fit without its model, None where it is not kept, is damaged, or answers another question."""
        path = self.folder / place.file
        metadata = self._metadata(path) if path.exists() else None
        if metadata is None:
            return None
        try:
            told = read_tensors(path, _TOLD)[_TOLD].numpy()
        except DamagedError as problem:
            self.tell(str(problem))
            return None
        selected, curves, trained = (json.loads(metadata[name]) for name in ("selected", "curves", "trained"))
        return FoldFit(told, selected, curves, trained=trained)

    def tensors(self, place: Place) -> dict[str, Tensor]:
        """Return the tensors of a fit's model, by name.

        Raises DamagedError where they are not what was written, or answer another question.
        """
        path = self.folder / place.file
        if self._metadata(path) is None:
            raise DamagedError("is missing, damaged, or of another question", path=path, remedy=_REMEDY)
        return model_tensors(path)

    def _metadata(self, path: Path) -> dict[str, str] | None:
        """Return the metadata of a file, None where it is damaged or of another question."""
        try:
            with safe_open(path, "pt") as file:
                metadata: dict[str, str] = file.metadata() or {}
            return metadata if json.loads(metadata["question"]) == self.question else None
        except (OSError, SafetensorError, ValueError, KeyError):
            return None


def model_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a kept fit's model, by name; DamagedError where they are not what was written."""
    found = read_tensors(path, _OF_MODEL)
    return {name.removeprefix(_OF_MODEL): one for name, one in found.items()}


def read_tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    """Return the tensors of a kept fit whose names begin so; DamagedError where the file is not what was written."""
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            is_whole = json.loads((file.metadata() or {})["sum"]) == _sum(tensors)
    except (OSError, SafetensorError, ValueError, KeyError):
        is_whole, tensors = False, {}
    if not is_whole:
        raise DamagedError("is damaged", path=path, remedy=_REMEDY)
    return {name: one for name, one in tensors.items() if name.startswith(prefix)}


def _sum(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, one in sorted(tensors.items()):
        digest.update(f"{name} {one.dtype} {tuple(one.shape)}\n".encode())
        digest.update(one.contiguous().flatten().view(uint8).numpy().tobytes())
    return digest.hexdigest()
