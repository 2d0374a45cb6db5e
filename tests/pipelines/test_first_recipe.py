"""A first recipe runs as it is, says what was found, and where it could not tell."""

import tomllib
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from scipy.io import savemat

from manifests.layout import Layout
from pipelines.path_pattern import files_pattern
from pipelines.synth.edf_writer import Annotation, Channel, write_edf_plus
from tests.commands import dare, manifest, recordings, unusable
from tests.judges import of_its_own

pytest_plugins = ["tests.corpora_fixtures"]

SFREQ = 256
LABELS = ("EEG Fp1-REF", "EEG C3-REF", "EEG C4-REF", "EEG A1-REF", "ECG")
CUES = [(2.0 + 4 * number, 3.0, ("left", "right")[number % 2]) for number in range(9)]


def noise_uv(seed: int, rows: int, seconds: int = 40, mains_hz: float = 50) -> np.ndarray[Any, Any]:
    """Return noise with a mains line, rows × samples."""
    times = np.arange(seconds * SFREQ) / SFREQ
    noise = np.random.default_rng(seed).normal(0, 10, (rows, times.size))
    return noise + (20 * np.sin(2 * np.pi * mains_hz * times) if mains_hz else 0)


def write_edf(path: Path, seed: int, cues: list[tuple[float, float, str]], mains_hz: float = 50) -> Path:
    data_uv = noise_uv(seed, len(LABELS), mains_hz=mains_hz)
    channels = [Channel(label, SFREQ, row) for label, row in zip(LABELS, data_uv, strict=True)]
    write_edf_plus(path, channels, [Annotation(*cue) for cue in cues])
    return of_its_own(path)


def begun(src: Path, folder: Path) -> tuple[dict[str, Any], str]:
    """Return what the recipe for a tree says, and its text; every line of it has a comment or is a table's name."""
    answer = dare("recipe", "--init", src)
    assert answer.status == 0, answer.err
    (folder / "mine.toml").write_text(answer.out)
    lines = [line for line in answer.out.splitlines() if line and not line.startswith("[")]
    arrays = answer.out.partition("[layout.arrays]")[2].splitlines()
    assert [line for line in lines if "#" not in line and line not in arrays] == []
    return tomllib.loads(answer.out), answer.out


def made(src: Path, folder: Path, name: str) -> Path:
    """Preprocess a tree by its first recipe, as it is, and return the set."""
    command = ("preprocess", name, "--recipe", folder / "mine.toml", "--src", src, "--workers", 1)
    dry = dare(*command, "--dry-run", "--json")
    assert dry.status == 0, dry.err
    answer = dare(*command, "--out", folder / "shards")
    assert answer.status == 0, answer.err
    return next((folder / "shards").iterdir())


def test_flat_folder_of_edf_with_annotations(tmp_path: Path) -> None:
    for number in range(5):
        for run in (1, 2):
            write_edf(tmp_path / "My-Study" / f"S{number:02d}_run{run}.edf", 10 * number + run, CUES)
    fields, text = begun(tmp_path / "My-Study", tmp_path)
    assert (fields["corpus"], fields["licence"], fields["citation"]) == ("mystudy", "", "")
    assert fields["electrodes"] == ["FP1", "C3", "C4"]
    assert "left out: A1, ECG" in text
    assert (fields["notch_hz"], fields["sfreq_hz"], fields["band_hz"]) == (50, 256, [0.1, 75])
    assert fields["classes"] == ["left", "right"]
    assert (fields["window_s"], fields["test_share"]) == (2, 0.2)
    assert fields["layout"] == {"files": "{subject}_run{session}.edf", "labels": "annotations"}
    out = made(tmp_path / "My-Study", tmp_path, "mystudy")
    assert {row["outcome"] for row in recordings(out).values()} == {"ok"}
    splits = manifest(out)["splits"]
    assert [len(splits[name]["subjects"]) for name in ("train", "valid", "test")] == [3, 1, 1]
    assert set(splits["test"]["labels"]) == {"left", "right"}


def test_bids_tree_with_tables_of_events(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    for number in range(3):
        name = f"sub-0{number}"
        write_edf(root / name / "eeg" / f"{name}_task-move_eeg.edf", number, [], mains_hz=60)
        rows = "".join(f"{onset_s}\t{lasts_s}\t{what}\n" for onset_s, lasts_s, what in CUES)
        (root / name / "eeg" / f"{name}_task-move_events.tsv").write_text(f"onset\tduration\tvalue\n{rows}")
    (root / "participants.tsv").write_text("participant_id\tage\nsub-00\t30\n")
    fields, text = begun(root, tmp_path)
    assert fields["notch_hz"] == 60
    assert fields["layout"] == {"bids": True, "labels": "events", "events": {"label": "value"}}
    assert "column value of *_events.tsv, in 3 of 3 looked into: left 15, right 12" in text
    assert "# test_share" in text
    out = made(root, tmp_path, "raw")
    assert {row["outcome"] for row in recordings(out).values()} == {"ok"}


def test_fif_with_triggers(tmp_path: Path) -> None:
    info = mne.create_info(["Fp1", "C3", "Cz", "STI 014"], SFREQ, ["eeg"] * 3 + ["stim"])
    for number in range(2):
        data = noise_uv(number, 4) * 1e-6
        data[3] = 0
        for place, (onset_s, _, _) in enumerate(CUES):
            data[3, int(onset_s * SFREQ) : int(onset_s * SFREQ) + 10] = 1 + place % 2
        (tmp_path / "raw").mkdir(exist_ok=True)
        raw = mne.io.RawArray(data, info, verbose="error")
        raw.save(tmp_path / "raw" / f"sub-{number}_raw.fif", verbose="error")
    fields, _ = begun(tmp_path / "raw", tmp_path)
    assert (fields["electrodes"], fields["classes"]) == (["FP1", "C3", "CZ"], ["1", "2"])
    assert fields["layout"] == {"files": "sub-{subject}_raw.fif", "labels": "trigger"}
    assert sum(manifest(made(tmp_path / "raw", tmp_path, "raw"))["splits"]["train"]["labels"].values())


def test_one_file_without_anything_to_tell_by(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "tuab" / "rest.edf", 1, [], mains_hz=0)
    fields, text = begun(path, tmp_path)
    assert fields["corpus"] == "mytuab", "a corpus that is known keeps its name"
    assert (fields["notch_hz"], fields["layout"]) == (0, {"files": "{subject}.edf", "labels": "none"})
    assert "could not tell: no line stands out in 1 looked into" in text
    assert "no class was found: for pretraining" in text
    out = made(path.parent, tmp_path, "mytuab")
    assert (out.name, manifest(out)["sfreq"], manifest(out)["window_samples"]) == ("mytuab-pretrain", 256, 2560)


def test_free_text_is_no_class_and_nothing_of_it_leaves_its_line(tmp_path: Path) -> None:
    for number in range(3):
        marks = [(4.0 * place, 0.0, f'note {number} {place} "quoted" \\ # ] end') for place in range(9)]
        write_edf(tmp_path / "raw" / f"a{number}.edf", number, marks)
    fields, text = begun(tmp_path / "raw", tmp_path)
    assert "classes" not in fields
    assert "could not tell classes from annotations" in text
    made(tmp_path / "raw", tmp_path, "raw")


def test_band_is_what_the_slower_recordings_hold_and_other_endings_are_told(tmp_path: Path) -> None:
    for number in range(2):
        channels = [Channel("C3", 100, noise_uv(number, 1)[0][:4000])]
        write_edf_plus(tmp_path / "raw" / f"P{number}" / "a.edf", channels, [])
        of_its_own(tmp_path / "raw" / f"P{number}" / "a.edf")
    info = mne.create_info(["C3"], SFREQ, "eeg")
    mne.io.RawArray(noise_uv(1, 1) * 1e-6, info, verbose="error").save(tmp_path / "raw" / "b_raw.fif", verbose="error")
    fields, text = begun(tmp_path / "raw", tmp_path)
    assert (fields["sfreq_hz"], fields["band_hz"]) == (100, [0.1, 46])
    assert "recorded at 100 Hz in 2, 256 Hz in 1" in text
    assert "# .fif lie there too" in text
    assert fields["layout"]["files"] == "{subject}/a.edf"


def test_mat_files_that_say_nothing_of_their_channels(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(2):
        held = {"eeg": noise_uv(number, 3).T, "fs": float(SFREQ), "chans": np.array(["C3", "Cz", "C4"], object)}
        savemat(tmp_path / "raw" / f"P{number}.mat", held)
    fields, _ = begun(tmp_path / "raw", tmp_path)
    assert fields["electrodes"] == ["C3", "CZ", "C4"]
    assert fields["layout"]["arrays"] == {
        "variables": "eeg", "axes": "time channel", "channels": ["C3", "Cz", "C4"], "sfreq_hz": 256
    }  # fmt: skip
    assert {row["outcome"] for row in recordings(made(tmp_path / "raw", tmp_path, "raw")).values()} == {"ok"}


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_tables_of_samples_are_known_packed_and_their_labels_are_no_channel(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(2):
        data = noise_uv(number, 3).T
        rows = np.column_stack([np.arange(len(data)) * 1000 / SFREQ, data, np.arange(len(data)) // 2048 % 3])
        place = tmp_path / "raw" / f"P{number}{suffix}"
        np.savetxt(place, rows, delimiter=",", header="time_ms,C3,Cz,C4,label", comments="")
    fields, text = begun(tmp_path / "raw", tmp_path)
    assert fields["electrodes"] == ["C3", "CZ", "C4"]
    assert fields["layout"]["files"] == f"{{subject}}{suffix}"
    assert (fields["layout"]["arrays"]["columns"], fields["layout"]["arrays"]["time_unit"]) == (
        ["C3", "Cz", "C4"],
        "ms",
    )
    assert '# label = "label"' in text
    assert {row["outcome"] for row in recordings(made(tmp_path / "raw", tmp_path, "raw")).values()} == {"ok"}


def test_what_may_label_trials_is_told(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    trials = noise_uv(0, 3).reshape(3, 10, -1).transpose(1, 0, 2)
    names = np.array(["C3", "Cz", "C4"], object)
    savemat(tmp_path / "raw" / "P1.mat", {"x": trials, "what": np.arange(10), "fs": 256.0, "chans": names})
    _, text = begun(tmp_path / "raw", tmp_path)
    assert '# label = "what"  # one for each of 10 trials' in text
    assert text.count("# label =") == 1


def test_rate_that_no_file_tells_is_asked_for_and_labels_beside_are_no_recordings(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(2):
        np.save(tmp_path / "raw" / f"P{number}_X.npy", noise_uv(number, 3).reshape(3, 10, -1).transpose(1, 0, 2))
        np.save(tmp_path / "raw" / f"P{number}_y.npy", np.arange(10))
    fields, _ = begun(tmp_path / "raw", tmp_path)
    assert fields["layout"]["files"] == "{subject}_X.npy"
    command = ("preprocess", "raw", "--recipe", tmp_path / "mine.toml", "--src", tmp_path / "raw", "--dry-run")
    assert "2: says nothing of its sfreq_hz; state sfreq_hz in [layout.arrays]" in dare(*command).out


@pytest.mark.parametrize(
    ("name", "events", "said"),
    [
        ("S{}_raw.fif", "S{}-eve.fif", "{subject}-eve.fif"),
        ("S{}_raw.fif", "S{}_raw-eve.fif", "{path}-eve.fif"),
        ("S{0}/S{0}_raw.fif", "S{0}/S{0}_eve.fif", "{subject}/{subject}_eve.fif"),
    ],
)
def test_events_of_mne_are_told_by_the_name_that_finds_them(tmp_path: Path, name: str, events: str, said: str) -> None:
    for number in (1, 2):
        place = tmp_path / "raw" / name.format(number)
        place.parent.mkdir(parents=True, exist_ok=True)
        info = mne.create_info(["C3", "Cz", "C4"], SFREQ, "eeg")
        mne.io.RawArray(noise_uv(number, 3) * 1e-6, info, verbose="error").save(place, verbose="error")
        rows = np.array([[SFREQ, 0, 1], [9 * SFREQ, 0, 2]])
        mne.write_events(tmp_path / "raw" / events.format(number), rows, verbose="error")
    _, text = begun(tmp_path / "raw", tmp_path)
    assert f'events.file = "{said}"' in text
    assert "could not be read" not in text
    labelled = text.replace('labels = "none"', f'labels = "events"\nevents.file = "{said}"')
    command = ("preprocess", "raw", "--recipe", tmp_path / "mine.toml", "--src", tmp_path / "raw", "--dry-run")
    (tmp_path / "mine.toml").write_text(labelled)
    answer = dare(*command)
    assert 'raw: labels = "events" is not read, as the recipe names no classes' in answer.err
    (tmp_path / "mine.toml").write_text(labelled.replace("[layout]", 'classes = ["1", "2"]\nwindow_s = 2\n[layout]'))
    answer = dare(*command)
    assert "1 2, 2 2" in answer.out
    assert "is not read" not in answer.err


def test_known_corpus_is_told_of(raw: Path) -> None:
    assert (
        "# It looks like tuab, which needs no recipe: dare preprocess tuab"
        in dare("recipe", "--init", raw / "tuab").out
    )


def test_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no recording")
    unusable(
        dare("recipe", "--init", tmp_path), tmp_path, "no file has the ending of a recording", "; dare inspect FILE"
    )
    (tmp_path / "a.edf").write_bytes(b"<html>")
    unusable(dare("recipe", "--init", tmp_path), "is an HTML page, not a recording")


@pytest.mark.parametrize(
    ("paths", "pattern", "subjects"),
    [
        (["S001/S001R01.edf", "S001/S001R02.edf", "S002/S002R01.edf"], "{subject}/{subject}R{session}.edf", 2),
        (["sub-1/ses-a/x.edf", "sub-2/ses-a/x.edf", "sub-2/ses-b/x.edf"], "sub-{subject}/ses-{session}/x.edf", 2),
        (["2021_P1.edf", "2022_P2.edf", "2023_P1.edf"], "{session}_{subject}.edf", 2),
        (["20210103_S1.edf", "20220301_S2.edf"], "{session}_{subject}.edf", 2),
        (["eval/aaa_s001.edf", "train/aab_s001.edf", "train/aab_s002.edf"], "{session}/{subject}_s*.edf", 2),
        (["a/1.edf", "a/2.edf", "b/1.edf"], "{subject}/{session}.edf", 2),
        (["a/x.edf", "b/c/y_z.edf"], "{subject}/**/{session}.edf", 2),
        (["x.edf", "y_z.edf"], "**/{subject}.edf", 2),
        (["deep/er/x.edf"], "**/{subject}.edf", 1),
        (["S1/S1.edf", "S2/S2b.edf"], "**/{subject}.edf", 2),
        (["{x}/1.edf", "{x}/2.edf"], "*x}/{subject}.edf", 2),
    ],
)
def test_pattern_matches_all_paths_and_names_the_subject(paths: list[str], pattern: str, subjects: int) -> None:
    found, _ = files_pattern(paths)
    assert found == pattern
    matches = [Layout(files=found).match(path) for path in paths]
    assert len({match["subject"] for match in matches if match}) == subjects
    assert all(matches)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eyes", "eegmat"])
def test_real_trees_run_by_their_first_recipe(more: Path, tmp_path: Path, name: str) -> None:
    fields, _ = begun(more / name, tmp_path)
    out = made(more / name, tmp_path, fields["corpus"])
    outcomes = [row["outcome"] for row in recordings(out).values()]
    assert outcomes.count("ok") == {"eyes": 55, "eegmat": 22}[name]
