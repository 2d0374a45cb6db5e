"""Packed: a recording compressed by itself (gzip, bzip2, xz, or a zip of one file), unpacked while it is read."""

import bz2
import gzip
import lzma
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from manifests.errors import DareError, LostError, RefusedError
from pipelines.formats.sampled import error_context
from pipelines.recording import Header, RawFile, Recording

SUFFIXES = (".gz", ".bz2", ".xz", ".zip")

_KINDS: dict[bytes, tuple[str, Callable[..., Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\0": ("xz", lzma.open),
    b"PK\x03\x04": ("zip", zipfile.ZipFile),
}
_BLOCK = 1 << 20
_ROOM_SHARE = 0.5
"""What an unpacked file may take of the room that is free, so that no few bytes fill a disk."""


def without_suffix(path: str) -> str:
    """Return a path without the ending by which its file is packed, as it is where it has none."""
    ending = next((one for one in SUFFIXES if path.lower().endswith(one)), "")
    return path[: len(path) - len(ending)]


def is_packed(path: Path, head: bytes) -> bool:
    """Return whether a file that begins so is a compressed one; an NPZ is a zip archive that NumPy reads."""
    return head.startswith(tuple(_KINDS)) and path.suffix.lower() != ".npz"


@dataclass(frozen=True)
class UnpackedFile:
    """A packed recording at ``path``: ``inner`` reads what ``place`` holds of it until nobody needs that any more."""

    path: Path
    inner: RawFile
    place: "Place"

    @property
    def header(self) -> Header:
        """What the file says of itself."""
        return replace(self.inner.header, path=self.path)

    def read(self, places: Sequence[int], start_s: float, stop_s: float) -> Recording:
        """Return the channels at these places of the header, in µV, and all events."""
        try:
            return self.inner.read(places, start_s, stop_s)
        except DareError as problem:
            raise problem.about(self.path, self.place.file) from problem


class Place:
    """A temporary file that goes with the last who holds this."""

    def __init__(self, name: str) -> None:
        # Not beside the recording: raw trees are never written to.
        folder = tempfile.mkdtemp(prefix="dare-unpacked-")
        self.remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.file = Path(folder) / name


def unpack(path: Path, head: bytes) -> Place:
    """Return what a packed file holds; raises DareError where it is damaged, holds several, or does not fit."""
    stat = path.stat()
    return _unpacked(path, next(magic for magic in _KINDS if head.startswith(magic)), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1)
def _unpacked(path: Path, magic: bytes, _mtime_ns: int, _size: int) -> Place:
    """Return what a file of some time holds: all pieces of a recording that are read in turn are of one copy."""
    kind, opened = _KINDS[magic]
    with error_context(path, kind):
        if kind == "zip":
            with opened(path) as archive:
                held = _only_one(path, archive)
                with archive.open(held) as stream:
                    return written(path, Path(held.filename).name, stream)
        with opened(path, "rb") as stream:
            return written(path, Path(without_suffix(path.name)).name, stream)


def _only_one(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    held = [one for one in archive.infolist() if not (one.is_dir() or one.filename.startswith("__MACOSX/"))]
    if len(held) != 1:
        raise RefusedError(f"is a zip archive of {len(held)} files", path=path, remedy="unpack it first")
    if held[0].flag_bits & 1:
        raise RefusedError("is a zip archive with a password", path=path, remedy="unpack it first")
    return held[0]


def written(path: Path, name: str, stream: IO[bytes]) -> Place:
    """Return a temporary file of this name with what a stream into a file gives; LostError where it does not fit."""
    place = Place(name)
    room = int(shutil.disk_usage(place.file.parent).free * _ROOM_SHARE)
    written = 0
    try:
        with place.file.open("wb") as file:
            while block := stream.read(_BLOCK):
                written += len(block)
                if written > room:
                    reason = f"unpacked has more than the {room / 1e9:.1f} GB that {_folder(place)} has room for"
                    raise LostError(reason, path=path, remedy="unpack it first, or let TMPDIR name a larger folder")
                _write(path, file, block, place)
    except BaseException:
        place.remove()
        raise
    return place


def _write(path: Path, file: IO[bytes], block: bytes, place: Place) -> None:
    try:
        file.write(block)
    except OSError as problem:
        reason = f"cannot be unpacked into {_folder(place)} ({problem.strerror})"
        raise LostError(reason, path=path, remedy="let TMPDIR name a larger folder") from problem


def _folder(place: Place) -> Path:
    return place.file.parent.parent
