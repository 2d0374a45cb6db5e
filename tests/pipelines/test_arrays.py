"""MAT files of bare arrays, by a layout, in both forms, against the arrays they were written from."""

import struct
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import eye_array

from manifests.notes import text
from pipelines.formats.arrays import Arrays
from pipelines.formats.readers import read, read_header
from pipelines.recording import Event, Segment
from tests.pipelines.conftest import assert_refused
from tests.pipelines.mat_files import save_5, save_hdf

LABELS = ("FP1", "T3", "CZ")
SFREQ = 200.0
RNG = np.random.default_rng(0)


Writer = Callable[[Path, dict[str, Any]], Path]
BOTH = pytest.mark.parametrize("write", [save_5, save_hdf])


def layout(variables: str, axes: str = "channel time", **more: Any) -> Arrays:
    return Arrays(variables, axes, LABELS, SFREQ, **more)


def uv(*shape: int) -> np.ndarray:
    return RNG.normal(0, 20, shape)


@BOTH
def test_variables_follow_in_natural_order(tmp_path: Path, write: Writer) -> None:
    films = {f"djc_eeg{number}": uv(3, 50 + number) for number in (10, 2, 1)}
    path = write(tmp_path / "1_20131027.mat", films | {"djc_eeg_notes": uv(2, 2)})
    arrays = layout(r"\w+_eeg\d+")
    header, recording = read_header(path, arrays), read(path, arrays=arrays)
    assert (header.format, header.num_records, header.duration_s) == ("MAT", 3, (51 + 52 + 60) / SFREQ)
    assert (recording.electrodes, recording.sfreq, recording.notes) == (("FP1", "T7", "CZ"), SFREQ, ())
    expected_uv = np.hstack([films[f"djc_eeg{number}"] for number in (1, 2, 10)])
    np.testing.assert_allclose(recording.data_uv, expected_uv, rtol=1e-6)
    starts = [0, 51, 103, 163]
    assert recording.segments == tuple(Segment(start, stop, start / SFREQ) for start, stop in pairwise(starts))
    lengths = zip((1, 2, 10), starts, (51, 52, 60), strict=False)
    assert recording.events == tuple(Event(at / SFREQ, n / SFREQ, f"djc_eeg{film}") for film, at, n in lengths)


@BOTH
@pytest.mark.parametrize(
    ("axes", "order"), [("channel time target block", (0, 1, 2, 3)), ("block time target channel", (3, 1, 2, 0))]
)
def test_every_index_of_the_other_axes_is_a_trial(
    tmp_path: Path, write: Writer, axes: str, order: tuple[int, ...]
) -> None:
    data = uv(3, 40, 4, 2)
    path = write(tmp_path / "S1.mat", {"data": data.transpose(order)})
    recording = read(path, arrays=layout("data", axes))
    # Trials count through the axes in the order named, the last of them fastest.
    targets_first = axes.startswith("channel")
    trials = (
        [(t, b) for t in range(4) for b in range(2)] if targets_first else [(t, b) for b in range(2) for t in range(4)]
    )
    np.testing.assert_allclose(recording.data_uv, np.hstack([data[:, :, t, b] for t, b in trials]), rtol=1e-6)
    texts = [f"data target {t} block {b}" if targets_first else f"data block {b} target {t}" for t, b in trials]
    assert [event.text for event in recording.events] == texts
    assert [(part.start, part.stop) for part in recording.segments] == [(40 * n, 40 * n + 40) for n in range(8)]
    piece = read(path, ["CZ"], 55 / SFREQ, 130 / SFREQ, layout("data", axes))
    np.testing.assert_array_equal(piece.data_uv, recording.data_uv[[2], 55:130])
    assert piece.first_sample == 55
    assert [(part.start, part.onset_s) for part in piece.segments] == [(0, 55 / SFREQ), (25, 0.4), (65, 0.6)]


@BOTH
def test_axis_with_as_many_entries_as_channels_is_that_of_channels(tmp_path: Path, write: Writer) -> None:
    data = uv(60, 3)
    recording = read(write(tmp_path / "a.mat", {"epoch_data": data}), arrays=layout("epoch_data"))
    np.testing.assert_allclose(recording.data_uv, data.T, rtol=1e-6)
    assert recording.events == (Event(0.0, 60 / SFREQ, "epoch_data"),)
    assert text(recording.notes) == "by its 3 channels its axes are 'time channel', not as stated: read so"


@BOTH
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"fs": 100.0}, "its fs says 100 Hz, sfreq_hz in [layout.arrays] 200 Hz: is that right?"),
        (
            {"sampling_rate": 250.5},
            "its sampling_rate says 250.5 Hz, sfreq_hz in [layout.arrays] 200 Hz: is that right?",
        ),
        ({"fs": SFREQ, "srate": "200 Hz", "sfreq": [1.0, 2.0], "rate": 5.0}, ""),
    ],
)
def test_rate_in_the_file_that_contradicts_the_layout_is_told(
    tmp_path: Path, write: Writer, variables: dict[str, Any], said: str
) -> None:
    recording = read(write(tmp_path / "a.mat", {"x": uv(3, 60)} | variables), arrays=layout("x"))
    assert (recording.sfreq, text(recording.notes)) == (SFREQ, said)


@BOTH
def test_last_axes_of_length_one_may_be_dropped(tmp_path: Path, write: Writer) -> None:
    data = uv(3, 60)
    recording = read(write(tmp_path / "a.mat", {"data": data}), arrays=layout("data", "channel time target block"))
    np.testing.assert_allclose(recording.data_uv, data, rtol=1e-6)
    assert [event.text for event in recording.events] == ["data target 0 block 0"]


def run_of(num_samples: int, trials: list[float], codes: list[float]) -> dict[str, Any]:
    column = [np.array(values, float)[:, None] for values in (trials, codes)]
    return {"X": uv(num_samples, 3), "trial": column[0], "y": column[1], "fs": SFREQ, "gender": "female"}


@BOTH
def test_structs_are_runs_with_events_of_their_own(tmp_path: Path, write: Writer) -> None:
    runs = [run_of(100, [], []), run_of(300, [1, 101], [2, 4]), run_of(200, [51], [1])]
    path = write(tmp_path / "A01T.mat", {"data": runs})
    told = layout("data", "time channel", field="X", onsets="trial", codes="y")
    for arrays, electrodes in ((told, ("FP1", "T7", "CZ")), (None, ("CH1", "CH2", "CH3"))):
        recording = read(path, arrays=arrays)
        assert (recording.electrodes, recording.sfreq) == (electrodes, SFREQ)
        np.testing.assert_allclose(recording.data_uv, np.vstack([run["X"] for run in runs]).T, rtol=1e-6)
        assert recording.segments == (Segment(0, 100, 0.0), Segment(100, 400, 0.5), Segment(400, 600, 2.0))
        assert [(event.onset_s, event.text) for event in recording.events] == [
            (0.0, "data struct 0"), (0.5, "data struct 1"), (0.5, "2"), (1.0, "4"), (2.0, "data struct 2"), (2.25, "1"),
        ]  # fmt: skip


@BOTH
def test_one_struct_is_one_run_whose_codes_keep_all_their_digits(tmp_path: Path, write: Writer) -> None:
    run = run_of(100, [11], [1114113])
    arrays = layout("data", "time channel", field="X", onsets="trial", codes="y")
    recording = read(write(tmp_path / "a.mat", {"data": run}), arrays=arrays)
    assert recording.events == (Event(0.0, 0.5, "data"), Event(0.05, 0.0, "1114113"))


@BOTH
@pytest.mark.parametrize("sfreq", [0.0, -200.0, np.nan, np.inf])
def test_runs_of_a_rate_that_is_none_are_refused(tmp_path: Path, write: Writer, sfreq: float) -> None:
    path = write(tmp_path / "A01T.mat", {"data": run_of(100, [11], [2]) | {"fs": sfreq}})
    assert_refused(lambda: read_header(path), "A01T.mat: a rate of ", "Hz is not possible")


@BOTH
@pytest.mark.parametrize(("unit", "scale"), [("uV", 1), ("mV", 1e3), ("V", 1e6), ("nV", 1e-3)])
def test_units(tmp_path: Path, write: Writer, unit: str, scale: float) -> None:
    data = uv(3, 60)
    path = write(tmp_path / "a.mat", {"x": data / scale})
    np.testing.assert_allclose(read(path, arrays=layout("x", unit=unit)).data_uv, data, rtol=1e-5)
    unknown = read(path, arrays=layout("x", unit=""))
    if scale >= 1:
        np.testing.assert_allclose(unknown.data_uv, data, rtol=1e-5)
    assert "unit unknown, read as" in text(unknown.notes)


@BOTH
@pytest.mark.parametrize(("factor", "said"), [(1e9, "no unit fits its amplitude (median"), (np.inf, "(not finite)")])
def test_unit_that_amplitude_cannot_tell_is_noted(tmp_path: Path, write: Writer, factor: float, said: str) -> None:
    path = write(tmp_path / "a.mat", {"x": uv(3, 60) * factor})
    (note,) = read(path, arrays=layout("x", unit="")).notes
    assert (note.kind, note.names) == ("unit unknown", ("FP1", "T7", "CZ"))
    assert said in note.text


@BOTH
@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32", "float64"])
def test_numbers_of_any_type(tmp_path: Path, write: Writer, dtype: str) -> None:
    data = RNG.integers(0, 200, (3, 60)).astype(dtype)
    np.testing.assert_array_equal(read(write(tmp_path / "a.mat", {"x": data}), arrays=layout("x")).data_uv, data)


@BOTH
def test_samples_that_no_channel_has_end_a_segment(tmp_path: Path, write: Writer) -> None:
    data = uv(3, 100)
    data[:, 40:60] = np.nan
    data[0, 80] = np.nan
    recording = read(write(tmp_path / "a.mat", {"x": data}), arrays=layout("x"))
    assert recording.segments == (Segment(0, 40, 0.0), Segment(60, 100, 0.3))


@BOTH
@pytest.mark.parametrize(
    ("variables", "arrays", "reason"),
    [
        ({"x": uv(3, 9)}, None, "is a MAT file of arrays (x) that tells neither channels nor rate"),
        ({"x": uv(3, 9)}, layout("y"), "no variable is named like 'y'; there are x"),
        ({"xy": uv(3, 9)}, layout("x"), "no variable is named like 'x'; there are xy"),
        ({"x": uv(4, 9)}, layout("x"), "x is 4 × 9, no axis of which has its 3 channels"),
        ({"x": uv(3, 9, 2)}, layout("x"), "x is 3 × 9 × 2, which is not channel × time"),
        ({"x": "text"}, layout("x"), "x is not there or no array of real numbers"),
        ({"x": {"a": uv(3, 9)}}, layout("x", field="b"), "member 'b' of x is not there"),
        ({"x": uv(3, 9)}, layout("x", field="b"), "x is no struct with a member 'b'"),
        ({"x": {"a": uv(3, 9)}}, layout("x", field="a", onsets="t", codes="y"), "x lacks 't' or 'y'"),
        ({"x": run_of(9, [1, 2], [1])}, layout("x", "time channel", field="X", onsets="trial", codes="y"), "2 onsets"),
    ],
)  # fmt: skip
def test_arrays_that_are_not_as_told_are_refused(
    tmp_path: Path, write: Writer, variables: dict[str, Any], arrays: Arrays | None, reason: str
) -> None:
    path = write(tmp_path / "a.mat", variables)
    assert_refused(lambda: read(path, arrays=arrays), "a.mat: ", reason)
    assert_refused(lambda: read_header(path, arrays), "a.mat: ", reason)


@pytest.mark.parametrize(
    "value", [uv(3, 9) * 1j, eye_array(3, 9), np.array([uv(3, 9), "text"], object)], ids=["complex", "sparse", "cell"]
)
def test_what_is_no_signal_is_refused(tmp_path: Path, value: Any) -> None:
    savemat(tmp_path / "a.mat", {"x": value})
    assert_refused(lambda: read(tmp_path / "a.mat", arrays=layout("x")), "no array of real numbers")


def test_numbers_that_a_file_of_this_size_cannot_hold_are_refused(tmp_path: Path) -> None:
    import h5py

    path = save_hdf(tmp_path / "a.mat", {"y": uv(2, 2)})
    with h5py.File(path, "r+") as file:
        file.create_dataset("x", (10**9, 3), "f8", chunks=(1000, 3))
    assert_refused(lambda: read(path, arrays=layout("x")), "damaged: an array of 24000000000 bytes cannot be in")


def test_a_span_of_a_large_array_is_read_alone(tmp_path: Path) -> None:
    import h5py

    path = save_hdf(tmp_path / "a.mat", {"y": uv(2, 2)})
    with h5py.File(path, "r+") as file:
        file.create_dataset("x", data=RNG.normal(0, 9, (500_000, 3)), chunks=(1000, 3))
    whole = read(path, arrays=layout("x"))
    tracemalloc.start()
    piece = read(path, None, 1000.0, 1010.0, layout("x"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(piece.data_uv, whole.data_uv[:, 200_000:202_000])
    assert peak < 1_500_000


def test_big_endian_numbers_and_their_small_elements(tmp_path: Path) -> None:
    data = RNG.integers(-99, 99, (3, 20))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    facts = struct.pack(">6I", 6, 8, 6, 0, 5, 8) + struct.pack(">2i", 3, 20)
    name = struct.pack(">HH4s", 1, 1, b"x")
    numbers = struct.pack(">2I", 3, 120) + data.T.astype(">i2").tobytes()
    body = facts + name + numbers
    (tmp_path / "a.mat").write_bytes(head + struct.pack(">2I", 14, len(body)) + body)
    np.testing.assert_array_equal(loadmat(tmp_path / "a.mat")["x"], data)
    np.testing.assert_array_equal(read(tmp_path / "a.mat", arrays=layout("x")).data_uv, data)
