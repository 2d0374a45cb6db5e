"""Fit: what fits a fold, what it says of the windows that the fold tests, and what it leaves to be asked of others."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dare_eeg.data.windows import AnyWindows
from dare_eeg.probing.splits import Fold


class Model(Protocol):
    """What a fit leaves: it says of any windows what it would say of them as test windows."""

    def predict(self, windows: AnyWindows, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return probabilities (n, classes) of windows by number."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the numbers it consists of besides those of a frozen encoder, by name, as a file keeps them."""


@dataclass(frozen=True)
class FoldFit:
    """What a classifier says of the test windows, (n, classes), how it got there, and itself, before it is kept.

    ``trained`` is how many numbers of a network were fitted, 0 where there was none.
    """

    probabilities: NDArray[np.float64]
    selected: dict[str, int | float]
    curves: list[dict[str, float]] = field(default_factory=list)
    model: Model | None = None
    trained: int = 0


Progress = Callable[[float], None]
"""What is told which share of a fit is done."""

Fitter = Callable[[Fold, int, Progress], FoldFit]
"""What fits a fold with a seed."""

Restorer = Callable[[dict[str, Tensor]], Model]
"""What makes of the tensors that a model left the model again; ValueError or KeyError where they are others."""
