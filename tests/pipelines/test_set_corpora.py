"""The workload corpora in EEGLAB files, passive BCI and COG-BCI, from their trees to their windows."""

from collections import Counter
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import welch

from manifests import recipe as recipes
from manifests.electrodes import PRETRAIN_58, VOCABULARY, canonical
from manifests.plan import RawRecording
from pipelines import synth
from pipelines.corpora import CORPORA
from pipelines.synth.eeglab_writer import Mark, write_continuous
from tests.commands import preprocess, recordings
from tests.judges import of_recording, samples

pytestmark = pytest.mark.slow

PBCIW = [
    f"P{subject}/S{session}/eeg/alldata_sbj{subject}_sess{session}_{task}.set"
    for subject, session, task in [("01", 1, "RS"), ("01", 1, "MATBeasy"), ("15", 2, "MATBmed"), ("15", 2, "MATBdiff")]
]
COGBCI = [
    "sub-01/ses-S1/eeg/MATBeasy.set",
    "sub-29/sub-29/ses-S3/eeg/RS_End_Ec.set",
    "sub-02/ses-S2/eeg/twoBACK.set",
    "sub-02/ses-S2/eeg/PVT.set",
]
NEIGHBOURS = [
    "P01/S1/eeg/alldata_sbj01_sess1_RSraw.set",
    "P01/S1/eeg/alldata_sbj02_sess1_RS.set",
    "sub-01/ses-S1/eeg/MATBeasy.fdt",
    "sub-01/ses-S1/eeg/chanlocs.txt",
    "sub-01/ses-S1/behavioral/MATBeasy.mat",
    "sub-01/ses-01/eeg/sub-01_ses-01_task-rest_eeg.set",
]
TASKS = {"MATBeasy": "easy", "MATBmed": "medium", "MATBdiff": "difficult"}


def find(corpus: str, paths: list[str], purpose: str) -> dict[str, RawRecording]:
    recipe = recipes.load(corpus, purpose)  # type: ignore[arg-type]
    return {one.path: one for one in CORPORA[corpus].find(sorted(paths), recipe)}


# --- trees ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("corpus", "own"), [("pbciw", PBCIW), ("cogbci", COGBCI)])
def test_a_tree_gives_its_own_recordings_and_nothing_else(corpus: str, own: list[str]) -> None:
    everything = [f"disk/{path}" for path in (*PBCIW, *COGBCI, *NEIGHBOURS)]
    assert sorted(find(corpus, everything, "pretrain")) == sorted(f"disk/{path}" for path in own)


def test_tasks_of_pbciw_are_classes_and_rest_is_none() -> None:
    found = find("pbciw", PBCIW, "probe")
    assert {
        path.rpartition("_")[2].removesuffix(".set"): (one.label, bool(one.skip)) for path, one in found.items()
    } == {
        "RS": ("", True),
        "MATBeasy": ("easy", False),
        "MATBmed": ("medium", False),
        "MATBdiff": ("difficult", False),
    }
    assert {(one.subject, one.session) for one in found.values()} == {("pbciw:P01", "S1"), ("pbciw:P15", "S2")}


def test_rest_of_pbciw_is_good_for_pretraining() -> None:
    assert not any(one.skip for one in find("pbciw", PBCIW, "pretrain").values())


def test_subjects_of_cogbci_are_the_inner_folders() -> None:
    found = find("cogbci", COGBCI, "pretrain").values()
    assert Counter((one.subject, one.session) for one in found) == {
        ("cogbci:sub-01", "S1"): 1,
        ("cogbci:sub-02", "S2"): 2,
        ("cogbci:sub-29", "S3"): 1,
    }


# --- passive BCI ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pbciw_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "pbciw"
    synth.write("pbciw", folder, 2, 20.0, seed=0)
    return folder


def epochs_of(path: Path) -> mne.Epochs:
    return mne.io.read_epochs_eeglab(path, verbose="error")


def test_mne_reads_the_twin_of_pbciw(pbciw_raw: Path) -> None:
    paths = sorted(pbciw_raw.rglob("*.set"))
    assert len(paths) == 2 * 2 * 4
    for path in paths:
        epochs = epochs_of(path)
        assert epochs.get_data().shape == (2 if path.stem.endswith("RS") else 10, 62, 500)
        assert epochs.info["sfreq"] == 250.0
        names = {canonical(name) for name in epochs.ch_names}
        assert names - set(VOCABULARY) == {"AFZ", "FT9", "FT10", "ECG1"}
        assert set(PRETRAIN_58) - names == {"FPZ", "CZ"}
        assert 5.0 < 1e6 * np.median(epochs.get_data()[:, :61].std(axis=2)) < 100.0


def test_an_epoch_of_pbciw_is_a_window_of_its_task(pbciw_raw: Path, tmp_path: Path) -> None:
    # Without a band to filter and at the file's rate, a window is its epoch, the mean taken off.
    folder = preprocess("pbciw", pbciw_raw, tmp_path, "--for", "probe", "--set", "band_hz=0,125", "--set", "notch_hz=0")
    for path, row in recordings(folder).items():
        task = path.rpartition("_")[2].removesuffix(".set")
        got = of_recording(folder, path)
        if task == "RS":
            assert (row["outcome"], row["reason"], got) == ("skipped", "is rest: none of the classes", [])
            continue
        epochs = epochs_of(pbciw_raw / path)
        order = [[canonical(name) for name in epochs.ch_names].index(name) for name in got[0].fields["channels"]]
        expected_uv = 1e6 * epochs.get_data()[:, order]
        expected_uv -= expected_uv.mean(axis=2, keepdims=True)
        np.testing.assert_allclose(np.stack([one.data_uv for one in got]), expected_uv, atol=2.0**-6 + 1e-3)
        assert {one.label_name for one in got} == {TASKS[task]}
        assert [one.start_s for one in got] == [2.0 * number for number in range(10)]


@pytest.mark.slow
def test_pbciw_for_pretraining_takes_rest_too(pbciw_raw: Path, tmp_path: Path) -> None:
    folder = preprocess("pbciw", pbciw_raw, tmp_path, "--for", "pretrain")
    assert {row["outcome"] for row in recordings(folder).values()} == {"ok"}
    windows = samples(folder).values()
    assert len(windows) == 2 * 2 * (3 * 10 + 2)
    assert {one.counts.shape for one in windows} == {(56, 512)}
    assert all(scale > 0 for one in windows for scale in one.fields["scale"])


def test_effort_raises_theta_in_front_and_weakens_alpha_at_the_back(pbciw_raw: Path) -> None:
    def powers(task: str) -> NDArray[np.floating]:
        found = []
        for path in pbciw_raw.rglob(f"*_{task}.set"):
            epochs = epochs_of(path)
            hz, power = welch(epochs.get_data(picks=["Fz", "Oz"]) * 1e6, 250, nperseg=500)
            theta = power[:, 0, (hz >= 5) & (hz <= 7)].mean()
            alpha = power[:, 1, (hz >= 8) & (hz <= 12)].mean()
            found.append(np.log([theta, alpha]))
        return np.mean(found, axis=0)

    easy, difficult = powers("MATBeasy"), powers("MATBdiff")
    assert difficult[0] > easy[0] + 0.5
    assert difficult[1] < easy[1] - 0.5


# --- COG-BCI ----------------------------------------------------------------------------------------------------------


def test_mne_reads_the_twin_of_cogbci(tmp_path: Path) -> None:
    written = synth.write("cogbci", tmp_path / "raw", 1, 10.0, seed=0)
    paths = [path for path in written if path.suffix == ".set"]
    assert len(paths) == 5
    assert {path.with_suffix(".fdt") for path in paths} == {path for path in written if path.suffix == ".fdt"}
    for path in paths:
        raw = mne.io.read_raw_eeglab(path, preload=True, verbose="error")
        assert (raw.info["sfreq"], raw.n_times, len(raw.ch_names)) == (500.0, 5000, 63)
        names = {canonical(name) for name in raw.ch_names}
        assert set(PRETRAIN_58) - names == {"FPZ", "CZ"}
        assert raw.annotations.onset.tolist() == [1.0, 6.0]
        assert 5.0 < 1e6 * np.median(raw.get_data()[:62].std(axis=1)) < 100.0


def test_vertex_of_the_first_nine_is_masked(tmp_path: Path) -> None:
    labels = [name for name in recipes.load("cogbci").electrodes if name != "CZ"]
    signal_uv = 20 * np.random.default_rng(0).standard_normal((58, 5000))
    for subject, more in (("sub-01", ["ECG1"]), ("sub-10", ["CZ", "ECG1"])):
        path = tmp_path / "raw" / subject / "ses-S1" / "eeg" / "PVT.set"
        write_continuous(path, [*labels, *more], signal_uv[: len(labels) + len(more)], 500, [Mark(0, "10")])
    folder = preprocess("cogbci", tmp_path / "raw", tmp_path, "--for", "pretrain")
    vertex = recipes.load("cogbci").electrodes.index("CZ")
    scales = {one.fields["subject"]: one.fields["scale"][vertex] for one in samples(folder).values()}
    assert scales == {"cogbci:sub-01": 0.0, "cogbci:sub-10": 2.0**-5}
    assert {one.counts.shape for one in samples(folder).values()} == {(57, 2560)}


@pytest.mark.slow
@pytest.mark.parametrize("corpus", ["pbciw", "cogbci"])
def test_twin_is_the_same_for_the_same_seed(corpus: str, tmp_path: Path) -> None:
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        synth.write(corpus, tmp_path / name, 1, 10.0, seed)
    first, again, other = (
        {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in (tmp_path / name).rglob("*.*t")}
        for name in ("first", "again", "other")
    )
    assert first == again
    assert first.keys() == other.keys()
    assert first != other
