"""Readers against edfio and MNE on real files, sample for sample."""

from pathlib import Path
from typing import Any

import edfio
import mne
import numpy as np
import pytest

from manifests.notes import text
from pipelines.formats.readers import read, read_header
from pipelines.recording import Event, Segment
from tests.pipelines.conftest import assert_refused

FLOAT32_STEP = 2.0**-23
MICROVOLTS_PER_UNIT = {"uV": 1.0, "mV": 1e3, "V": 1e6}

EDF_FILES = [
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
]
NUM_FILES = {"eegmat": 20, "eegmmidb": 8, "chbmit_layout_noise": 3, "siena_layout_noise": 2, "tuh_layout_noise": 12}

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
    by_electrode: dict[str, list[Any]] = {}
    for channel, signal in zip(channels, opened.signals, strict=True):
        by_electrode.setdefault(channel.electrode, []).append(signal)
    differ = {
        name for name, (first, *others) in by_electrode.items() if any((one.data != first.data).any() for one in others)
    }
    voltages = [channel for channel in channels if not np.isnan(channel.scale_to_uv)]
    compared = set()
    for sfreq in {channel.sfreq for channel in voltages}:
        recording = read(path, {channel.electrode for channel in voltages if channel.sfreq == sfreq})
        for electrode, row in zip(recording.electrodes, recording.data_uv, strict=True):
            signal = by_electrode[electrode][0]
            assert signal.sampling_frequency == recording.sfreq
            expected_uv = signal.data * MICROVOLTS_PER_UNIT[signal.physical_dimension.strip()]
            tolerance_uv = 1e-6 + FLOAT32_STEP * np.abs(expected_uv).max()
            np.testing.assert_allclose(row, expected_uv, rtol=0, atol=tolerance_uv)
            compared.add(electrode)
    assert compared == {channel.electrode for channel in voltages} - differ != set()


@pytest.mark.parametrize("name", EDF_FILES)
def test_real_edf_and_bdf_equal_edfio(real: Path, name: str) -> None:
    assert_equals_edfio(real / name)


@pytest.mark.slow
@pytest.mark.parametrize("folder", NUM_FILES)
def test_every_edf_of_a_corpus_equals_edfio(real: Path, folder: str) -> None:
    paths = sorted((real / folder).rglob("*.edf"))
    assert len(paths) == NUM_FILES[folder]
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
    assert "15791 bytes dropped" in text(recording.notes)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("S001R02_crlf_truncated.edf", "line-end conversion"), ("S001R02_is_html.edf", "is an HTML page")],
)
def test_broken_file_is_refused_in_one_line(real: Path, name: str, reason: str) -> None:
    path = real / "broken" / name
    assert_refused(lambda: read(path), name, reason)
    assert_refused(lambda: read_header(path), name, reason)
