"""Torch files: what torch has saved is read without running anything that is hidden in it."""

from pathlib import Path
from typing import Any

import torch

from manifests.errors import DamagedError


def read_torch(file: Path, remedy: str) -> dict[str, Any]:
    """Return what torch saved in a file; only tensors and plain containers are let through.

    Raises DamagedError, with the remedy, for what is no checkpoint.
    """
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises whatever its parser meets first
        raise DamagedError("not a checkpoint", path=file, remedy=remedy) from problem
    return stored if isinstance(stored, dict) else {}
