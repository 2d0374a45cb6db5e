"""What only one corpus knows: where its recordings lie, whose they are, and what its labels mean."""

import shutil
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

import mne
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from manifests import recipe as recipes
from manifests.plan import RawRecording
from pipelines.corpora import CORPORA
from tests.commands import dare, plan, preprocess, recordings
from tests.judges import noise_uv, of_recording, samples, write_edf
from tests.pipelines.mat_files import save_5, save_hdf

pytestmark = pytest.mark.slow

pytest_plugins = ["tests.corpora_fixtures"]

TREES = {
    "tuab": [
        "edf/train/normal/01_tcp_ar/aaaaaaaq_s004_t000.edf",
        "edf/train/abnormal/01_tcp_ar/aaaaaaaq_s005_t000.edf",
        "edf/eval/abnormal/01_tcp_ar/aaaaaabd_s001_t001.edf",
    ],
    "tuev": [
        "edf/train/aaaaaaar/aaaaaaar_00000001.edf",
        "edf/train/aaaaaaar/aaaaaaar_00000001.rec",
        "edf/eval/000/bckg_000_a_.edf",
        "edf/eval/001/pled_001_a_2.edf",
        "edf/eval/001/pled_001_a_2.rec",
    ],
    "bcic2b": ["B0101T.gdf", "B0104E.gdf", "true_labels/B0104E.mat"],
    "physionetmi": ["S001/S001R04.edf", "S001/S001R04.edf.event", "S109/S109R14.edf", "S001/S001R03.edf"],
    "eegmat": ["Subject00_1.edf", "Subject35_2.edf", "subject-info.csv"],
    "bcic2a": ["A01T.gdf", "A01E.gdf", "true_labels/A01E.mat"],
    "hgd": ["train/1.edf", "test/14.edf"],
    "sleepedf": ["sleep-cassette/SC4001E0-PSG.edf", "sleep-cassette/SC4001EC-Hypnogram.edf"],
    "chbmit": ["chb01/chb01_03.edf", "chb01/chb01-summary.txt", "chb17/chb17a_03.edf", "chb17/chb17-summary.txt"],
    "tusz": [
        "edf/dev/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000.edf",
        "edf/dev/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000.csv_bi",
    ],
    "tuar": ["edf/01_tcp_ar/aaaaaaah_s003_t000.edf", "edf/01_tcp_ar/aaaaaaah_s003_t000.csv"],
    "tueg": ["edf/000/aaaaaaaa/s001_2015_12_30/01_tcp_ar/aaaaaaaa_s001_t000.edf"],
    "seed": ["Preprocessed_EEG/1_20131027.mat", "Preprocessed_EEG/label.mat"],
    "seediv": ["eeg_raw_data/1/1_20160518.mat", "eeg_raw_data/3/15_20150508.mat"],
    "tsu": ["S1.mat", "S35.mat", "Freq_Phase.mat"],
    "pbciw": ["P01/S1/eeg/alldata_sbj01_sess1_MATBeasy.set", "P01/S1/eeg/alldata_sbj01_sess1_RS.set"],
    "cogbci": ["sub-01/ses-S1/eeg/PVT.set", "sub-01/ses-S1/eeg/PVT.fdt"],
}
MISLEADING = st.lists(
    st.sampled_from(["normal", "abnormal", "train", "eval", "edf", "000", "S001", "aaaaaaaq", "B0101T", "true_labels"]),
    max_size=5,
)
CUE_CODES = ("769", "770", "783")


def find(corpus: str, paths: list[str]) -> list[RawRecording]:
    return CORPORA[corpus].find(sorted(paths), recipes.load(corpus))


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", TREES)
@given(parents=MISLEADING)
def test_folders_above_the_tree_change_nothing(corpus: str, parents: list[str]) -> None:
    above = "".join(f"{parent}/" for parent in parents)

    def without(path: str) -> str:
        return path.removeprefix(above)

    found = [
        one.model_copy(
            update={
                "path": without(one.path),
                "label_file": without(one.label_file),
                "lacks": one.lacks and one.lacks.model_copy(update={"names": tuple(map(without, one.lacks.names))}),
            }
        )
        for one in find(corpus, [above + path for path in TREES[corpus]])
    ]
    assert found == find(corpus, TREES[corpus])


@pytest.mark.parametrize("corpus", TREES)
def test_corpus_finds_its_own_tree_and_no_other(corpus: str) -> None:
    everything = [path for paths in TREES.values() for path in paths]
    assert [one.path for one in find(corpus, everything)] == [one.path for one in find(corpus, TREES[corpus])] != []


def test_subjects_carry_their_namespace() -> None:
    assert [(one.subject, one.session, one.test) for one in find("tuab", TREES["tuab"])] == [
        ("tuh:aaaaaabd", "s001", True),
        ("tuh:aaaaaaaq", "s005", False),
        ("tuh:aaaaaaaq", "s004", False),
    ]
    assert {one.subject for one in find("eegmat", TREES["eegmat"])} == {"eegmat:Subject00", "eegmat:Subject35"}
    assert {one.subject for one in find("physionetmi", TREES["physionetmi"])} == {"eegmmidb:S001", "eegmmidb:S109"}
    assert {one.subject for one in find("bcic2b", TREES["bcic2b"])} == {"bcic2b:B01"}


def test_subject_of_a_tuev_evaluation_file_is_its_folder_and_not_its_event() -> None:
    found = {one.path: one for one in find("tuev", TREES["tuev"])}
    assert found["edf/eval/001/pled_001_a_2.edf"].subject == "tueveval:001"
    assert found["edf/eval/000/bckg_000_a_.edf"].subject == "tueveval:000"
    assert found["edf/train/aaaaaaar/aaaaaaar_00000001.edf"].subject == "tuh:aaaaaaar"
    assert [one.test for one in found.values()] == [True, True, False]


@pytest.mark.parametrize(
    ("corpus", "path", "version"),
    [
        ("tuab", "edf/train/normal/01_tcp_ar/aaaaaaaq_s004_t000.edf", "3"),
        ("tuab", "v3.0.1/edf/train/normal/01_tcp_ar/aaaaaaaq_s004_t000.edf", "3.0.1"),
        ("tuab", "edf/train/normal/01_tcp_ar/101/00010194/s001_2013_01_09/00010194_s001_t001.edf", "2"),
        ("tuev", "v2.0.1/edf/train/aaaaaaar/aaaaaaar_00000001.edf", "2.0.1"),
        ("tuev", "edf/train/00002275/00002275_00000001.edf", "1"),
    ],
)
def test_release_is_told_by_the_tree(corpus: str, path: str, version: str) -> None:
    assert CORPORA[corpus].version([path]) == version


# --- TUAB -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_both_layouts_of_tuab_give_the_same_labels_and_sides(raw: Path, tmp_path: Path) -> None:
    for path in (raw / "tuab").rglob("*.edf"):
        split, label, _, name = path.relative_to(raw / "tuab" / "edf").parts
        nested = tmp_path / "edf" / split / label / "01_tcp_ar" / "101" / name[:8] / f"{name[9:13]}_2013_01_09"
        nested.mkdir(parents=True)
        (nested / name).symlink_to(path)
        (nested / name).with_suffix(".txt").write_text("a physician's report")
    flat, nested_plan = plan("tuab", raw / "tuab"), plan("tuab", tmp_path)

    def facts(rows: list[dict[str, str]]) -> dict[str, list[str]]:
        kept = ("label", "subject", "session", "split", "outcome")
        return {PurePosixPath(row["path"]).name: [row[name] for name in kept] for row in rows}

    assert facts(nested_plan["recordings"]) == facts(flat["recordings"])
    assert set(Counter(row["label"] for row in flat["recordings"])) == {"normal", "abnormal"}


def test_numeric_ids_of_old_releases_are_subjects() -> None:
    path = "edf/eval/normal/01_tcp_ar/101/00010194/s001_2013_01_09/00010194_s001_t001.edf"
    (found,) = find("tuab", [path])
    assert (found.subject, found.label, found.test) == ("tuh:00010194", "normal", True)


@pytest.mark.parametrize("split_seed", range(6))
def test_patient_of_both_classes_is_on_one_side(raw: Path, split_seed: int) -> None:
    rows = plan("tuab", raw / "tuab", "--set", f"split_seed={split_seed}")["recordings"]
    sides, labels = defaultdict(set), defaultdict(set)
    for row in rows:
        sides[row["subject"]].add(row["split"])
        labels[row["subject"]].add(row["label"])
    assert {"normal", "abnormal"} in labels.values()
    assert all(len(splits) == 1 for splits in sides.values())
    assert {row["split"] for row in rows} == {"train", "valid", "test"}


# --- BCI Competition 2b -----------------------------------------------------------------------------------------------


@pytest.fixture
def graz(raw: Path, tmp_path: Path) -> Path:
    """A copy of two training sessions, the first with and the second without calibration, and one of evaluation."""
    tree = tmp_path / "raw"
    (tree / "true_labels").mkdir(parents=True)
    for name in ("B0101T", "B0102T", "B0104E"):
        shutil.copy(raw / "bcic2b" / f"{name}.gdf", tree)
        shutil.copy(raw / "bcic2b" / "true_labels" / f"{name}.mat", tree / "true_labels")
    return tree


def graz_labels(folder: Path, name: str) -> list[str]:
    return [one.label_name for one in of_recording(folder, f"{name}.gdf")]


@pytest.mark.parametrize("name", ["B0101T", "B0102T", "B0104E"])
def test_cues_are_told_by_their_codes_with_and_without_calibration(shards: Path, raw: Path, name: str) -> None:
    session = mne.io.read_raw_gdf(raw / "bcic2b" / f"{name}.gdf", verbose="error")
    codes = session.annotations.description.tolist()
    assert ("276" in codes) == (name != "B0102T")
    truth = loadmat(raw / "bcic2b" / "true_labels" / f"{name}.mat")["classlabel"].ravel()
    assert graz_labels(shards / "bcic2b", name) == [{1: "left", 2: "right"}[int(one)] for one in truth]
    cues_s = [onset for onset, code in zip(session.annotations.onset, codes, strict=True) if code in CUE_CODES]
    starts_s = [one.start_s for one in of_recording(shards / "bcic2b", f"{name}.gdf")]
    np.testing.assert_allclose(starts_s, cues_s, atol=1e-6)


def test_training_session_needs_no_label_file(graz: Path, tmp_path: Path, shards: Path) -> None:
    (graz / "true_labels" / "B0101T.mat").unlink()
    folder = preprocess("bcic2b", graz, tmp_path / "out")
    assert graz_labels(folder, "B0101T") == graz_labels(shards / "bcic2b", "B0101T")


def test_labels_are_found_in_any_folder(graz: Path, tmp_path: Path, shards: Path) -> None:
    (tmp_path / "raw" / "somewhere").mkdir()
    (graz / "true_labels" / "B0104E.mat").rename(graz / "somewhere" / "b0104e.mat")
    folder = preprocess("bcic2b", graz, tmp_path / "out")
    assert graz_labels(folder, "B0104E") == graz_labels(shards / "bcic2b", "B0104E")


def test_evaluation_session_without_labels_fails(graz: Path, tmp_path: Path) -> None:
    (graz / "true_labels" / "B0104E.mat").unlink()
    row = recordings(preprocess("bcic2b", graz, tmp_path / "out"))["B0104E.gdf"]
    assert (row["outcome"], row["windows"]) == ("failed", 0)
    assert "there is no B0104E.mat" in row["reason"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda truth: truth[:-1], "8 cues but 7 labels"),
        (lambda truth: 3 - truth, "check that true_labels/B0101T.mat belongs to this session"),
        (lambda truth: truth * 0 + 9, "its label 9"),
    ],
)
def test_labels_that_do_not_fit_the_cues_fail_the_session(
    graz: Path, tmp_path: Path, change: object, said: str
) -> None:
    file = graz / "true_labels" / "B0101T.mat"
    savemat(file, {"classlabel": change(loadmat(file)["classlabel"])})  # type: ignore[operator]
    rows = recordings(preprocess("bcic2b", graz, tmp_path / "out"))
    assert rows["B0101T.gdf"]["outcome"] == "failed"
    assert said in rows["B0101T.gdf"]["reason"]
    assert rows["B0102T.gdf"]["outcome"] == "ok"


@pytest.mark.parametrize("content", [b"", b"no matrix", b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM\x09\x09"])
def test_label_file_that_cannot_be_read_fails_the_session_by_name(graz: Path, tmp_path: Path, content: bytes) -> None:
    (graz / "true_labels" / "B0104E.mat").write_bytes(content)
    row = recordings(preprocess("bcic2b", graz, tmp_path / "out"))["B0104E.gdf"]
    assert row["outcome"] == "failed"
    assert "true_labels/B0104E.mat: holds no classlabel" in row["reason"]


def test_label_file_of_a_wrong_type_code_fails_its_session_alone(graz: Path, tmp_path: Path) -> None:
    file = graz / "true_labels" / "B0104E.mat"
    save_5(file, {"classlabel": loadmat(file)["classlabel"]}, deflated=False)
    content = bytearray(file.read_bytes())
    assert content[-16:-8] == bytes([2, 0, 0, 0, 8, 0, 0, 0])  # type and number of bytes, before the eight labels
    content[-16] = 15  # at which SciPy ends the process
    file.write_bytes(content)
    rows = recordings(preprocess("bcic2b", graz, tmp_path / "out"))
    assert rows["B0104E.gdf"]["outcome"] == "failed"
    assert "true_labels/B0104E.mat: holds no classlabel (cannot be read as MAT 5 (" in rows["B0104E.gdf"]["reason"]
    assert rows["B0104E.gdf"]["reason"].endswith("get the file again")
    assert rows["B0101T.gdf"]["outcome"] == "ok"


def test_labels_in_mat_7_3_are_the_same(graz: Path, tmp_path: Path, shards: Path) -> None:
    file = graz / "true_labels" / "B0104E.mat"
    save_hdf(file, {"classlabel": loadmat(file)["classlabel"]})
    assert graz_labels(preprocess("bcic2b", graz, tmp_path / "out"), "B0104E") == graz_labels(
        shards / "bcic2b", "B0104E"
    )


# --- EEGMMIDB ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def motor(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set made of real runs of hands and of feet, a baseline, and a subject of 128 Hz."""
    tree = tmp_path_factory.mktemp("eegmmidb")
    for name in ("S001/S001R01", "S001/S001R03", "S001/S001R04", "S001/S001R06", "S088/S088R10"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / f"{name}.edf").symlink_to(real / "eegmmidb" / f"{name}.edf")
    return preprocess("physionetmi", tree, tmp_path_factory.mktemp("shards"))


@pytest.mark.parametrize(
    ("run", "meaning"), [("R04", {"T1": "left", "T2": "right"}), ("R06", {"T1": "fists", "T2": "feet"})]
)
def test_same_mark_means_another_movement_in_another_run(
    real: Path, motor: Path, run: str, meaning: dict[str, str]
) -> None:
    raw = mne.io.read_raw_edf(real / "eegmmidb" / "S001" / f"S001{run}.edf", verbose="error")
    marks = zip(raw.annotations.onset, raw.annotations.description, strict=True)
    duration_s = raw.n_times / raw.info["sfreq"]
    expected = [(onset, meaning[mark]) for onset, mark in marks if mark in meaning and onset + 4 <= duration_s]
    got = of_recording(motor, f"S001/S001{run}.edf")
    assert [one.label_name for one in got] == [name for _, name in expected]
    np.testing.assert_allclose([one.start_s for one in got], [onset for onset, _ in expected], atol=1 / 160)


def test_subject_of_another_rate_is_skipped_by_its_rate(motor: Path) -> None:
    row = recordings(motor)["S088/S088R10.edf"]
    assert (row["outcome"], row["windows"], row["sfreq"]) == ("skipped", 0, 128)
    assert "sampled at 128 Hz" in row["reason"]
    assert "--set band_hz=0.1,60" in row["reason"]


def test_remedy_for_the_other_rate_holds(real: Path, tmp_path: Path) -> None:
    (tmp_path / "raw" / "S088").mkdir(parents=True)
    (tmp_path / "raw" / "S088" / "S088R10.edf").symlink_to(real / "eegmmidb" / "S088" / "S088R10.edf")
    folder = preprocess("physionetmi", tmp_path / "raw", tmp_path / "out", "--set", "band_hz=0.1,60")
    row = recordings(folder)["S088/S088R10.edf"]
    assert (row["outcome"], row["windows"]) == ("ok", 19)


@pytest.mark.parametrize(("run", "said"), [("R01", "run 1 is a baseline"), ("R03", "run 3 executes movements")])
def test_runs_the_recipe_does_not_name_are_skipped_with_a_reason(motor: Path, run: str, said: str) -> None:
    row = recordings(motor)[f"S001/S001{run}.edf"]
    assert (row["outcome"], row["windows"]) == ("skipped", 0)
    assert said in row["reason"]


def test_recording_without_marks_fails(tmp_path: Path) -> None:
    for run, marks in (("R04", []), ("R06", [(2.0, 4.0, "T1")])):
        channels = noise_uv(["C3..", "Cz..", "C4.."], 10, 160)
        write_edf(tmp_path / "raw" / "S001" / f"S001{run}.edf", channels, 160, [(0.0, 1.0, "T0"), *marks])
    rows = recordings(preprocess("physionetmi", tmp_path / "raw", tmp_path / "out"))
    assert rows["S001/S001R04.edf"]["outcome"] == "failed"
    assert "holds no T1 or T2 annotation" in rows["S001/S001R04.edf"]["reason"]


# --- EEGMAT -----------------------------------------------------------------------------------------------------------


def test_last_digit_of_the_name_is_the_class(eegmat: Path) -> None:
    for one in samples(eegmat).values():
        task = {"1": "rest", "2": "arithmetic"}[one.fields["recording"].removesuffix(".edf")[-1]]
        assert one.label_name == task


def test_tree_of_several_corpora_gives_only_the_one_asked_for(raw: Path, shards: Path, tmp_path: Path) -> None:
    answer = dare("preprocess", "bcic2b", "--src", raw, "--out", tmp_path, "--workers", 1)
    assert answer.status == 0
    assert {path.split("/")[0] for path in recordings(tmp_path / "bcic2b")} == {"bcic2b"}
    assert len(recordings(tmp_path / "bcic2b")) == len(recordings(shards / "bcic2b"))
    assert "other raw files" in answer.out
