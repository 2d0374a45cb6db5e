"""BrainVision, FIF and CNT: what is read of files that others, or the bytes of their formats, wrote."""

import re
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from manifests.notes import text
from pipelines.formats.readers import read, read_header
from pipelines.recording import Event, Segment
from tests.pipelines.cnt_file import RESOLUTION_UV, cnt_bytes
from tests.pipelines.conftest import Saved, assert_refused

LABELS = ["Fp1", "Cz", "T3"]
ELECTRODES = ("FP1", "CZ", "T7")
RNG = np.random.default_rng(0)
COUNTS = np.rint(RNG.normal(0, 200, (3, 1000))).astype(np.int16)

# --- BrainVision ------------------------------------------------------------------------------------------------------

VHDR = """Brain Vision Data Exchange Header File Version 1.0
; a comment
[Common Infos]
Codepage=UTF-8
DataFile=a.eeg
MarkerFile=a.vmrk
DataFormat=BINARY
DataOrientation={orientation}
NumberOfChannels=4
SamplingInterval=4000
DataPoints=1000
[Binary Infos]
BinaryFormat={form}
[Channel Infos]
Ch1=Fp1,,0.1,µV
Ch2=Cz,,0.0001,mV
Ch3=T3,,0.1,
Ch4=GSR,,1,µS
"""
VMRK = """Brain Vision Data Exchange Marker File, Version 1.0
[Common Infos]
Codepage=UTF-8
DataFile=a.eeg
[Marker Infos]
Mk1=New Segment,,1,1,0,20200101000000000000
Mk2=Stimulus,S  1,51,25,0
Mk3=New Segment,,501,1,0,20200101000100000000
Mk4=Response,R  2,626,0,0
"""


def save_brainvision(folder: Path, orientation: str = "MULTIPLEXED", form: str = "INT_16", **parts: str) -> Path:
    """Write the three files; ``parts`` replaces the text of one."""
    dtype = {"INT_16": "<i2", "INT_32": "<i4", "IEEE_FLOAT_32": "<f4"}[form]
    counts = np.vstack([COUNTS, np.arange(1000)[None]]).astype(dtype)
    (folder / "a.eeg").write_bytes((counts.T if orientation == "MULTIPLEXED" else counts).tobytes())
    (folder / "a.vmrk").write_text(parts.get("vmrk", VMRK), "utf-8")
    (folder / "a.vhdr").write_text(parts.get("vhdr", VHDR).format(orientation=orientation, form=form), "utf-8")
    return folder / "a.vhdr"


@pytest.mark.parametrize("orientation", ["MULTIPLEXED", "VECTORIZED"])
@pytest.mark.parametrize("form", ["INT_16", "INT_32", "IEEE_FLOAT_32"])
def test_brainvision(tmp_path: Path, orientation: str, form: str) -> None:
    path = save_brainvision(tmp_path, orientation, form)
    header, recording = read_header(path), read(path)
    assert (header.format, header.duration_s) == ("BrainVision", 4.0)
    assert [channel.unit for channel in header.channels] == ["µV", "mV", "µV"]
    assert (recording.electrodes, recording.sfreq) == (ELECTRODES, 250.0)
    np.testing.assert_allclose(recording.data_uv, COUNTS * 0.1, atol=1e-3)
    assert recording.segments == (Segment(0, 500, 0.0), Segment(500, 1000, 2.0))
    assert recording.events == (
        Event(0.2, 0.1, "Stimulus/S  1"), Event(2.0, 0.004, "New Segment/"), Event(2.5, 0.0, "Response/R  2"),
    )  # fmt: skip
    assert text(recording.notes) == "1 channels that are no EEG left out (misc)"


def test_brainvision_electrode_without_a_place_is_one_all_the_same(tmp_path: Path) -> None:
    placed = VHDR + "[Coordinates]\nCh1=1,-90,-72\nCh2=0,0,0\nCh3=1,90,0\nCh4=0,0,0\n"
    assert read(save_brainvision(tmp_path, vhdr=placed)).electrodes == ELECTRODES


@pytest.mark.parametrize("suffix", [".eeg", ".vmrk"])
def test_brainvision_part_that_is_missing_is_named(tmp_path: Path, suffix: str) -> None:
    path = save_brainvision(tmp_path)
    assert_refused(lambda: read(path.with_suffix(suffix)), f"a{suffix}: holds the", "name its .vhdr")
    path.with_suffix(suffix).unlink()
    assert_refused(lambda: read_header(path), "a.vhdr: its ", f"a{suffix} is not beside it")


@pytest.mark.parametrize("name", ["parts/a.eeg", "/dev/zero", ".", "..", "a\0.eeg"])
@pytest.mark.parametrize("key", ["DataFile", "MarkerFile"])
def test_brainvision_part_lies_in_no_other_folder(tmp_path: Path, key: str, name: str) -> None:
    named = re.sub(f"{key}=.*", lambda _: f"{key}={name}", VHDR)
    path = save_brainvision(tmp_path, vhdr=named)
    assert_refused(lambda: read(path), f"a.vhdr: its {key} {name} is not beside it", "put it there")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("DataFile=a.eeg\n", "", "names no DataFile"),
        ("SamplingInterval=4000", "SamplingInterval=often", "cannot be read as BrainVision"),
        ("BINARY", "ASCII", "cannot be read as BrainVision"),
    ],
)
def test_brainvision_header_that_is_damaged_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    path = save_brainvision(tmp_path, vhdr=VHDR.replace(old, new))
    assert_refused(lambda: read(path), "a.vhdr: ", reason)
    renamed = path.rename(tmp_path / "a.txt")
    assert_refused(lambda: read(renamed), "a.txt: ", "give it the ending .vhdr")


# --- FIF --------------------------------------------------------------------------------------------------------------


def raw_of(num_samples: int = 1000, sfreq: float = 250.0) -> Any:
    """Return three electrodes, an EOG, a magnetometer and a trigger line, in SI units."""
    info = mne.create_info([*LABELS, "EOG 061", "MEG 0111", "STI 014"], sfreq, ["eeg"] * 3 + ["eog", "mag", "stim"])
    return mne.io.RawArray(RNG.normal(0, 20e-6, (6, num_samples)), info, verbose="error")


def save_fif(raw: Any, path: Path, **more: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw.save(path, fmt="double", verbose="error", **more)
    return path


def test_fif(tmp_path: Path) -> None:
    raw = raw_of()
    raw.set_annotations(mne.Annotations([0.2, 2.0], [0.125, 0.0], ["go", "stop"]))
    path = save_fif(raw, tmp_path / "a_raw.fif")
    header, recording = read_header(path), read(path)
    assert (header.format, header.duration_s) == ("FIF", 4.0)
    assert [(one.label, one.unit, one.scale_to_uv) for one in header.channels] == [(name, "V", 1e6) for name in LABELS]
    assert (recording.electrodes, recording.sfreq) == (ELECTRODES, 250.0)
    np.testing.assert_allclose(recording.data_uv, raw.get_data()[:3] * 1e6, rtol=1e-6)
    assert recording.segments == (Segment(0, 1000, 0.0),)
    assert [(event.onset_s, event.text) for event in recording.events] == [(0.2, "go"), (2.0, "stop")]
    assert [event.duration_s for event in recording.events] == pytest.approx([0.125, 0.0])
    assert text(recording.notes) == "3 channels that are no EEG left out (eog, mag, stim)"
    piece = read(path, ["T7"], 1.0, 2.0)
    np.testing.assert_array_equal(piece.data_uv, recording.data_uv[[2], 250:500])
    assert piece.segments == (Segment(0, 250, 1.0),)


@pytest.mark.parametrize("dated", [False, True])
def test_fif_times_count_from_the_first_sample(tmp_path: Path, dated: bool) -> None:
    raw = raw_of()
    if dated:
        raw.set_meas_date(1.5e9)
    raw.set_annotations(mne.Annotations([2.5], [0.0], ["go"], orig_time=raw.info["meas_date"]))
    recording = read(save_fif(raw.crop(1.0), tmp_path / "a_raw.fif"))
    assert recording.events == (Event(1.5, 0.0, "go"),)
    assert recording.segments == (Segment(0, 750, 0.0),)


def test_fif_of_recordings_end_to_end_and_of_skips(tmp_path: Path) -> None:
    joined = mne.concatenate_raws([raw_of(400), raw_of(600)], verbose="error")
    joined.annotations.append(1.5 + 100 / 250, 0.4, "BAD_ACQ_SKIP")
    recording = read(save_fif(joined, tmp_path / "a_raw.fif"))
    assert recording.segments == (Segment(0, 400, 0.0), Segment(400, 475, 1.6), Segment(575, 1000, 2.3))
    assert "BAD_ACQ_SKIP" not in {event.text for event in recording.events}


def test_split_fif_is_one_recording_and_its_missing_part_is_named(tmp_path: Path) -> None:
    raw = raw_of(60_000)
    path = save_fif(raw, tmp_path / "a_raw.fif", split_size="2MB", buffer_size_sec=1.0)
    part = max(tmp_path.glob("a_raw-*.fif"))
    np.testing.assert_allclose(read(path).data_uv, raw.get_data()[:3] * 1e6, rtol=1e-6)
    part.unlink()
    assert_refused(lambda: read(path), "a_raw.fif: cannot be read as FIF", part.name)


@pytest.mark.parametrize("naming", ["neuromag", "bids"])
def test_later_part_of_a_split_fif_is_no_recording_of_its_own(tmp_path: Path, naming: str) -> None:
    raw = raw_of(60_000)
    save_fif(raw, tmp_path / "a_eeg.fif", split_size="2MB", buffer_size_sec=1.0, split_naming=naming)
    first, second, *_ = sorted(tmp_path.glob("*.fif"), key=lambda path: (path.name != "a_eeg.fif", path.name))
    assert read_header(first).duration_s == pytest.approx(raw.n_times / raw.info["sfreq"])
    assert_refused(lambda: read(second), f"is a part of {first.name} and read with it")


def test_fif_without_eeg_and_fif_of_epochs(tmp_path: Path) -> None:
    meg = save_fif(raw_of().pick(["MEG 0111"]), tmp_path / "meg_raw.fif")
    assert read_header(meg).channels == ()
    assert read(meg).electrodes == ()
    epochs = mne.EpochsArray(np.zeros((2, 3, 50)), mne.create_info(LABELS, 250.0, "eeg"), verbose="error")
    epochs.save(tmp_path / "a-epo.fif", verbose="error")
    assert_refused(lambda: read(tmp_path / "a-epo.fif"), "a-epo.fif: cannot be read as FIF", "No raw data")


def test_a_span_of_a_long_fif_is_read_alone(tmp_path: Path) -> None:
    path = save_fif(raw_of(400_000), tmp_path / "a_raw.fif", buffer_size_sec=1.0)
    read(path, None, 0.0, 1.0)
    tracemalloc.start()
    read(path, None, 800.0, 810.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000


# --- CNT --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["<i2", "<i4"])
@pytest.mark.parametrize("told", [None, 0, 777])
def test_cnt_of_either_width_whatever_its_counts_say(saved: Saved, dtype: str, told: int | None) -> None:
    content = cnt_bytes(LABELS, COUNTS.T.astype(dtype), 250, [(101, 3), (501, 4)], told)
    path = saved(content, "1_1_20180804.cnt")
    recording = read(path)
    assert (read_header(path).format, recording.electrodes, recording.sfreq) == ("CNT", ELECTRODES, 250.0)
    np.testing.assert_allclose(recording.data_uv, COUNTS * RESOLUTION_UV, atol=1e-4)
    assert [event.text for event in recording.events] == ["3", "4"]
    width = "int16" if dtype == "<i2" else "int32"
    assert text(recording.notes) == ("" if told is None else f"samples read as {width}")


def test_cnt_whose_amplitude_is_that_of_no_eeg_is_read_and_noted(saved: Saved) -> None:
    recording = read(saved(cnt_bytes(LABELS, COUNTS.T * 0, 250, [(101, 3)]), "a.cnt"))
    assert recording.electrodes == ELECTRODES
    assert text(recording.notes) == "the median sd of its samples is 0 µV, which no EEG has"


def test_cnt_that_is_damaged_is_refused(saved: Saved) -> None:
    content = cnt_bytes(LABELS, COUNTS.T, 250, [(101, 3)])
    assert_refused(lambda: read(saved(content[:950], "a.cnt")), "a.cnt: cannot be read as NeuroScan CNT")
