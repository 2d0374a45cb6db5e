"""High-Gamma Dataset: two files a subject of one name, movements annotated by name, 128 electrodes at 500 Hz."""

from collections import Counter
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.signal import welch

from manifests import recipe as recipes
from manifests.electrodes import PRETRAIN_58, canonical
from pipelines import synth
from pipelines.corpora import CORPORA
from tests.commands import preprocess, recordings
from tests.judges import conditioned_uv, noise_uv, of_recording, read_raw, samples, write_edf

NAMES = {"right_hand", "left_hand", "rest", "feet"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    synth.write("hgd", folder / "hgd", 2, 38.0, 0)
    return folder / "hgd"


@pytest.fixture(scope="module")
def shards(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preprocess("hgd", raw, tmp_path_factory.mktemp("shards"))


def test_windows_are_the_movements_that_mne_finds(raw: Path, shards: Path) -> None:
    rows = recordings(shards)
    assert set(rows) == {"train/1.edf", "train/2.edf", "test/1.edf", "test/2.edf"}
    for path, row in rows.items():
        notes = mne.read_annotations(raw / path)
        got = of_recording(shards, path)
        assert [one.label_name for one in got] == notes.description.tolist()
        np.testing.assert_allclose([one.start_s for one in got], notes.onset, atol=0.5 / 250 + 1e-6)
        assert row["windows"] == len(got) == 5


def test_two_files_of_one_name_are_one_subject_and_have_keys_of_their_own(shards: Path) -> None:
    rows = recordings(shards)
    assert rows["train/1.edf"]["subject"] == rows["test/1.edf"]["subject"] == "hgd:1"
    assert {path for path, row in rows.items() if row["split"] == "test"} == {"test/1.edf", "test/2.edf"}
    assert len(samples(shards)) == sum(row["windows"] for row in rows.values())


def test_signal_is_that_of_mne(raw: Path, shards: Path) -> None:
    recipe = recipes.load("hgd")
    expected = conditioned_uv(raw / "train/1.edf", recipe.electrodes, recipe.band_hz, recipe.notch_hz, recipe.sfreq_hz)
    one = of_recording(shards, "train/1.edf")[2]
    start = round(one.start_s * 250)
    difference = one.data_uv - expected[:, start : start + 1000]
    assert np.sqrt(np.mean(difference**2)) < 0.1


def test_electrodes_are_those_of_motor_cortex_and_for_pretraining_the_whole_head(raw: Path, tmp_path: Path) -> None:
    recipe, for_pretraining = recipes.load("hgd"), recipes.load("hgd", "pretrain")
    assert len(recipe.electrodes) == 44
    assert "CZ" not in recipe.electrodes
    assert set(for_pretraining.electrodes) == set(PRETRAIN_58)
    folder = preprocess("hgd", raw, tmp_path, "--for", "pretrain", "--subjects", "1")
    found = samples(folder).values()
    assert {one.counts.shape for one in found} == {(58, 2560)}
    assert all(all(one.fields["scale"]) for one in found)


def test_other_numbers_and_folders_are_no_recordings() -> None:
    paths = ["train/15.edf", "train/0.edf", "valid/1.edf", "train/1.mat", "a/b/test/14.edf"]
    assert [one.path for one in CORPORA["hgd"].find(paths, recipes.load("hgd"))] == ["a/b/test/14.edf"]


def test_recording_without_movements_fails(tmp_path: Path) -> None:
    channels = noise_uv([f"EEG {name}" for name in ("C3", "Cz", "C4")], 20, 500)
    write_edf(tmp_path / "raw" / "train" / "1.edf", channels, 500, [(1.0, 4.0, "rest")])
    write_edf(tmp_path / "raw" / "train" / "2.edf", channels, 500, [(1.0, 4.0, "Rest")])
    rows = recordings(preprocess("hgd", tmp_path / "raw", tmp_path / "out"))
    assert rows["train/1.edf"]["outcome"] == "ok"
    assert rows["train/2.edf"]["outcome"] == "failed"
    assert "no annotation right_hand, left_hand, rest, feet" in rows["train/2.edf"]["reason"]


def test_synthetic_recordings_have_the_labels_and_rate_of_the_real_ones(raw: Path) -> None:
    for path in raw.rglob("*.edf"):
        recording = read_raw(path)
        assert recording.info["sfreq"] == 500
        assert {"EEG Fp1", "EEG FCz", "EEG FFC5h", "EEG CPP2h", "EOG EOGh", "EMG EMG_RH"} <= set(recording.ch_names)
        assert set(recipes.load("hgd").electrodes) <= set(map(canonical, recording.ch_names))
        assert set(recording.annotations.description) == NAMES
        assert recording.annotations.onset[-1] + 4 <= recording.n_times / 500


@pytest.mark.slow
def test_the_hand_that_moves_quietens_the_other_side(tmp_path: Path) -> None:
    synth.write("hgd", tmp_path / "raw", 1, 240.0, 1)
    power = {name: [] for name in NAMES}
    for path in (tmp_path / "raw").rglob("*.edf"):
        recording = read_raw(path)
        for note in recording.annotations:
            begin = round((note["onset"] + 0.8) * 500)
            signal = recording.get_data(picks=["EEG C3", "EEG Cz", "EEG C4"], start=begin, stop=begin + 1600)
            frequencies, density = welch(signal, 500, nperseg=500)
            power[note["description"]].append(np.log(density[:, (frequencies >= 9) & (frequencies <= 13)].mean(axis=1)))
    mean = {name: np.mean(found, axis=0) for name, found in power.items()}
    assert mean["right_hand"][0] < mean["left_hand"][0] - 0.1
    assert mean["left_hand"][2] < mean["right_hand"][2] - 0.1
    assert mean["feet"][1] < mean["rest"][1] - 0.1
    assert Counter(map(len, power.values())).total() == 4
