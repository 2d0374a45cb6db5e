"""Label files in MAT 5 and 7.3: their whole numbers, against SciPy's reading and the arrays they were written from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from pipelines.formats.matlab import whole_numbers
from tests.pipelines.conftest import assert_refused
from tests.pipelines.mat_files import save_5, save_hdf

Writer = Callable[[Path, dict[str, Any]], Path]

LABELS = [1, 4, 2, 3, 3, 1]


def stored(path: Path, variables: dict[str, Any]) -> Path:
    return save_5(path, variables, deflated=False)


every_writer = pytest.mark.parametrize("write", [save_5, stored, save_hdf])


def read(path: Path, *places: str) -> list[int]:
    return whole_numbers(str(path), path.read_bytes(), *places)


@every_writer
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 1), (1, 6)])
def test_numbers_of_any_type(tmp_path: Path, write: Writer, dtype: str, shape: tuple[int, int]) -> None:
    labels = np.array(LABELS, dtype).reshape(shape)
    path = write(tmp_path / "a.mat", {"other": np.zeros((2, 2)), "label": labels})
    assert read(path, "label") == LABELS
    if write is not save_hdf:
        assert loadmat(path)["label"].ravel().tolist() == LABELS


@every_writer
def test_number_far_from_zero_or_of_one_entry(tmp_path: Path, write: Writer) -> None:
    assert read(write(tmp_path / "a.mat", {"label": np.array([[-(2.0**40)]])}), "label") == [-(2**40)]
    assert read(write(tmp_path / "b.mat", {"label": np.zeros((0, 0))}), "label") == []


@every_writer
@pytest.mark.parametrize("in_cell", [False, True])
def test_members_of_structs_follow_one_another(tmp_path: Path, write: Writer, in_cell: bool) -> None:
    runs = [{"y": np.array(part, np.uint8), "X": np.zeros((4, 2))} for part in ([[1, 2, 3]], np.zeros((0, 0)), [[4]])]
    listed = np.array([tuple(run.values()) for run in runs], dtype="O,O")
    listed.dtype.names = ("y", "X")
    path = write(tmp_path / "a.mat", {"data": runs if in_cell else listed})
    assert read(path, "data.y", "classlabel") == [1, 2, 3, 4]
    if write is not save_hdf:
        held = loadmat(path, simplify_cells=True)["data"]
        assert np.concatenate([np.ravel(run["y"]) for run in held]).tolist() == [1, 2, 3, 4]


@every_writer
def test_the_first_place_that_is_there_is_read(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path / "a.mat", {"classlabel": np.array([[1.0, 2.0]]), "data": {"y": np.array([[3.0]])}})
    assert read(path, "classlabel", "data.y") == [1, 2]
    assert read(path, "data.y", "classlabel") == [3]
    assert read(path, "nothing.y", "classlabel") == [1, 2]


@every_writer
@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"truth": np.ones((1, 3))}, "there is no such variable"),
        ({"label": "left"}, "label has no numbers there"),
        ({"label": [np.ones((1, 3))]}, "label has no numbers there"),
        ({"label": np.array([[1.0, 1.5]])}, "1.5 is no whole number"),
        ({"label": np.array([[1.0, np.nan]])}, "nan is no whole number"),
        ({"label": np.array([[np.inf]])}, "inf is no whole number"),
        ({"label": np.array([[1e300]])}, "1e+300 is no whole number"),
        ({"data": np.ones((1, 3))}, "data has no numbers there"),
        ({"data": {"X": np.ones((1, 3))}}, "data has no numbers there"),
        ({"data": {"y": "left"}}, "data has no numbers there"),
    ],
)
def test_what_is_no_label_is_refused(tmp_path: Path, write: Writer, variables: dict[str, Any], reason: str) -> None:
    path = write(tmp_path / "a.mat", variables)
    assert_refused(lambda: read(path, "data.y", "label"), f"{path}: holds no label ({reason}); get the file again")


@pytest.mark.parametrize("write", [stored, save_hdf])
def test_file_that_is_cut_is_refused(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path / "a.mat", {"label": np.array([LABELS], float)})
    content = path.read_bytes()
    told = f"{path}: holds no label ("
    for stop in range(0, len(content), 7):
        part = content[:stop]
        assert_refused(lambda part=part: whole_numbers(str(path), part, "label"), told, "; get the file again")


def test_file_of_another_version_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"label": np.array([LABELS])}, format="4")
    assert_refused(lambda: read(tmp_path / "a.mat", "label"), "a.mat: holds no label (it is no MAT file of version 5 ")


@pytest.mark.parametrize("code", [14, 15, 100, 255])
def test_wrong_type_code_at_which_scipy_ends_the_process_is_refused(tmp_path: Path, code: int) -> None:
    path = stored(tmp_path / "a.mat", {"classlabel": np.array([[1], [2], [1]], np.uint8)})
    content = bytearray(path.read_bytes())
    assert content[-8:] == bytes([2, 0, 3, 0, 1, 2, 1, 0])  # type, number of bytes, the three labels, padding
    content[-8] = code
    told = f"{path}: holds no classlabel (cannot be read as MAT 5 (ValueError: type {code} where numbers should be))"
    assert_refused(lambda: whole_numbers(str(path), bytes(content), "classlabel"), told, "; get the file again")
