"""MATLAB files: the variables of a MAT file, of version 5 or 7.3."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from manifests.errors import DamagedError, DareError, MissingError
from pipelines.formats import mat5, mat73
from pipelines.formats.matrix import Matrix, Value, structs

_MAGIC_5 = b"MATLAB 5.0"
_MAGIC_HDF = b"\x89HDF\r\n\x1a\n"
_HDF_OFFSETS = (0, 512)  # MATLAB puts a header of 512 bytes before what is HDF5

_MAX_WHOLE = 2**53
"""Beyond, float64 does not tell whole numbers apart."""


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
    load_as = mat73.load if _is_hdf_file(path) else mat5.load
    return load_as(path, variables, members)


def whole_numbers(name: str, content: bytes, *places: str) -> list[int]:
    """Return the numbers at the first of these places that a file of labels has, of which this is name and content.

    A place is a variable, or the member of a struct, of a struct array or of a cell of structs, as ``"data.y"``.
    Raises DareError where the file is damaged, has none of the places, or holds something else there.
    """
    try:
        return _whole_numbers(Path(name), content, places)
    except DareError as problem:
        reason = f"holds no {places[-1]} ({problem.about('', Path(name))})"
        raise type(problem)(reason, path=name, remedy="get the file again") from problem


def _whole_numbers(path: Path, content: bytes, places: tuple[str, ...]) -> list[int]:
    if not is_mat(content):
        raise DamagedError("it is no MAT file of version 5 or 7.3")
    split = [place.partition(".")[::2] for place in places]
    load_as = mat73.load if _is_hdf(content) else mat5.load
    held = load_as(path, {variable for variable, _ in split}, {member for _, member in split} - {""}, content)
    variable, member = next((one for one in split if one[0] in held), ("", ""))
    if not variable:
        raise MissingError("there is no such variable")
    found = [struct.get(member) for struct in structs(held[variable])] if member else [held[variable]]
    matrices = [one for one in found if isinstance(one, Matrix)]
    if not found or len(matrices) < len(found):
        raise MissingError(f"{variable} has no numbers there")
    numbers = np.concatenate([np.asarray(one.whole(), np.float64).ravel() for one in matrices]).tolist()
    if strange := [number for number in numbers if not number.is_integer() or abs(number) > _MAX_WHOLE]:
        raise DamagedError(f"{strange[0]:g} is no whole number")
    return [int(number) for number in numbers]


def _is_hdf(head: bytes) -> bool:
    return any(head.startswith(_MAGIC_HDF, offset) for offset in _HDF_OFFSETS)


def _is_hdf_file(path: Path) -> bool:
    with path.open("rb") as file:
        return _is_hdf(file.read(_HDF_OFFSETS[-1] + len(_MAGIC_HDF)))
