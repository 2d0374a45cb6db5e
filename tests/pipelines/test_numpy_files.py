"""NPY and NPZ files as recordings, and labels beside the signal in these and in MAT files."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.formats.arrays import Arrays
from pipelines.formats.readers import read, read_header
from pipelines.recording import Event
from tests.pipelines.conftest import assert_refused
from tests.pipelines.mat_files import save_5, save_hdf

LABELS = ("FP1", "T3", "CZ")
SFREQ = 100.0
TRIALS = np.random.default_rng(0).normal(0, 20, (4, 3, 200))
JOINED = np.hstack(list(TRIALS)).astype(np.float32)

Writer = Callable[[Path, dict[str, Any]], object]


def stored(path: Path, variables: dict[str, Any]) -> None:
    np.savez(path.with_suffix(".npz"), **variables)


def deflated(path: Path, variables: dict[str, Any]) -> None:
    np.savez_compressed(path.with_suffix(".npz"), **variables)


NUMPY = pytest.mark.parametrize("write", [stored, deflated])
ALL = pytest.mark.parametrize("write", [stored, deflated, save_5, save_hdf])


def layout(variables: str = "", axes: str = "trial channel time", **more: Any) -> Arrays:
    return Arrays(variables, axes, LABELS, SFREQ, **more)


def written(folder: Path, write: Writer, variables: dict[str, Any]) -> Path:
    write(folder / "a.mat", variables)
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "uint8"])
def test_npy_is_mapped_whatever_its_numbers(tmp_path: Path, order: Any, dtype: str) -> None:
    data = np.asarray(np.abs(JOINED), dtype, order=order)
    np.save(tmp_path / "a.npy", data)
    header, recording = read_header(tmp_path / "a.npy", layout(axes="channel time")), None
    assert (header.format, header.duration_s) == ("NumPy", 8.0)
    recording = read(tmp_path / "a.npy", arrays=layout(axes="channel time"))
    np.testing.assert_array_equal(recording.data_uv, data.astype(np.float32))
    assert recording.electrodes == ("FP1", "T7", "CZ")
    assert [one.text for one in recording.events] == ["array"]


@ALL
def test_the_only_array_of_as_many_axes_is_the_signal(tmp_path: Path, write: Writer) -> None:
    path = written(tmp_path, write, {"X": TRIALS, "y": np.array([[1.0, 2, 1, 2]]), "notes": np.zeros((1, 1))})
    recording = read(path, arrays=layout())
    np.testing.assert_array_equal(recording.data_uv, JOINED)
    assert [one.text for one in recording.events] == [f"X trial {number}" for number in range(4)]
    piece = read(path, ["CZ"], 2.5, 6.5, layout())
    np.testing.assert_array_equal(piece.data_uv, JOINED[[2], 250:650])


@ALL
@pytest.mark.parametrize("labels", [np.array([7, 9, 7, 7]), np.array([[7], [9], [7], [7]])])
def test_labels_of_trials_are_their_events(tmp_path: Path, write: Writer, labels: np.ndarray) -> None:
    path = written(tmp_path, write, {"X": TRIALS, "y": labels})
    events = read(path, arrays=layout(trial_labels="y")).events
    assert events == tuple(Event(2.0 * n, 2.0, text) for n, text in enumerate("7977"))


@NUMPY
@pytest.mark.parametrize("kind", ["U", "S"])
def test_labels_may_be_texts(tmp_path: Path, write: Writer, kind: Any) -> None:
    path = written(tmp_path, write, {"X": TRIALS, "y": np.array(["left", "right", "left", "rest"], kind)})
    assert [one.text for one in read(path, arrays=layout(trial_labels="y")).events] == ["left", "right", "left", "rest"]


def test_labels_of_a_mat_file_may_be_texts(tmp_path: Path) -> None:
    from scipy.io import savemat

    savemat(tmp_path / "a.mat", {"X": TRIALS, "y": np.array(["left", "right", "go", "rest"], object), "z": "calm"})
    for name, wanted in (("y", ["left", "right", "go", "rest"]), ("z", ["calm"] * 4)):
        events = read(tmp_path / "a.mat", arrays=layout("X", trial_labels=name)).events
        assert [one.text for one in events] == wanted


@ALL
def test_labels_of_samples_are_spans_of_one(tmp_path: Path, write: Writer) -> None:
    told = np.zeros(800)
    told[100:150], told[150:300], told[600:] = 1, 2, 1
    path = written(tmp_path, write, {"X": JOINED, "y": told})
    recording = read(path, arrays=layout("X", "channel time", trial_labels="y"))
    assert recording.events == (Event(1.0, 0.5, "1"), Event(1.5, 1.5, "2"), Event(6.0, 2.0, "1"))


@ALL
def test_one_label_for_each_variable(tmp_path: Path, write: Writer) -> None:
    films = {f"film{number}": JOINED[:, :50] for number in (1, 2, 10)}
    path = written(tmp_path, write, films | {"mood": np.array([-1, 0, 1])})
    recording = read(path, arrays=layout(r"film\d+", "channel time", trial_labels="mood"))
    assert recording.events == (Event(0.0, 0.5, "-1"), Event(0.5, 0.5, "0"), Event(1.0, 0.5, "1"))


@pytest.mark.parametrize("write", [save_5, save_hdf])
def test_labels_of_trials_in_a_struct_lie_beside_them(tmp_path: Path, write: Writer) -> None:
    path = written(tmp_path, write, {"run": {"X": TRIALS, "y": np.array([3.0, 1.5, 2.0, 3.0])}})
    recording = read(path, arrays=layout("run", field="X", trial_labels="y"))
    assert [one.text for one in recording.events] == ["3", "1.5", "2", "3"]


@ALL
def test_onsets_and_codes_may_be_variables_of_the_file(tmp_path: Path, write: Writer) -> None:
    path = written(tmp_path, write, {"X": JOINED, "at": np.array([101, 501]), "what": np.array([5, 6])})
    events = read(path, arrays=layout("X", "channel time", onsets="at", codes="what")).events[1:]
    first = 1.0 if path.suffix == ".mat" else 1.01  # MATLAB counts from 1
    assert events == (Event(first, 0.0, "5"), Event(pytest.approx(first + 4), 0.0, "6"))


def test_a_span_of_large_trials_is_read_alone(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(0, 9, (500, 3, 1000)).astype("<f4")
    np.save(tmp_path / "a.npy", data)
    read_header(tmp_path / "a.npy", layout())
    tracemalloc.start()
    piece = read(tmp_path / "a.npy", None, 1005.0, 1025.0, layout())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(piece.data_uv, np.hstack(list(data))[:, 100_500:102_500])
    assert peak < 1_000_000


class Evil:
    """What would be run if it were unpickled."""

    def __reduce__(self) -> Any:
        return (print, ("run",))


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_pickled_objects_are_never_loaded(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (np.save if name.endswith("npy") else np.savez)(tmp_path / name, np.array([Evil()], object))
    for arrays in (None, layout(), layout(axes="channel time")):
        assert_refused(
            lambda arrays=arrays: read(tmp_path / name, arrays=arrays), f"{name}: holds pickled Python objects"
        )
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("variables", "arrays", "said"),
    [
        ({"X": TRIALS, "y": np.ones(4)}, None, "is a NumPy file of arrays (X 4 × 3 × 200, y 4)"),
        ({"X": TRIALS, "Y": TRIALS}, layout(), "has 2 variables that may be the signal; name it in variables, of X, Y"),
        ({"X": TRIALS}, layout("Z"), "no variable is named like 'Z'; there are X"),
        ({"X": TRIALS[:, :2]}, layout(), "X is 4 × 2 × 200, no axis of which has its 3 channels"),
        ({"X": TRIALS * 1j}, layout(), "X is not there or no array of real numbers"),
        ({"X": TRIALS}, layout(trial_labels="y"), "has no labels 'y'"),
        ({"X": TRIALS, "y": np.ones(3)}, layout(trial_labels="y"), "y has 3 labels for 4 trials"),
        ({"X": TRIALS, "y": np.ones((4, 200, 3))}, layout("X", trial_labels="y"), "y has 2400 labels for 4 trials"),
        ({"X": TRIALS}, Arrays("X", "trial channel time", (), SFREQ), "says nothing of its channels"),
        ({"X": TRIALS}, Arrays("X", "trial channel time", LABELS, 0.0), "says nothing of its sfreq_hz; state sfreq_hz"),
    ],
)
def test_arrays_that_are_not_as_told_are_refused(
    tmp_path: Path, variables: dict[str, Any], arrays: Arrays | None, said: str
) -> None:
    np.savez(tmp_path / "a.npz", **variables)
    assert_refused(lambda: read(tmp_path / "a.npz", arrays=arrays), "a.npz: ", said)
