"""Matrix: what a variable of a MATLAB file becomes here: arrays, texts, lists and dicts, and nothing that could run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError

MAX_DEPTH = 12
"""How deep structs and cells may lie in one another; what lies deeper is no recording."""

_MAX_RATIO = 1032
"""What deflate can make of a byte at most: what is said to be larger is damage, not compression."""


@dataclass(frozen=True)
class Matrix:
    """An array of real numbers, read only when ``read`` is given a slice for each axis, in MATLAB's order."""

    shape: tuple[int, ...]
    read: Callable[[tuple[slice, ...]], NDArray[Any]]

    def whole(self) -> NDArray[Any]:
        """Return all numbers, in the matrix's shape."""
        return self.read((slice(None),) * len(self.shape))


Value = Matrix | str | list[Any] | None
"""A matrix, a text, a cell array as a list, a struct array as a list of dicts; None for all else, such as objects."""


def empty() -> Matrix:
    """Return the matrix without an entry."""
    return Matrix((0, 0), np.zeros((0, 0)).__getitem__)


def structs(value: Value) -> list[dict[str, Any]]:
    """Return the structs of a struct array, or of a cell of such."""
    items = value if isinstance(value, list) else []
    flat = [one for item in items for one in (item if isinstance(item, list) else [item])]
    return [one for one in flat if isinstance(one, dict)]


def digits(number: np.generic) -> str:
    """Return a code as text with all its digits: a whole number without a point, others as short as is exact."""
    return str(int(number)) if float(number).is_integer() else str(number)


def require_room(path: Path, num_bytes: int, held: int) -> None:
    """Raise DareError where a file cannot hold so many bytes in those that it has for them, however deflated."""
    if num_bytes > _MAX_RATIO * held:
        raise DamagedError(f"damaged: an array of {num_bytes} bytes cannot be in {held} bytes of a file", path=path)
