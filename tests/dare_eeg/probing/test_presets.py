"""Presets: FMScope's linear probe is a plain scikit-learn pipeline on our features, and its folds are named."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from dare_eeg import open_shards
from dare_eeg.encoders.ours import load_encoder
from dare_eeg.probing.classifiers.frozen import features
from manifests.manifest import SPLITS
from pipelines import synth
from tests.commands import dare, preprocess, unusable
from tests.dare_eeg.probing.test_probe import ask, predictions, probed
from tests.dare_eeg.sets import pretrained

SEEDS = (42, 123, 2024, 7, 0, 1, 99, 31337)
"""Of the folds, as FMScope's results name them."""


@pytest.fixture(scope="module")
def eegmat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set of nine synthetic subjects, of whom each rests in one recording and calculates in another."""
    folder = tmp_path_factory.mktemp("calculating")
    synth.write("eegmat", folder / "raw", subjects=9, seconds=16.0, seed=0)
    return preprocess("eegmat", folder / "raw", folder / "shards", "--set", "balance=false")


@pytest.fixture(scope="module")
def run(eegmat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on them."""
    return pretrained(eegmat, tmp_path_factory.mktemp("runs") / "nano", "--steps", 2)


@pytest.fixture(scope="module")
def fmscope(eegmat: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A probe by the preset: its folder and results."""
    out = tmp_path_factory.mktemp("probes") / "fmscope"
    return out, probed("eegmat", eegmat, run, out, "--set", "preset=fmscope")


def by_hand(
    table: NDArray[np.float32], recordings: NDArray[np.str_], subjects: NDArray[np.str_], labels: NDArray[np.int64]
) -> dict[tuple[int, str], list[list[float]]]:
    """Return by (repeat, recording) the probabilities of its windows in their order, as FMScope's own text has it."""
    names = np.unique(recordings)
    of_recordings = [(labels[recordings == name][0], subjects[recordings == name][0]) for name in names]
    classes, groups = (np.array(column) for column in zip(*of_recordings, strict=True))
    told = {}
    for repeat, seed in enumerate(SEEDS):
        for train, test in StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(names, classes, groups):
            fitted, asked = (np.isin(recordings, names[part]) for part in (train, test))
            low, high = np.percentile(table[fitted], [1, 99], axis=0).astype(np.float32)
            scaler = StandardScaler().fit(np.clip(table[fitted], low, high))
            model = LogisticRegression(C=1, class_weight="balanced", max_iter=1000)
            model.fit(scaler.transform(np.clip(table[fitted], low, high)), labels[fitted])
            found = model.predict_proba(scaler.transform(np.clip(table[asked], low, high)))
            for name in names[test]:
                told[repeat, str(name)] = found[recordings[asked] == name].tolist()
    return told


def test_fmscope_is_a_plain_pipeline_of_scikit_learn(
    eegmat: Path, run: Path, fmscope: tuple[Path, dict[str, Any]]
) -> None:
    windows = open_shards(eegmat, SPLITS)
    table = features(load_encoder(run), windows, "mean", lambda _share: None)
    expected = by_hand(table, windows.recordings, windows.subjects, windows.labels.astype(np.int64))
    rows, _, told = predictions(fmscope[0])
    found: dict[tuple[int, str], list[list[float]]] = {}
    for row, probabilities in zip(rows, told.tolist(), strict=True):
        found.setdefault((int(row["repeat"]), row["recording"]), []).append(probabilities)
    assert found.keys() == expected.keys()
    for place, probabilities in expected.items():
        np.testing.assert_allclose(found[place], probabilities, atol=1e-6)


def test_its_figure_is_of_recordings_and_the_mean_over_eight_draws_of_folds(
    fmscope: tuple[Path, dict[str, Any]],
) -> None:
    out, results = fmscope
    rows, labels, told = predictions(out)
    figures = []
    for repeat in range(8):
        mine = np.array([row["repeat"] == str(repeat) for row in rows])
        names = np.array([row["recording"] for row in rows])
        means = [
            (labels[mine & (names == name)][0], told[mine & (names == name)].mean(axis=0).argmax())
            for name in sorted(set(names[mine].tolist()))
        ]
        figures.append(balanced_accuracy_score(*zip(*means, strict=True)))
    figure = results["metrics"]["recording"]["balanced_accuracy"]
    assert figure["repeats"] == pytest.approx(figures)
    assert figure["mean"] == pytest.approx(np.mean(figures))
    assert (results["protocol"], results["repeats"]) == ("stratified", list(range(8)))
    assert (results["practice"]["clip"], results["practice"]["penalty"]) == (0.01, 1.0)


def test_what_is_asked_for_stands_above_the_preset(eegmat: Path, run: Path, tmp_path: Path) -> None:
    asked = ("--set", "penalty=0.1", "--set", "preset=fmscope", "--repeats", 2, "--protocol", "kfold")
    results = probed("eegmat", eegmat, run, tmp_path / "out", *asked)
    assert (results["protocol"], results["repeats"]) == ("kfold", [0, 1])
    assert (results["practice"]["clip"], results["practice"]["penalty"]) == (0.01, 0.1)
    assert {fit["C"] for fold in results["folds"] for fit in fold["selected"]} == {0.1}


def test_a_row_by_it_has_a_name_of_its_own(eegmat: Path, run: Path, tmp_path: Path) -> None:
    asked = ("--encoder", f"{run},scratch", "--size", "nano", "--set", "preset=fmscope", "--repeats", 1)
    answer = dare("probe", "eegmat", "--shards", eegmat, "--out", tmp_path, "--resamples", 2, *asked)
    assert answer.status == 0, answer.err
    assert {path.parent.name for path in tmp_path.glob("*/results.json")} == {
        "nano-linear-clipped-0.01-penalty-1",
        "scratch-nano-linear-clipped-0.01-penalty-1",
    }


def test_a_ridge_regression_takes_a_stated_penalty_and_clipped_columns(eegmat: Path, run: Path, tmp_path: Path) -> None:
    asked = ("--set", "classifier=ridge", "--set", "penalty=2", "--set", "clip=0.1")
    results = probed("eegmat", eegmat, run, tmp_path / "out", *asked)
    assert {fit["penalty"] for fold in results["folds"] for fit in fold["selected"]} == {2.0}


def test_an_unknown_preset_and_a_mode_that_it_does_not_suit_are_refused(
    eegmat: Path, run: Path, tmp_path: Path
) -> None:
    strange = ask("eegmat", eegmat, run, tmp_path / "out", "--set", "preset=fmscop")
    unusable(strange, "--set preset=fmscop: no preset 'fmscop'; there is fmscope")
    finetune = ask("eegmat", eegmat, run, tmp_path / "out", "--set", "preset=fmscope", "--mode", "finetune")
    unusable(finetune, "clip is no choice of finetune")


def test_the_published_split_needs_its_subjects(eegmat: Path, run: Path, tuab: Path, tmp_path: Path) -> None:
    lacking = ask("eegmat", eegmat, run, tmp_path / "out", "--protocol", "fixed")
    unusable(lacking, eegmat, "none of the subjects of the fixed test, eegmat:Subject32 to eegmat:Subject35")
    unknown = ask("tuab", tuab, run, tmp_path / "out", "--protocol", "fixed")
    unusable(unknown, tuab, "of tuab no split by named subjects is known; probe it with --protocol kfold")


def test_predictions_of_the_preset_are_of_every_window_once_a_repeat(
    eegmat: Path, fmscope: tuple[Path, dict[str, Any]]
) -> None:
    with (fmscope[0] / "predictions.csv").open() as stream:
        rows = [(row["repeat"], row["recording"], row["start_s"]) for row in csv.DictReader(stream)]
    assert len(rows) == len(set(rows)) == 8 * len(open_shards(eegmat, SPLITS))
