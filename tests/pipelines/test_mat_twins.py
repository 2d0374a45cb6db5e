"""The synthetic twins of the corpora in MAT files: SEED, SEED-IV, the Tsinghua SSVEP benchmark and M3CV."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.signal import welch

from pipelines import synth
from tests.commands import plan, preprocess, recordings
from tests.judges import of_recording

pytestmark = pytest.mark.slow

FILMS_OF_SEED = [1, 0, -1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 0, 1, -1]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A subject of SEED, and two of the benchmark and of M3CV."""
    folder = tmp_path_factory.mktemp("twins")
    for corpus, subjects, seconds in (("seed", 1, 10.0), ("tsu", 2, 30.0), ("m3cv", 2, 16.0)):
        synth.write(corpus, folder / corpus, subjects, seconds, seed=0)
    return folder


def variables(path: Path) -> dict[str, NDArray[Any]]:
    return {name: value for name, value in loadmat(path).items() if not name.startswith("__")}


@pytest.mark.slow
def test_twin_of_seed_has_three_sessions_of_fifteen_films(twins: Path) -> None:
    folder = twins / "seed" / "Preprocessed_EEG"
    sessions = sorted(folder.glob("1_*.mat"))
    assert len(sessions) == 3
    for path in sessions:
        held = variables(path)
        assert {int(name.rpartition("_eeg")[2]) for name in held} == set(range(1, 16))
        assert {(one.shape[0], one.dtype.name) for one in held.values()} == {(62, "float64")}
        assert len({one.shape[1] for one in held.values()}) > 1
        assert min(one.shape[1] for one in held.values()) >= 10 * 200
    assert loadmat(folder / "label.mat")["label"].tolist() == [FILMS_OF_SEED]


def test_pleasant_films_show_beta_over_the_temples_and_neutral_ones_alpha_at_the_back(twins: Path) -> None:
    power: dict[int, list[NDArray[np.floating]]] = {-1: [], 0: [], 1: []}
    for path in (twins / "seed" / "Preprocessed_EEG").glob("1_*.mat"):
        for name, film in variables(path).items():
            hz, spectrum = welch(film[[23, 31, 58, 60]], 200, nperseg=400)
            beta = spectrum[:2, (hz > 19) & (hz < 25)].mean()
            alpha = spectrum[2:, (hz > 8) & (hz < 12)].mean()
            power[FILMS_OF_SEED[int(name.rpartition("_eeg")[2]) - 1]].append(np.log([beta, alpha]))
    negative, neutral, positive = (np.mean(power[label], axis=0) for label in (-1, 0, 1))
    assert positive[0] > max(negative[0], neutral[0]) + 0.5
    assert neutral[1] > max(negative[1], positive[1]) + 0.5


def test_cortex_of_the_tsu_twin_follows_the_target(twins: Path) -> None:
    files = sorted((twins / "tsu").glob("S*.mat"))
    assert [path.name for path in files] == ["S1.mat", "S2.mat"]
    freqs_hz = loadmat(twins / "tsu" / "Freq_Phase.mat")["freqs"].ravel()
    assert freqs_hz[:9].tolist() == [8, 9, 10, 11, 12, 13, 14, 15, 8.2]
    response = np.zeros((2, 2))
    for path in files:
        data = variables(path)["data"]
        assert data.shape == (64, 1500, 2, 2)
        assert data[27].std() < 0.1 < data[61].std()
        hz, power = welch(data[61, 160:1410], 250, nperseg=1250, axis=0)
        response += np.stack([power[np.abs(hz - freqs_hz[at]).argmin()].mean(axis=1) for at in range(2)])
    assert response[0, 0] > 3 * response[0, 1]
    assert response[1, 1] > 3 * response[1, 0]


def test_twin_of_m3cv_withholds_the_subjects_of_its_test_epochs(twins: Path) -> None:
    epochs = sorted((twins / "m3cv").glob("*/epoch*.mat"))
    assert len(epochs) == 8
    assert {(path.parent.name, variables(path)["epoch_data"].shape) for path in epochs} == {
        (part, (65, 1000)) for part in ("Enrollment", "Calibration", "Testing")
    }
    rows = plan("m3cv", twins / "m3cv", "--for", "pretrain")["recordings"]
    assert Counter((row["subject"], row["outcome"]) for row in rows) == {
        ("m3cv:sub001", ""): 3,
        ("m3cv:sub002", ""): 3,
        ("m3cv:unknown", "skipped"): 2,
    }


@pytest.mark.slow
def test_films_of_the_seediv_twin_follow_the_published_list(tmp_path: Path) -> None:
    synth.write("seediv", tmp_path / "raw", 1, 10.0, seed=0)
    folder = preprocess("seediv", tmp_path / "raw", tmp_path, "--for", "probe")
    for path, row in recordings(folder).items():
        got = Counter(one.label_name for one in of_recording(folder, path))
        assert set(got) == {"neutral", "sad", "fear", "happy"}
        # Films of 10 to 12 s hold two windows each, or three where they last all of twelve.
        assert all(12 <= count <= 18 for count in got.values())
        assert row["session"] == path.split("/")[1]


@pytest.mark.parametrize("corpus", ["tsu", "m3cv"])
def test_twin_is_the_same_for_the_same_seed(corpus: str, tmp_path: Path) -> None:
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        synth.write(corpus, tmp_path / name, 1, 16.0, seed)
    first, again, other = (
        {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in (tmp_path / name).rglob("*.mat")}
        for name in ("first", "again", "other")
    )
    assert first == again
    assert first.keys() == other.keys()
    assert first != other
