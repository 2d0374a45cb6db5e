"""EEGLAB datasets in every form they come in, against MNE and against the arrays they were written from."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import mne
import numpy as np
import pytest
from scipy.io import savemat

from pipelines.formats.readers import read, read_header
from pipelines.recording import Event, Segment
from tests.pipelines.conftest import assert_refused
from tests.pipelines.mat_files import save_hdf

LABELS = ["Fp1", "EEG Cz", "T3"]
ELECTRODES = ("FP1", "CZ", "T7")
SFREQ = 128.0
SIGNAL_UV = np.random.default_rng(0).normal(0, 20, (3, 400)).astype(np.float32)
EPOCHS_UV = SIGNAL_UV.reshape(3, 4, 100).transpose(0, 2, 1)  # channels × samples × epochs
EVENTS = [("square", 65.0, 0.0), ("boundary", 200.5, 12.0), (7.0, 257.0, 64.0)]

Writer = Callable[..., Path]


def dataset(data: Any, num_epochs: int = 1, events: list[tuple[Any, float, float]] = EVENTS) -> dict[str, Any]:
    """Return the fields of an EEG struct."""
    listed = np.array([(kind, latency, duration) for kind, latency, duration in events], dtype="O,O,O")
    listed.dtype.names = ("type", "latency", "duration")
    places = np.array([(label, "EEG") for label in LABELS], dtype="O,O")
    places.dtype.names = ("labels", "type")
    return {
        "setname": "a set", "nbchan": 3.0, "trials": float(num_epochs), "pnts": 400.0 / num_epochs, "srate": SFREQ,
        "xmin": 0.0, "xmax": (400 / num_epochs - 1) / SFREQ, "data": data, "chanlocs": places, "event": listed,
        "icaact": np.zeros((3, 400)),
    }  # fmt: skip


def as_struct(path: Path, fields: dict[str, Any]) -> Path:
    savemat(path, {"EEG": fields}, appendmat=False, do_compression=True)
    return path


def as_fields(path: Path, fields: dict[str, Any]) -> Path:
    savemat(path, fields, appendmat=False)
    return path


def as_hdf_struct(path: Path, fields: dict[str, Any]) -> Path:
    return save_hdf(path, {"EEG": fields})


WRITERS = [as_struct, as_fields, as_hdf_struct, save_hdf]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("beside", [False, True])
def test_continuous_dataset_in_every_form(tmp_path: Path, write: Writer, beside: bool) -> None:
    path = write(tmp_path / "a.set", dataset("a.fdt" if beside else SIGNAL_UV))
    if beside:
        SIGNAL_UV.T.tofile(tmp_path / "a.fdt")
    recording = read(path)
    header = read_header(path)
    assert (header.format, header.duration_s, header.num_records) == ("SET", 3.125, 1)
    assert [channel.label for channel in header.channels] == LABELS
    assert (recording.electrodes, recording.sfreq, recording.notes) == (ELECTRODES, SFREQ, ())
    np.testing.assert_array_equal(recording.data_uv, SIGNAL_UV)
    assert recording.segments == (Segment(0, 200, 0.0), Segment(200, 400, 1.5625))
    assert recording.events == (
        Event(0.5, 0.0, "square"), Event(199.5 / SFREQ, 12 / SFREQ, "boundary"), Event(2.0, 0.5, "7")
    )  # fmt: skip


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("beside", [False, True])
def test_every_epoch_is_a_segment(tmp_path: Path, write: Writer, beside: bool) -> None:
    path = write(tmp_path / "a.set", dataset("a.fdt" if beside else EPOCHS_UV, 4, [("go", 101.0, 0.0)]))
    if beside:
        SIGNAL_UV.T.tofile(tmp_path / "a.fdt")
    recording = read(path)
    np.testing.assert_array_equal(recording.data_uv, SIGNAL_UV)
    assert recording.segments == tuple(Segment(start, start + 100, start / SFREQ) for start in (0, 100, 200, 300))
    assert recording.events == (Event(100 / SFREQ, 0.0, "go"),)
    assert read_header(path).num_records == 4


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("boundary", ["boundary", "Boundary ", -99.0, np.int16(-99), "-99"])
def test_boundary_cuts_by_name_and_by_number(tmp_path: Path, write: Writer, boundary: Any) -> None:
    path = write(tmp_path / "a.set", dataset(SIGNAL_UV, 1, [(1.0, 65.0, 0.0), (boundary, 200.5, 12.0)]))
    assert read(path).segments == (Segment(0, 200, 0.0), Segment(200, 400, 1.5625))


@pytest.mark.parametrize("write", WRITERS)
def test_number_that_begins_like_a_boundary_does_not_cut(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path / "a.set", dataset(SIGNAL_UV, 1, [(-990.0, 65.0, 0.0)]))
    assert read(path).segments == (Segment(0, 400, 0.0),)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (1114113.0, "1114113"), (np.int32(16777215), "16777215"), (np.uint64(2**63 + 1), str(2**63 + 1)),
        (0.1234567, "0.1234567"), (np.float32(1.1), "1.1"), (-3.0, "-3"), (1e15, "1000000000000000"),
    ],
)  # fmt: skip
def test_code_keeps_all_its_digits(tmp_path: Path, write: Writer, code: Any, text: str) -> None:
    path = write(tmp_path / "a.set", dataset(SIGNAL_UV, 1, [(code, 65.0, 0.0), (code, 129.0, 0.0)]))
    assert [event.text for event in read(path).events] == [text, text]


def cell(write: Writer, *values: Any) -> Any:
    return list(values) if write in (as_hdf_struct, save_hdf) else np.array([*values, None], object)[:-1]


@pytest.mark.parametrize("write", WRITERS)
def test_event_type_in_a_cell_or_a_struct_is_read_or_counted(tmp_path: Path, write: Writer) -> None:
    events = [
        (cell(write, "go"), 65.0, 0.0),
        (cell(write, 7.0), 129.0, 0.0),
        ({"type": "stop"}, 193.0, 0.0),
        (cell(write, "go", "stop"), 257.0, 0.0),
        ({"code": 3.0}, 300.0, 0.0),
        (np.zeros((0, 0)), 310.0, 0.0),
    ]
    recording = read(write(tmp_path / "a.set", dataset(SIGNAL_UV, 1, events)))
    assert recording.events == (Event(0.5, 0.0, "go"), Event(1.0, 0.0, "7"), Event(1.5, 0.0, "stop"))
    assert [note.text for note in recording.notes] == ["3 of 6 events have no type that can be read: not used"]


@pytest.mark.parametrize("write", WRITERS)
def test_events_that_are_numbers_and_no_structs_are_counted(tmp_path: Path, write: Writer) -> None:
    recording = read(write(tmp_path / "a.set", dataset(SIGNAL_UV) | {"event": np.arange(6.0).reshape(3, 2)}))
    assert recording.events == ()
    assert [note.text for note in recording.notes] == ["3 of 3 events have no latency that can be read: not used"]


@pytest.mark.parametrize("write", WRITERS)
def test_event_without_latency_is_counted(tmp_path: Path, write: Writer) -> None:
    events = [("go", 65.0, 0.0), ("go", np.nan, 0.0), ("stop", np.zeros((0, 0)), 0.0), ("boundary", np.inf, 0.0)]
    recording = read(write(tmp_path / "a.set", dataset(SIGNAL_UV, 1, events)))
    assert recording.events == (Event(0.5, 0.0, "go"),)
    assert [note.text for note in recording.notes] == ["3 of 4 events have no latency that can be read: not used"]


@pytest.mark.parametrize("write", [as_struct, as_fields])
def test_events_in_a_cell_of_structs_are_read(tmp_path: Path, write: Writer) -> None:
    cells = np.array([{"type": "go", "latency": 65.0}, {"type": 9.0, "latency": 129.0}], object)
    recording = read(write(tmp_path / "a.set", dataset(SIGNAL_UV) | {"event": cells}))
    assert recording.events == (Event(0.5, 0.0, "go"), Event(1.0, 0.0, "9"))


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("data", [SIGNAL_UV, EPOCHS_UV])
def test_a_span_of_some_electrodes_is_that_part_of_the_whole(tmp_path: Path, write: Writer, data: Any) -> None:
    path = write(tmp_path / "a.set", dataset(data, 1 if data.ndim == 2 else 4))
    piece = read(path, ["T7", "FP1", "PZ"], 150 / SFREQ, 310 / SFREQ)
    assert (piece.first_sample, piece.electrodes) == (150, ("FP1", "T7"))
    np.testing.assert_array_equal(piece.data_uv, SIGNAL_UV[[0, 2], 150:310])
    cuts = [200] if data.ndim == 2 else [200, 300]
    starts = [150, *cuts]
    assert piece.segments == tuple(
        Segment(start - 150, stop - 150, start / SFREQ) for start, stop in zip(starts, [*cuts, 310], strict=True)
    )
    assert len(piece.events) == 3


def test_mne_reads_the_same_of_what_was_written(tmp_path: Path) -> None:
    path = as_struct(tmp_path / "a.set", dataset(EPOCHS_UV, 4, [("go", start, 0.0) for start in (1.0, 101, 201, 301)]))
    epochs = mne.io.read_epochs_eeglab(path, verbose="error")
    joined_uv = epochs.get_data().transpose(1, 0, 2).reshape(3, -1) * 1e6
    np.testing.assert_allclose(read(path).data_uv, joined_uv, rtol=1e-6)


def test_one_channel_and_labels_that_are_not_there(tmp_path: Path) -> None:
    fields = dataset(SIGNAL_UV[:1]) | {"nbchan": 1.0, "chanlocs": []}
    recording = read(as_struct(tmp_path / "a.set", fields))
    assert recording.electrodes == ("CH1",)
    np.testing.assert_array_equal(recording.data_uv, SIGNAL_UV[:1])


def test_renamed_and_cut_samples_are_read_and_noted(tmp_path: Path) -> None:
    path = as_struct(tmp_path / "b.set", dataset("a.fdt"))
    (tmp_path / "b.fdt").write_bytes(SIGNAL_UV.T.tobytes()[:-5])
    recording = read(path)
    np.testing.assert_array_equal(recording.data_uv, SIGNAL_UV[:, :399])
    assert [note.text for note in recording.notes] == [
        "b.fdt is cut: 399 of 400 samples are whole",
        "a.fdt is not there: the .fdt that is called as the .set is read in its place",
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": "a.fdt"}, "its samples are in a.fdt, which is not beside it"),
        ({"data": "a\nb.fdt"}, "its samples are in a?b.fdt, which is not beside it"),
        ({"data": r"C:\old\a.dat"}, "its samples are in 'a.dat', a form that EEGLAB gave up"),
        ({"data": []}, "'data' is empty"),
        ({"pnts": 401.0}, "its data are 3 × 400, its header says 3 × 401 × 1"),
        ({"pnts": 400.5}, "'pnts' is not a whole number"),
        ({"srate": 0.0}, "a rate of 0 Hz is not possible"),
        ({"srate": "fast"}, "'srate' is missing or no number"),
        ({"nbchan": -3.0}, "no signal"),
        ({"nbchan": 1e9}, "its header says 1000000000 × 400 × 1"),
        ({"nbchan": 1e300}, "'nbchan' is not a whole number up to 1e+12: 1e+300"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("write", WRITERS)
def test_dataset_that_contradicts_itself_is_refused(
    tmp_path: Path, write: Writer, change: dict[str, Any], reason: str
) -> None:
    path = write(tmp_path / "a.set", dataset(SIGNAL_UV) | change)
    assert_refused(lambda: read(path), "a.set: ", reason)


def test_text_that_says_to_have_more_letters_than_bytes_is_refused(tmp_path: Path) -> None:
    path = as_fields(tmp_path / "a.set", dataset(SIGNAL_UV))
    sound = path.read_bytes()
    shape = struct.pack("<4I", 5, 8, 1, len("square"))  # type and number of bytes, lines, letters
    path.write_bytes(sound.replace(shape, struct.pack("<4I", 5, 8, 2**31 - 1, len("square"))))
    assert path.read_bytes() != sound
    assert_refused(lambda: read(path), "a.set: cannot be read as MAT 5 (ValueError: a text of 12884901882 letters in ")


def test_cells_that_hold_themselves_end(tmp_path: Path) -> None:
    path = save_hdf(tmp_path / "a.set", dataset(SIGNAL_UV) | {"chanlocs": [1.0] * 9})
    with h5py.File(path, "r+") as file:
        cells = file["chanlocs"]
        cells[...] = np.full(cells.shape, cells.ref, h5py.ref_dtype)
    assert read(path).electrodes == ("CH1", "CH2", "CH3")


def test_samples_alone_name_their_set(tmp_path: Path) -> None:
    SIGNAL_UV.T.tofile(tmp_path / "a.fdt")
    assert_refused(lambda: read(tmp_path / "a.fdt"), "a.fdt: ", "name its .set")


def test_several_datasets_in_one_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.set"
    pair = np.array([(3.0, 1.0), (3.0, 2.0)], dtype=[("nbchan", "O"), ("srate", "O")])
    savemat(path, {"EEG": pair}, appendmat=False)
    assert_refused(lambda: read(path), "holds 2 datasets, not one")


def test_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    save_hdf(tmp_path / "other.h5", {"data": SIGNAL_UV})
    path = save_hdf(tmp_path / "a.set", {name: one for name, one in dataset(0).items() if name != "data"})
    with h5py.File(path, "r+") as file:
        file["data"] = h5py.ExternalLink("other.h5", "data")
    assert_refused(lambda: read(path), "'data' is empty")


def test_real_dataset_equals_mne(real: Path) -> None:
    path = real / "formats/eeglab_data.set"
    raw = mne.io.read_raw_eeglab(path, preload=True, verbose="error")
    recording = read(path)
    assert [channel.label for channel in read_header(path).channels] == raw.ch_names
    np.testing.assert_allclose(recording.data_uv, raw.get_data() * 1e6, rtol=1e-6)
    assert (recording.sfreq, recording.data_uv.shape) == (128.0, (32, 30504))
    told = zip(raw.annotations.onset, raw.annotations.description, strict=True)
    assert [(round(event.onset_s, 6), event.text) for event in recording.events] == [
        (round(float(onset_s), 6), text) for onset_s, text in told
    ]
    assert len(recording.events) == 154
