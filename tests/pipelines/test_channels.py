"""Channels: what is an electrode and what is not, of one name twice, of several rates, in formats that can have it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from scipy.io import savemat

from manifests.notes import text
from pipelines.formats.readers import read
from pipelines.synth.edf_writer import Channel, write_edf_plus
from tests.commands import recordings
from tests.judges import of_recording
from tests.pipelines import own_trees
from tests.pipelines.conftest import Saved, assert_refused
from tests.pipelines.own_trees import ELECTRODES, SFREQ
from tests.pipelines.raw_bytes import C3, CZ, EEG, EdfChannel, edf_bytes, gdf_bytes, noise

SECONDS = 40


def sine_uv(frequency_hz: float, sfreq: float = SFREQ, seconds: int = SECONDS) -> np.ndarray:
    """Return a sine of 50 µV."""
    return 50 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * sfreq)) / sfreq)


def made(folder: Path, channels: list[Channel]) -> tuple[dict[str, Any], np.ndarray]:
    """Return the row of a recording of these channels and of its first window µV, scale 0 where absent."""
    write_edf_plus(folder / "raw" / "S1.edf", channels, ())
    own_trees.made(folder / "raw", folder, 'files = "{subject}.edf"')
    shards = folder / "shards" / "mine-pretrain"
    return recordings(shards)["S1.edf"], of_recording(shards, "S1.edf")[0].data_uv


OTHER_KINDS = ["ECG", "EKG", "EOG", "EMG", "RESP", "PULSE", "SEEG", "ACC"]


@pytest.mark.parametrize("label", ["{} C3", "C3 {}", "{}:C3", "EEG {} C3", "{}-C3", "C3-{}", "{} C3-REF", "{}1 C3"])
def test_channel_that_names_another_kind_is_no_electrode(saved: Saved, label: str) -> None:
    others = [EdfChannel(label.format(kind), noise(number)) for number, kind in enumerate(OTHER_KINDS, 1)]
    recording = read(saved(edf_bytes([*others, EdfChannel("SpO2", noise(11)), EEG])), {"C3", "O2"})
    assert recording.electrodes == ("C3",)
    np.testing.assert_allclose(recording.data_uv[0], np.concatenate(EEG.records) * 0.1, atol=1e-3)


def test_channel_that_names_another_kind_is_no_electrode_in_gdf(saved: Saved) -> None:
    recording = read(saved(gdf_bytes([replace(CZ, label="EOG:C3"), C3])), {"C3"})
    np.testing.assert_allclose(recording.data_uv[0], C3.samples * 0.1, atol=1e-3)


def test_channel_that_is_in_percent_is_no_electrode(saved: Saved) -> None:
    recording = read(saved(edf_bytes([replace(EEG, label="O2", unit=b"%"), EEG])), {"C3", "O2"})
    assert recording.electrodes == ("C3",)
    assert text(recording.notes) == "O2 is in %, which is no voltage: taken as absent"


def biosemi(num_rows: int, prefix: str = "") -> list[EdfChannel]:
    """Return the channels of a cap of 32 electrodes a row."""
    names = [f"{prefix}{row}{number}" for row in "ABCD"[:num_rows] for number in range(1, 33)]
    return [EdfChannel(name, noise(seed)) for seed, name in enumerate(names)]


@pytest.mark.parametrize(("num_rows", "taken"), [(1, ("C3",)), (2, ("C3",)), (4, ())])
def test_rows_of_biosemi_are_no_electrodes(saved: Saved, num_rows: int, taken: tuple[str, ...]) -> None:
    channels = [*biosemi(num_rows), *[EEG] * bool(taken)]
    path = saved(edf_bytes(channels, width=3))
    recording = read(path, {"C3", "CZ", "C4", "C1", "A1", "A2"})
    assert recording.electrodes == taken
    assert "A1 is a contact of the row A1 to A32, not the electrode of that name" in text(recording.notes)
    assert {one.upper() for one in mne.channels.make_standard_montage("biosemi128").ch_names} >= {"A1", "C3", "D32"}


def test_rows_can_be_asked_for_by_names_that_no_electrode_has(saved: Saved) -> None:
    recording = read(saved(edf_bytes(biosemi(4), width=3)), {"A1", "C3", "D32"})
    assert recording.electrodes == ("A1", "C3", "D32")


def test_depth_electrodes_are_no_scalp_and_the_scalp_beside_them_is(saved: Saved) -> None:
    depth = [EdfChannel(f"EEG {row}{number}-Ref", noise(number)) for row in "AC" for number in range(1, 7)]
    scalp = [EdfChannel(f"EEG {name}-Ref", noise(20)) for name in ("F3", "F4", "Cz", "O1", "O2")]
    recording = read(saved(edf_bytes([*depth, *scalp])), {"A1", "C3", "C4", "F3", "CZ", "O1"})
    assert recording.electrodes == ("F3", "CZ", "O1")


def test_ears_and_dense_caps_are_no_rows(saved: Saved) -> None:
    names = ["A1", "A2", *[f"C{number}" for number in range(1, 7)], *[f"F{number}" for number in range(1, 11)], "E1"]
    path = saved(edf_bytes([EdfChannel(f"EEG {name}", noise(seed)) for seed, name in enumerate(names)]))
    assert read(path, set(names)).electrodes == tuple(names)


# --- two channels of one name -----------------------------------------------------------------------------------------


def test_of_two_channels_with_the_same_signal_one_is_read(saved: Saved) -> None:
    in_mv = replace(EEG, label="C3", unit=b"mV", physical=("-3.2768", "3.2767"))
    recording = read(saved(edf_bytes([EEG, in_mv, EdfChannel("EEG T3", noise(1)), EdfChannel("T7", noise(1))])))
    assert recording.electrodes == ("C3", "T7")
    assert [one.text for one in recording.notes] == [
        "channel 'C3' repeats an electrode: its signal is the same",
        "channel 'T7' repeats an electrode: its signal is the same",
    ]


@pytest.mark.parametrize("names", [["C3-0", "Cz", "C3-1"], ["C3", "Cz", "EEG C3 - Ref"]])
@pytest.mark.parametrize("differ", [False, True])
def test_one_electrode_under_two_names_in_fif(tmp_path: Path, names: list[str], differ: bool) -> None:
    data_uv = np.random.default_rng(0).normal(0, 20, (3, 1000))
    data_uv[2] = data_uv[2 if differ else 0]
    raw = mne.io.RawArray(data_uv / 1e6, mne.create_info(names, 100, "eeg"), verbose="error")
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    assert read(tmp_path / "a_raw.fif", {"C3", "CZ"}).electrodes == (("CZ",) if differ else ("C3", "CZ"))


def test_two_channels_that_differ_anywhere_are_absent_wherever_the_file_is_read(saved: Saved) -> None:
    nearly = [*EEG.records[:-1], EEG.records[-1] + np.int16(5)]
    path = saved(edf_bytes([EEG, EdfChannel("C3", nearly), EdfChannel("C4", noise(1))]))
    for span_s in ((0, 4), (0, 1), (3, 4)):
        recording = read(path, {"C3", "C4"}, *span_s)
        assert recording.electrodes == ("C4",)
        assert text(recording.notes) == "2 channels are C3 and their signals differ: taken as absent"


def test_differing_channels_are_absent_from_windows(tmp_path: Path) -> None:
    channels = [Channel(label, SFREQ, sine_uv(hz)) for label, hz in (("C3", 5), ("Cz", 9), ("C4", 13), ("C3", 20))]
    row, window_uv = made(tmp_path, channels)
    assert "2 channels are C3 and their signals differ" in row["reason"]
    assert not window_uv[0].any()
    assert window_uv[1].std() == pytest.approx(50 / np.sqrt(2), rel=0.02)


def test_recipe_that_requires_all_skips_a_recording_whose_channels_differ(tmp_path: Path) -> None:
    for name, last in (("S1", "C3"), ("S2", "O1")):
        labels = [(*one,) for one in (("C3", 5), ("Cz", 9), ("C4", 13), (last, 20))]
        write_edf_plus(tmp_path / f"raw/{name}.edf", [Channel(label, SFREQ, sine_uv(hz)) for label, hz in labels], ())
    layout, required = 'files = "{subject}.edf"', 'missing = "require"'
    own_trees.made(tmp_path / "raw", tmp_path, layout, required, "--format", "both")
    rows = recordings(tmp_path / "shards" / "mine-pretrain")
    own_trees.made(tmp_path / "shards" / "mine-pretrain", tmp_path / "raw", layout, required)
    assert recordings(tmp_path / "raw" / "shards" / "mine-pretrain") == rows
    assert {path: row["outcome"] for path, row in rows.items()} == {"S1.edf": "skipped", "S2.edf": "ok"}
    assert "lacks C3" in rows["S1.edf"]["reason"]
    assert "2 channels are C3 and their signals differ" in rows["S1.edf"]["reason"]


# --- several rates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("odd_hz", "odd"), [(512, "Cz"), (200, "C3"), (96, "C4")])
def test_electrode_at_another_rate_is_brought_to_that_of_most(tmp_path: Path, odd_hz: int, odd: str) -> None:
    tones = {"C3": 5, "Cz": 9, "C4": 13}
    channels = [
        Channel(label, rate, sine_uv(hz, rate))
        for label, hz in tones.items()
        for rate in [odd_hz if label == odd else 256]
    ]
    row, window_uv = made(tmp_path, channels)
    assert row["sfreq"] == 256
    assert f"brought to the 256 Hz of the others: {odd.upper()} at {odd_hz} Hz" in row["reason"]
    steady = slice(2 * SFREQ, -2 * SFREQ)
    for got_uv, hz in zip(window_uv, tones.values(), strict=True):
        expected_uv = sine_uv(hz)[: window_uv.shape[1]]
        np.testing.assert_allclose(got_uv[steady], expected_uv[steady], atol=0.5)


def test_channel_too_slow_for_the_band_is_absent(tmp_path: Path) -> None:
    rates = {"C3": 256, "Cz": 256, "C4": 50}
    row, window_uv = made(tmp_path, [Channel(label, rate, sine_uv(9, rate)) for label, rate in rates.items()])
    assert "left out, as the EEG has 256 Hz: C4 at 50 Hz" in row["reason"]
    assert window_uv.any(axis=1).tolist() == [True, True, False]


def test_channel_at_another_rate_agrees_with_itself_across_a_gap_and_in_parts(saved: Saved) -> None:
    times = [np.arange(500 * number, 500 * number + 500) / 500 for number in range(60)]
    tone = [np.rint(500 * np.sin(2 * np.pi * 7 * at)).astype(np.int16) for at in times]
    onsets = [f"+{number if number < 30 else number + 2}\x14\x14\0".encode() for number in range(60)]
    slower = [EdfChannel(name, [one[::2] for one in tone]) for name in ("C3", "C4")]
    channels = [EdfChannel("CZ", tone), *slower, EdfChannel("EDF Annotations", onsets, b"", ("-1", "1"))]
    path = saved(edf_bytes(channels, reserved="EDF+D"))
    whole, part = read(path, {"C3", "CZ", "C4"}), read(path, {"C3", "CZ", "C4"}, 20.0, 50.0)
    assert (whole.electrodes, whole.sfreq) == (("CZ", "C3", "C4"), 250.0)
    assert [(one.start, one.stop, one.onset_s) for one in whole.segments] == [(0, 7500, 0.0), (7500, 15000, 32.0)]
    inside = np.r_[100:7400, 7600:14900]
    np.testing.assert_allclose(whole.data_uv[0, inside], whole.data_uv[1, inside], atol=0.1)
    shared = np.r_[5100:7400, 7600:12400]
    np.testing.assert_allclose(part.data_uv[0, shared - 5000], whole.data_uv[0, shared], atol=1e-3)


# --- lists of other lengths than the signal ---------------------------------------------------------------------------


def test_matlab_array_of_other_length_than_its_names_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "S1.mat", {"eeg": np.random.default_rng(0).normal(size=(4000, 4))})
    (tmp_path / "raw").mkdir()
    (tmp_path / "S1.mat").rename(tmp_path / "raw" / "S1.mat")
    layout = (
        'files = "{subject}.mat"\n[layout.arrays]\nvariables = "eeg"\naxes = "time channel"\n'
        f"channels = {list(ELECTRODES)}\nsfreq_hz = {SFREQ}"
    )
    assert "no axis of which has its 3 channels" in own_trees.refused(tmp_path / "raw", tmp_path, layout)


@pytest.mark.parametrize("num_names", [2, 4])
def test_eeglab_dataset_of_other_length_than_its_names_is_refused(tmp_path: Path, num_names: int) -> None:
    assert_refused(lambda: read(eeglab(tmp_path, num_names)), f"names {num_names} channels and holds 3")


def test_eeglab_channel_of_another_type_is_no_electrode(tmp_path: Path) -> None:
    recording = read(eeglab(tmp_path, 3, ["EEG", "EOG", ""]), {"C1", "C2", "C3"})
    assert recording.electrodes == ("C1", "C3")
    assert text(recording.notes) == "C2 is EOG by its type: taken as absent"


def eeglab(folder: Path, num_names: int, types: list[str] | None = None) -> Path:
    """Write a dataset of three channels that names so many."""
    places = np.empty(num_names, [("labels", object), ("type", object)])
    for number in range(num_names):
        places[number] = (f"C{number + 1}", (types or [""] * num_names)[number])
    data = np.random.default_rng(0).normal(0, 20, (3, 1000)).astype(np.float32)
    counts = {"nbchan": 3.0, "pnts": 1000.0, "trials": 1.0, "srate": 100.0}
    savemat(folder / "a.set", {"EEG": {**counts, "data": data, "chanlocs": places, "event": np.zeros((0, 0))}})
    return folder / "a.set"
