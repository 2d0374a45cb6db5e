"""Windows: what is asked of them, whether a set holds them, a recording that was cut just now, or a view of others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Recipe


class AnyWindows(Protocol):
    """Windows by number, with facts on each as arrays over all of them; ``folder`` is the place that they are from.

    Rows of electrodes that a window lacks are zeros.
    """

    folder: Path
    electrodes: tuple[str, ...]
    sfreq: float
    classes: tuple[str, ...]
    recipe: Recipe
    shape: tuple[int, int]

    @property
    def start_s(self) -> NDArray[np.float64]:
        """Where each window begins, in seconds from the first sample of its recording."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which electrodes each window has, windows × electrodes."""

    @property
    def recordings(self) -> NDArray[np.str_]:
        """The recording of each window."""

    @property
    def subjects(self) -> NDArray[np.str_]:
        """The subject of each window."""

    @property
    def split(self) -> NDArray[np.str_]:
        """The split of each window."""

    def __len__(self) -> int: ...

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return windows by number: µV, float32, windows × electrodes × samples."""


class View:
    """Some windows of others, by their numbers there; what derives from it changes what `take` gives of them."""

    def __init__(self, of: AnyWindows, numbers: NDArray[np.int64]) -> None:
        self._of, self._numbers = of, numbers
        self.folder, self.recipe, self.classes = of.folder, of.recipe, of.classes
        self.electrodes, self.sfreq, self.shape = of.electrodes, of.sfreq, of.shape
        self.start_s, self.present = of.start_s[numbers], of.present[numbers]
        self.recordings, self.subjects, self.split = of.recordings[numbers], of.subjects[numbers], of.split[numbers]

    def __len__(self) -> int:
        return len(self._numbers)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return windows by number: µV, float32, windows × electrodes × samples."""
        return self._of.take(self._numbers[numbers])


class CutWindows:
    """Windows in memory that were cut from one recording just now: int16 counts, times µV per count by electrode."""

    def __init__(
        self,
        recording: Path,
        recipe: Recipe,
        counts: Sequence[NDArray[np.int16]],
        scale: NDArray[np.float32],
        start_s: Sequence[float],
    ) -> None:
        self.folder, self.recipe, self.classes = recording, recipe, recipe.classes
        self.electrodes, self.sfreq = recipe.electrodes, recipe.sfreq_hz
        self.shape = (len(recipe.electrodes), recipe.window_samples)
        self.counts, self.scale = counts, scale
        self.start_s = np.array(start_s, np.float64)
        self.present = np.repeat((scale > 0)[None], len(counts), axis=0)
        self.recordings = self.subjects = np.full(len(counts), str(recording))
        self.split = np.full(len(counts), "test")

    def __len__(self) -> int:
        return len(self.counts)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return windows by number: µV, float32, windows × electrodes × samples."""
        return np.stack([self.counts[number] for number in numbers.tolist()]) * self.scale[:, None]
