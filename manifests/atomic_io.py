"""Files that are whole or absent: atomic writes, canonical JSON, checksums. Nothing else touches durability."""

import errno
import hashlib
import json
import os
import shutil
import socket
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from manifests.errors import DamagedError, DareError, LostError, MissingError, UsageError

PARTIAL = ".partial-"
"""What marks a file that is being written; such a file is never read."""

_REMEDIES = {
    errno.ENOSPC: "free some space and run the same command again: what is finished is kept",
    errno.EDQUOT: "free some of the quota and run the same command again: what is finished is kept",
}
_OTHER_FOLDER = {
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that can be written",
    errno.EPERM: "choose a folder that can be written",
    errno.ENOTDIR: "choose a folder whose path holds no file",
    errno.EEXIST: "choose a folder whose path holds no file",
    errno.ENOENT: "choose a folder that can be written",
}

_NO_LINKS = {errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


def unwritable(path: Path, problem: OSError) -> DareError:
    """Return the user's error for a write that the system refused: another folder must be named, or the disk failed."""
    reason, code = (problem.strerror or str(problem)).lower(), problem.errno or 0
    if code in _OTHER_FOLDER:
        return UsageError(reason, path=path, remedy=_OTHER_FOLDER[code])
    remedy = _REMEDIES.get(code, "check the disk and run the same command again")
    return LostError(reason, path=path, remedy=remedy)


def unreadable(path: Path, problem: OSError, remedy: str) -> DareError:
    """Return the user's error for a read that the system refused: nothing is there, or no file, or the disk failed."""
    if isinstance(problem, FileNotFoundError | NotADirectoryError):
        return MissingError("not found", path=path, remedy=remedy)
    kind = DamagedError if isinstance(problem, IsADirectoryError) else LostError
    return kind(f"unreadable ({(problem.strerror or str(problem)).lower()})", path=path, remedy=remedy)


def partial_name(name: str) -> str:
    """Return the name under which this process writes a file, or says that it is there: no two are alike."""
    return f"{name}{PARTIAL}{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a partial file beside ``path`` that becomes ``path``, synced to disk, when the block ends well.

    An exception in the block removes the partial and leaves ``path`` as it was. A refused write, and a ``path`` that
    is a folder or a device, raise DareError with the remedy.
    """
    partial = path.with_name(partial_name(path.name))
    try:
        _refuse_other_than_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            sync(partial)
            partial.replace(path)
            sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as problem:
        raise unwritable(path, problem) from problem


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a partial folder beside ``path`` that becomes ``path``, synced to disk, when the block ends well.

    A folder that is already there is replaced. An exception in the block removes the partial. A refused write raises
    DareError with the remedy.
    """
    partial = path.with_name(partial_name(path.name))
    try:
        partial.mkdir(parents=True)
        try:
            yield partial
            for entry in [*partial.rglob("*"), partial]:
                sync(entry)
            if path.exists():
                shutil.rmtree(path)
            partial.replace(path)
            sync(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as problem:
        raise unwritable(path, problem) from problem


def create(path: Path, content: bytes) -> None:
    """Write a whole file where there is none; of several processes that do so at once, on any host, the first wins.

    On a disk without hard links the last one wins. The others must read what they find.
    """
    partial = path.with_name(partial_name(path.name))
    try:
        _refuse_other_than_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            sync(partial)
            os.link(partial, path)
        except FileExistsError:
            return
        except OSError as problem:
            if problem.errno not in _NO_LINKS:
                raise
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        sync(path.parent)
    except OSError as problem:
        raise unwritable(path, problem) from problem


def require_writable(folder: Path) -> None:
    """Make a folder; DareError, before long work, where nothing could be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise unwritable(folder, problem) from problem


def _refuse_other_than_file(path: Path) -> None:
    """Raise UsageError where a folder, a device or a pipe is in the place of a file: a rename would replace it."""
    if path.exists() and not path.is_file():
        raise UsageError("is there and is no regular file", path=path, remedy="name another file")


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def begin_sync(stream: BinaryIO, start: int) -> int:
    """Have the disk take what was written to a file from ``start`` on, so that `sync` waits for less; return its end.

    On this advice Linux starts to write the pages that are dirty, and drops only those that are clean.
    """
    stream.flush()
    end = stream.tell()
    if sys.platform == "linux":
        os.posix_fadvise(stream.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)
    return end


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, a final newline; NaN raises ValueError.

    Entries of objects and elements of tables (lists of lists or objects) have a line each. Characters beyond ASCII
    are escaped, so that a file name that is not UTF-8 survives the way there and back.
    """
    return (_spread(value, "\n") + "\n").encode()


def _spread(value: Any, margin: str) -> str:
    inner = margin + " "
    if isinstance(value, dict) and value:
        entries = [f"{_on_a_line(key)}: {_spread(value[key], inner)}" for key in sorted(value)]
        return f"{{{inner}{f',{inner}'.join(entries)}{margin}}}"
    if isinstance(value, list | tuple) and any(isinstance(one, dict | list | tuple) for one in value):
        return f"[{inner}{f',{inner}'.join(map(_on_a_line, value))}{margin}]"
    return _on_a_line(value)


_on_a_line = json.JSONEncoder(sort_keys=True, allow_nan=False).encode


def json_lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """Return one canonical JSON object a line."""
    return "".join(_on_a_line(row) + "\n" for row in rows).encode()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically; a file that already holds these bytes is left alone."""
    if path.is_file() and path.read_bytes() == content:
        return
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def read_json(path: Path, remedy: str) -> Any:
    """Return the JSON a file holds; DareError with the remedy where it is missing or broken."""
    try:
        return json.loads(path.read_bytes())
    except OSError as problem:
        raise unreadable(path, problem, remedy) from problem
    except ValueError as problem:
        raise DamagedError(f"unreadable ({problem})", path=path, remedy=remedy) from problem


def sha256_bytes(content: bytes) -> str:
    """Return the hexadecimal sha256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    return sha256_files([path])


def sha256_files(paths: Iterable[Path]) -> str:
    """Return the hexadecimal sha256 of files, one after another."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()
