"""MATLAB files: the variables of a MAT file, of version 5 or 7.3."""

from collections.abc import Collection
from pathlib import Path

from pipelines.formats import mat5, mat73
from pipelines.formats.matrix import Value

_MAGIC_5 = b"MATLAB 5.0"
_MAGIC_HDF = b"\x89HDF\r\n\x1a\n"
_HDF_OFFSETS = (0, 512)  # MATLAB puts a header of 512 bytes before what is HDF5


def is_mat(head: bytes) -> bool:
    """Return whether a file that begins so is a MAT file."""
    return head.startswith(_MAGIC_5) or _is_hdf(head)


def names(path: Path) -> list[str]:
    """Return the names of a file's variables; raises DareError where it is damaged."""
    return mat73.names(path) if _is_hdf_file(path) else mat5.names(path)


def load(path: Path, variables: Collection[str], members: Collection[str]) -> dict[str, Value]:
    """Return these variables of a file, and of the structs in them these members.

    Raises DareError where the file is damaged or says that it holds more than it can.
    """
    return (mat73 if _is_hdf_file(path) else mat5).load(path, variables, members)


def _is_hdf(head: bytes) -> bool:
    return any(head[offset:].startswith(_MAGIC_HDF) for offset in _HDF_OFFSETS)


def _is_hdf_file(path: Path) -> bool:
    with path.open("rb") as file:
        return _is_hdf(file.read(_HDF_OFFSETS[-1] + len(_MAGIC_HDF)))
