"""Sources: where recordings come from, raw trees and archives, behind one protocol."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from manifests.manifest import RecordingRow
from manifests.plan import Piece, PlannedRecording
from manifests.recipe import Recipe
from pipelines.conditioned import ConditionedRecording
from pipelines.scan import Tree
from pipelines.sources.archive import Archive
from pipelines.sources.raw import RawTree


class Source(Protocol):
    """Where the recordings of a corpus lie, and how what is known of them is got from there."""

    @property
    def folder(self) -> Path:
        """What --src names."""

    def scan(self, recipe: Recipe, progress: Callable[[int, int], None]) -> Tree:
        """Return the recordings of the recipe's corpus, with the verdict of the recipe on each.

        ``progress`` is called with (done, total). Raises DareError where there is none, or the recipe does not fit.
        """

    def apart(self, tree: Tree, recipe: Recipe) -> Tree:
        """Return a scanned tree without what would put a signal or a subject on two sides (see `pipelines.sides`)."""

    def read(self, piece: Piece, recipe: Recipe) -> ConditionedRecording:
        """Return a recording or a piece of one, conditioned; DareError where it cannot be read."""

    def sha256(self, recording: PlannedRecording) -> str:
        """Return the hash of the raw recording; DareError where it is not the one that was planned."""

    def holds(self, path: str) -> bool:
        """Return whether a recording is there, be it of use or not."""

    def is_as_read(self, row: RecordingRow, read_ns: int) -> bool:
        """Return whether a recording is still what it was when it was read, at this time on the disk's clock."""

    def raw_folder(self, asked_by: str) -> Path:
        """Return the folder of raw files for what works on these alone; DareError, naming it, where there is none."""


def open_source(src: Path) -> Source:
    """Return what is at ``src``: a finished shard set that holds stores, or a folder of raw recordings."""
    return Archive(src) if (src / "plan.json").is_file() else RawTree(src)
