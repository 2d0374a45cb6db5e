"""Metrics against their formulas, written out; intervals over people, not windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dare_eeg.probing.figures.metrics import Scored, by_recording, interval, scores
from dare_eeg.probing.figures.resampling import resampled_scores

FEW = 100
"""Resamples enough to tell what an interval is made of."""

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]


def by_hand(labels: Labels, told: Probabilities) -> dict[str, float]:
    """Return each metric by its definition, for labels that hold every class."""
    classes = range(told.shape[1])
    ranked = [1] if len(classes) == 2 else list(classes)
    return _of_the_likeliest(labels, told) | {
        "auroc": float(np.mean([auroc(labels == c, told[:, c]) for c in ranked])),
        "auc_pr": float(np.mean([average_precision(labels == c, told[:, c]) for c in ranked])),
    }


def _of_the_likeliest(labels: Labels, told: Probabilities) -> dict[str, float]:
    counts = np.zeros((told.shape[1],) * 2)
    for label, guess in zip(labels, told.argmax(axis=1), strict=True):
        counts[label, guess] += 1
    right, true, guessed, number = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    agreement, chance = right.sum() / number, (true * guessed).sum() / number**2
    f1 = 2 * right / np.maximum(true + guessed, 1)
    return {
        "balanced_accuracy": float(np.mean(right[true > 0] / true[true > 0])),
        "accuracy": float(agreement),
        "kappa": float((agreement - chance) / (1 - chance)),
        "weighted_f1": float((f1 * true).sum() / number),
    }


def auroc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Return how often a positive scores above a negative, ties counting half."""
    above = score[positive][:, None] - score[~positive][None]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


def average_precision(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Return the sum, over thresholds, of precision times the recall that a threshold adds."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(score.tolist()), reverse=True):
        chosen = score >= threshold
        reached = (positive & chosen).sum() / positive.sum()
        total += (reached - recall) * (positive & chosen).sum() / chosen.sum()
        recall = reached
    return float(total)


def predictions(num_classes: int, windows: int, seed: int, decimals: int = 15) -> tuple[Labels, Probabilities]:
    """Return labels that hold every class, and guesses that are somewhat right."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(num_classes), rng.integers(0, num_classes, windows - num_classes)])
    logits = rng.standard_normal((windows, num_classes)) + 0.8 * np.eye(num_classes)[labels]
    told = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, told.round(decimals)


@pytest.mark.slow
@given(st.integers(2, 6), st.integers(12, 80), st.integers(0, 10_000), st.sampled_from([1, 15]))
def test_scores_are_those_of_the_formulas(num_classes: int, windows: int, seed: int, decimals: int) -> None:
    labels, told = predictions(num_classes, windows, seed, decimals)
    assert scores(labels, told) == pytest.approx(by_hand(labels, told), abs=1e-12)


def test_where_a_class_is_missing_ranks_are_not_a_number_and_the_rest_is() -> None:
    labels, told = predictions(3, 30, seed=1)
    kept = labels != 2
    found = scores(labels[kept], told[kept])
    assert np.isnan([found["auroc"], found["auc_pr"]]).all()
    expected = _of_the_likeliest(labels[kept], told[kept])
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_perfect_and_inverted_predictions_have_the_extreme_scores() -> None:
    labels = np.array([0, 0, 1, 1])
    told = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    assert set(scores(labels, told).values()) == {1.0}
    inverted = scores(1 - labels, told)
    assert (inverted["balanced_accuracy"], inverted["auroc"], inverted["kappa"]) == (0.0, 0.0, -1.0)


def test_recordings_have_the_mean_word_of_their_windows() -> None:
    labels, told = np.array([1, 0, 1, 0, 1]), np.random.default_rng(0).dirichlet([1, 1], 5)
    recordings, subjects = np.array(["b", "a", "b", "c", "b"]), np.array(["S2", "S1", "S2", "S3", "S2"])
    found = by_recording(labels, told, subjects, recordings)
    assert found is not None
    assert found[0].tolist() == [0, 1, 0]
    np.testing.assert_allclose(found[1], [told[1], told[[0, 2, 4]].mean(axis=0), told[3]])
    assert found[2].tolist() == ["S1", "S2", "S3"]


def test_recordings_with_windows_of_two_classes_have_none() -> None:
    told = np.full((3, 2), 0.5)
    assert by_recording(np.array([0, 1, 1]), told, np.array(["S", "S", "T"]), np.array(["a", "a", "b"])) is None


@pytest.mark.slow
def test_interval_holds_the_score_and_narrows_with_people() -> None:
    widths = []
    for people in (8, 80):
        labels, told = predictions(2, 10 * people, seed=3)
        subjects = np.repeat([f"s{number}" for number in range(people)], 10)
        bounds = interval([Scored(labels, told, subjects)], FEW)
        for name, value in scores(labels, told).items():
            low, high = bounds[name] or [np.nan, np.nan]
            assert low < value < high
        low, high = bounds["accuracy"] or [np.nan, np.nan]
        of_people = (told.argmax(axis=1) == labels).reshape(people, 10).mean(axis=1)
        assert high - low == pytest.approx(2 * 1.96 * of_people.std() / people**0.5, rel=0.25)
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


@pytest.mark.slow
def test_interval_is_over_people_however_many_windows_they_have() -> None:
    labels, told = predictions(2, 20, seed=4)
    subjects = np.array([f"s{number % 10}" for number in range(20)])
    thrice = interval([Scored(np.tile(labels, 3), np.tile(told, (3, 1)), np.tile(subjects, 3))], FEW)
    once = interval([Scored(labels, told, subjects)], FEW)
    for name in ("balanced_accuracy", "auroc", "kappa"):
        assert thrice[name] == pytest.approx(once[name])


@pytest.mark.slow
def test_interval_is_the_same_each_time_and_none_for_one_person() -> None:
    labels, told = predictions(2, 40, seed=5)
    subjects = np.array([f"s{number % 7}" for number in range(40)])
    assert interval([Scored(labels, told, subjects)], FEW) == interval([Scored(labels, told, subjects)], FEW)
    assert set(interval([Scored(labels, told, np.array(["s"] * 40))], FEW).values()) == {None}


def test_interval_is_of_the_mean_over_fits_and_holds_it() -> None:
    people = 12
    subjects = np.repeat([f"s{number:02d}" for number in range(people)], 10)
    labels = np.tile([0, 1], 5 * people)
    fits = [Scored(labels, predictions(2, len(labels), seed)[1], subjects) for seed in range(4)]
    bounds = interval(fits, FEW)
    for name in ("balanced_accuracy", "auroc"):
        mean = np.mean([scores(fit.labels, fit.probabilities)[name] for fit in fits])
        low, high = bounds[name] or (np.nan, np.nan)
        assert low < mean < high
        # Not of the averaged word of all, which is another predictor's, and here a better one.
        averaged = np.mean([fit.probabilities for fit in fits], axis=0)
        assert interval([Scored(labels, averaged, subjects)], FEW)[name] != bounds[name]


@pytest.mark.slow
@given(st.integers(2, 5), st.integers(12, 60), st.integers(0, 10_000), st.sampled_from([1, 15]))
def test_resampled_scores_are_those_of_the_drawn_windows(
    num_classes: int, windows: int, seed: int, decimals: int
) -> None:
    labels, told = predictions(num_classes, windows, seed, decimals)
    rng = np.random.default_rng(seed)
    subjects = np.array([f"s{number}" for number in rng.integers(0, 7, windows)])
    names = sorted(set(subjects.tolist()))
    drawn = rng.integers(0, 3, (5, len(names)))
    found = resampled_scores(labels, told, subjects, drawn)
    for draw, counts in enumerate(drawn):
        of_names = zip(names, counts.tolist(), strict=True)
        rows = np.concatenate([np.repeat(np.flatnonzero(subjects == name), count) for name, count in of_names])
        of_draw = {name: values[draw] for name, values in found.items()}
        if len(set(labels[rows].tolist())) < num_classes:
            assert np.isnan(list(of_draw.values())).all()
        else:
            assert of_draw == pytest.approx(scores(labels[rows], told[rows]), abs=1e-9)
