"""MAT files: version 5 by SciPy, and 7.3, which is HDF5 after 512 bytes of its own, byte for byte as MATLAB has it."""

import itertools
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import savemat

_ITEMS = itertools.count()
_HEAD = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512, b"\0")


def save_5(path: Path, variables: dict[str, Any], deflated: bool = True) -> Path:
    """Write what SciPy writes, and lists as cells."""
    cells = {name: np.array([*value, None], object)[:-1] for name, value in variables.items() if type(value) is list}
    savemat(path, variables | cells, appendmat=False, do_compression=deflated)
    return path


def save_hdf(path: Path, variables: dict[str, Any]) -> Path:
    """Write arrays, texts, dicts (structs), lists (cells) and arrays with fields (struct arrays).

    In HDF5 axes are reversed, and cells and struct arrays refer to their items, which lie in a group of their own.
    """
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _put(file, name, value)
    with path.open("r+b") as raw:
        raw.write(_HEAD)
    return path


def _put(group: h5py.Group, name: str, value: Any) -> h5py.Dataset | h5py.Group:
    if isinstance(value, dict):
        item = group.create_group(name)
        for field, one in value.items():
            _put(item, field, one)
        return _classed(item, "struct")
    if isinstance(value, str):
        codes = np.array([[ord(letter)] for letter in value], np.uint16)
        return _classed(group.create_dataset(name, data=codes), "char")
    if isinstance(value, list) and value:
        return _classed(_references(group, name, value), "cell")
    array = np.asarray(value, None if len(np.atleast_1d(value)) else float)
    if array.dtype.names:
        item = _classed(group.create_group(name), "struct")
        for field in array.dtype.names:
            _references(item, field, list(array[field].ravel()))
        return item
    if array.size == 0:
        empty = _classed(group.create_dataset(name, data=np.zeros(2, np.uint64)), "double")
        empty.attrs["MATLAB_empty"] = np.uint8(1)
        return empty
    data = np.atleast_2d(array).T
    stored = group.create_dataset(name, data=data, chunks=data.shape, compression="gzip" if data.size > 1 else None)
    return _classed(stored, {"f4": "single", "f8": "double"}.get(array.dtype.str[1:], array.dtype.name))


def _references(group: h5py.Group, name: str, values: list[Any]) -> h5py.Dataset:
    pool = group.file.require_group("#refs#")
    pointers = [_put(pool, str(next(_ITEMS)), value).ref for value in values]
    return group.create_dataset(name, data=np.array(pointers, h5py.ref_dtype)[:, None], dtype=h5py.ref_dtype)


def _classed(item: Any, name: str) -> Any:
    item.attrs["MATLAB_class"] = np.bytes_(name)
    return item
