"""BCI Competition IV 2a and 2b: electrodes by position, cues and labels, and the two ways they are given out."""

import shutil
from collections import Counter
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.signal import welch

from manifests import recipe as recipes
from manifests.plan import RawRecording
from pipelines import synth
from pipelines.corpora import CORPORA
from pipelines.formats import readers
from pipelines.montage import named
from pipelines.recording import describe_channel
from pipelines.synth.bcic import SET_2A
from pipelines.synth.gdf_writer import Event, write_gdf
from tests.commands import preprocess, recordings
from tests.judges import Sample, of_recording, read_raw, samples

pytestmark = pytest.mark.slow

MNE_NAMES = """
    FZ EEG-Fz, FC3 EEG-0, FC1 EEG-1, FCZ EEG-2, FC2 EEG-3, FC4 EEG-4, C5 EEG-5, C3 EEG-C3, C1 EEG-6, CZ EEG-Cz,
    C2 EEG-7, C4 EEG-C4, C6 EEG-8, CP3 EEG-9, CP1 EEG-10, CPZ EEG-11, CP2 EEG-12, CP4 EEG-13, P1 EEG-14, PZ EEG-Pz,
    P2 EEG-15, POZ EEG-16
"""
"""What MNE makes of the labels of 2a, most of which are the same; by the official figure of the montage."""
MNE_NAME = dict(one.split() for one in MNE_NAMES.split(","))
CLASSES = {1: "left", 2: "right", 3: "feet", 4: "tongue"}
AS_RECORDED = ("--set", "band_hz=0,125")
"""With the whole band nothing is filtered, and of a run only its mean is taken off."""


def find(corpus: str, *paths: str) -> list[RawRecording]:
    return CORPORA[corpus].find(sorted(paths), recipes.load(corpus))


def starts_and_labels(folder: Path, path: str) -> list[tuple[float, str]]:
    return [(one.start_s, one.label_name) for one in of_recording(folder, path)]


def link(tree: Path, *files: Path) -> Path:
    tree.mkdir(parents=True, exist_ok=True)
    for file in files:
        (tree / file.name).symlink_to(file)
    return tree


@pytest.fixture(scope="module")
def graz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two sets, each as GDF and as the BNCI gives it out, of the same signals."""
    folder = tmp_path_factory.mktemp("raw")
    for corpus in ("bcic2a", "bcic2b"):
        synth.write(corpus, folder / corpus, 1, 10.0, 5)
        synth.write(f"{corpus}-bnci", folder / f"{corpus}-bnci", 1, 10.0, 5)
    return folder


@pytest.fixture(scope="module")
def gdf(graz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set made of 2a in GDF."""
    return preprocess("bcic2a", graz / "bcic2a", tmp_path_factory.mktemp("gdf"), *AS_RECORDED)


@pytest.fixture(scope="module")
def bnci(graz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set made of 2a in the files of the BNCI."""
    return preprocess("bcic2a", graz / "bcic2a-bnci", tmp_path_factory.mktemp("bnci"), *AS_RECORDED)


# --- 2a in GDF --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", ["A01T", "A01E"])
def test_every_electrode_is_where_the_official_figure_has_it(graz: Path, gdf: Path, session: str) -> None:
    raw = read_raw(graz / "bcic2a" / f"{session}.gdf")
    borders = np.rint(raw.annotations.onset[raw.annotations.description == "32766"] * 250).astype(int)
    ends = [*(borders[1:] - 100), raw.n_times]
    windows = of_recording(gdf, f"{session}.gdf")
    assert len(windows) == 8
    for one in windows:
        start = round(one.start_s * 250)
        run = next(slice(first, end) for first, end in zip(borders, ends, strict=True) if first <= start < end)
        for electrode, got_uv in zip(one.fields["channels"], one.data_uv, strict=True):
            (whole_uv,) = raw.get_data(picks=[MNE_NAME[electrode]]) * 1e6
            expected_uv = whole_uv[start : start + 1000] - whole_uv[run].mean()
            np.testing.assert_allclose(got_uv, expected_uv, atol=2**-6 + 0.004)


@pytest.mark.parametrize("session", ["A01T", "A01E"])
def test_cues_and_labels_are_those_of_mne_and_scipy(graz: Path, gdf: Path, session: str) -> None:
    notes = read_raw(graz / "bcic2a" / f"{session}.gdf").annotations
    cues_s = [one["onset"] for one in notes if one["description"] in ("769", "770", "771", "772", "783")]
    truth = loadmat(graz / "bcic2a" / "true_labels" / f"{session}.mat")["classlabel"].ravel()
    found = starts_and_labels(gdf, f"{session}.gdf")
    assert [label for _, label in found] == [CLASSES[int(one)] for one in truth]
    np.testing.assert_allclose([start_s for start_s, _ in found], cues_s, atol=1e-6)
    assert "1023" in notes.description  # rejected trials are kept


def test_session_without_open_and_closed_eyes_has_the_same_classes(tmp_path: Path) -> None:
    synth.write("bcic2a", tmp_path / "all", 4, 10.0, 0)
    tree = link(tmp_path / "raw", tmp_path / "all" / "A04T.gdf")
    codes = read_raw(tree / "A04T.gdf").annotations.description.tolist()
    assert "1072" in codes
    assert not {"276", "277"} & set(codes)
    meaning = {"769": "left", "770": "right", "771": "feet", "772": "tongue"}
    found = starts_and_labels(preprocess("bcic2a", tree, tmp_path / "out"), "A04T.gdf")
    assert [label for _, label in found] == [meaning[code] for code in codes if code in meaning]


def test_sessions_are_of_one_subject_and_the_second_is_test() -> None:
    found = find("bcic2a", "x/A01T.gdf", "x/A01E.gdf", "true_labels/A01E.mat", "true_labels/A01T.mat")
    assert [(one.subject, one.session, one.test, one.label_file) for one in found] == [
        ("bcic2a:A01", "E", True, "true_labels/A01E.mat"),
        ("bcic2a:A01", "T", False, "true_labels/A01T.mat"),
    ]


def test_evaluation_session_needs_labels_and_training_does_not() -> None:
    evaluation, training = find("bcic2a", "A01T.gdf", "A01E.gdf")
    assert evaluation.lacks is not None
    assert evaluation.lacks.text == "true labels: there is no A01E.mat below --src"
    assert training.lacks is None


def test_file_with_its_channels_in_another_order_is_refused(tmp_path: Path) -> None:
    labels = ["EEG-C3", *["EEG"] * 20, "EEG-Fz"]
    noise_uv = 10 * np.random.default_rng(0).standard_normal((22, 5000))
    tree = tmp_path / "raw"
    write_gdf(tree / "A01T.gdf", labels, np.full(22, 100.0), noise_uv, 250, [Event(0, 32766), Event(100, 769)])
    write_gdf(tree / "A02T.gdf", SET_2A.labels[:22], np.full(22, 100.0), noise_uv, 250, [Event(100, 769)])
    row = recordings(preprocess("bcic2a", tree, tmp_path / "out"))["A01T.gdf"]
    assert (row["outcome"], row["windows"]) == ("failed", 0)
    assert row["reason"] == "names C3, which by the order of its channels is another; get the file again"


def test_file_of_fewer_channels_than_the_montage_is_refused(tmp_path: Path) -> None:
    noise_uv = 10 * np.random.default_rng(0).standard_normal((22, 5000))
    tree = tmp_path / "raw"
    for name, count in (("A01T", 21), ("A02T", 22)):
        write_gdf(
            tree / f"{name}.gdf", ["EEG"] * count, np.full(count, 100.0), noise_uv[:count], 250, [Event(100, 769)]
        )
    row = recordings(preprocess("bcic2a", tree, tmp_path / "out"))["A01T.gdf"]
    assert (row["outcome"], row["windows"]) == ("failed", 0)
    assert row["reason"].startswith("has 21 channels, fewer than the 22 electrodes")


def test_names_of_a_file_come_before_those_of_the_montage(graz: Path) -> None:
    channels = readers.read_header(graz / "bcic2b" / "B0101T.gdf").channels
    assert named(channels, ("F1", "F2", "F3")) == channels
    unnamed = describe_channel("EEG", 1, 250.0, "uV")
    assert [one.electrode for one in named((*channels[:1], unnamed), ("FZ", "FC3"))] == ["C3", "FC3"]


def test_pretraining_takes_all_runs_in_the_windows_of_the_network(graz: Path, tmp_path: Path) -> None:
    folder = preprocess("bcic2a", graz / "bcic2a", tmp_path, "--for", "pretrain", "--set", "window_s=5")
    found = samples(folder).values()
    assert {one.counts.shape for one in found} == {(22, 1280)}
    # Three calibrations of 6 s before the first trial.
    assert min(one.start_s for one in found) == 0.0


# --- the same sets from the BNCI --------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", ["A01T", "A01E"])
def test_both_distributions_of_2a_give_the_same_windows(gdf: Path, bnci: Path, session: str) -> None:
    ours, theirs = of_recording(gdf, f"{session}.gdf"), of_recording(bnci, f"{session}.mat")
    assert len(ours) == 8
    assert [one.label_name for one in theirs] == [one.label_name for one in ours]
    assert [one.fields["subject"] for one in theirs] == ["bcic2a:A01"] * 8
    for ours_one, theirs_one in zip(ours, theirs, strict=True):
        # GDF clips at 100 µV, here the blinks.
        assert np.median(np.abs(ours_one.data_uv - theirs_one.data_uv).max(axis=0)) < 1.0
        for one, other in zip(ours_one.data_uv, theirs_one.data_uv, strict=True):
            assert np.corrcoef(one, other)[0, 1] > 0.99


def test_both_distributions_of_2b_give_the_same_labels(graz: Path, tmp_path: Path) -> None:
    folder = preprocess("bcic2b", graz / "bcic2b-bnci", tmp_path)
    rows = recordings(folder)
    assert {path: (row["split"], row["windows"]) for path, row in rows.items()} == {
        "B01E.mat": ("test", 16),
        "B01T.mat": ("train", 24),
    }
    truth = [
        CLASSES[int(one)]
        for session in ("B0101T", "B0102T", "B0103T")
        for one in loadmat(graz / "bcic2b" / "true_labels" / f"{session}.mat")["classlabel"].ravel()
    ]
    found = of_recording(folder, "B01T.mat")
    assert [one.label_name for one in found] == truth
    first = loadmat(graz / "bcic2b-bnci" / "B01T.mat", simplify_cells=True)["data"][0]
    np.testing.assert_allclose([one.start_s for one in found[:8]], (first["trial"] - 1) / 250 + 3, atol=1e-6)


@pytest.mark.parametrize("corpus", ["bcic2a", "bcic2b"])
def test_release_is_told_by_the_files(corpus: str, graz: Path) -> None:
    for folder, release in ((corpus, "2008"), (f"{corpus}-bnci", "BNCI")):
        paths = [path.name for path in (graz / folder).iterdir()]
        assert CORPORA[corpus].version(paths) == release


@pytest.mark.parametrize("session", ["A01T", "A01E"])
def test_session_in_both_distributions_is_read_once_from_gdf(
    graz: Path, gdf: Path, tmp_path: Path, session: str
) -> None:
    tree = link(tmp_path / "raw", graz / "bcic2a" / f"{session}.gdf", graz / "bcic2a-bnci" / f"{session}.mat")
    folder = preprocess("bcic2a", tree, tmp_path / "out", *AS_RECORDED)
    assert set(recordings(folder)) == {f"{session}.gdf"}
    assert starts_and_labels(folder, f"{session}.gdf") == starts_and_labels(gdf, f"{session}.gdf")


def test_third_file_of_a_session_is_skipped_with_a_reason(graz: Path, tmp_path: Path) -> None:
    tree = link(tmp_path / "raw", graz / "bcic2a" / "A01E.gdf", graz / "bcic2a-bnci" / "A01E.mat")
    link(tree / "zz", graz / "bcic2a" / "true_labels" / "A01E.mat")
    rows = recordings(preprocess("bcic2a", tree, tmp_path / "out"))
    assert {path: (row["outcome"], row["windows"]) for path, row in rows.items()} == {
        "A01E.gdf": ("ok", 8),
        "zz/A01E.mat": ("skipped", 0),
    }
    assert rows["zz/A01E.mat"]["reason"] == "A01 is read from its GDF sessions (E)"


def test_bnci_file_of_sessions_that_are_there_in_gdf_is_skipped() -> None:
    training, evaluation, session = find("bcic2b", "B01E.mat", "B0101T.gdf", "B01T.mat", "B02T.mat")[1:]
    assert (training.path, training.skip, training.test) == ("B01E.mat", None, True)
    assert evaluation.skip is not None
    assert (evaluation.path, evaluation.skip.text) == ("B01T.mat", "B01 is read from its GDF sessions (T)")
    assert (session.path, session.skip) == ("B02T.mat", None)


def test_labels_alone_are_no_recording(graz: Path, tmp_path: Path) -> None:
    tree = link(tmp_path / "raw", graz / "bcic2a" / "true_labels" / "A01T.mat", graz / "bcic2a-bnci" / "A01E.mat")
    rows = recordings(preprocess("bcic2a", tree, tmp_path / "out"))
    assert (rows["A01T.mat"]["outcome"], rows["A01E.mat"]["outcome"]) == ("failed", "ok")
    assert "classlabel" in rows["A01T.mat"]["reason"]


# --- the synthetic sets -----------------------------------------------------------------------------------------------


def test_labels_and_events_of_2a_are_the_real_ones(graz: Path) -> None:
    for session, cue in (("A01T", {"769", "770", "771", "772"}), ("A01E", {"783"})):
        raw = mne.io.read_raw_gdf(graz / "bcic2a" / f"{session}.gdf", verbose="error")
        assert raw.ch_names == [*MNE_NAME.values(), "EOG-left", "EOG-central", "EOG-right"]
        assert set(raw.annotations.description) == {"276", "277", "1072", "768", "1023", "32766", *cue}
        truth = loadmat(graz / "bcic2a" / "true_labels" / f"{session}.mat")["classlabel"]
        assert Counter(truth.ravel().tolist()) == dict.fromkeys((1, 2, 3, 4), 2)


def test_bnci_files_have_the_members_and_counts_of_the_real_ones(graz: Path) -> None:
    for name, num_structs, num_channels in (("bcic2a-bnci/A01T", 9, 25), ("bcic2b-bnci/B01T", 3, 6)):
        structs = loadmat(graz / f"{name}.mat", simplify_cells=True)["data"]
        assert len(structs) == num_structs
        for one in structs:
            assert set(one) == {"X", "trial", "y", "fs", "classes", "artifacts", "gender", "age"}
            assert one["X"].shape[1] == num_channels
            assert np.size(one["trial"]) == np.size(one["y"]) == np.size(one["artifacts"])


@pytest.mark.slow
def test_each_movement_quietens_its_own_site(tmp_path: Path) -> None:
    synth.write("bcic2a", tmp_path / "raw", 2, 640.0, 2)
    shutil.rmtree(tmp_path / "raw" / "true_labels")
    folder = preprocess("bcic2a", tmp_path / "raw", tmp_path / "out")
    power: dict[str, list[NDArray[np.float64]]] = {name: [] for name in CLASSES.values()}
    for one in samples(folder).values():
        power[one.label_name].append(mu_power(one))
    left, right, feet, tongue = (np.mean(power[name], axis=0) for name in CLASSES.values())
    c3, cz, c4, c5 = range(4)
    assert left[c4] < right[c4] - 0.1
    assert right[c3] < left[c3] - 0.1
    assert feet[cz] < min(left[cz], right[cz], tongue[cz]) - 0.1
    assert tongue[c5] < min(left[c5], right[c5], feet[c5]) - 0.1


def mu_power(sample: Sample) -> NDArray[np.float64]:
    """Log power from 9 to 13 Hz at C3, CZ, C4 and C5 once the movement has begun."""
    rows = [sample.fields["channels"].index(name) for name in ("C3", "CZ", "C4", "C5")]
    frequencies, power = welch(sample.data_uv[rows, 200:], 250, nperseg=250)
    return np.log(power[:, (frequencies >= 9) & (frequencies <= 13)].mean(axis=1))
