"""MAT 7.3: the variables of a MATLAB file that is HDF5, each with its class noted beside it and its axes reversed."""

import io
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.formats.matrix import MAX_DEPTH, Matrix, Value, empty, require_room
from pipelines.formats.sampled import error_context

_SMALL_BYTES = 4096
"""What is read with its variable: an EEGLAB event has several numbers, and to open the file again for each is slow."""


@dataclass(frozen=True)
class _File:
    """A file by its path, and its content where that was read already."""

    path: Path
    content: bytes | None = None

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Give the file as h5py has it; whatever that raises is a DareError that names the file."""
        import h5py

        with error_context(self.path, "MAT 7.3"):
            source = self.path if self.content is None else io.BytesIO(self.content)
            with h5py.File(source, "r") as file:
                yield file


def names(path: Path) -> list[str]:
    """Return the names of a file's variables; raises DareError where it is damaged."""
    with _File(path).opened() as file:
        return [name for name in file if name.isprintable() and not name.startswith("#")]


def load(
    path: Path, variables: Collection[str], members: Collection[str], content: bytes | None = None
) -> dict[str, Value]:
    """Return these variables, and of the structs in them these members; raises DareError where they are damaged.

    ``content`` is that of the file, where it was read already.
    """
    source = _File(path, content)
    with source.opened() as file:
        values = _Values(source, members)
        return {name: values.of(file[name], 0) for name in variables if _is_inside(file, name)}


@dataclass(frozen=True)
class _Values:
    """What the items of an open file are, by the class noted beside each; of structs these members.

    An item is read once, however many refer to it: those of a damaged file may refer to each other without end.
    """

    source: _File
    members: Collection[str]
    known: dict[int, Value] = field(default_factory=dict)

    def of(self, item: Any, depth: int) -> Value:
        import h5py

        place = h5py.h5o.get_info(item.id).addr
        if place not in self.known:
            self.known[place] = None  # for an item within itself
            self.known[place] = self._read(item, depth)
        return self.known[place]

    def _read(self, item: Any, depth: int) -> Value:
        import h5py

        kind = item.attrs.get("MATLAB_class", b"")
        if depth > MAX_DEPTH or "MATLAB_object_decode" in item.attrs or "MATLAB_sparse" in item.attrs:
            return None
        if isinstance(item, h5py.Group):
            fields = {name: item[name] for name in self.members if name in item and _is_inside(item, name)}
            if fields and all(_holds_references(one) and "MATLAB_class" not in one.attrs for one in fields.values()):
                columns = {name: self._referred(one, depth) for name, one in fields.items()}
                return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            return [{name: self.of(one, depth + 1) for name, one in fields.items()}]
        if _holds_references(item):
            return self._referred(item, depth)
        if item.dtype.kind not in "biuf":
            return None
        if "MATLAB_empty" in item.attrs:
            if kind in (b"cell", b"struct"):
                return []
            return "" if kind == b"char" else empty()
        require_room(self.source.path, item.nbytes, item.id.get_storage_size())
        if kind == b"char":
            return "".join(map(chr, item[()].T.ravel()))
        if item.nbytes <= _SMALL_BYTES:
            numbers = np.asarray(item[()]).T
            return Matrix(numbers.shape, numbers.__getitem__)
        return Matrix(item.shape[::-1], _slicer(self.source, item.name))

    def _referred(self, item: Any, depth: int) -> list[Value]:
        require_room(self.source.path, item.nbytes, item.id.get_storage_size())
        return [self.of(item.file[one], depth + 1) for one in item[()].ravel()]


def _slicer(source: _File, name: str) -> Callable[[tuple[slice, ...]], NDArray[Any]]:
    def read(index: tuple[slice, ...]) -> NDArray[Any]:
        with source.opened() as file:
            return np.asarray(file[name][index[::-1]]).T

    return read


def _holds_references(item: Any) -> bool:
    import h5py

    return isinstance(item, h5py.Dataset) and h5py.check_ref_dtype(item.dtype) is h5py.Reference


def _is_inside(group: Any, name: str) -> bool:
    """Return whether a member lies in this file: a link could lead to any other."""
    import h5py

    return name in group and isinstance(group.get(name, getlink=True), h5py.HardLink)
