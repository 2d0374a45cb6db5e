"""What chooses among classifiers: training subjects held out, and nothing of the tested ones."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dare_eeg.data.shards import Windows
from dare_eeg.probing.classifiers.search import fit_best
from dare_eeg.probing.modes.linear import logistic
from dare_eeg.probing.splits import Fold, folds
from tests.commands import dare

SUBJECTS = 12


class People:
    """What a search asks of windows: subjects, recordings, labels."""

    folder = None

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.classes = ("rest", "task")
        self.subjects = np.repeat([f"s{number:02d}" for number in range(SUBJECTS)], 20)
        self.recordings = np.array([f"{name}-{number % 2}" for number, name in enumerate(self.subjects)])
        self.labels = rng.integers(0, 2, len(self.subjects))
        self.split = np.full(len(self.subjects), "train")
        own = rng.normal(0, 1, (SUBJECTS, 30))
        noise = rng.normal(0, 1, (len(self.subjects), 30))
        self.table = own.repeat(20, axis=0) + noise + 0.8 * self.labels[:, None] * (np.arange(30) < 5)


@pytest.fixture(scope="module")
def people() -> People:
    return People()


def windows(of: People) -> Windows:
    return cast(Windows, of)


def by_hand(people: People, fold: Fold) -> tuple[float, NDArray[np.float64]]:
    """Return (the penalty, the probabilities of the tested windows) by scikit-learn alone."""
    rows = np.sort(np.concatenate([fold.train, fold.valid]))
    x, y, groups = people.table[rows], people.labels[rows], people.subjects[rows]

    def model(penalty: float) -> LogisticRegression:
        regression = LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000)
        return make_pipeline(StandardScaler(), regression)

    best, chosen = -1.0, 0.0
    for penalty in (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0):
        truth, told = [], []
        for fitted, out in StratifiedGroupKFold(5).split(x, y, groups):
            truth += y[out].tolist()
            told += model(penalty).fit(x[fitted], y[fitted]).predict(x[out]).tolist()
        if (score := balanced_accuracy_score(truth, told)) > best:
            best, chosen = score, penalty
    return chosen, model(chosen).fit(x, y).predict_proba(people.table[fold.test])


def test_search_is_scikit_learn_s_over_folds_of_training_subjects(people: People) -> None:
    for fold in folds(windows(people), "kfold"):
        found = fit_best(logistic(), people.table, windows(people), fold)
        penalty, expected = by_hand(people, fold)
        assert (found.selected["C"], found.selected["candidates"]) == (penalty, 6)
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-9)


def test_labels_of_tested_windows_choose_and_change_nothing(people: People) -> None:
    fold = folds(windows(people), "kfold")[0]
    before = fit_best(logistic(), people.table, windows(people), fold)
    flipped = People()
    flipped.labels[fold.test] = 1 - flipped.labels[fold.test]
    after = fit_best(logistic(), people.table, windows(flipped), fold)
    assert after.selected == before.selected
    np.testing.assert_array_equal(after.probabilities, before.probabilities)


def test_signal_of_other_tested_windows_changes_nothing(people: People) -> None:
    fold = folds(windows(people), "kfold")[0]
    before = fit_best(logistic(), people.table, windows(people), fold)
    table = people.table.copy()
    table[fold.test[1:]] *= 1000
    after = fit_best(logistic(), table, windows(people), fold)
    assert after.selected == before.selected
    np.testing.assert_array_equal(after.probabilities[0], before.probabilities[0])


def test_one_subject_is_held_out_by_recording() -> None:
    alone = People()
    mine = np.flatnonzero(alone.subjects == "s00")
    train, test = mine[:16], mine[16:]
    found = fit_best(logistic(), alone.table, windows(alone), Fold(train[:12], train[12:], test))
    assert found.probabilities.shape == (4, 2)
    assert "inner_folds_balanced_accuracy" in found.selected


def test_a_single_candidate_is_fitted_without_a_search(people: People) -> None:
    fold = folds(windows(people), "kfold")[0]
    family = logistic()
    alone = replace(family, candidates=family.candidates[:1])
    found = fit_best(alone, people.table, windows(people), fold)
    assert found.selected == {"C": 1e-4, "candidates": 1}


def test_where_each_recording_has_one_class_valid_judges_and_all_are_fitted_on() -> None:
    alone = People()
    mine = np.flatnonzero(alone.subjects == "s00")
    alone.labels[mine] = [0, 1] * 10
    alone.recordings = np.array([f"recording {label}" for label in alone.labels])
    train, valid, test = mine[:10], mine[10:16], mine[16:]
    found = fit_best(logistic(), alone.table, windows(alone), Fold(train, valid, test))
    scores = [
        balanced_accuracy_score(
            alone.labels[valid],
            make_pipeline(StandardScaler(), LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000))
            .fit(alone.table[train], alone.labels[train])
            .predict(alone.table[valid]),
        )
        for penalty in (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    ]
    assert found.selected["valid_balanced_accuracy"] == pytest.approx(max(scores))
    both = np.concatenate([train, valid])
    again = make_pipeline(
        StandardScaler(), LogisticRegression(C=found.selected["C"], class_weight="balanced", max_iter=1000)
    ).fit(alone.table[both], alone.labels[both])
    np.testing.assert_allclose(found.probabilities, again.predict_proba(alone.table[test]), atol=1e-9)


def test_a_classifier_that_was_stopped_before_it_converged_is_told(
    tuab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("probe", "tuab", "--shards", tuab, "--baselines", "band-power-logistic", "--resamples", 2, "--out")
    said = "in 1 of 1 fits the classifier had not converged when it was stopped"
    assert said not in dare(*asked, tmp_path / "whole").out
    monkeypatch.setattr(
        "dare_eeg.probing.modes.linear._regression", lambda penalty: LogisticRegression(C=penalty, max_iter=1)
    )
    stopped = dare(*asked, tmp_path / "stopped")
    assert (stopped.status, stopped.out.count(said)) == (0, 1), stopped.err
    assert "ConvergenceWarning" not in stopped.err
