"""Raw: recordings below a folder, each in the files it was recorded into."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from manifests.atomic_io import sha256_file, sha256_files
from manifests.electrodes import split_reference
from manifests.errors import RefusedError
from manifests.manifest import RecordingRow
from manifests.plan import Piece, PlannedRecording
from manifests.recipe import Recipe
from pipelines import corpora, quality, reading, scan, sides
from pipelines.conditioned import ConditionedRecording
from pipelines.conditioning import Conditioned, condition, margin_s
from pipelines.dead_spans import Spans, dead_spans
from pipelines.formats.readers import files_of
from pipelines.outliers import without_outliers
from pipelines.scan import Tree

REACH_S = 60.0
"""Seconds by which windows may reach beyond a piece, and more where a recipe's do: so that theirs change no sample."""


@dataclass(frozen=True)
class RawTree:
    """The raw recordings below a folder."""

    folder: Path

    def scan(self, recipe: Recipe, progress: Callable[[int, int], None]) -> Tree:
        """Return the recordings of the recipe's corpus, from names and headers alone."""
        return scan.scan(self.folder, recipe, progress)

    def apart(self, tree: Tree, recipe: Recipe) -> Tree:
        """Return a scanned tree without copies, and without the training recordings of subjects of the test part."""
        return sides.apart(tree, recipe, self.folder)

    def read(self, piece: Piece, recipe: Recipe) -> ConditionedRecording:
        """Return what a raw recording, or a piece of one, holds, conditioned."""
        scanned = piece.recording.scanned
        around_s = margin_s(scanned.sfreq, recipe) + max(REACH_S, recipe.window_s + abs(recipe.offset_s))
        span_s = piece.start_s - around_s, piece.stop_s + around_s
        recording = reading.read(self.folder, scanned.raw, recipe, *span_s)
        labels = corpora.of(recipe).label_content(self.folder, scanned.raw)
        dead: Spans = {}
        if recipe.quality == "checked":
            if unfit := quality.unfit(
                [recording], recipe, partial(reading.channels_read, self.folder, scanned, recipe)
            ):
                return ConditionedRecording(recording, Conditioned.nothing(recipe), labels, unfit=unfit)
            dead = dead_spans(recording, recipe.sd_range_uv[0])
        if recipe.bad_channels == "lof":
            recording = without_outliers(recording)
        as_referenced = _as_referenced(piece.recording, recipe)
        conditioned = condition(recording, as_referenced, piece.start_s, piece.stop_s, scanned.channel_map)
        return ConditionedRecording(recording, conditioned, labels, dead)

    def sha256(self, recording: PlannedRecording) -> str:
        """Return the hash of a recording's files; DareError where they are not as long as when it was planned."""
        files = _files(self.folder / recording.path, recording.scanned.bytes)
        if sum(file.stat().st_size for file in files) != recording.scanned.bytes:
            raise RefusedError("has changed since it was scanned", remedy="run the same command again")
        return _sha256(files, tuple(file.stat().st_mtime_ns for file in files))

    def holds(self, path: str) -> bool:
        """Return whether there is such a file."""
        return (self.folder / path).exists()

    def is_as_read(self, row: RecordingRow, read_ns: int) -> bool:
        """Return whether a recording's files hold what they held; those touched since are hashed."""
        path = self.folder / row.path
        if not (row.sha256 and path.exists()):
            return True
        files = _files(path, row.bytes)
        was_touched = any(file.stat().st_mtime_ns > read_ns for file in files)
        # Older code took the hash of the file alone that names the recording.
        return not was_touched or row.sha256 in (sha256_files(files), sha256_file(path))

    def raw_folder(self, _asked_by: str) -> Path:
        """Return the folder itself."""
        return self.folder


def _files(path: Path, num_bytes: int) -> tuple[Path, ...]:
    """Return the files of a recording that had so many bytes; one alone need not be opened to tell."""
    return (path,) if path.stat().st_size == num_bytes else tuple(files_of(path))


@lru_cache(maxsize=64)
def _sha256(files: tuple[Path, ...], _mtimes_ns: tuple[int, ...]) -> str:
    """Return the hash of raw files, taken once for all pieces of a recording that a worker builds."""
    return sha256_files(files)


def _as_referenced(recording: PlannedRecording, recipe: Recipe) -> Recipe:
    """Return the recipe, as recorded where a file's electrodes are referenced to linked ears as it wants them."""
    references = {split_reference(label)[1] for label in recording.scanned.channel_map.values()}
    if recipe.reference == "linked ears" and references == {"LE"}:
        return recipe.model_copy(update={"reference": "as recorded"})
    return recipe
