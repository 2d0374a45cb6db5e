"""MAT 7.3: the variables of a MATLAB file that is HDF5, each with its class noted beside it and its axes reversed."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.formats.matrix import MAX_DEPTH, Matrix, Value, empty, require_room
from pipelines.formats.sampled import named


def names(path: Path) -> list[str]:
    """Return the names of a file's variables; raises DareError where it is damaged."""
    import h5py

    with named(path, "MAT 7.3"), h5py.File(path, "r") as file:
        return [name for name in file if name.isprintable() and not name.startswith("#")]


def load(path: Path, variables: Collection[str], members: Collection[str]) -> dict[str, Value]:
    """Return these variables, and of the structs in them these members; raises DareError where they are damaged."""
    import h5py

    with named(path, "MAT 7.3"), h5py.File(path, "r") as file:
        return {name: _value(path, file[name], members, 0) for name in variables if _is_inside(file, name)}


def _value(path: Path, item: Any, members: Collection[str], depth: int) -> Value:
    """Return what an HDF5 item is by the class noted beside it."""
    import h5py

    kind = item.attrs.get("MATLAB_class", b"")
    if depth > MAX_DEPTH or "MATLAB_object_decode" in item.attrs or "MATLAB_sparse" in item.attrs:
        return None
    if isinstance(item, h5py.Group):
        fields = {name: item[name] for name in members if name in item and _is_inside(item, name)}
        if fields and all(_holds_references(one) and "MATLAB_class" not in one.attrs for one in fields.values()):
            columns = {name: _referred(path, one, members, depth) for name, one in fields.items()}
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return [{name: _value(path, one, members, depth + 1) for name, one in fields.items()}]
    if _holds_references(item):
        return _referred(path, item, members, depth)
    if item.dtype.kind not in "biuf":
        return None
    if "MATLAB_empty" in item.attrs:
        if kind in (b"cell", b"struct"):
            return []
        return "" if kind == b"char" else empty()
    require_room(path, item.nbytes, item.id.get_storage_size())
    if kind == b"char":
        return "".join(map(chr, item[()].T.ravel()))
    return Matrix(item.shape[::-1], _slicer(path, item.name))


def _slicer(path: Path, name: str) -> Callable[[tuple[slice, ...]], NDArray[Any]]:
    def read(index: tuple[slice, ...]) -> NDArray[Any]:
        import h5py

        with named(path, "MAT 7.3"), h5py.File(path, "r") as file:
            return np.asarray(file[name][index[::-1]]).T

    return read


def _holds_references(item: Any) -> bool:
    import h5py

    return isinstance(item, h5py.Dataset) and h5py.check_ref_dtype(item.dtype) is h5py.Reference


def _referred(path: Path, item: Any, members: Collection[str], depth: int) -> list[Value]:
    require_room(path, item.nbytes, item.id.get_storage_size())
    return [_value(path, item.file[one], members, depth + 1) for one in item[()].ravel()]


def _is_inside(group: Any, name: str) -> bool:
    """Return whether a member lies in this file: a link could lead to any other."""
    import h5py

    return name in group and isinstance(group.get(name, getlink=True), h5py.HardLink)
