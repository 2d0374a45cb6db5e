"""Probes: what they write is what they predicted, and nothing is chosen by looking at test."""

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dare_eeg import open_shards
from dare_eeg.encoders.weights import read_weights, save_encoder
from manifests.atomic_io import sha256_file
from manifests.manifest import SPLITS
from manifests.shard_format import Index
from tests.commands import Answer, dare
from tests.dare_eeg.probing.test_metrics import by_hand
from tests.dare_eeg.sets import recorded, truncate, write_set

pytestmark = pytest.mark.slow

MODES = {"linear": (), "conv-linear": ("--epochs", 2), "finetune": ("--epochs", 1)}
RESAMPLES = 20
"""A few, as intervals are judged elsewhere."""

METRICS = {"balanced_accuracy", "accuracy", "auroc", "auc_pr", "kappa", "weighted_f1"}


def ask(corpus: str, shards: Path, encoder: object, out: Path, *options: object) -> Answer:
    named = ("--shards", shards, "--encoder", encoder, "--out", out)
    return dare("probe", corpus, *named, "--resamples", RESAMPLES, *options)


def probed(corpus: str, shards: Path, encoder: object, out: Path, *options: object) -> dict[str, Any]:
    """Probe, which must go well, and return the results."""
    answer = ask(corpus, shards, encoder, out, *options)
    assert answer.status == 0, answer.err
    return json.loads((out / "results.json").read_text())


def predictions(folder: Path) -> tuple[list[dict[str, str]], NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows of predictions.csv, their labels and their probabilities."""
    with (folder / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    told = [[float(value) for name, value in row.items() if name.startswith("p_")] for row in rows]
    return rows, np.array([int(row["label"]) for row in rows]), np.array(told)


@pytest.fixture(scope="module", params=MODES)
def answered(
    request: pytest.FixtureRequest, tuab: Path, nano_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, dict[str, Any]]:
    """A probe of the synthetic patients in each mode: the mode, its folder, its results."""
    out = tmp_path_factory.mktemp("probes") / request.param
    results = probed("tuab", tuab, nano_run, out, "--mode", request.param, *MODES[request.param])
    return request.param, out, results


@pytest.fixture(scope="module")
def imagined(bcic2b: Path, nano_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A probe of imagined movements, each subject held out in turn."""
    out = tmp_path_factory.mktemp("probes") / "bcic2b"
    return out, probed("bcic2b", bcic2b, nano_run, out, "--mode", "conv-linear", "--epochs", 1)


@pytest.mark.slow
def test_results_say_what_was_asked_and_how_it_went(
    answered: tuple[str, Path, dict[str, Any]], tuab: Path, nano_run: Path
) -> None:
    mode, out, results = answered
    assert (results["corpus"], results["protocol"], results["mode"]) == ("tuab", "official", mode)
    assert results["manifest_sha256"] == sha256_file(tuab / "manifest.json")
    encoder = results["encoder"]
    assert (encoder["path"], encoder["size"], encoder["step"]) == (str(nano_run), "nano", 4)
    assert encoder["sha256"] == sha256_file(nano_run / "encoder.safetensors")
    assert results["seeds"] == [0]
    (fold,) = results["folds"]
    for split in SPLITS:
        windows = open_shards(tuab, split)
        assert fold["subjects"][split] == sorted(set(windows.subjects.tolist()))
        assert fold["windows"][split] == len(windows)
    assert len(fold["selected"]) == 1
    pictures = {path.name for path in out.iterdir()}
    expected = {"results.json", "predictions.csv", "confusion.png", "report.html"}
    assert pictures == expected | {"fits"} | ({"features"} if mode == "linear" else {"curves.png"})


def test_predictions_have_a_row_for_every_test_window(answered: tuple[str, Path, dict[str, Any]], tuab: Path) -> None:
    rows, labels, told = predictions(answered[1])
    windows = open_shards(tuab, "test")
    facts = ["repeat", "seed", "recording", "start_s", "subject", "label"]
    assert list(rows[0]) == [*facts, "p_normal", "p_abnormal"]
    assert len(rows) == len(windows) > 0
    assert [row["recording"] for row in rows] == windows.recordings.tolist()
    assert [row["subject"] for row in rows] == windows.subjects.tolist()
    assert [float(row["start_s"]) for row in rows] == pytest.approx(windows.start_s)
    assert labels.tolist() == windows.labels.tolist()
    np.testing.assert_allclose(told.sum(axis=1), 1)
    assert len({tuple(one) for one in told.tolist()}) > 1


def test_metrics_are_those_of_the_predictions(answered: tuple[str, Path, dict[str, Any]]) -> None:
    rows, labels, told = predictions(answered[1])
    results = answered[2]
    recordings = np.array([row["recording"] for row in rows])
    names, first = np.unique(recordings, return_index=True)
    means = np.stack([told[recordings == name].mean(axis=0) for name in names])
    assert set(results["metrics"]) == {"window", "recording"}
    for level, expected in (("window", by_hand(labels, told)), ("recording", by_hand(labels[first], means))):
        table = results["metrics"][level]
        assert set(table) == METRICS
        for name, value in table.items():
            assert value["mean"] == pytest.approx(expected[name], abs=1e-9), name
            assert value["sd"] == 0
            assert len(value["ci95"]) == 2
    counts = np.zeros((2, 2), int)
    np.add.at(counts, (labels, told.argmax(axis=1)), 1)
    assert results["confusion"]["counts"] == counts.tolist()


@pytest.mark.slow
def test_figures_are_the_mean_over_repeats_and_seeds_of_what_the_predictions_give(bcic2b: Path, tmp_path: Path) -> None:
    options = ("--protocol", "kfold", "--size", "nano", "--repeats", 2, "--seeds", 3)
    results = probed("bcic2b", bcic2b, "scratch", tmp_path / "out", *options)
    rows, labels, told = predictions(tmp_path / "out")
    rounds = np.array([(int(row["repeat"]), int(row["seed"])) for row in rows])
    assert sorted(set(map(tuple, rounds.tolist()))) == [(repeat, seed) for repeat in range(2) for seed in range(3)]
    for name, value in results["metrics"]["window"].items():
        table = np.zeros((2, 3))
        for repeat, seed in np.ndindex(2, 3):
            mine = (rounds == (repeat, seed)).all(axis=1)
            table[repeat, seed] = by_hand(labels[mine], told[mine])[name]
        assert value["mean"] == pytest.approx(table.mean(), abs=1e-9)
        assert value["seeds"] == pytest.approx(table.mean(axis=0), abs=1e-9)
        assert value["repeats"] == pytest.approx(table.mean(axis=1), abs=1e-9)
        assert value["sd"] == pytest.approx(table.mean(axis=0).std(ddof=1), abs=1e-9)
        assert value["sd_repeats"] == pytest.approx(table.mean(axis=1).std(ddof=1), abs=1e-9)
        low, high = value["ci95"]
        assert low <= value["mean"] <= high
    chosen = [[fold["subjects"]["valid"] for fold in results["folds"] if fold["repeat"] == one] for one in (0, 1)]
    assert chosen[0] != chosen[1]


@pytest.mark.slow
def test_every_subject_is_held_out_in_turn(imagined: tuple[Path, dict[str, Any]], bcic2b: Path) -> None:
    out, results = imagined
    whole = open_shards(bcic2b, SPLITS)
    subjects = sorted(set(whole.subjects.tolist()))
    assert results["protocol"] == "loso"
    assert sorted(fold["subjects"]["test"] for fold in results["folds"]) == [[subject] for subject in subjects]
    for fold in results["folds"]:
        sides = [subject for split in SPLITS for subject in fold["subjects"][split]]
        assert sorted(sides) == subjects
    rows, labels, told = predictions(out)
    assert len(rows) == len(whole)
    assert list(rows[0])[6:] == ["p_left", "p_right"]
    assert set(results["metrics"]) == {"window"}, "a recording holds both hands"
    for name, value in results["metrics"]["window"].items():
        assert value["mean"] == pytest.approx(by_hand(labels, told)[name], abs=1e-9), name


@pytest.mark.slow
def test_labels_of_test_windows_choose_nothing(
    tuab: Path, nano_run: Path, tmp_path: Path, answered: tuple[str, Path, dict[str, Any]]
) -> None:
    mode, out, told_the_truth = answered
    other = shutil.copytree(tuab, tmp_path / "other")
    for path in (other / "test").glob("*.idx.npz"):
        index = Index.read(path)
        path.write_bytes(replace(index, label=0 * index.label).to_bytes())
    assert set(open_shards(other, "test").labels.tolist()) == {0} != set(open_shards(tuab, "test").labels.tolist())
    results = probed("tuab", other, nano_run, tmp_path / "out", "--mode", mode, *MODES[mode])
    assert [fold["selected"] for fold in results["folds"]] == [fold["selected"] for fold in told_the_truth["folds"]]
    np.testing.assert_array_equal(predictions(tmp_path / "out")[2], predictions(out)[2])
    called_normal = np.mean(predictions(out)[2].argmax(axis=1) == 0)
    assert results["metrics"]["window"]["accuracy"]["mean"] == pytest.approx(called_normal)


@pytest.mark.slow
@pytest.mark.parametrize("answered", ["linear"], indirect=True)
def test_test_subjects_that_the_encoder_has_seen_are_named(
    answered: tuple[str, Path, dict[str, Any]], tuab: Path, nano_run: Path, tmp_path: Path
) -> None:
    assert answered[2]["contamination"]["known"]
    assert answered[2]["contamination"]["seen_in_pretraining"] == []
    results = probed("tuab", tuab, nano_run, tmp_path / "out", "--protocol", "kfold")
    trained_on = sorted(set(open_shards(tuab, ("train", "valid")).subjects.tolist()))
    assert results["contamination"]["seen_in_pretraining"] == trained_on
    assert results["contamination"]["note"].startswith(f"{len(trained_on)} of 10 test subjects were seen")


@pytest.mark.slow
def test_scratch_is_a_control_whose_weights_go_by_the_seed(tuab: Path, tmp_path: Path) -> None:
    options = ("--size", "nano", "--seeds", 2)
    results = probed("tuab", tuab, "scratch", tmp_path / "out", *options)
    assert probed("tuab", tuab, "scratch", tmp_path / "again", *options) == results
    assert results["seeds"] == [0, 1]
    assert (results["encoder"]["sha256"], results["encoder"]["step"]) == ("", 0)
    assert results["contamination"]["note"] == "the encoder was not pretrained"
    for value in results["metrics"]["window"].values():
        assert value["mean"] == pytest.approx(np.mean(value["seeds"]))
        assert value["sd"] == pytest.approx(np.std(value["seeds"], ddof=1))


def test_the_newest_run_is_probed_where_none_is_named(
    tuab: Path, nano_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("older", "newest", "oldest")):
        shutil.copytree(nano_run, tmp_path / "runs" / name)
        age = {"oldest": 3, "older": 2, "newest": 1}[name]
        os.utime(tmp_path / "runs" / name / "encoder.safetensors", (1e9 + number, 1e9 - age))
    monkeypatch.chdir(tmp_path)
    answer = dare("probe", "tuab", "--shards", tuab)
    assert answer.status == 0, answer.err
    results = json.loads((tmp_path / "probes" / "tuab" / "newest-linear" / "results.json").read_text())
    assert results["encoder"]["path"] == "runs/newest"


def test_without_any_run_the_way_out_is_named(tuab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = dare("probe", "tuab", "--shards", tuab)
    assert answer.status == 2
    assert "holds no run with an encoder; pretrain one or give --encoder" in answer.complaint


@pytest.mark.parametrize("damage", ["missing", "truncated", "empty", "another size", "no encoder"])
def test_an_encoder_that_is_not_whole_is_refused_in_one_line(
    tuab: Path, nano_run: Path, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "encoder.safetensors"
    state, provenance, _ = read_weights(nano_run)
    match damage:
        case "truncated" | "empty":
            shutil.copy(nano_run / "encoder.safetensors", file)
            truncate(file, 5000 if damage == "truncated" else 0)
        case "another size":
            save_encoder(file, state, provenance.model_copy(update={"width": 128}))
        case "no encoder":
            save_encoder(file, {"weight": torch.zeros(3)}, provenance)
    answer = ask("tuab", tuab, file, tmp_path / "out")
    assert answer.status == 2
    assert answer.complaint.startswith(f"dare: {file}: ")
    assert not (tmp_path / "out").exists()


def test_a_set_without_labels_is_refused(tuab_pretrain: Path, nano_run: Path, tmp_path: Path) -> None:
    answer = ask("tuab", tuab_pretrain, nano_run, tmp_path / "out")
    assert answer.status == 2
    assert f"{tuab_pretrain}: has no labels" in answer.complaint


@pytest.mark.parametrize("mode", ["linear", "conv-linear"])
def test_a_train_part_of_a_single_class_is_refused_in_one_line(nano_run: Path, tmp_path: Path, mode: str) -> None:
    both = [0, 1] * 2
    splits = {
        "train": [recorded("tuh:a", 4, labels=[1] * 4)],
        "valid": [recorded("tuh:b", 4, labels=both)],
        "test": [recorded("tuh:c", 4, labels=both)],
    }
    folder = write_set(tmp_path / "single", splits, classes=("normal", "abnormal"))
    answer = ask("tuab", folder, nano_run, tmp_path / "out", "--mode", mode, "--protocol", "official")
    assert answer.status == 2
    assert answer.complaint.startswith(f"dare: {folder}: ")


def test_modes_that_do_not_exist_are_refused(tuab: Path, nano_run: Path, tmp_path: Path) -> None:
    answer = ask("tuab", tuab, nano_run, tmp_path / "out", "--mode", "linear,guess")
    assert answer.status == 2
    assert "--mode guess: there is none; choose among conv-linear, linear, lora, finetune" in answer.err


def test_the_corpus_named_is_the_corpus_probed(bcic2b: Path, nano_run: Path, tmp_path: Path) -> None:
    answer = ask("tuab", bcic2b, nano_run, tmp_path / "out")
    assert answer.status == 2
    assert "bcic2b" in answer.complaint
