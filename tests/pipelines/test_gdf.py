"""GDF, byte by byte: what is read of odd files, and what is refused."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from manifests.notes import text
from pipelines.formats.readers import read
from pipelines.recording import Event, Segment
from tests.pipelines.conftest import Saved, assert_refused
from tests.pipelines.raw_bytes import C3, CZ, EVENTS, GdfChannel, event_table, gdf_bytes, noise


@pytest.mark.parametrize("version", ["1.04", "1.25", "1.94", "2.10", "2.20", "2.21", "2.51"])
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
    assert "read as V by amplitude" in text(recording.notes)


def test_gdf_mixed_types_rates_and_sparse_channels(saved: Saved) -> None:
    fast = replace(CZ, samples=np.concatenate(noise(3, 8)), per_record=2, label="EMG")
    exact = GdfChannel("P4", C3.samples.astype(np.float64) + 0.25, physical=(-1, 1), digital=(-1, 1))
    sparse = replace(C3, label="SpO2", samples=C3.samples[:0], per_record=0)
    recording = read(saved(gdf_bytes([fast, C3, sparse, exact])))
    assert recording.electrodes == ("C3", "P4")
    np.testing.assert_allclose(recording.data_uv[1], exact.samples, rtol=1e-6)
    assert "'SpO2' left out: it has no regular samples" in text(recording.notes)


def test_gdf_cut_in_signal_or_events_keeps_what_is_whole(saved: Saved) -> None:
    content = gdf_bytes([C3, CZ], "1.25", event_table(EVENTS, 3, "1.25"))
    in_events = read(saved(content[:-1]))
    assert in_events.events == ()
    assert "table of 4 events is cut" in text(in_events.notes)
    in_signal = read(saved(content[: 3 * 256 + 4 * 100 + 3]))
    np.testing.assert_allclose(in_signal.data_uv[0], C3.samples[:100] * 0.1, atol=1e-3)
    assert "says 400 records, the file has 100" in text(in_signal.notes)


def test_gdf_of_unknown_length(saved: Saved) -> None:
    content = bytearray(gdf_bytes([C3]))
    content[236:244] = struct.pack("<q", -1)
    recording = read(saved(bytes(content)))
    assert recording.data_uv.shape == (1, 400)
    assert "400 by the size" in text(recording.notes)


@pytest.mark.parametrize(
    ("offset", "field", "reason"),
    [
        (4, b"x.25", "'version' is not a number"),
        (4, b"3.00", "is GDF 3; versions 1 and 2 can be read"),
        (4, b" nan", "is GDF nan"),
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


def test_gdf_says_that_what_follows_its_records_is_no_table_of_events(saved: Saved) -> None:
    strange = read(saved(gdf_bytes([C3], "2.10", b"\2" + bytes(20))))
    assert strange.events == ()
    assert text(strange.notes) == "21 bytes after the last record are no table of events: no events read"
    assert read(saved(gdf_bytes([C3], "2.10", bytes(20)))).notes == ()


def test_event_of_a_new_segment_ends_the_one_before(saved: Saved) -> None:
    table = event_table([(1, 0x7FFE, 0), (151, 0x7FFE, 0), (160, 769, 0)], 1, "2.10")
    path = saved(gdf_bytes([C3, CZ], "2.10", table))
    assert read(path).segments == (Segment(0, 150, 0.0), Segment(150, 400, 1.5))
    piece = read(path, ["C3"], 1.0, 3.0)
    assert piece.segments == (Segment(0, 50, 1.0), Segment(50, 200, 1.5))
