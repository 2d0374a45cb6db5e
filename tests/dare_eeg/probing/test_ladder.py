"""The ladder: baselines and encoders on the same windows, who is told from whom, and what is done only once."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyriemann.tangentspace import TangentSpace
from scipy.signal import welch
from sklearn.metrics import balanced_accuracy_score

from dare_eeg import open_shards
from dare_eeg.probing.baselines import fitter
from dare_eeg.probing.classifiers.representations import BANDS_HZ, band_power, centred, covariances, in_every_window
from dare_eeg.probing.figures.statistics import sign_flips
from dare_eeg.probing.options import BASELINES, ProbeOptions
from dare_eeg.probing.splits import folds
from manifests.manifest import SPLITS
from pipelines import synth
from tests.commands import dare, preprocess, unusable


def none(_share: float) -> None:
    """Take no notice of progress."""


@pytest.fixture(scope="module")
def ladder(bcic2b: Path, nano_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A ladder of all baselines, an encoder and its control on imagined movements."""
    root = tmp_path_factory.mktemp("probes")
    asked = ("--shards", bcic2b, "--out", root, "--protocol", "kfold", "--resamples", 5, "--repeats", 2, "--epochs", 3)
    answer = dare("probe", "bcic2b", "--encoder", f"{nano_run},scratch", "--size", "nano", "--baselines", *asked)
    assert answer.status == 0, answer.err
    return root, json.loads((root / "ladder.json").read_text())


def test_rows_stand_best_first_with_their_kind_and_budget(ladder: tuple[Path, dict[str, Any]]) -> None:
    root, found = ladder
    rows = {row["name"]: row for row in found["rows"]}
    assert set(BASELINES) < rows.keys()
    figures = [row["metrics"]["balanced_accuracy"]["mean"] for row in found["rows"]]
    assert figures == sorted(figures, reverse=True)
    kinds = {name: row["kind"] for name, row in rows.items()}
    assert {kinds.pop(name) for name in BASELINES} == {"baseline"}
    assert sorted(kinds.values()) == ["frozen encoder", "scratch"]
    assert {name: row["candidates"] for name, row in rows.items()} == {
        name: {"majority": 1, "eegnet": 3, "shallow-fbcsp": 3}.get(name, 6) for name in rows
    }
    assert rows["majority"]["metrics"]["balanced_accuracy"]["mean"] == 0.5
    table = (root / "ladder.csv").read_text().splitlines()
    assert {row["row"] for row in csv.DictReader(table)} == rows.keys()


def test_an_encoder_is_compared_over_subjects_with_its_control_and_the_best_baseline(
    ladder: tuple[Path, dict[str, Any]],
) -> None:
    root, found = ladder
    (encoder,) = (row for row in found["rows"] if row["kind"] == "frozen encoder")
    best = next(row["name"] for row in found["rows"] if row["kind"] == "baseline")
    assert [one["against"] for one in encoder["comparisons"]] == ["scratch-nano-linear", best]
    for one in encoder["comparisons"]:
        ours, theirs = by_subject(root / encoder["name"]), by_subject(root / one["against"])
        expected = sign_flips(ours, theirs)
        assert (one["p"], one["subjects"]) == (pytest.approx(expected.p), len(ours))
        assert one["difference"] == pytest.approx(ours.sum() - theirs.sum())
        assert one["p_holm"] >= one["p"]


def by_subject(row: Path) -> np.ndarray:
    """Return what each subject adds to balanced accuracy, the mean over rounds, written out."""
    rows = list(csv.DictReader((row / "predictions.csv").read_text().splitlines()))
    names = sorted({one["subject"] for one in rows})
    rounds = sorted({(one["repeat"], one["seed"]) for one in rows})
    told = np.zeros((len(rounds), len(names)))
    for place, of_round in enumerate(rounds):
        mine = [one for one in rows if (one["repeat"], one["seed"]) == of_round]
        counts = {label: sum(one["label"] == label for one in mine) for label in ("0", "1")}
        for one in mine:
            right = (float(one["p_right"]) > float(one["p_left"])) == (one["label"] == "1")
            told[place, names.index(one["subject"])] += right / (2 * counts[one["label"]])
        truth = [int(one["label"]) for one in mine]
        guess = [int(float(one["p_right"]) > float(one["p_left"])) for one in mine]
        assert told[place].sum() == pytest.approx(balanced_accuracy_score(truth, guess))
    return told.mean(axis=0)


def test_rows_that_are_done_are_kept_when_another_joins(ladder: tuple[Path, dict[str, Any]], bcic2b: Path) -> None:
    root, found = ladder
    before = {path: path.read_bytes() for path in root.glob("*/results.json")}
    asked = ("--shards", bcic2b, "--out", root, "--protocol", "kfold", "--resamples", 5, "--repeats", 2)
    answer = dare("probe", "bcic2b", "--baselines", "majority,band-power-logistic", *asked)
    assert answer.err.count("done before by the same encoder, set and options; kept") == 2
    assert {path: path.read_bytes() for path in before} == before
    joined = dare("probe", "bcic2b", "--baselines", "majority,tangent-space", "--set", "centre=subject", *asked)
    assert joined.status == 0, joined.err
    rows = {row["name"]: row for row in json.loads((root / "ladder.json").read_text())["rows"]}
    assert rows.keys() == {row["name"] for row in found["rows"]} | {"majority-centred", "tangent-space-centred"}
    assert {name for name, row in rows.items() if row["transductive"]} == {"majority-centred", "tangent-space-centred"}
    assert "without labels, in centring each subject" in joined.out
    assert "baseline, transductive" in joined.out


def test_centring_is_refused_where_subjects_have_one_class(tuab: Path, tmp_path: Path) -> None:
    asked = ("--baselines", "majority", "--set", "centre=subject", "--out", tmp_path / "probe")
    unusable(dare("probe", "tuab", "--shards", tuab, *asked), "subjects have one class", "leave out")


def test_a_baseline_that_does_not_exist_and_one_for_two_classes_are_refused(physionetmi: Path, tmp_path: Path) -> None:
    asked = ("probe", "physionetmi", "--shards", physionetmi, "--out", tmp_path / "probe", "--baselines")
    unusable(dare(*asked, "lda"), "--baselines lda: there is none; choose among majority")
    unusable(dare(*asked, "csp-lda"), "tells two classes apart, and there are 4")


@pytest.fixture(scope="module")
def physionetmi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of four classes."""
    folder = tmp_path_factory.mktemp("physionetmi")
    synth.write("physionetmi", folder / "raw", 3, 20.0, seed=0)
    small = ("--set", "electrodes=C3,CZ,C4", "--set", "sfreq_hz=100", "--set", "band_hz=0.5,40")
    return preprocess("physionetmi", folder / "raw", folder, *small)


def test_band_power_is_welchs(bcic2b: Path) -> None:
    windows = open_shards(bcic2b, SPLITS)
    found = band_power(windows, none).reshape(len(windows), len(windows.electrodes), len(BANDS_HZ))
    x_uv, _ = windows[7]
    frequencies, density = welch(x_uv, windows.sfreq, nperseg=round(2 * windows.sfreq))
    for band, (low, high) in enumerate(BANDS_HZ):
        inside = (frequencies >= low) & (frequencies < high)
        np.testing.assert_allclose(found[7, :, band], np.log(density[:, inside].mean(axis=1)), rtol=1e-3, atol=1e-3)


def test_covariances_in_tangent_space_are_pyriemanns_fitted_on_train_alone(bcic2b: Path) -> None:
    windows = open_shards(bcic2b, SPLITS)
    fold = folds(windows, "kfold")[0]
    table = covariances(windows, ((1.0, 45.0),), in_every_window(windows), none)
    assert (np.linalg.eigvalsh(table) > 0).all()
    told = fitter("tangent-space", windows, ProbeOptions())(fold, 0, none).probabilities
    changed = open_shards(bcic2b, SPLITS)
    changed.labels[fold.test] = 1 - changed.labels[fold.test]
    np.testing.assert_array_equal(fitter("tangent-space", changed, ProbeOptions())(fold, 0, none).probabilities, told)
    space = TangentSpace(metric="riemann").fit(table[fold.train, 0])
    assert np.isfinite(space.transform(table[fold.test, 0])).all()


def test_centred_covariances_have_the_identity_for_a_mean(bcic2b: Path) -> None:
    from pyriemann.geometry.mean import mean_riemann

    windows = open_shards(bcic2b, SPLITS)
    table = centred(covariances(windows, ((8.0, 30.0),), in_every_window(windows), none), windows.subjects)
    for subject in sorted(set(windows.subjects.tolist())):
        mean = mean_riemann(table[windows.subjects == subject, 0])
        np.testing.assert_allclose(mean, np.eye(len(windows.electrodes)), atol=1e-6)
    rows = centred(band_power(windows, none), windows.subjects)
    np.testing.assert_allclose(rows[windows.subjects == windows.subjects[0]].mean(axis=0), 0, atol=1e-5)
