"""Cache: tables of frozen features on disk, so that a question is not a pass of the encoder each time."""

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.atomic_io import atomic_write

LIMIT_BYTES = 16 << 30

_OURS = "[0-9a-f]" * 32 + ".npy*"  # the partial file of a run that was killed, too
_SUM_BYTES = hashlib.sha256().digest_size
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class FeatureCache:
    """A folder of tables, each a .npy file by a key, float32, rows × columns, with a sum of key and file behind it.

    Beyond ``limit_bytes`` those go first that were asked for longest ago; the newest always stays. ``tell`` is told of
    files that are not what was written.
    """

    folder: Path
    tell: Callable[[str], None]
    limit_bytes: int = LIMIT_BYTES

    def table(self, key: str, num_rows: int, rows: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the table of a key, mapped from its file; where it is not there, ``rows`` are asked and kept."""
        path = self.folder / f"{key}.npy"
        if path.exists():
            if _is_whole(path, key):
                with suppress(PermissionError):  # another user wrote it
                    os.utime(path)
                return _mapped(path)
            self.tell(f"{path}: damaged, or of another question; its features are computed anew")
        with atomic_write(path) as partial:
            _write(partial, key, num_rows, rows)
        self._remove_oldest(path)
        return _mapped(path)

    def clear(self) -> int:
        """Remove all tables and return how many bytes they had."""
        files = self._files()
        for _, _, file in files:
            file.unlink(missing_ok=True)
        return sum(size for _, size, _ in files)

    def _remove_oldest(self, newest: Path) -> None:
        total = newest.stat().st_size
        for _, size, file in sorted(self._files(), reverse=True):
            if file == newest:
                continue
            total += size
            if total > self.limit_bytes:
                file.unlink(missing_ok=True)

    def _files(self) -> list[tuple[int, int, Path]]:
        """Return (time of use, bytes, path) of what lies here; other processes may take some away meanwhile."""
        found = []
        for path in self.folder.glob(_OURS):
            with suppress(FileNotFoundError):
                facts = path.stat()
                found.append((facts.st_mtime_ns, facts.st_size, path))
        return found


def _write(path: Path, key: str, num_rows: int, rows: Iterator[NDArray[np.float32]]) -> None:
    first = next(rows)
    header = io.BytesIO()
    shape = (num_rows, first.shape[1])
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    digest = hashlib.sha256(key.encode())
    with path.open("wb") as stream:
        for part in chain([header.getvalue()], (some.astype("<f4").tobytes() for some in chain([first], rows))):
            digest.update(part)
            stream.write(part)
        stream.write(digest.digest())


def _is_whole(path: Path, key: str) -> bool:
    digest = hashlib.sha256(key.encode())
    try:
        left = path.stat().st_size - _SUM_BYTES
        with path.open("rb") as stream:
            while left > 0 and (part := stream.read(min(left, _READ_BYTES))):
                digest.update(part)
                left -= len(part)
            return stream.read() == digest.digest()
    except OSError:
        return False


def _mapped(path: Path) -> NDArray[np.float32]:
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
