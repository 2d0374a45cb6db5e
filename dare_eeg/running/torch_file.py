"""Torch files: what torch has saved is read without running anything that is hidden in it."""

from pathlib import Path
from typing import Any

import torch

from manifests.errors import DamagedError

WAY_OUT = "give a run, an encoder.safetensors or a published .ckpt or .pth that is whole"


def read_torch(file: Path) -> dict[str, Any]:
    """Return what torch saved in a file; only tensors and plain containers are let through.

    Raises DamagedError for what is no checkpoint.
    """
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises whatever its parser meets first
        remedy = "give py:FILE.py:FUNCTION to name a function" if file.suffix == ".py" else WAY_OUT
        raise DamagedError("not a checkpoint", path=file, remedy=remedy) from problem
    return stored if isinstance(stored, dict) else {}
