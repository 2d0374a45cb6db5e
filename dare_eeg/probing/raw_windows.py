"""Raw windows: the windows of a raw recording as a probe is asked of them, by its recipe as far as that can be held."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.windows import CutWindows
from manifests.errors import DamagedError, DareError, LostError, MissingError
from manifests.notes import Note
from manifests.recipe import Recipe


class RawWindow(Protocol):
    """A window of a raw recording: int16 counts, electrodes × samples, from ``start_s`` of the recording."""

    @property
    def counts(self) -> NDArray[np.int16]:
        """Electrodes × samples."""

    @property
    def start_s(self) -> float:
        """Seconds from the first sample of the recording."""


class RawPiece(Protocol):
    """A recording, or a piece of one, that was cut by a recipe."""

    @property
    def windows(self) -> Sequence[RawWindow]:
        """Its windows, in order of time."""

    @property
    def scale(self) -> NDArray[np.float32]:
        """µV per count by electrode, 0 of those that it lacks."""

    @property
    def notes(self) -> Sequence[Note]:
        """What was found in the recording."""


class RawFiles(Protocol):
    """What reads raw recordings."""

    def cut(self, path: Path, recipe: Recipe, /) -> Iterator[RawPiece]:
        """Yield the windows of a recording, at once or piece by piece; DareError where it cannot be cut so."""

    def sha256(self, path: Path, /) -> str:
        """Return the hash of a recording's files."""


@dataclass(frozen=True)
class _Way:
    """A recipe, and what is to be said of windows that are cut by it rather than by the first one."""

    recipe: Recipe
    notes: tuple[str, ...] = ()


def pieces(
    path: Path, raw: RawFiles, recipe: Recipe, others: Sequence[str]
) -> Iterator[tuple[CutWindows, tuple[str, ...]]]:
    """Yield (windows of a piece, what is to be said of them) of a recording.

    Where the file tells no label, or no labelled moment, windows lie on the recipe's grid; where it has none of the
    recipe's electrodes, those of the ``others`` that it has are taken. Raises DareError where it gives no window.
    """
    if path.is_dir() or not path.exists():
        reason = "is a folder" if path.is_dir() else "not found"
        raise MissingError(reason, path=path, remedy="name recordings, each by its file")
    problem: DareError = MissingError("gives no window", path=path, remedy="label a longer recording")
    for way in _ways(recipe, others):
        num_windows = 0
        try:
            for piece in raw.cut(path, way.recipe):
                counts, starts_s = ([getattr(one, name) for one in piece.windows] for name in ("counts", "start_s"))
                num_windows += len(counts)
                if counts:
                    as_probed = way.recipe.model_copy(update={"classes": recipe.classes})
                    said = (*way.notes, *(note.text for note in piece.notes))
                    yield CutWindows(path, as_probed, counts, piece.scale, starts_s), said
        except (DamagedError, LostError):
            raise
        except DareError as refused:
            if num_windows:
                raise
            problem = refused
        if num_windows:
            return
    raise type(problem)(
        problem.reason,
        path=path,
        remedy="label recordings that are like those probed, or make the set anew so, and probe it",
    )


def _ways(recipe: Recipe, others: Sequence[str]) -> Iterator[_Way]:
    """Yield the recipe, and what comes nearest to it, those that ask more of a recording first."""
    # Of what has all electrodes these make the same windows.
    masked = recipe if recipe.missing == "interpolate" else recipe.model_copy(update={"missing": "mask"})
    ways = [_Way(masked)]
    if others:
        told = "has none of the recipe's electrodes: others are used that the encoder knows"
        ways.append(_Way(masked.model_copy(update={"electrodes": tuple(others), "missing": "mask"}), (told,)))
    for way in ways:
        yield way
        unlabelled = way.recipe.model_copy(update={"classes": ()})
        yield _Way(unlabelled, (*way.notes, "tells no labels: its windows lie on the recipe's grid"))
