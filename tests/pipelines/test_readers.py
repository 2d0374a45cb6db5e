"""Readers against independent ones on real files, by hand on synthetic pitfalls, and under mutated headers."""

import re
import struct
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import edfio
import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.errors import DareError
from pipelines.readers import read, read_header
from pipelines.recording import Event, Recording, Segment

FLOAT32_STEP = 2.0**-23
MICROVOLTS_PER_UNIT = {"uV": 1.0, "mV": 1e3, "V": 1e6}


# --- real files, sample for sample ----------------------------------------------------------------------------------

EDF_FILES = [
    "eegmat/Subject00_1.edf",
    "eegmat/Subject00_2.edf",
    "eegmat/Subject09_2.edf",
    "eegmmidb/S001/S001R01.edf",
    "eegmmidb/S001/S001R03.edf",
    "eegmmidb/S088/S088R10.edf",
    "formats/duplicate_channel_labels.edf",
    "formats/edfAnnonC.edf",
    "formats/edfPlusC.edf",
    "formats/edfPlusD.edf",
    "formats/eeglab_test.edf",
    "formats/short_psg.edf",
    "formats/test_uneven_samp.edf",
    "formats/eeglab_test_nrec-1.bdf",
    "formats/mne_test_2048hz.bdf",
    "broken/S001R02_truncated_prefix.edf",
    "chbmit_layout_noise/chb05/chb05_01.edf",
    "chbmit_layout_noise/chb05/chb05_06.edf",
    "chbmit_layout_noise/chb05/chb05_13.edf",
    "siena_layout_noise/PN00/PN00-1.edf",
    "siena_layout_noise/PN16/PN16-1.edf",
]
TUH_FOLDER = "tuh_layout_noise"
NUM_TUH_FILES = 12

# MNE returns volts where it knows the unit, and the file's own numbers, unscaled, where it does not.
GDF_UV_PER_MNE = {
    "biosig_sample.gdf": 1.0,
    "libgdf_MI128.gdf": 1.0,
    "libgdf_NEQSuint32Ch678.GDF": 1e6,
    "mne_test_1ch.gdf": 1e6,
    "openvibe_test_gdf125.gdf": 1e6,
}


def assert_equals_edfio(path: Path) -> None:
    """Every voltage of every rate is within float32 rounding of edfio's float64, in µV."""
    opened = (edfio.read_bdf if path.suffix == ".bdf" else edfio.read_edf)(path)
    channels = read_header(path).channels
    assert [channel.label for channel in channels] == [signal.label for signal in opened.signals]
    first_of: dict[str, Any] = {}
    for channel, signal in zip(channels, opened.signals, strict=True):
        first_of.setdefault(channel.electrode, signal)
    voltages = [channel for channel in channels if not np.isnan(channel.scale_to_uv)]
    compared = set()
    for sfreq in {channel.sfreq for channel in voltages}:
        recording = read(path, {channel.electrode for channel in voltages if channel.sfreq == sfreq})
        for electrode, row in zip(recording.electrodes, recording.data_uv, strict=True):
            signal = first_of[electrode]
            assert signal.sampling_frequency == recording.sfreq
            expected_uv = signal.data * MICROVOLTS_PER_UNIT[signal.physical_dimension.strip()]
            tolerance_uv = 1e-6 + FLOAT32_STEP * np.abs(expected_uv).max()
            np.testing.assert_allclose(row, expected_uv, rtol=0, atol=tolerance_uv)
            compared.add(electrode)
    assert compared == {channel.electrode for channel in voltages} != set()


@pytest.mark.parametrize("name", EDF_FILES)
def test_real_edf_and_bdf_equal_edfio(real: Path, name: str) -> None:
    assert_equals_edfio(real / name)


def test_tuh_layouts_equal_edfio(real: Path) -> None:
    paths = sorted((real / TUH_FOLDER).rglob("*.edf"))
    assert len(paths) == NUM_TUH_FILES
    for path in paths:
        assert_equals_edfio(path)


@pytest.mark.parametrize("name", GDF_UV_PER_MNE)
def test_real_gdf_equals_mne(real: Path, name: str) -> None:
    raw = mne.io.read_raw_gdf(real / "gdf" / name, preload=True, verbose="error")
    recording = read(real / "gdf" / name)
    expected_uv = raw.get_data()[: len(recording.electrodes)] * GDF_UV_PER_MNE[name]
    np.testing.assert_allclose(recording.data_uv, expected_uv, rtol=0, atol=FLOAT32_STEP * np.abs(expected_uv).max())
    # 32767 marks a sample of a channel without a rate, which MNE takes for an event.
    expected = [(onset, text) for onset, text in annotations_of(raw) if text != "32767"]
    assert sorted((round(event.onset_s, 4), event.text) for event in recording.events) == sorted(expected)


@pytest.mark.parametrize("name", ["eegmmidb/S001/S001R03.edf", "eegmmidb/S088/S088R10.edf", "formats/edfAnnonC.edf"])
def test_real_annotations_equal_mne(real: Path, name: str) -> None:
    raw = mne.io.read_raw_edf(real / name, verbose="error")
    events = read(real / name).events
    assert [(round(event.onset_s, 4), event.text) for event in events] == annotations_of(raw)
    np.testing.assert_allclose([event.duration_s for event in events], raw.annotations.duration)


def annotations_of(raw: Any) -> list[tuple[float, str]]:
    onsets_s, texts = raw.annotations.onset, raw.annotations.description
    return [(round(float(onset_s), 4), str(text)) for onset_s, text in zip(onsets_s, texts, strict=True)]


def test_gdf_of_all_sample_types_spells_the_same_text_ten_times(real: Path) -> None:
    recording = read(real / "gdf/libgdf_alltypes.gdf")
    assert recording.data_uv.shape == (10, 512)
    np.testing.assert_allclose(recording.data_uv, recording.data_uv[[0]].repeat(10, axis=0), atol=1e-4)
    assert bytes(np.rint(recording.data_uv[0]).astype(np.uint8)).startswith(b"Lorem ipsum dolor sit amet")


def test_gdf_2_21_equals_its_gdf_1_25_twin(real: Path) -> None:
    old, new = (read(real / "gdf" / f"openvibe_test_gdf{version}.gdf") for version in ("125", "221"))
    assert new.sfreq == old.sfreq == 512.0
    np.testing.assert_array_equal(new.data_uv, old.data_uv)


def test_gdf_without_event_table_equals_its_bytes(real: Path) -> None:
    path = real / "gdf/biosig_ch1undch2stoerung.gdf"
    digital = np.fromfile(path, "<u2", offset=768).reshape(-1, 2).T
    recording = read(path)
    np.testing.assert_allclose(recording.data_uv, (digital * (10 / 1023) - 5) * 1e3, atol=1e-3)
    assert recording.events == ()
    assert all((digital[:, part.start : part.stop].max(axis=0) > 0).any() for part in recording.segments)


def test_discontinuous_file_keeps_its_times(real: Path) -> None:
    recording = read(real / "formats/edfPlusD.edf")
    expected = [(0, 200, 0.0), (200, 400, 2.0), (400, 1600, 4.0), (1600, 1800, 12.0), (1800, 2000, 15.0)]
    assert recording.segments == tuple(Segment(*part) for part in [*expected, (2000, 2200, 19.0)])
    assert recording.events == (Event(0.0, 0.0, "RECORD START"),)


def test_annotations_alone_are_events_without_signal(real: Path) -> None:
    path = real / "formats/SC4001EC-Hypnogram.edf"
    recording = read(path)
    assert recording.electrodes == () == read_header(path).channels
    assert recording.data_uv.shape == (0, 0)
    assert len(recording.events) == 154
    assert recording.events[0] == Event(0.0, 30630.0, "Sleep stage W")


def test_truncated_file_reads_its_whole_records(real: Path) -> None:
    recording = read(real / "broken/S001R02_truncated_prefix.edf")
    assert recording.data_uv.shape == (64, 60 * 160)
    assert any("15791 bytes dropped" in note for note in recording.notes)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("S001R02_crlf_truncated.edf", "line-end conversion"), ("S001R02_is_html.edf", "is an HTML page")],
)
def test_broken_file_is_refused_in_one_line(real: Path, name: str, reason: str) -> None:
    path = real / "broken" / name
    assert_refused(lambda: read(path), name, reason)
    assert_refused(lambda: read_header(path), name, reason)


def assert_refused(act: Callable[[], object], *parts: str) -> None:
    with pytest.raises(DareError) as refusal:
        act()
    assert "\n" not in str(refusal.value)
    for part in parts:
        assert part in str(refusal.value)


# --- EDF, byte by byte ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EdfChannel:
    """A channel to write: int16 samples, or bytes of annotations, one item per record."""

    label: str
    records: Sequence[Any]
    unit: bytes = b"uV"
    physical: tuple[str, str] = ("-3276.8", "3276.7")
    digital: tuple[str, str] = ("-32768", "32767")


def edf_bytes(channels: list[EdfChannel], width: int = 2, tail: bytes = b"", **fixed: Any) -> bytes:
    """Return an EDF (width 2) or BDF (width 3) file; ``fixed`` replaces header fields."""
    num_records = len(channels[0].records)
    fields = {
        "version": "0" if width == 2 else "\xffBIOSEMI",
        "patient": "X X X X",
        "recording": "Startdate X X X X",
        "date": "01.01.10",
        "time": "00.00.00",
        "header_bytes": str(256 * (len(channels) + 1)),
        "reserved": "",
        "num_records": str(num_records),
        "duration": "1",
        "num_signals": str(len(channels)),
    } | fixed
    blocks = [[encode(item, width) for item in channel.records] for channel in channels]
    spr = [-(-max(map(len, items)) // width) for items in blocks]
    widths = (8, 80, 80, 8, 8, 8, 44, 8, 8, 4)
    header = b"".join(text.encode("latin-1").ljust(size) for text, size in zip(fields.values(), widths, strict=True))
    columns: list[tuple[int, list[bytes]]] = [
        (16, [channel.label.encode("latin-1") for channel in channels]),
        (80, [b"" for _ in channels]),
        (8, [channel.unit for channel in channels]),
        *((8, [channel.physical[end].encode() for channel in channels]) for end in (0, 1)),
        *((8, [channel.digital[end].encode() for channel in channels]) for end in (0, 1)),
        (80, [b"" for _ in channels]),
        (8, [str(count).encode() for count in spr]),
        (32, [b"" for _ in channels]),
    ]
    header += b"".join(cell.ljust(size) for size, cells in columns for cell in cells)
    data = b"".join(
        items[number].ljust(count * width, b"\0")
        for number in range(num_records)
        for items, count in zip(blocks, spr, strict=True)
    )
    return header + data + tail


def encode(item: Any, width: int) -> bytes:
    if isinstance(item, bytes):
        return item
    return b"".join(int(value).to_bytes(width, "little", signed=True) for value in item)


def noise(seed: int = 0, num_records: int = 4, per_record: int = 100, sd: float = 200.0) -> list[np.ndarray]:
    """Return int16 records whose sd is 200 steps, 20 µV at the default calibration."""
    random = np.random.default_rng(seed)
    return list(np.rint(random.normal(0, sd, (num_records, per_record))).astype(np.int16))


def tals(*lists: str, label: str = "EDF Annotations") -> EdfChannel:
    """Return an annotation channel; ``|`` stands for 0x14, ``~`` for 0x15, ``;`` for 0x00."""
    table = str.maketrans({"|": "\x14", "~": "\x15", ";": "\0"})
    return EdfChannel(label, [text.translate(table).encode("latin-1") for text in lists], b"", ("-1", "1"))


EEG = EdfChannel("EEG C3-REF", noise())
EEG_UV = np.concatenate(EEG.records) * 0.1
STEADY = ("+0||;", "+1||;", "+2||;", "+3||;")


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(content: bytes, name: str = "a.edf") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return save


Saved = Callable[..., Path]


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
    assert "unit unknown" in recording.notes[0]
    assert named in recording.notes[0]


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
    assert "'EEG C4-REF' left out" in read_header(path).notes[0]


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
    assert note in " ".join(recording.notes)


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


def test_mixed_rates_are_never_resampled(saved: Saved) -> None:
    fast = EdfChannel("EMG chin", noise(1, per_record=400))
    slow = EdfChannel("EEG C4", noise(2, per_record=50))
    path = saved(edf_bytes([fast, EEG, slow]))
    assert_eeg(read(path))
    assert read(path, {"CHIN"}).data_uv.shape == (1, 1600)
    np.testing.assert_allclose(read(path, {"C4"}).data_uv[0], np.concatenate(slow.records) * 0.1, atol=1e-3)
    assert_refused(lambda: read(path, {"C3", "C4"}), "a.edf", "C3 100 Hz, C4 50 Hz")


def test_first_of_two_channels_of_one_electrode_is_read(saved: Saved) -> None:
    twins = [EEG, EdfChannel("EEG T3", noise(1)), EdfChannel("C3", noise(2)), EdfChannel("T7", noise(3))]
    recording = read(saved(edf_bytes(twins)))
    assert recording.electrodes == ("C3", "T7")
    np.testing.assert_allclose(recording.data_uv[1], np.concatenate(noise(1)) * 0.1, atol=1e-3)
    assert [note[:20] for note in recording.notes] == ["channel 'C3' repeats", "channel 'T7' repeats"]


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
    assert note in " ".join(recording.notes)
    assert bool(recording.notes) == bool(note)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty (0 bytes)"),
        (b"\xef\xbb\xbf\n<HTML><body>Sign in</body>", "is an HTML page, not a recording; download it again"),
        (b"PK\x03\x04....", "zip archive"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (bytes(5000), "zeros only"),
        (b"time,C3,C4\n0,1,2\n", "is text"),
        (b"\x89HDF\r\n\x1a\n", "unknown format"),
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
    assert_refused(lambda: read(tmp_path / "gone.edf"), "gone.edf: cannot be read: No such file")
    assert_refused(lambda: read_header(tmp_path), f"{tmp_path}: cannot be read: Is a directory")


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


# --- GDF, byte by byte ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GdfChannel:
    """A channel to write, one sample per record unless ``per_record`` says otherwise."""

    label: str
    samples: np.ndarray
    unit: bytes = b"uV"
    unit_code: int = 4275
    physical: tuple[float, float] = (-3276.8, 3276.7)
    digital: tuple[float, float] = (-32768, 32767)
    per_record: int = 1


GDF_TYPES = {"int8": 1, "int16": 3, "uint16": 4, "float32": 16, "float64": 17}


def gdf_bytes(channels: list[GdfChannel], version: str = "2.10", table: bytes = b"", rate: int = 100) -> bytes:
    """Return a GDF file of ``rate`` records per second."""
    num_records = max(len(channel.samples) // (channel.per_record or 1) for channel in channels)
    first, num_channels = float(version) < 1.9, len(channels)
    header_bytes = 256 * (num_channels + 1)
    header = b"GDF " + version.encode() + b" " * 176
    header += struct.pack("<q", header_bytes) if first else struct.pack("<H6x", header_bytes // 256)
    header += bytes(44) + struct.pack("<q", num_records)
    header += struct.pack("<d", 1 / rate) if float(version) > 2.2 else struct.pack("<II", 1, rate)
    header += struct.pack("<I", num_channels) if first else struct.pack("<HH", num_channels, 0)
    limit = "<q" if first else "<d"
    columns: list[list[bytes]] = [
        [channel.label.encode().ljust(16) for channel in channels],
        [bytes(80)] * num_channels,
        [channel.unit.ljust(8 if first else 6) for channel in channels],
        [] if first else [struct.pack("<H", channel.unit_code) for channel in channels],
        *([struct.pack("<d", channel.physical[end]) for channel in channels] for end in (0, 1)),
        *(
            [struct.pack(limit, (int if first else float)(channel.digital[end])) for channel in channels]
            for end in (0, 1)
        ),
        [bytes(80)] * num_channels,
        [struct.pack("<I", channel.per_record) for channel in channels],
        [struct.pack("<I", GDF_TYPES[channel.samples.dtype.name]) for channel in channels],
        [bytes(32)] * num_channels,
    ]
    data = b"".join(
        channel.samples[number * channel.per_record : (number + 1) * channel.per_record].tobytes()
        for number in range(num_records)
        for channel in channels
    )
    return header + b"".join(map(b"".join, columns)) + data + table


def event_table(events: list[tuple[int, int, int]], mode: int, version: str, rate: int = 100) -> bytes:
    """Return a table of (position from 1, code, duration in samples)."""
    counts = (rate, len(events))
    if float(version) < 1.94:
        table = bytes([mode]) + counts[0].to_bytes(3, "little") + struct.pack("<I", counts[1])
    else:
        table = bytes([mode]) + counts[1].to_bytes(3, "little") + struct.pack("<f", counts[0])
    positions, codes, durations = zip(*events, strict=True)
    table += struct.pack(f"<{len(events)}I", *positions) + struct.pack(f"<{len(events)}H", *codes)
    if mode == 3:
        table += bytes(2 * len(events)) + struct.pack(f"<{len(events)}I", *durations)
    return table


C3 = GdfChannel("EEG:C3", np.concatenate(noise(1)))
CZ = GdfChannel("EEG:Cz", np.concatenate(noise(2)))
EVENTS = [(51, 768, 300), (1, 32766, 0), (251, 769, 125), (260, 0x7FFF, 4)]


@pytest.mark.parametrize("version", ["1.25", "2.10", "2.51"])
@pytest.mark.parametrize("mode", [1, 3])
def test_gdf_signal_and_events(saved: Saved, version: str, mode: int) -> None:
    table = event_table(EVENTS, mode, version)
    recording = read(saved(gdf_bytes([C3, CZ], version, table), "B0101T.gdf"))
    assert recording.electrodes == ("C3", "CZ")
    assert recording.sfreq == 100.0
    np.testing.assert_allclose(recording.data_uv, np.stack([C3.samples, CZ.samples]) * 0.1, atol=1e-3)
    durations_s = [0.0, 3.0, 1.25] if mode == 3 else [0.0] * 3
    expected = zip([0.0, 0.5, 2.5], durations_s, ["32766", "768", "769"], strict=True)
    assert recording.events == tuple(Event(*event) for event in expected)


@pytest.mark.parametrize("version", ["1.25", "2.10"])
@pytest.mark.parametrize(
    ("num_missing", "num_channels", "is_gap"), [(100, 2, True), (10, 2, True), (9, 2, False), (100, 1, False)]
)
def test_missing_samples_on_every_channel_end_a_segment(
    saved: Saved, version: str, num_missing: int, num_channels: int, is_gap: bool
) -> None:
    samples = np.stack([C3.samples, CZ.samples])
    samples[:num_channels, 150 : 150 + num_missing] = -32768
    channels = [replace(C3, samples=samples[0]), replace(CZ, samples=samples[1])]
    path = saved(gdf_bytes(channels, version))
    stop = 150 + num_missing
    split = (Segment(0, 150, 0.0), Segment(stop, 400, stop / 100))
    assert read(path).segments == (split if is_gap else (Segment(0, 400, 0.0),))


def test_nan_stays_nan_and_ends_a_segment(saved: Saved) -> None:
    samples = np.concatenate(noise(1)).astype(np.float32)
    samples[[20, *range(200, 300)]] = np.nan
    recording = read(saved(gdf_bytes([GdfChannel("C3", samples, physical=(-1e3, 1e3), digital=(-1e3, 1e3))])))
    np.testing.assert_allclose(recording.data_uv[0], samples, rtol=1e-6, equal_nan=True)
    assert recording.segments == (Segment(0, 200, 0.0), Segment(300, 400, 3.0))


@pytest.mark.parametrize(
    ("unit", "code", "version", "uv_per_unit"),
    [
        (b"", 4275, "2.10", 1), (b"", 4274, "2.10", 1e3), (b"", 4276, "2.10", 1e-3), (b"", 4256, "2.10", 1e6),
        (b"mV", 0, "2.10", 1e3), (b"uV", 0, "1.25", 1), (b"\xb5V", 0, "1.25", 1), (b"mV", 0, "1.25", 1e3),
    ],
)  # fmt: skip
def test_gdf_units(saved: Saved, unit: bytes, code: int, version: str, uv_per_unit: float) -> None:
    recording = read(saved(gdf_bytes([replace(C3, unit=unit, unit_code=code)], version)))
    np.testing.assert_allclose(recording.data_uv[0], C3.samples * 0.1 * uv_per_unit, rtol=1e-5, atol=1e-6)
    assert recording.notes == ()


def test_gdf_without_a_unit_is_read_by_amplitude(saved: Saved) -> None:
    volts = replace(C3, unit=b"", unit_code=0, physical=(-3276.8e-6, 3276.7e-6))
    recording = read(saved(gdf_bytes([volts])))
    np.testing.assert_allclose(recording.data_uv[0], C3.samples * 0.1, atol=1e-3)
    assert "read as V by amplitude" in recording.notes[0]


def test_gdf_mixed_types_rates_and_sparse_channels(saved: Saved) -> None:
    fast = replace(CZ, samples=np.concatenate(noise(3, 8)), per_record=2, label="EMG")
    exact = GdfChannel("P4", C3.samples.astype(np.float64) + 0.25, physical=(-1, 1), digital=(-1, 1))
    sparse = replace(C3, label="SpO2", samples=C3.samples[:0], per_record=0)
    recording = read(saved(gdf_bytes([fast, C3, sparse, exact])))
    assert recording.electrodes == ("C3", "P4")
    np.testing.assert_allclose(recording.data_uv[1], exact.samples, rtol=1e-6)
    assert any("'SpO2' left out: it has no regular samples" in note for note in recording.notes)


def test_gdf_cut_in_signal_or_events_keeps_what_is_whole(saved: Saved) -> None:
    content = gdf_bytes([C3, CZ], "1.25", event_table(EVENTS, 3, "1.25"))
    in_events = read(saved(content[:-1]))
    assert in_events.events == ()
    assert "table of 4 events is cut" in in_events.notes[0]
    in_signal = read(saved(content[: 3 * 256 + 4 * 100 + 3]))
    np.testing.assert_allclose(in_signal.data_uv[0], C3.samples[:100] * 0.1, atol=1e-3)
    assert "says 400 records, the file has 100" in in_signal.notes[0]


def test_gdf_of_unknown_length(saved: Saved) -> None:
    content = bytearray(gdf_bytes([C3]))
    content[236:244] = struct.pack("<q", -1)
    recording = read(saved(bytes(content)))
    assert recording.data_uv.shape == (1, 400)
    assert "400 by the size" in recording.notes[0]


@pytest.mark.parametrize(
    ("offset", "field", "reason"),
    [
        (4, b"x.25", "'version' is not a number"),
        (184, struct.pack("<q", 10**15), "should end at"),
        (236, struct.pack("<q", 0), "not one whole record"),
        (244, struct.pack("<II", 1, 0), "'record duration' is not possible"),
        (252, struct.pack("<I", 2**32 - 1), "its header of 4294967295 channels"),
        (252, struct.pack("<I", 0), "its header of 0 channels"),
        (256 + 216, struct.pack("<I", 2**32 - 1), "not one whole record of 8589934590"),
        (256 + 220, struct.pack("<I", 77), "'EEG:C3' has sample type 77"),
    ],
)
def test_gdf_header_that_cannot_be_true_is_refused(saved: Saved, offset: int, field: bytes, reason: str) -> None:
    content = bytearray(gdf_bytes([C3], "1.25"))
    content[offset : offset + len(field)] = field
    assert_refused(lambda: read(saved(bytes(content))), "a.edf: ", reason)


# --- mutated headers ------------------------------------------------------------------------------------------------

SMALL = {
    "EDF": edf_bytes([EEG, EdfChannel("C4", noise(1), b""), tals(*STEADY)], reserved="EDF+C"),
    "BDF": edf_bytes([EEG, tals(*STEADY, label="BDF Annotations")], width=3, reserved="BDF+C"),
    "GDF 1": gdf_bytes([C3, replace(CZ, unit=b"")], "1.25", event_table(EVENTS, 3, "1.25")),
    "GDF 2": gdf_bytes([C3, replace(CZ, unit_code=0)], "2.10", event_table(EVENTS, 1, "2.10")),
}
NASTY_FIELDS = [
    b"", b"-1", b"0", b"1e9", b"1e308", b"99999999", b"nan", b"inf", b"0x10", b"\xff" * 8, bytes(8), b"\r\n",
    struct.pack("<d", float("nan")), struct.pack("<d", 1e308), struct.pack("<q", 2**62), struct.pack("<q", -(2**62)),
]  # fmt: skip


def assert_read_or_refused(path: Path, content: bytes) -> None:
    """A damaged file is read within its own size, or refused in one line; no other exception, no warning."""
    path.write_bytes(content)
    refusal = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            header, recording = read_header(path), read(path)
    except DareError as error:
        refusal = str(error)
    if refusal:
        assert re.fullmatch(rf"{re.escape(str(path))}: .{{5,500}}", refusal)
        return
    assert recording.data_uv.dtype == np.float32
    assert recording.data_uv.nbytes <= 4 * len(content)
    assert len(recording.electrodes) == len(recording.data_uv) <= len(header.channels)
    edges = [edge for part in recording.segments for edge in (part.start, part.stop)]
    assert edges == sorted(edges)
    assert not edges or (edges[0] >= 0 and edges[-1] <= recording.data_uv.shape[1])


FUZZ = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
HEADER_BYTES = 1024


@pytest.mark.parametrize("kind", SMALL)
@FUZZ
@given(changes=st.lists(st.tuples(st.integers(8, HEADER_BYTES - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_any_changed_byte_is_read_or_refused(tmp_path: Path, kind: str, changes: list[tuple[int, int]]) -> None:
    content = bytearray(SMALL[kind])
    for offset, byte in changes:
        content[offset] = byte
    assert_read_or_refused(tmp_path / "small", bytes(content))


@pytest.mark.parametrize("kind", SMALL)
@FUZZ
@given(offset=st.integers(2, HEADER_BYTES // 4 - 2), field=st.sampled_from(NASTY_FIELDS))
def test_any_nasty_field_is_read_or_refused(tmp_path: Path, kind: str, offset: int, field: bytes) -> None:
    content = bytearray(SMALL[kind])
    content[4 * offset : 4 * offset + 8] = field.ljust(8, b"\0" if kind.startswith("GDF") else b" ")
    assert_read_or_refused(tmp_path / "small", bytes(content))


@pytest.mark.parametrize("kind", SMALL)
def test_any_length_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    for length in range(0, len(SMALL[kind]), 13):
        assert_read_or_refused(tmp_path / "small", SMALL[kind][:length])
