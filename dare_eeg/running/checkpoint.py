"""Checkpoint: an engine's state in a folder that is whole before a file names it, read back as tensors alone.

That file, the pointer, is replaced only after the folder has reached the disk, so at any instant it names a whole
folder or there is none.
"""

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch
from torch import Tensor

from dare_eeg.running.engine import Engine, library
from dare_eeg.running.ranks import Ranks
from dare_eeg.running.torch_file import read_torch
from manifests.atomic_io import sha256_file, sync, unwritable, write_bytes
from manifests.errors import DamagedError

STATES = "mp_rank_00_model_states.pt"
"""The file that holds the network, whatever ZeRO shares out."""


def write_state(folder: Path, engine: Engine, ranks: Ranks, step: int) -> None:
    """Write the state after ``step`` steps into a folder; once all ranks return, it has reached the disk."""
    if ranks.is_first:
        shutil.rmtree(folder, ignore_errors=True)  # what a killed run left half-written, of other ranks perhaps
    ranks.wait()
    try:
        engine.save_checkpoint(str(folder.parent), tag=folder.name, client_state={"step": step}, save_latest=False)
    except OSError as problem:
        raise unwritable(folder, problem) from problem
    except RuntimeError as problem:  # what torch makes of a disk that takes no more
        if not isinstance(problem.__context__, OSError) and "inline_container" not in str(problem):
            raise
        raise unwritable(folder, _refusal(folder)) from problem
    ranks.wait()
    if ranks.is_first:
        for path in (*_files(folder), folder, folder.parent):
            sync(path)


def _refusal(folder: Path) -> OSError:
    """Return what the system says to a few more bytes in a folder, of which torch told nothing."""
    try:
        with TemporaryFile(dir=folder.parent) as probe:
            probe.write(bytes(1 << 20))
    except OSError as problem:
        return problem
    return OSError("a checkpoint could not be written whole")


def point(pointer: Path, content: bytes, kept: Collection[str]) -> None:
    """Replace the pointer, and only then remove the folders of states beside it that are not ``kept``."""
    write_bytes(pointer, content)
    for stale in pointer.parent.glob("step-*"):
        if stale.name not in kept:
            shutil.rmtree(stale)


def hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a state by its name."""
    return {path.name: sha256_file(path) for path in _files(folder)}


def load_state(folder: Path, engine: Engine, ranks: Ranks, sha256: dict[str, str]) -> dict[str, int]:
    """Have the engine go on from a state whose files have these sums; return what was saved beside it.

    Raises DamagedError where a file is another, or holds more than tensors and plain containers.
    """
    _refuse_pickle()
    if not ranks.first_finds(lambda: sha256 == hashes(folder)):
        raise DamagedError("is damaged, its bytes changed", path=folder, remedy="start anew with another --out")
    try:
        loaded, beside = engine.load_checkpoint(str(folder.parent), tag=folder.name)
    except Exception as problem:
        reason = str(problem).strip().splitlines()[:1] or [type(problem).__name__]
        raise DamagedError(
            f"cannot be loaded ({reason[0][:120]})",
            path=folder,
            remedy="if it is damaged, start anew with another --out",
        ) from problem
    return beside if loaded is not None else {}


def read_network(folder: Path, sha256: dict[str, str], remedy: str) -> dict[str, Tensor]:
    """Return the weights of the network of a state; DamagedError with the remedy where its file is another."""
    file = folder / STATES
    stored: object = None
    if file.exists() and sha256_file(file) == sha256.get(STATES):
        with torch.serialization.safe_globals(_harmless()):
            stored = read_torch(file, remedy).get("module")
    if not isinstance(stored, dict) or not all(isinstance(value, Tensor) for value in stored.values()):
        raise DamagedError("is damaged, its bytes changed", path=file, remedy=remedy)
    return stored


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_file())


def _refuse_pickle() -> None:
    """Make DeepSpeed load tensors only, and let through the harmless classes that it stores beside them."""
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals(_harmless())


def _harmless() -> list[Any]:
    """Return the three classes of its own that DeepSpeed stores beside tensors."""
    library()
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [LossScaler, ZeroStageEnum, fragment_address]
