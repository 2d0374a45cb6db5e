"""Shards: open a set, read windows by number into arrays, and trust nothing that was not checked."""

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests import manifest
from manifests.errors import DareError
from manifests.manifest import Manifest, Merged
from manifests.shard_format import Index
from manifests.store import DAMAGE, Store, StoreIndex

_STORES_AT_HAND = 64
"""Stores held open, each with the chunks last read of it: a megabyte or less."""


@dataclass(frozen=True)
class TrainingSet:
    """One set as pretraining reads it: its folder, manifest, weight, and its windows of train and of valid."""

    name: str
    whole: Manifest
    weight: float
    train: "Windows"
    valid: "Windows"


class _Tar:
    """A tar that is mapped, its rows found by their offsets."""

    def __init__(self, path: Path) -> None:
        self._path, self.index = path, Index.read(path.with_suffix(".idx.npz"))
        self._num_bytes = 2 * int(np.prod(self.index.shape))
        self._mapped: NDArray[np.uint8] | None = None

    def path(self, row: int) -> Path:
        """Return the tar."""
        return self._path

    def content(self, row: int) -> NDArray[np.uint8]:
        """Return the bytes of a row's samples, fewer where the tar ends; raises one of `DAMAGE`."""
        if self._mapped is None:
            self._mapped = np.asarray(np.memmap(self._path, np.uint8, mode="r"))  # slices cost a third of a memmap's
        start = int(self.index.offset[row])
        return self._mapped[start : start + self._num_bytes]


class _Stores:
    """Opens stores, and holds on to those last asked for."""

    def __init__(self) -> None:
        self._held: dict[Path, Store] = {}

    def __call__(self, path: Path) -> Store:
        store = self._held.pop(path, None) or Store(path)
        self._held[path] = store
        if len(self._held) > _STORES_AT_HAND:
            del self._held[next(iter(self._held))]
        return store


class _Stored:
    """Rows that lie in the stores of continuous recordings."""

    def __init__(self, folder: Path, path: Path, opened: _Stores) -> None:
        self.index = StoreIndex.read(path)
        self._stores = [folder / str(store) for store in self.index.stores]
        self._opened = opened

    def path(self, row: int) -> Path:
        """Return the store of a row's recording."""
        return self._stores[int(self.index.store[row])]

    def content(self, row: int) -> NDArray[np.uint8]:
        """Return the bytes of a row's samples, fewer where the store ends; raises one of `DAMAGE`."""
        start = int(self.index.offset[row])
        counts = self._opened(self.path(row)).read(start, start + int(self.index.shape[1]))
        return np.ascontiguousarray(counts).reshape(-1).view(np.uint8)


class Windows:
    """The windows of one split of a set. Follows the protocol of a torch Dataset: ``len`` and ``[i]``.

    ``[i]`` is (µV, float32, electrodes × samples; label, -1 where there is none). Beside it lie, for all windows,
    ``labels``, ``subjects``, ``recordings``, ``split``, ``start_s`` and ``present`` (electrodes that the window has).
    """

    def __init__(self, folder: Path, whole: Manifest, splits: Collection[str], exclude: Collection[str] = ()) -> None:
        self.folder, self.manifest = folder, whole
        self.electrodes, self.sfreq = tuple(whole.electrodes), whole.sfreq
        self.classes = whole.recipe.classes
        self.shape = (len(whole.electrodes), whole.window_samples)
        placed = [(split, entry) for split in splits for entry in whole.splits[split].shards]
        self.entries = [entry for _, entry in placed]
        opened = _Stores()
        self._shards = [self._shard(folder / entry.path, entry.samples, opened) for entry in self.entries]
        self._indexes = [shard.index for shard in self._shards]
        self._checked = [bytearray(len(index)) for index in self._indexes]
        kept = [~np.isin(index.subjects[index.recording], sorted(exclude)) for index in self._indexes]
        self.rows = tuple(np.flatnonzero(mask) for mask in kept)
        self.shard = np.repeat(np.arange(len(kept)), [len(rows) for rows in self.rows])
        self.row = _joined(list(self.rows), np.int64)
        self.split = np.repeat(np.array([split for split, _ in placed], np.str_), [len(rows) for rows in self.rows])
        pairs = list(zip(self._indexes, self.rows, strict=True))
        self.labels = _joined([index.label[rows] for index, rows in pairs], np.int32)
        self.start_s = _joined([index.start_s[rows] for index, rows in pairs], np.float64)
        self.recordings = _joined([index.recordings[index.recording[rows]] for index, rows in pairs], np.str_)
        self.subjects = _joined([index.subjects[index.recording[rows]] for index, rows in pairs], np.str_)
        scales = [index.scale[rows] for index, rows in pairs]
        self.present = (np.concatenate(scales) if scales else np.zeros((0, self.shape[0]))) > 0

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, number: int) -> tuple[NDArray[np.float32], int]:
        if not -len(self) <= number < len(self):
            raise IndexError(f"window {number} of {len(self)}")
        counts = np.empty(self.shape, np.int16)
        scale = self.read(int(self.shard[number]), int(self.row[number]), counts)
        return counts * scale[:, None], int(self.labels[number])

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return windows by number: µV, float32, windows × electrodes × samples."""
        counts = np.empty((len(numbers), *self.shape), np.int16)
        scales = [
            self.read(int(self.shard[number]), int(self.row[number]), counts[position])
            for position, number in enumerate(numbers)
        ]
        return counts * np.array(scales, np.float32).reshape(len(numbers), -1, 1)

    def read(self, shard: int, row: int, counts: NDArray[np.int16]) -> NDArray[np.float32]:
        """Read a row of a shard into ``counts`` (electrodes × samples) and return µV per count, as `stored` does."""
        counts[...], scale = self.stored(shard, row)
        return scale

    def stored(self, shard: int, row: int) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
        """Return a row of a shard as it is stored (electrodes × samples, not to be written to) and its µV per count.

        The first time that a row is read its checksum is taken; later epochs of the process trust it. Raises DareError
        naming shard, window and reason where the bytes are not those that were written.
        """
        index = self._indexes[shard]
        try:
            content = self._shards[shard].content(row)
        except DAMAGE as problem:
            raise self._damaged(shard, row, f"cannot be read ({problem})") from problem
        if len(content) != (whole := 2 * self.shape[0] * self.shape[1]):
            raise self._damaged(shard, row, f"ends after {len(content)} of {whole} bytes")
        if not self._checked[shard][row]:
            if zlib.crc32(content.data) != index.crc32[row]:
                raise self._damaged(shard, row, "its checksum does not hold")
            self._checked[shard][row] = True
        return content.view("<i2").reshape(self.shape), index.scale[row]

    def describe(self, shard: int, row: int) -> str:
        """Return which window a row is: recording and start."""
        index = self._indexes[shard]
        return f"{index.recordings[index.recording[row]]} at {index.start_s[row]:g} s"

    def _damaged(self, shard: int, row: int, reason: str) -> DareError:
        remedy = f"see dare verify {self.folder}, then make the set again"
        path = self._shards[shard].path(row)
        return DareError(f"{path}: window {row} ({self.describe(shard, row)}) {reason}; {remedy}")

    def _shard(self, path: Path, samples: int, opened: _Stores) -> _Tar | _Stored:
        if not path.exists():
            raise DareError(f"{path}: is missing; make the set again with dare preprocess")
        shard = _Tar(path) if path.suffix == ".tar" else _Stored(self.folder, path, opened)
        if len(shard.index) != samples or tuple(shard.index.shape) != self.shape:
            found = f"its index has {len(shard.index)} windows, the manifest {samples}"
            raise DareError(f"{path}: {found}; see dare verify")
        return shard


def open_shards(path: str | Path, split: str | Collection[str] = "train") -> Windows:
    """Return the windows of one or more splits of a shard set.

    Raises DareError where there is no set, no such split, or a file is missing or damaged.
    """
    folder = Path(path)
    whole = manifest.load_set(folder)
    splits = [split] if isinstance(split, str) else list(split)
    if strange := [name for name in splits if name not in whole.splits]:
        raise DareError(f"{folder}: has no split {strange[0]!r}, but {', '.join(whole.splits)}")
    return Windows(folder, whole, splits)


def training_sets(path: Path, exclude: tuple[str, ...] = ()) -> list[TrainingSet]:
    """Return the sets behind a set or merged set, without the subjects of the sets ``exclude`` names.

    ``exclude`` are shard set folders, each with an optional ``:SPLIT``.
    """
    whole = manifest.load(path)
    banned = {subject for text in exclude for subject in manifest.subjects_of(text)}
    if isinstance(whole, Manifest):
        return [_training_set(path.resolve().name, path, whole, 1.0, {}, banned)]
    return [_training_set_of(path, whole, number, banned) for number in range(len(whole.sources))]


def _training_set_of(path: Path, merged: Merged, number: int, banned: set[str]) -> TrainingSet:
    source = merged.sources[number]
    folder = path / source.path
    if manifest.sha256(folder) != source.manifest_sha256:
        raise DareError(f"{folder}: has changed since it was merged into {path}; run dare merge again")
    return _training_set(source.name, folder, manifest.load_set(folder), source.weight, source.exclude, banned)


def _training_set(
    name: str, folder: Path, whole: Manifest, weight: float, left_out: dict[str, list[str]], banned: set[str]
) -> TrainingSet:
    train, valid = (
        Windows(folder, whole, [split], banned | set(left_out.get(split, ()))) for split in ("train", "valid")
    )
    return TrainingSet(name, whole, weight, train, valid)


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)
