"""EDF and BDF, byte by byte: what is read of odd files, and what is refused."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.notes import text
from pipelines.formats.readers import read, read_header
from pipelines.recording import Event, Recording, Segment
from tests.pipelines.conftest import Saved, assert_refused
from tests.pipelines.raw_bytes import EEG, STEADY, EdfChannel, edf_bytes, noise, tals

EEG_UV = np.concatenate(EEG.records) * 0.1


# --- what is read -----------------------------------------------------------------------------------------------------


def assert_eeg(recording: Recording, expected_uv: np.ndarray = EEG_UV) -> None:
    assert recording.electrodes == ("C3",)
    np.testing.assert_allclose(recording.data_uv[0], expected_uv, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("unit", "uv_per_unit"),
    [
        (b"uV", 1), (b"UV", 1), (b"Uv ", 1), (b"\xb5V", 1), ("µV".encode(), 1), ("μV".encode(), 1), (b"microV", 1),
        (b"nV", 1e-3), (b"mV", 1e3), (b"V", 1e6),
    ],
)  # fmt: skip
def test_units(saved: Saved, unit: bytes, uv_per_unit: float) -> None:
    recording = read(saved(edf_bytes([replace(EEG, unit=unit)])))
    np.testing.assert_allclose(recording.data_uv[0], EEG_UV * uv_per_unit, rtol=1e-6, atol=1e-6)
    assert recording.notes == ()


@pytest.mark.parametrize("unit", [b"", b"a.u."])
@pytest.mark.parametrize(
    ("extreme", "uv_per_unit", "named"), [("3e3", 1, "µV"), (".003", 1e6, " V "), ("3", 1e3, "mV")]
)
def test_unknown_unit_is_read_by_amplitude(
    saved: Saved, unit: bytes, extreme: str, uv_per_unit: float, named: str
) -> None:
    channel = replace(EEG, unit=unit, physical=(f"-{extreme}", extreme), digital=("-30000", "30000"))
    path = saved(edf_bytes([channel]))
    assert np.isnan(read_header(path).channels[0].scale_to_uv)
    recording = read(path)
    expected_uv = np.concatenate(EEG.records) / 30000 * float(extreme) * uv_per_unit
    np.testing.assert_allclose(recording.data_uv[0], expected_uv, rtol=1e-5)
    assert [note.kind for note in recording.notes] == ["unit unknown"]
    assert named in text(recording.notes)


def test_unknown_unit_is_the_same_wherever_a_file_is_read(saved: Saved) -> None:
    loud_then_quiet = np.tile(EEG.records[0], (400, 1)) // np.where(np.arange(400) < 200, 1, 400)[:, None]
    path = saved(edf_bytes([replace(EEG, unit=b"", records=list(loud_then_quiet))]))
    whole, quiet = read(path), read(path, start_s=300, stop_s=310)
    assert whole.data_uv[0].std() > 1
    assert whole.data_uv[0, quiet.first_sample :].std() < 0.5
    np.testing.assert_array_equal(quiet.data_uv, whole.data_uv[:, quiet.first_sample :][:, : quiet.data_uv.shape[1]])
    assert quiet.notes == whole.notes


def test_digital_range_beyond_its_type_marks_nothing_as_missing(saved: Saved) -> None:
    path = saved(edf_bytes([replace(EEG, physical=("0", "6553.5"), digital=("0", "65535"))]))
    recording = read(path)
    assert [(one.start, one.stop) for one in recording.segments] == [(0, len(EEG_UV))]
    expected_uv = mne.io.read_raw_edf(path, verbose="error").get_data(units="uV")[0]
    np.testing.assert_allclose(recording.data_uv[0], expected_uv, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "expected_uv"),
    [
        ({"physical": ("-3276,8", "3276,7")}, EEG_UV),
        ({"physical": ("3276.8", "-3276.7")}, -EEG_UV),
        ({"digital": ("32768", "-32767")}, -EEG_UV),
        ({"physical": ("0", "6553.5")}, EEG_UV + 3276.8),
        ({"physical": ("-6553.5", "6553.5"), "digital": ("0", "65535")}, EEG_UV * 2 - 6553.5),
    ],
)
def test_calibration(saved: Saved, change: dict[str, Any], expected_uv: np.ndarray) -> None:
    assert_eeg(read(saved(edf_bytes([replace(EEG, **change)]))), expected_uv)


@pytest.mark.parametrize("change", [{"physical": ("5", "5")}, {"digital": ("7", "7")}])
def test_channel_without_a_range_is_absent(saved: Saved, change: dict[str, Any]) -> None:
    path = saved(edf_bytes([replace(EEG, label="EEG C4-REF", **change), EEG]))
    assert_eeg(read(path))
    assert [channel.electrode for channel in read_header(path).channels] == ["C3"]
    assert "'EEG C4-REF' left out" in text(read_header(path).notes)


@pytest.mark.parametrize(
    ("fixed", "tail", "note"),
    [
        ({"num_records": "-1"}, b"", "unknown (-1): 4 by the size"),
        ({"num_records": "3"}, b"", "says 3 records, the file has 4"),
        ({"num_records": "9"}, b"", "says 9 records, the file has 4"),
        ({"num_records": "5"}, b"\1" * 101, "101 bytes dropped"),
        ({}, b"\1" * 50, "50 bytes after the last record ignored"),
        ({"header_bytes": "999"}, b"", "header length '999'"),
        ({"duration": "0"}, b"", "1 s assumed"),
        ({"num_records": "4.0"}, b"", ""),
        ({"num_records": "4,0"}, b"", ""),
        ({"duration": "1,0"}, b"", ""),
        ({"date": "XX.XX.XX"}, b"", ""),
        ({"date": "1/1/2010", "time": "0:0:0"}, b"", ""),
        ({"date": "31.02.10", "time": "24.61.00"}, b"", ""),
        ({"patient": "J\xfcrgen 01-JAN-0000 Age:36"}, b"", ""),
        ({"reserved": "EDF+C"}, b"", ""),
    ],
)
def test_header_that_is_wrong_but_readable(saved: Saved, fixed: dict[str, Any], tail: bytes, note: str) -> None:
    recording = read(saved(edf_bytes([EEG], tail=tail, **fixed), "a.rec"))
    assert_eeg(recording)
    assert recording.segments == (Segment(0, 400, 0.0),)
    assert bool(recording.notes) == bool(note)
    assert note in text(recording.notes)


@pytest.mark.parametrize("duration", ["0.5", "0,5", ".5"])
def test_fractional_record_duration(saved: Saved, duration: str) -> None:
    path = saved(edf_bytes([EEG], duration=duration))
    assert read(path).sfreq == 200.0
    assert read_header(path).duration_s == 2.0


def test_bdf_extends_the_sign_of_24_bits(saved: Saved) -> None:
    values = [-8388608, -1, 0, 1, 8388607, 300000]
    channel = EdfChannel("C3", [values, values], physical=("-8388608", "8388607"), digital=("-8388608", "8388607"))
    path = saved(edf_bytes([channel], width=3, reserved="24BIT"))
    assert read_header(path).format == "BDF"
    assert read(path).data_uv[0].tolist() == values * 2


def test_of_all_channels_those_at_the_rate_of_the_eeg_are_read(saved: Saved) -> None:
    fast = EdfChannel("EMG chin", noise(1, per_record=400))
    slow = EdfChannel("EEG C4", noise(2, per_record=50))
    path = saved(edf_bytes([fast, EEG, slow, tals(*STEADY[:3], "+3||;+3.5|cue|;")], reserved="EDF+C"))
    assert_eeg(read(path))
    assert read(path, {"EMG CHIN"}).data_uv.shape == (1, 1600)
    alone = read(path, {"C4"})
    assert (alone.sfreq, alone.notes, alone.segments) == (50.0, (), (Segment(0, 200, 0.0),))
    np.testing.assert_allclose(alone.data_uv[0], np.concatenate(slow.records) * 0.1, atol=1e-3)
    assert {one.label: one.sfreq for one in read_header(path).channels} == {"EMG chin": 400, "EEG C4": 50} | {
        EEG.label: 100
    }
    assert alone.events == read(path).events == (Event(3.5, 0.0, "cue"),)


def test_duplicate_at_another_rate_does_not_hide_the_eeg(saved: Saved) -> None:
    trend = EdfChannel("C3", noise(2, per_record=1))
    assert_eeg(read(saved(edf_bytes([trend, EEG])), {"C3"}))


@pytest.mark.parametrize(
    ("span_s", "first", "stop"), [((1.0, 2.0), 100, 200), ((1.5, 2.5), 100, 300), ((9.0, 9.0), 300, 400)]
)
def test_span_is_whole_records_and_all_events(saved: Saved, span_s: tuple[float, float], first: int, stop: int) -> None:
    lists = tals("+0||;+0.5|cue|;", "+1||;", "+2.5||;", "+3.5||;")
    piece = read(saved(edf_bytes([EEG, lists], reserved="EDF+D")), None, *span_s)
    assert piece.first_sample == first
    np.testing.assert_allclose(piece.data_uv[0], EEG_UV[first:stop], atol=1e-3)
    onsets_s = {100: 1.0, 200: 2.5, 300: 3.5}
    assert [(part.start + first, part.onset_s) for part in piece.segments] == [
        (start, onset_s) for start, onset_s in onsets_s.items() if first <= start < stop
    ]
    assert piece.events == (Event(0.5, 0.0, "cue"),)


@settings(max_examples=60, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    low=st.floats(-9e4, 9e4).map(lambda value: round(value, 1)),
    span=st.floats(1, 1e5).map(lambda value: round(value, 1)),
    digital=st.tuples(st.integers(-32768, 32767), st.integers(-32768, 32767)).filter(lambda ends: ends[0] != ends[1]),
)
def test_any_calibration_is_exact_to_float32(saved: Saved, low: float, span: float, digital: tuple[int, int]) -> None:
    physical = (f"{low:.1f}", f"{low + span:.1f}")
    channel = replace(EEG, physical=physical, digital=(str(digital[0]), str(digital[1])))
    samples = np.concatenate(EEG.records).astype(np.float64)
    start, stop = map(float, physical)
    expected_uv = (samples - digital[0]) * (stop - start) / (digital[1] - digital[0]) + start
    recording = read(saved(edf_bytes([channel])))
    tolerance_uv = 1e-6 + 2.0**-23 * np.abs(expected_uv).max()
    np.testing.assert_allclose(recording.data_uv[0], expected_uv, rtol=0, atol=tolerance_uv)


def test_decoding_takes_no_memory_to_speak_of_beside_the_result(saved: Saved) -> None:
    labels = [f"C{number}" for number in range(1, 7)]
    path = saved(edf_bytes([EdfChannel(label, [bytes(50000)] * 40) for label in labels]))
    read(path)
    tracemalloc.start()
    recording = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert recording.data_uv.nbytes == 24_000_000
    assert peak - recording.data_uv.nbytes < 5_000_000


def test_wanted_electrodes_come_in_the_order_of_the_file_and_absent_ones_do_not(saved: Saved) -> None:
    path = saved(edf_bytes([EdfChannel("P4", noise(1)), EEG, EdfChannel("ECG EKG", noise(2))]))
    assert read(path, ["C3", "PZ", "P4"]).electrodes == ("P4", "C3")
    nothing = read(path, ["PZ"])
    assert (nothing.electrodes, nothing.data_uv.shape, nothing.segments) == ((), (0, 0), ())


def test_channel_that_names_no_electrode_is_known_by_position(saved: Saved) -> None:
    path = saved(edf_bytes([EEG, EdfChannel("EEG", noise(1)), EdfChannel("EEG", noise(2)), EdfChannel("", noise(3))]))
    assert read(path).electrodes == ("C3", "CH2", "CH3", "CH4")


def test_tuh_annotation_label_is_never_a_data_channel(saved: Saved) -> None:
    for garbage in (b"\x01\x02" * 20, b"+0\x14\x14\0+1\x14eyes open\x14\0"):
        channel = EdfChannel("EDF ANNOTATIONS", [garbage] * 4, b"", ("", ""))
        recording = read(saved(edf_bytes([EEG, channel])))
        assert_eeg(recording)
        assert recording.segments == (Segment(0, 400, 0.0),)


def test_events_of_several_channels_in_any_encoding(saved: Saved) -> None:
    first = tals("+0||;", "+1||;+1.5~0.25|K\xf6nig|spikes|", "+2||;", "+3||;")
    second = tals("", "+0.125|first|;", "", "+9|last|;")
    recording = read(saved(edf_bytes([first, EEG, second], reserved="EDF+C")))
    assert_eeg(recording)
    assert recording.events == (
        Event(0.125, 0.0, "first"), Event(1.5, 0.25, "König"), Event(1.5, 0.25, "spikes"), Event(9.0, 0.0, "last"),
    )  # fmt: skip


def test_utf8_annotation(saved: Saved) -> None:
    channel = EdfChannel("EDF Annotations", ["+0\x14\x14\0+1\x14α µV\x14\0".encode(), b"+1\x14\x14\0"] * 2)
    assert read(saved(edf_bytes([EEG, channel]))).events[0].text == "α µV"


def test_times_count_from_a_first_sample_in_mid_second(saved: Saved) -> None:
    channel = tals("+0.5||;+1|cue|;", "+1.5||;", "+2.5||;", "+3.5||;")
    recording = read(saved(edf_bytes([EEG, channel], reserved="EDF+C")))
    assert recording.segments == (Segment(0, 400, 0.0),)
    assert recording.events == (Event(0.5, 0.0, "cue"),)


@pytest.mark.parametrize("reserved", ["EDF+D", "EDF+C"])
def test_gap_in_the_times_of_records_ends_a_segment(saved: Saved, reserved: str) -> None:
    channel = tals("+2||;", "+3||;", "+4.25||;+4.5|cue|;", "+5.25||;")
    recording = read(saved(edf_bytes([EEG, channel], reserved=reserved)))
    assert recording.segments == (Segment(0, 200, 0.0), Segment(200, 400, 2.25))
    assert recording.events == (Event(2.5, 0.0, "cue"),)


@pytest.mark.parametrize(
    ("lists", "note"),
    [
        (("+0||;", "+1.0004||;", "+1.9996||;", "+3||;"), ""),
        (("+0||;", "", "+2||;", "+3||;"), "1 records have no time"),
        (("", "+1||;", "+2||;", "+3||;"), "1 records have no time"),
        (("+0||;", "+1.7|cue|;", "+2||;", "+3||;"), "1 records have no time"),
        (("+0||;", "+0||;", "+0||;", "+0||;"), "overlap or run backwards"),
        (("", "", "", ""), ""),
    ],
)
def test_times_that_make_no_gap(saved: Saved, lists: tuple[str, ...], note: str) -> None:
    filler = EdfChannel("EDF Annotations", [b"\0" * 20] * 4)
    recording = read(saved(edf_bytes([EEG, tals(*lists) if any(lists) else filler], reserved="EDF+C")))
    assert recording.segments == (Segment(0, 400, 0.0),)
    assert note in text(recording.notes)
    assert bool(recording.notes) == bool(note)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\xef\xbb\xbf\n<HTML><body>Sign in</body>", "is an HTML page, not a recording; download it again"),
        (b"PK\x03\x04....", "cannot be read as zip"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (bytes(5000), "zeros only"),
        (b"time,C3,C4\n0,1,2\n", "is text, not "),
        (b"\x89HDF\r\n\x1a\n", "cannot be read as MAT 7.3"),
        (b"MATLAB 5.0 MAT-file", "cannot be read as MAT 5"),
        (b"\x89PNG\r\n\x1a\n", "unknown format"),
        (b"RIFF....", "is a RIFF file"),
        (b"0       " + b" " * 100, "has 108 bytes, too short for its header of 256"),
        (edf_bytes([EEG])[:400], "too short for its header of 512"),
        (edf_bytes([EEG])[:600], "not one whole record"),
        (edf_bytes([EEG], num_signals="9999"), "too short for its header of 2560000"),
        (edf_bytes([EEG], num_signals="0"), "lists no channel"),
        (edf_bytes([EEG], num_signals="x"), "'number of signals' is not a number: 'x'"),
        (edf_bytes([EEG], num_records=""), "'number of records' is not a number: ''"),
        (edf_bytes([EEG], num_records="2.5"), "'number of records' is not a whole number: '2.5'"),
        (edf_bytes([EEG], duration="1_0"), "'record duration' is not a number: '1_0'"),
        (edf_bytes([EEG], duration="-1"), "'record duration' is not possible: '-1'"),
        (edf_bytes([EEG], duration="1e-300"), "Hz is not possible"),
        (edf_bytes([replace(EEG, physical=("low", "1"))]), "'physical minimum' is not a number: 'low'"),
        (edf_bytes([EEG]).replace(b"100     ", b"99999999", 1), "not one whole record of 199999998"),
        (edf_bytes([EEG]).replace(b"100     ", b"-100    ", 1), "'samples per record' is negative"),
        (edf_bytes([EEG]).replace(b"100     ", b"0       ", 1), "not one whole record of 0"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused_in_one_line(saved: Saved, content: bytes, reason: str) -> None:
    assert_refused(lambda: read(saved(content)), "a.edf: ", reason)


def test_path_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert_refused(
        lambda: read(tmp_path / "gone.edf"),
        "gone.edf: cannot be read: No such file or directory; name a file that is there",
    )
    assert_refused(lambda: read_header(tmp_path), f"{tmp_path}: cannot be read: Is a directory; name a file that can")


def test_line_end_conversion_shows_in_the_samples(saved: Saved) -> None:
    whole = edf_bytes([EdfChannel("C3", noise(0, 40, 500))])
    assert whole.count(b"\r\n") < whole.count(b"\n")
    assert read(saved(whole)).data_uv.shape == (1, 20000)
    assert_refused(lambda: read(saved(whole.replace(b"\n", b"\r\n"))), "damaged by line-end conversion")


def test_line_end_conversion_shows_in_the_annotations(saved: Saved) -> None:
    flat = EdfChannel("C3", [[10] + [0] * 99] * 4)
    whole = edf_bytes([flat, tals(*STEADY)], reserved="EDF+C")
    assert whole.count(b"\n") == 4
    assert read(saved(whole)).segments == (Segment(0, 400, 0.0),)
    assert_refused(lambda: read(saved(whole.replace(b"\n", b"\r\n"))), "4 of 4 records begin with no time")
