"""NumPy files: the arrays of an NPY or NPZ file, mapped rather than read, and never unpickled."""

import struct
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from manifests.errors import DamagedError, RefusedError
from pipelines.formats import Format, packed
from pipelines.formats.matrix import Matrix, Value
from pipelines.formats.sampled import error_context
from pipelines.recording import RawFile

ALONE = "array"
"""What the array of an NPY file is called."""

_MAGIC = b"\x93NUMPY"
_LOCAL_HEADER_BYTES = 30  # of a member of a zip archive, before its name


def is_numpy(path: Path, head: bytes) -> bool:
    """Return whether a file that begins so is an NPY or, by its name, an NPZ file."""
    return head.startswith(_MAGIC) or (path.suffix.lower() == ".npz" and head.startswith(b"PK"))


def names(path: Path) -> list[str]:
    """Return the names of a file's arrays; raises DareError where it is damaged."""
    if _is_alone(path):
        return [ALONE]
    with error_context(path, "NPZ"), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def load(path: Path, variables: set[str]) -> dict[str, Value]:
    """Return these arrays: of numbers as a `Matrix`, of texts as a list, None for all else.

    Raises DareError where the file is damaged, and where an array holds Python objects.
    """
    with error_context(path, "NPY" if _is_alone(path) else "NPZ"):
        return {name: _value(_array(path, name)) for name in names(path) if name in variables}


def _is_alone(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _value(array: NDArray[Any]) -> Value:
    if array.dtype.kind in "US":
        return [str(text, "utf-8", "replace") if isinstance(text, bytes) else text for text in array.ravel().tolist()]
    if array.dtype.kind not in "biuf":
        return None
    return Matrix(array.shape, lambda index: np.asarray(array[index]))


def _array(path: Path, name: str) -> NDArray[Any]:
    if _is_alone(path):
        return _mapped(path, path, 0)
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
    if member.compress_type == zipfile.ZIP_STORED:
        with path.open("rb") as file:
            file.seek(member.header_offset)
            head = file.read(_LOCAL_HEADER_BYTES)
        begin = member.header_offset + len(head) + sum(struct.unpack("<26x2H", head))
        return _mapped(path, path, begin)
    stat = path.stat()
    place = _unpacked(path, member.filename, stat.st_mtime_ns, stat.st_size)
    return _Held.of(_mapped(path, place.file, 0), place)


@lru_cache(maxsize=4)
def _unpacked(path: Path, name: str, _mtime_ns: int, _size: int) -> packed.Place:
    with zipfile.ZipFile(path) as archive, archive.open(name) as stream:
        return packed.written(path, "array.npy", stream)


class _Held(np.memmap):
    """A mapped array that keeps its temporary file in place."""

    place: packed.Place

    @classmethod
    def of(cls, array: NDArray[Any], place: packed.Place) -> "_Held":
        held = array.view(cls)
        held.place = place
        return held


def _mapped(path: Path, file: Path, begin: int) -> NDArray[Any]:
    """Return the array that begins in a file at this byte; errors are about ``path``."""
    with file.open("rb") as stream:
        stream.seek(begin)
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_fortran, dtype = read_header(stream)
        begin = stream.tell()
    if dtype.hasobject:
        raise RefusedError(
            "holds pickled Python objects, which are never loaded",
            path=path,
            remedy="save the array with a dtype of numbers",
        )
    if min(shape, default=0) < 0:
        raise DamagedError(f"an array of the shape {shape} is not possible", path=path)
    return np.memmap(file, dtype, "r", begin, shape, "F" if is_fortran else "C")


def _by_itself(path: Path) -> RawFile:
    """Raise DareError, which tells what arrays there are: nothing in the file says what they mean."""
    held = load(path, set(names(path)))
    shapes = [
        f"{name} {' × '.join(map(str, one.shape))}" if isinstance(one, Matrix) else name for name, one in held.items()
    ]
    raise RefusedError(
        f"is a NumPy file of arrays ({', '.join(shapes[:5]) or 'none'}) that tells neither channels nor rate",
        path=path,
        remedy="state them in [layout.arrays] of a recipe",
    )


FORMAT = Format(
    name="NumPy",
    suffixes=(".npy", ".npz"),
    claims=is_numpy,
    parse=_by_itself,
    general=True,
    holds_text=True,
    in_bids=False,
)
