"""Rows: the data of a shard's row, read with its scale and checked against its checksum.

However large the set, a few files are open and a few indexes in memory: those used last.
"""

import os
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from zlib_ng.zlib_ng import crc32

from manifests.errors import DamagedError, MissingError
from manifests.manifest import ShardEntry
from manifests.shard_format import Index
from manifests.store import DAMAGE, Store, StoreIndex

_TAR = ".tar"

BLOCK_SHARDS = 16
"""Shards whose rows training mixes with each other: how far a shuffle reaches, and how many files are open at once."""

_OPEN_TARS = BLOCK_SHARDS
"""Tars held open: those that training mixes. A merged set may have dozens of splits, and a process 1024 files."""

_OPEN_STORES = 64
"""Stores held open, each with the chunks last read of it: a megabyte or less."""

_KNOWN_INDEXES = 1000
"""Shards whose index is not read again: some 17 bytes a window, 40 MB of windows of 4 s and 58 electrodes."""

_MAKE_AGAIN = "make the set again with dare preprocess"

_K = TypeVar("_K")
_V = TypeVar("_V")


class _LastUsed(Generic[_K, _V]):
    """Keeps the values of the keys used last, at most so many. A copy for another process begins empty."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[_K, _V] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return _LastUsed, (self._most,)

    def get(self, key: _K, make: Callable[[_K], _V]) -> _V:
        """Return the value of a key, made now where none is kept."""
        try:
            self._values.move_to_end(key)
            return self._values[key]
        except KeyError:
            value = self._values[key] = make(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
        return value


class _Tar:
    """A tar, open until it is let go; a row is the bytes from its offset on.

    They are read, not mapped: a page that is met for the first time costs more than its copy, and a mapped file that
    is cut short kills whoever looks at it.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, offset: int, counts: NDArray[np.int16]) -> int:
        """Fill ``counts`` and return the bytes that were there, fewer where the tar ends; OSError where it fails."""
        return os.preadv(self._descriptor, [counts.data], offset)


class _Recording:
    """The store of a continuous recording; a row is the samples from its offset on."""

    def __init__(self, path: Path) -> None:
        self._store = Store(path)

    def read(self, offset: int, counts: NDArray[np.int16]) -> int:
        """Fill ``counts`` and return the bytes that were there, fewer where the store ends; raises one of `DAMAGE`."""
        found = self._store.read(offset, offset + counts.shape[1])
        counts[:, : found.shape[1]] = found
        return found.nbytes


class _RowFacts:
    """What reading the rows of a shard takes of its index."""

    def __init__(self, index: Index, folder: Path, path: Path) -> None:
        self.offset, self.crc32 = index.offset, index.crc32
        # The windows of a recording follow each other and have one scale.
        is_new = np.concatenate(([True], (index.scale[1:] != index.scale[:-1]).any(axis=1)))
        self._scales, self._scale = index.scale[is_new], np.cumsum(is_new, dtype=np.int32) - 1
        self._files, self._file = [path], None
        if isinstance(index, StoreIndex):
            self._files, self._file = [folder / str(store) for store in index.stores], index.store

    def file(self, row: int) -> Path:
        """Return the tar or the store that a row lies in."""
        return self._files[0 if self._file is None else self._file[row]]

    def scale(self, row: int) -> NDArray[np.float32]:
        """Return µV per count by electrode."""
        scale: NDArray[np.float32] = self._scales[self._scale[row]]
        return scale


class Rows:
    """The rows of some shards of a set, electrodes × samples of ``shape``; MissingError where a file is missing."""

    def __init__(self, folder: Path, entries: list[ShardEntry], shape: tuple[int, int]) -> None:
        self._folder, self._entries, self._shape = folder, entries, shape
        self._facts: _LastUsed[int, _RowFacts] = _LastUsed(_KNOWN_INDEXES)
        in_tars = all(entry.path.endswith(_TAR) for entry in entries)
        self._open: Callable[[Path], _Tar | _Recording] = _Tar if in_tars else _Recording
        self._files: _LastUsed[Path, _Tar | _Recording] = _LastUsed(_OPEN_TARS if in_tars else _OPEN_STORES)
        parents = {entry.path.rpartition("/")[0] for entry in entries}
        found = {path for parent in parents for path in _names(folder, parent)}
        for entry in entries:
            if entry.path not in found:
                raise MissingError("is missing", path=folder / entry.path, remedy=_MAKE_AGAIN)
            if _index_of(entry) not in found:
                raise MissingError("the shard's index is missing", path=folder / _index_of(entry), remedy=_MAKE_AGAIN)

    def index(self, shard: int) -> Index:
        """Return the index of a shard, read now; DamagedError where it is damaged or that of another."""
        entry = self._entries[shard]
        kind = Index if entry.path.endswith(_TAR) else StoreIndex
        index = kind.read(self._folder / _index_of(entry))
        if len(index) != entry.samples or tuple(index.shape) != self._shape:
            found = f"its index has {len(index)} windows, the manifest {entry.samples}"
            raise DamagedError(found, path=self._folder / entry.path, remedy="see dare verify")
        return index

    def read(self, shard: int, row: int, counts: NDArray[np.int16]) -> NDArray[np.float32]:
        """Read a row of a shard into ``counts`` (electrodes × samples, contiguous) and return its µV per count.

        Raises DamagedError naming shard, window and reason where the bytes are not those that were written.
        """
        facts = self._facts.get(shard, self._read_facts)
        try:
            num_bytes = self._files.get(facts.file(row), self._open).read(int(facts.offset[row]), counts)
        except DAMAGE as problem:
            raise self._damaged(shard, row, f"cannot be read ({problem})") from problem
        if num_bytes != counts.nbytes:
            raise self._damaged(shard, row, f"ends after {num_bytes} of {counts.nbytes} bytes")
        if crc32(counts.data) != facts.crc32[row]:
            raise self._damaged(shard, row, "its checksum does not hold")
        return facts.scale(row)

    def describe(self, shard: int, row: int) -> str:
        """Return which window a row is: recording and start."""
        index = self.index(shard)
        return f"{index.recordings[index.recording[row]]} at {index.start_s[row]:g} s"

    def _read_facts(self, shard: int) -> _RowFacts:
        return _RowFacts(self.index(shard), self._folder, self._folder / self._entries[shard].path)

    def _damaged(self, shard: int, row: int, reason: str) -> DamagedError:
        return DamagedError(
            f"window {row} ({self.describe(shard, row)}) {reason}",
            path=self._facts.get(shard, self._read_facts).file(row),
            remedy=f"see dare verify {self._folder}, then make the set again",
        )


def _index_of(entry: ShardEntry) -> str:
    return entry.path.removesuffix(_TAR) + ".idx.npz" if entry.path.endswith(_TAR) else entry.path


def _names(folder: Path, parent: str) -> list[str]:
    """Return the paths, from the set on, of the files of a folder: one listing is faster than to ask for each file."""
    if not (folder / parent).is_dir():
        return []
    with os.scandir(folder / parent) as found:
        return [f"{parent}/{entry.name}" for entry in found]
