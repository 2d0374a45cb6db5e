"""Shards: open a set and read its windows by number; labels and the like are read when first asked for."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.rows import Rows
from manifests import manifest as manifest_file
from manifests.errors import RefusedError, UsageError
from manifests.manifest import SPLITS, Manifest, Merged
from manifests.merge import MERGE_AGAIN
from manifests.shard_format import Spans


@dataclass(frozen=True)
class TrainingSet:
    """One set as pretraining reads it: its folder, manifest, weight, and its windows of train and of valid."""

    name: str
    manifest: Manifest
    weight: float
    train: "Windows"
    valid: "Windows"


class Annotation(NamedTuple):
    """A labelled span that a window touches: onset from the window's start, duration of the whole span, its class."""

    onset_s: float
    duration_s: float
    label: int
    label_name: str


@dataclass(frozen=True)
class _Facts:
    """What is known of each window besides its data; ``recording`` is its place in the two lists of names.

    ``spans`` are by shard, of all rows that are stored.
    """

    label: NDArray[np.int32]
    start_s: NDArray[np.float64]
    present: NDArray[np.bool_]
    recording: NDArray[np.int32]
    recordings: NDArray[np.str_]
    subjects: NDArray[np.str_]
    spans: list[Spans | None]


class Windows:
    """The windows of one or more splits of a set. Follows the protocol of a torch Dataset: ``len`` and ``[i]``.

    ``[i]`` is (µV, float32, electrodes × samples; label, -1 where there is none). ``labels``, ``subjects``,
    ``recordings``, ``split``, ``start_s`` and ``present`` (electrodes that the window has) are arrays over all windows;
    the first that is asked for reads every index. ``sizes`` (windows of each shard) and ``subject_names`` read none
    unless subjects are excluded.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, splits: Collection[str], exclude: Collection[str] = ()
    ) -> None:
        self.folder, self.manifest = folder, manifest
        self.electrodes, self.sfreq = tuple(manifest.electrodes), manifest.sfreq
        self.recipe, self.classes = manifest.recipe, manifest.recipe.classes
        self.shape = (len(manifest.electrodes), manifest.window_samples)
        self.entries = [entry for split in splits for entry in manifest.splits[split].shards]
        self._split = [split for split in splits for _ in manifest.splits[split].shards]
        self._rows = Rows(folder, self.entries, self.shape)
        subjects = {subject for split in splits for subject in manifest.splits[split].subjects}
        self.subject_names = frozenset(subjects.difference(exclude))
        left_out = sorted(subjects.intersection(exclude))
        self._kept = {shard: self._without(left_out, shard) for shard in range(len(self.entries)) if left_out}
        """By shard the rows that count, where subjects are excluded; empty where all count."""
        self.sizes = tuple(
            len(self._kept[shard]) if left_out else entry.samples for shard, entry in enumerate(self.entries)
        )
        self._starts = np.cumsum((0, *self.sizes))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, number: int) -> tuple[NDArray[np.float32], int]:
        if not -len(self) <= number < len(self):
            raise IndexError(f"window {number} of {len(self)}")
        return self.take(np.array([number % len(self)]))[0], int(self.labels[number])

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return windows by number: µV, float32, windows × electrodes × samples."""
        counts = np.empty((len(numbers), *self.shape), np.int16)
        shards, rows = self.places(numbers)
        places = zip(shards.tolist(), rows.tolist(), counts, strict=True)
        scales = [self.read(shard, row, into) for shard, row, into in places]
        return counts * np.array(scales, np.float32).reshape(len(numbers), self.shape[0], 1)

    def read(self, shard: int, row: int, counts: NDArray[np.int16]) -> NDArray[np.float32]:
        """Read a row of a shard into ``counts`` (electrodes × samples, contiguous) and return its µV per count.

        Raises DamagedError naming shard, window and reason where the bytes are not those that were written.
        """
        return self._rows.read(shard, row, counts)

    def annotations(self, number: int) -> list[Annotation] | None:
        """Return the labelled spans that a window touches, in order of time; None where its shard keeps none.

        Each has ``onset_s``, in seconds from the window's start, ``duration_s``, ``label`` and ``label_name``. A shard
        keeps none where the corpus's labels are no spans, or where the code that made it did not keep them.
        """
        if not -len(self) <= number < len(self):
            raise IndexError(f"window {number} of {len(self)}")
        (shard,), (row,) = (place.tolist() for place in self.places(np.array([number % len(self)])))
        spans = self._facts.spans[shard]
        if spans is None:
            return None
        return [
            Annotation(onset_s, length_s, label, self.classes[label]) for onset_s, length_s, label in spans.of_row(row)
        ]

    def describe(self, shard: int, row: int) -> str:
        """Return which window a row is: recording and start."""
        return self._rows.describe(shard, row)

    def places(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the shard and the row within it of windows by number."""
        shards = np.searchsorted(self._starts, numbers, side="right") - 1
        return shards, self.stored_rows(shards, numbers - self._starts[shards])

    def stored_rows(self, shards: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return, of windows by shard and position among those of it that count, the rows where they are stored."""
        if not self._kept:
            return positions
        return np.array([self._kept[shard][at] for shard, at in zip(shards.tolist(), positions, strict=True)], np.int64)

    @property
    def selection_hash(self) -> str:
        """A hash of the rows that count, empty where all do."""
        digest = hashlib.sha256()
        for shard in self._kept:
            digest.update(self._counting_rows(shard).data)
        return digest.hexdigest() if self._kept else ""

    @cached_property
    def shard(self) -> NDArray[np.int64]:
        """The shard of each window."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def row(self) -> NDArray[np.int64]:
        """The row of each window within its shard."""
        return _joined([self._counting_rows(shard) for shard in range(len(self.entries))], np.int64)

    @cached_property
    def split(self) -> NDArray[np.str_]:
        """The split of each window."""
        return np.repeat(np.array(self._split, np.str_), self.sizes)

    @property
    def labels(self) -> NDArray[np.int32]:
        """The class of each window, -1 where it has none."""
        return self._facts.label

    @property
    def start_s(self) -> NDArray[np.float64]:
        """Where each window begins, in seconds from the first sample of its recording."""
        return self._facts.start_s

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which electrodes each window has, windows × electrodes."""
        return self._facts.present

    @cached_property
    def recordings(self) -> NDArray[np.str_]:
        """The recording of each window."""
        return self._facts.recordings[self._facts.recording]

    @cached_property
    def subjects(self) -> NDArray[np.str_]:
        """The subject of each window."""
        return self._facts.subjects[self._facts.recording]

    @cached_property
    def _facts(self) -> _Facts:
        label, start_s, present, recording, recordings, subjects, spans = [], [], [], [], [], [], []
        before = 0
        for shard in range(len(self.entries)):
            index, rows = self._rows.index(shard), self._counting_rows(shard)
            label.append(index.label[rows])
            start_s.append(index.start_s[rows])
            present.append(index.scale[rows] > 0)
            recording.append(index.recording[rows] + np.int32(before))
            recordings.append(index.recordings)
            subjects.append(index.subjects)
            spans.append(index.spans)
            before += len(index.recordings)
        return _Facts(
            _joined(label, np.int32),
            _joined(start_s, np.float64),
            np.concatenate(present) if present else np.zeros((0, self.shape[0]), np.bool_),
            _joined(recording, np.int32),
            _joined(recordings, np.str_),
            _joined(subjects, np.str_),
            spans,
        )

    def _counting_rows(self, shard: int) -> NDArray[np.int64]:
        if self._kept:
            return self._kept[shard].astype(np.int64)
        return np.arange(self.entries[shard].samples)

    def _without(self, subjects: list[str], shard: int) -> NDArray[np.int32]:
        index = self._rows.index(shard)
        return np.flatnonzero(~np.isin(index.subjects, subjects)[index.recording]).astype(np.int32)


def open_shards(path: str | Path, split: str | Collection[str] = "train") -> Windows:
    """Return the windows of one or more splits of a shard set.

    Raises DareError where there is no set, no such split, or a file is missing or damaged.
    """
    windows = open_splits(path, split)
    _ = windows.labels  # every index is read for them, so that one that is damaged is named here
    return windows


def open_splits(path: str | Path, split: str | Collection[str]) -> Windows:
    """Return the windows of one or more splits, without a look at any index.

    Raises DareError where there is no set, no such split, or a file is missing.
    """
    folder = Path(path)
    manifest = manifest_file.load_set(folder)
    splits = [split] if isinstance(split, str) else list(split)
    if strange := [name for name in splits if name not in manifest.splits]:
        raise UsageError(f"has no split {strange[0]!r}", path=folder, remedy=f"name one of {', '.join(SPLITS)}")
    return Windows(folder, manifest, splits)


def training_sets(path: Path, exclude: tuple[str, ...] = ()) -> list[TrainingSet]:
    """Return the sets behind a set or merged set, without the subjects of the sets ``exclude`` names.

    ``exclude`` are shard set folders, each with an optional ``:SPLIT``; their subjects are known by name, or by a
    recording that is the very file.
    """
    manifest = manifest_file.load(path)
    folders = [path] if isinstance(manifest, Manifest) else [path / source.path for source in manifest.sources]
    banned = {
        subject
        for text in exclude
        for subject in manifest_file.subjects_of(text) | manifest_file.renamed(text, folders)
    }
    if isinstance(manifest, Manifest):
        return [_training_set(path.resolve().name, path, manifest, 1.0, {}, banned)]
    return [_training_set_of(path, manifest, number, banned) for number in range(len(manifest.sources))]


def _training_set_of(path: Path, merged: Merged, number: int, banned: set[str]) -> TrainingSet:
    source = merged.sources[number]
    folder = path / source.path
    if manifest_file.sha256(folder) != source.manifest_sha256:
        raise RefusedError(f"has changed since it was merged into {path}", path=folder, remedy=MERGE_AGAIN)
    return _training_set(source.name, folder, manifest_file.load_set(folder), source.weight, source.exclude, banned)


def _training_set(
    name: str, folder: Path, manifest: Manifest, weight: float, left_out: dict[str, list[str]], banned: set[str]
) -> TrainingSet:
    train, valid = (
        Windows(folder, manifest, [split], banned | set(left_out.get(split, ()))) for split in ("train", "valid")
    )
    return TrainingSet(name, manifest, weight, train, valid)


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)
