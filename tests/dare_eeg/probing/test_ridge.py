"""Ridge regressions in closed form are scikit-learn's, and no table is copied more than once."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dare_eeg.probing.classifiers.search import Family, fit_best
from dare_eeg.probing.modes.linear import logistic, ridge
from dare_eeg.probing.splits import folds
from tests.dare_eeg.probing.test_probe import probed
from tests.dare_eeg.probing.test_search import People, windows


@pytest.mark.parametrize("columns", [30, 300])  # fewer than there are windows, and more
@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_it_is_scikit_learn_s_with_balanced_classes(columns: int, num_classes: int, dtype: str) -> None:
    people = People()
    people.classes = tuple("abc"[:num_classes])
    people.labels = np.minimum(np.random.default_rng(1).integers(0, 5, len(people.labels)), num_classes - 1)
    further = np.random.default_rng(2).normal(0, 1, (len(people.table), columns - 30))
    table = (np.hstack([people.table, further]) * 7 + 100 * np.arange(columns)).astype(dtype)
    fold = folds(windows(people), "kfold")[0]
    rows = np.sort(np.concatenate([fold.train, fold.valid]))
    for candidate in ridge().candidates:
        found = fit_best(replace(ridge(), candidates=[candidate]), table, windows(people), fold)
        alpha = candidate.figures["penalty"] * len(rows)
        model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=alpha, class_weight="balanced"))
        model.fit(table[rows].astype(np.float64), people.labels[rows])
        scores = model.decision_function(table[fold.test].astype(np.float64))
        scores = np.column_stack([-scores, scores]) if num_classes == 2 else scores
        expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-9 if dtype == "float64" else 1e-4)


def test_its_penalty_is_chosen_on_training_subjects_alone() -> None:
    people, flipped = People(), People()
    fold = folds(windows(people), "kfold")[1]
    flipped.labels[fold.test] = 1 - flipped.labels[fold.test]
    found, after = (fit_best(ridge(), people.table, windows(one), fold) for one in (people, flipped))
    assert found.selected == after.selected
    assert (found.selected["candidates"], "inner_folds_balanced_accuracy" in found.selected) == (6, True)
    np.testing.assert_array_equal(found.probabilities, after.probabilities)


@pytest.mark.parametrize("family", [logistic, ridge])
def test_a_table_on_disk_is_not_copied_more_than_once(family: Callable[[], Family], tmp_path: Path) -> None:
    people = People()
    times = 250
    for name in ("subjects", "recordings", "labels", "split"):
        setattr(people, name, np.tile(getattr(people, name), times))
    np.save(tmp_path / "table.npy", np.tile(people.table, (times, 8)).astype(np.float32))
    table = np.load(tmp_path / "table.npy", mmap_mode="r", allow_pickle=False)
    assert table.nbytes > 50e6
    fold = folds(windows(people), "kfold")[0]
    alone = replace(family(), candidates=family().candidates[:1])
    fit_best(
        alone, table[:1000], windows(People()), folds(windows(People()), "kfold")[0]
    )  # what is imported is no copy
    tracemalloc.start()
    fit_best(alone, table, windows(people), fold)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * table.nbytes


@pytest.mark.slow
def test_a_probe_by_ridge_has_a_row_of_its_own_and_says_so(bcic2b: Path, nano_run: Path, tmp_path: Path) -> None:
    results = probed("bcic2b", bcic2b, nano_run, tmp_path, "--set", "classifier=ridge", "--protocol", "kfold")
    assert results["practice"]["classifier"] == "ridge"
    assert {"penalty", "candidates"} < results["folds"][0]["selected"][0].keys()
