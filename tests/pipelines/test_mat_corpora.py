"""Corpora in MAT files: SEED, SEED-IV, the Tsinghua SSVEP benchmark and M3CV, from their trees to their windows."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat
from scipy.signal import welch

from manifests import recipe as recipes
from manifests.errors import DareError
from manifests.notes import text
from manifests.plan import RawRecording
from pipelines import corpora
from pipelines.corpora import CORPORA
from pipelines.recording import Event, Recording, Segment
from pipelines.windows import LabelledOnset
from tests.commands import plan, preprocess, recordings
from tests.judges import Sample, of_recording, samples
from tests.pipelines.conftest import assert_refused

pytestmark = pytest.mark.slow

SEED = [
    "SEED/Preprocessed_EEG/10_20131204.mat",
    "SEED/Preprocessed_EEG/10_20131130.mat",
    "SEED/Preprocessed_EEG/1_20140107.mat",
    "SEED/Preprocessed_EEG/10_20131211.mat",
    "SEED/Preprocessed_EEG/1_20131107.mat",
    "SEED/Preprocessed_EEG/label.mat",
    "SEED/Preprocessed_EEG/readme.txt",
]
SEED_IV = ["eeg_raw_data/1/1_20160518.mat", "eeg_raw_data/3/15_20150514.mat", "eeg_raw_data/2/15_20150508.mat"]
TSU = ["S1.mat", "S35.mat", "S9.mat", "Freq_Phase.mat", "Sub_info.txt", "64-channels.loc"]
M3CV = [
    "Enrollment/epoch000001.mat",
    "Calibration/epoch060001.mat",
    "Testing/epoch070001.mat",
    "Enrollment_Info.csv",
    "Calibration_Info.csv",
    "Testing_Info.csv",
]
NEIGHBOURS = [
    "ExtractedFeatures/1_20131027.mat",
    "eeg_feature_smooth/1/1_20160518.mat",
    "eye_raw_data/1_20160518.mat",
    "B0104E.mat",
    "S36.mat",
    "S001R04.mat",
]
TREES = {"seed": SEED, "seediv": SEED_IV, "tsu": TSU, "m3cv": M3CV}

FILMS_OF_SEED = [1, 0, -1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 0, 1, -1]
FILMS_OF_SEED_IV = {
    1: [1, 2, 3, 0, 2, 0, 0, 1, 0, 1, 2, 1, 1, 1, 2, 3, 2, 2, 3, 3, 0, 3, 0, 3],
    2: [2, 1, 3, 0, 0, 2, 0, 2, 3, 3, 2, 3, 2, 0, 1, 1, 2, 1, 0, 3, 0, 1, 3, 1],
    3: [1, 2, 2, 1, 3, 3, 3, 1, 1, 2, 1, 0, 2, 3, 3, 0, 2, 3, 0, 0, 2, 0, 1, 0],
}


def find(corpus: str, paths: list[str], purpose: Any = None) -> dict[str, RawRecording]:
    return {one.path: one for one in CORPORA[corpus].find(sorted(paths), recipes.load(corpus, purpose))}


def films(durations_s: list[float], texts: list[str] | None = None) -> Recording:
    """Return a session whose films follow one another, as the reader tells of them, without their signal."""
    texts = texts or [f"djc_eeg{number}" for number in range(1, len(durations_s) + 1)]
    onsets_s = np.cumsum([0.0, *durations_s])[:-1].tolist()
    spans = list(zip(onsets_s, durations_s, texts, strict=True))
    return Recording(
        electrodes=("CZ",),
        data_uv=np.zeros((1, round(200 * sum(durations_s))), np.float32),
        sfreq=200.0,
        events=tuple(Event(onset_s, duration_s, text) for onset_s, duration_s, text in spans),
        segments=tuple(Segment(round(200 * s), round(200 * (s + d)), s) for s, d, _ in spans),
        notes=(),
    )


def label_mat(folder: Path, labels: list[int]) -> bytes:
    savemat(folder / "label.mat", {"label": np.array([labels], float)})
    return (folder / "label.mat").read_bytes()


def peak_hz(samples_uv: NDArray[np.floating], sfreq: float) -> float:
    hz, power = welch(samples_uv, sfreq, nperseg=samples_uv.size, detrend="constant")
    return float(hz[power.argmax()])


# --- trees ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", TREES)
def test_a_tree_gives_its_own_recordings_and_nothing_else(corpus: str) -> None:
    own = [path for path in TREES[corpus] if path.endswith(".mat") and not path.endswith(("label.mat", "Phase.mat"))]
    everything = [f"disk/{path}" for paths in (*TREES.values(), NEIGHBOURS) for path in paths]
    assert sorted(find(corpus, everything)) == sorted(f"disk/{path}" for path in own)


def test_sessions_of_seed_are_numbered_by_date_and_subjects_have_two_digits() -> None:
    found = find("seed", SEED)
    assert {Path(path).stem: (one.subject, one.session) for path, one in found.items()} == {
        "10_20131130": ("seed:10", "1"),
        "10_20131204": ("seed:10", "2"),
        "10_20131211": ("seed:10", "3"),
        "1_20131107": ("seed:1", "1"),
        "1_20140107": ("seed:1", "2"),
    }
    assert {one.label_file for one in found.values()} == {"SEED/Preprocessed_EEG/label.mat"}


def test_seed_without_labels_lacks_them() -> None:
    found = find("seed", [path for path in SEED if not path.endswith("label.mat")])
    assert {one.lacks and one.lacks.text for one in found.values()} == {
        "labels: there is no SEED/Preprocessed_EEG/label.mat"
    }
    assert {one.label_file for one in found.values()} == {""}


def test_sessions_of_seediv_are_folders() -> None:
    found = find("seediv", SEED_IV).values()
    assert [(one.subject, one.session) for one in found] == [("seediv:1", "1"), ("seediv:15", "2"), ("seediv:15", "3")]


def test_mirrors_of_tsu_name_the_same_subjects() -> None:
    assert {one.subject for one in find("tsu", ["S1.mat", "S10.mat", "S35.mat"]).values()} == {
        one.subject for one in find("tsu", ["S01.mat", "S10.mat", "S35.mat"]).values()
    }


# --- films ------------------------------------------------------------------------------------------------------------


def test_films_of_seed_have_the_labels_of_the_file(tmp_path: Path) -> None:
    recipe = recipes.load("seed", "probe")
    labels = label_mat(tmp_path, FILMS_OF_SEED)
    durations_s = [4.0 + number for number in range(15)]
    cues, notes = CORPORA["seed"].cues(
        RawRecording(path="a.mat", subject="seed:1", session="1"), films(durations_s), labels, recipe
    )
    expected, onset_s = [], 0.0
    for duration_s, label in zip(durations_s, FILMS_OF_SEED, strict=True):
        expected += [LabelledOnset(onset_s + 4.0 * number, label + 1) for number in range(int(duration_s // 4))]
        onset_s += duration_s
    assert cues == expected
    assert notes == []


@pytest.mark.parametrize("session", [1, 2, 3])
def test_films_of_seediv_have_the_labels_of_their_session(session: int) -> None:
    source = RawRecording(path="a.mat", subject="seediv:1", session=str(session))
    cues, _ = CORPORA["seediv"].cues(source, films([4.0] * 24), b"", recipes.load("seediv", "probe"))
    assert [cue.label for cue in cues] == FILMS_OF_SEED_IV[session]
    assert set(Counter(cue.label for cue in cues).values()) == {6}


def test_a_film_is_known_by_its_number_and_not_by_its_place() -> None:
    source, recipe = RawRecording(path="a.mat", subject="seediv:1", session="1"), recipes.load("seediv", "probe")
    cues, notes = CORPORA["seediv"].cues(source, films([4.0] * 2, ["cz_eeg10", "cz_eeg2"]), b"", recipe)
    assert [cue.label for cue in cues] == [FILMS_OF_SEED_IV[1][9], FILMS_OF_SEED_IV[1][1]]
    assert text(notes).startswith("films 1, 3, 4, 5, 6, 7, 8, 9, 11, ")


@pytest.mark.parametrize("texts", [["a_eeg25"], ["a_eeg0"], ["a_eeg1", "a_eeg1"], ["baseline"]])
def test_films_that_no_label_is_for_are_refused(texts: list[str]) -> None:
    source, recipe = RawRecording(path="a.mat", subject="seediv:1", session="1"), recipes.load("seediv", "probe")
    recording = films([4.0] * len(texts), texts)
    assert_refused(lambda: CORPORA["seediv"].cues(source, recording, b"", recipe), "a.mat", "1 to 24", "again")


@pytest.mark.parametrize("content", [b"", b"labels", b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM\x09\x09"])
def test_label_file_that_cannot_be_read_is_named(content: bytes) -> None:
    source = RawRecording(path="a.mat", subject="seed:1", session="1", label_file="x/label.mat")
    recipe = recipes.load("seed", "probe")
    assert_refused(lambda: CORPORA["seed"].cues(source, films([4.0]), content, recipe), "x/label.mat", "holds no label")


def test_label_of_no_feeling_is_refused(tmp_path: Path) -> None:
    source = RawRecording(path="a.mat", subject="seed:1", session="1", label_file="x/label.mat")
    labels, recipe = label_mat(tmp_path, [1, 0, 2]), recipes.load("seed", "probe")
    assert_refused(lambda: CORPORA["seed"].cues(source, films([4.0] * 3), labels, recipe), "x/label.mat", "label 2")


@pytest.fixture(scope="module")
def seed_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sessions of a subject whose films, 8.5 s long, hold 10 Hz as many µV high as their number and 10 more."""
    tree = tmp_path_factory.mktemp("seed") / "Preprocessed_EEG"
    tree.mkdir()
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * 10 * np.arange(1700) / 200)
    for date in ("20131027", "20131030"):
        # Written as MATLAB lists them: eeg10 before eeg2.
        names = sorted(f"djc_eeg{number}" for number in range(1, 16))
        held = {name: (10 + int(name[7:])) * wave + 0.1 * rng.standard_normal((62, 1700)) for name in names}
        savemat(tree / f"1_{date}.mat", held)
    label_mat(tree, FILMS_OF_SEED)
    return tree.parent


def test_windows_of_seed_are_those_of_their_films(seed_tree: Path, tmp_path: Path) -> None:
    folder = preprocess("seed", seed_tree, tmp_path, "--for", "probe")
    names = {-1: "negative", 0: "neutral", 1: "positive"}
    for date in ("20131027", "20131030"):
        got = of_recording(folder, f"Preprocessed_EEG/1_{date}.mat")
        heights_uv = [round(float(np.sqrt(2) * one.data_uv[5].std())) - 10 for one in got]
        assert heights_uv == [number for number in range(1, 16) for _ in range(2)]
        assert [one.label_name for one in got] == [names[FILMS_OF_SEED[number - 1]] for number in heights_uv]
    rows = recordings(folder)
    assert {(row["subject"], row["session"], row["sfreq"]) for row in rows.values()} == {
        ("seed:1", "1", 200.0),
        ("seed:1", "2", 200.0),
    }
    assert {len(row["channel_map"]) for row in rows.values()} == {60}


def test_seed_for_pretraining_keeps_time(seed_tree: Path, tmp_path: Path) -> None:
    folder = preprocess("seed", seed_tree, tmp_path, "--for", "pretrain", "--set", "window_s=8", "--set", "stride_s=8")
    windows = list(samples(folder).values())
    assert len(windows) == 30
    assert {one.counts.shape for one in windows} == {(58, 2048)}
    assert {peak_hz(one.data_uv[5], 256) for one in windows} == {10.0}


# --- trials -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tsu_windows(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """The windows of a file with 2 targets and 3 blocks: rows at random heights, target and block in the frequency."""
    tree = tmp_path_factory.mktemp("tsu")
    time_s = np.arange(1500) / 250
    heights_uv = np.random.default_rng(0).uniform(5.0, 50.0, 64)
    data = np.empty((64, 1500, 2, 3))
    for target, block in np.ndindex(2, 3):
        data[:, :, target, block] = np.outer(heights_uv, np.sin(2 * np.pi * (10 + 5 * target + block) * time_s))
    data[27] = 1e-3 * np.random.default_rng(1).standard_normal((1500, 2, 3))
    savemat(tree / "S1.mat", {"data": data})
    savemat(tree / "Freq_Phase.mat", {"freqs": np.arange(40.0)})
    return of_recording(preprocess("tsu", tree, tmp_path_factory.mktemp("out"), "--for", "pretrain"), "S1.mat")


def test_a_trial_of_tsu_is_a_window_at_its_true_rate(tsu_windows: list[Sample]) -> None:
    assert [one.start_s for one in tsu_windows] == [0.0, 6.0, 12.0, 18.0, 24.0, 30.0]
    assert {one.counts.shape for one in tsu_windows} == {(58, 1536)}
    assert [round(peak_hz(one.data_uv[0], 256), 6) for one in tsu_windows] == [10, 11, 12, 15, 16, 17]


def test_the_average_gives_the_vertex_back(tsu_windows: list[Sample]) -> None:
    for one in tsu_windows:
        np.testing.assert_allclose(one.data_uv.mean(axis=0), 0.0, atol=2.0**-5)
        assert one.data_uv[one.fields["channels"].index("CZ")].std() > 1.0
        assert one.fields["reference"] == "average"


# --- epochs whose subjects a table tells ------------------------------------------------------------------------------


def m3cv_tree(folder: Path, header: str = "EpochID,SubjectID,Session,Task,Usage") -> Path:
    """Write three subjects' epochs of 12 Hz and the tables, which do not tell whose one of two test epochs is."""
    told = {
        "Enrollment": ["epoch000001,sub001,1", "epoch000002,sub002,1", "epoch000003,sub003,1"],
        "Calibration": ["epoch000004,sub001,2"],
        "Testing": ["epoch000005,None,2", "epoch000006,sub003,2"],
    }
    wave = 20 * np.sin(2 * np.pi * 12 * np.arange(1000) / 250)
    for part, rows in told.items():
        (folder / part).mkdir(parents=True)
        (folder / f"{part}_Info.csv").write_text("\n".join([header, *(f"{row},7,{part}" for row in rows)]) + "\n")
        for row in rows:
            epoch = np.concatenate([np.tile(wave, (64, 1)), np.arange(1000)[None]])
            savemat(folder / part / f"{row.split(',')[0]}.mat", {"epoch_data": epoch, "whose": row})
    return folder


@pytest.mark.parametrize("header", ["EpochID,SubjectID,Session,Task,Usage", "EpochID,subject,session,condition,usage"])
def test_subjects_of_epochs_are_those_of_the_tables(tmp_path: Path, header: str) -> None:
    rows = plan("m3cv", m3cv_tree(tmp_path, header), "--for", "pretrain")["recordings"]
    assert {Path(row["path"]).stem: (row["subject"], row["session"]) for row in rows if not row["outcome"]} == {
        "epoch000001": ("m3cv:sub001", "1"),
        "epoch000002": ("m3cv:sub002", "1"),
        "epoch000003": ("m3cv:sub003", "1"),
        "epoch000004": ("m3cv:sub001", "2"),
        "epoch000006": ("m3cv:sub003", "2"),
    }
    sides = {(row["subject"], row["split"]) for row in rows if not row["outcome"]}
    assert len(sides) == 3


def test_an_epoch_of_nobody_is_skipped_with_the_table_that_should_tell(tmp_path: Path) -> None:
    folder = preprocess("m3cv", m3cv_tree(tmp_path / "raw"), tmp_path, "--for", "pretrain")
    rows = recordings(folder)
    assert {path: row["reason"] for path, row in rows.items() if row["outcome"] != "ok"} == {
        "Testing/epoch000005.mat": "its subject is told by no Testing_Info.csv"
    }
    assert {one.counts.shape for one in samples(folder).values()} == {(58, 1024)}
    assert {round(peak_hz(one.data_uv[0], 256), 6) for one in samples(folder).values()} == {12.0}


def test_epochs_without_a_table_are_skipped(tmp_path: Path) -> None:
    tree = m3cv_tree(tmp_path)
    (tree / "Calibration_Info.csv").unlink()
    rows = {row["path"]: row for row in plan("m3cv", tree, "--for", "pretrain")["recordings"]}
    assert rows["Calibration/epoch000004.mat"]["reason"] == "its subject is told by no Calibration_Info.csv"
    assert rows["Enrollment/epoch000001.mat"]["outcome"] == ""


def test_table_of_other_columns_is_named(tmp_path: Path) -> None:
    tree = m3cv_tree(tmp_path, "Epoch,Who,Session,Task,Usage")
    with pytest.raises(DareError, match=r"_Info\.csv: has no columns EpochID and SubjectID"):
        corpora.find(tree, ["Enrollment/epoch000001.mat", "Enrollment_Info.csv"], recipes.load("m3cv"))
