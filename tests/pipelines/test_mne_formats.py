"""FIF and CNT: what is read of files that others, or the bytes of their formats, wrote."""

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


def test_samples_that_no_channel_of_a_fif_has_are_gaps(tmp_path: Path) -> None:
    raw = raw_of()
    raw._data[:, 300:304] = raw._data[:, 700] = np.nan
    raw._data[0, 500] = np.nan
    recording = read(save_fif(raw, tmp_path / "a_raw.fif"))
    spans = [(one.start, one.stop, one.onset_s) for one in recording.segments]
    assert spans == [(0, 300, 0.0), (304, 700, 304 / 250), (701, 1000, 701 / 250)]
    assert "5 of 1000 samples are in no channel: gaps" in text(recording.notes)


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


def test_fif_without_eeg(tmp_path: Path) -> None:
    meg = save_fif(raw_of().pick(["MEG 0111"]), tmp_path / "meg_raw.fif")
    assert read_header(meg).channels == ()
    assert read(meg).electrodes == ()


def epochs_of(num_trials: int = 6, num_samples: int = 50) -> Any:
    """Return trials of three electrodes and an EOG, one electrode marked bad, from 0.1 s before each event on."""
    info = mne.create_info([*LABELS, "EOG 061"], 250.0, ["eeg"] * 3 + ["eog"])
    codes = np.resize([1, 2, 7], num_trials)
    events = np.column_stack([1000 * np.arange(num_trials), np.zeros(num_trials, int), codes])
    data = RNG.normal(0, 20e-6, (num_trials, 4, num_samples))
    named = {"left": 1, "right": 2, "rest/eyes": 7}
    epochs = mne.EpochsArray(data, info, events, tmin=-0.1, event_id=named, verbose="error")
    epochs.info["bads"] = ["T3"]
    return epochs


def test_fif_of_epochs_is_a_trial_each(tmp_path: Path) -> None:
    epochs = epochs_of()
    epochs.save(tmp_path / "a-epo.fif", fmt="double", verbose="error")
    header, recording = read_header(tmp_path / "a-epo.fif"), read(tmp_path / "a-epo.fif")
    assert (header.format, header.duration_s, header.num_records) == ("FIF epochs", 6 * 50 / 250, 6)
    assert [bool(one.fault) for one in header.channels] == [False, False, True]
    assert recording.electrodes == ELECTRODES[:2]
    np.testing.assert_allclose(recording.data_uv, np.hstack(list(epochs.get_data()[:, :2])) * 1e6, rtol=1e-6)
    assert recording.segments == tuple(Segment(50 * n, 50 * n + 50, 50 * n / 250) for n in range(6))
    names = ["left", "right", "rest/eyes"] * 2
    assert recording.events == tuple(Event(50 * n / 250, 0.2, name) for n, name in enumerate(names))
    piece = read(tmp_path / "a-epo.fif", ["CZ"], 0.3, 0.7)
    np.testing.assert_array_equal(piece.data_uv, recording.data_uv[[1], 75:175])


def test_epochs_split_into_files_are_read_as_one(tmp_path: Path) -> None:
    epochs = epochs_of(600, 200)
    epochs.save(tmp_path / "a-epo.fif", split_size="2MB", fmt="double", verbose="error")
    part = tmp_path / "a-epo-1.fif"
    assert part in read_header(tmp_path / "a-epo.fif").files
    found = read(tmp_path / "a-epo.fif").data_uv
    np.testing.assert_allclose(found, np.hstack(list(epochs.get_data()[:, :2])) * 1e6, rtol=1e-6)
    assert_refused(lambda: read(part), "a-epo-1.fif: is a part of a-epo.fif and read with it")


def test_fif_of_events_is_no_recording(tmp_path: Path) -> None:
    mne.write_events(tmp_path / "a-eve.fif", np.array([[100, 0, 1]]), verbose="error")
    assert_refused(lambda: read(tmp_path / "a-eve.fif"), "holds the events of a recording; name it in layout.events")


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
