"""Statistics over subjects, against SciPy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import combine_pvalues, norm, permutation_test
from sklearn.metrics import balanced_accuracy_score

from dare_eeg.probing.figures.statistics import PairedTest, contributions, holm, p_of_folds, sign_flips, stouffer


@given(st.integers(2, 5), st.integers(10, 60), st.integers(0, 10_000))
def test_contributions_of_subjects_sum_to_balanced_accuracy(num_classes: int, windows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.integers(0, num_classes, windows)
    labels = np.concatenate([np.arange(num_classes), rng.integers(0, num_classes, windows - num_classes)])
    subjects = np.array([f"s{number}" for number in rng.integers(0, 7, windows)])
    found = contributions(labels, predicted, subjects)
    assert len(found) == len(set(subjects.tolist()))
    assert found.sum() == pytest.approx(balanced_accuracy_score(labels, predicted))


@pytest.mark.parametrize("count", [2, 6, 13])
def test_few_subjects_are_flipped_in_every_way(count: int) -> None:
    rng = np.random.default_rng(count)
    ours, theirs = rng.normal(0.1, 1, count), rng.normal(0, 1, count)
    expected = permutation_test((ours, theirs), lambda a, b: np.sum(a - b), permutation_type="samples")
    found = sign_flips(ours, theirs)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.difference == pytest.approx(ours.sum() - theirs.sum())
    assert found.effect == pytest.approx((ours - theirs).mean() / (ours - theirs).std(ddof=1))


def test_many_subjects_are_flipped_at_random_but_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0.4, 1, 40), np.zeros(40)
    expected = permutation_test(
        (ours, theirs), lambda a, b: np.sum(a - b), permutation_type="samples", n_resamples=20_000, rng=1
    )
    found = sign_flips(ours, theirs)
    assert found.p == pytest.approx(expected.pvalue, abs=0.01)
    assert found == sign_flips(ours, theirs)
    assert sign_flips(ours, ours) == PairedTest(difference=0.0, p=1.0, effect=0.0, subjects=40)


def test_p_is_rarely_small_where_nothing_differs() -> None:
    rng = np.random.default_rng(3)
    small = sum(sign_flips(*rng.normal(0, 1, (2, 20))).p < 0.05 for _ in range(200))
    assert 2 <= small <= 20


def test_holm_corrects_as_its_paper_says() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_stouffer_is_scipys_with_the_sign_of_the_difference() -> None:
    tests = [PairedTest(0.1, 0.04, 0.5, 30), PairedTest(0.05, 0.2, 0.2, 50)]
    one_sided = combine_pvalues([one.p / 2 for one in tests], "stouffer", weights=np.sqrt([30, 50])).pvalue
    assert stouffer(tests) == pytest.approx(2 * one_sided)
    opposite = [tests[0], PairedTest(-0.1, 0.04, -0.5, 30)]
    assert stouffer(opposite) == pytest.approx(1.0)


def test_p_of_folds_is_that_of_a_score_whose_variance_is_doubled() -> None:
    for score in (0.5, 1.0, 2.5, 6.0):
        assert p_of_folds(2 * norm.sf(score)) == pytest.approx(2 * norm.sf(score / np.sqrt(2)))
    assert p_of_folds(1.0) == pytest.approx(1.0)
