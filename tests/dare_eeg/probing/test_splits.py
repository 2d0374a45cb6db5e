"""Splits: nobody is on two sides, and everybody is tested once."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from dare_eeg import open_shards
from dare_eeg.data.shards import Windows
from dare_eeg.probing.splits import Fold, folds
from manifests.errors import DareError
from manifests.manifest import SPLITS
from manifests.recipe import EvaluationProtocol


class People:
    """What `folds` asks of windows: whose each is, of which recording, split and class (by default, in turn)."""

    folder = Path("set")
    manifest = SimpleNamespace(corpus="eegmat", recipe=SimpleNamespace(split_by="subject"))
    classes: tuple[str, ...] = ("rest", "arithmetic")

    def __init__(
        self, subjects: list[str], recordings: list[str] | None = None, splits: list[str] | None = None
    ) -> None:
        self.subjects = np.array(subjects, np.str_)
        self.recordings = np.array(recordings or [f"{subject}.edf" for subject in subjects], np.str_)
        self.split = np.array(splits or ["train"] * len(subjects), np.str_)
        self.start_s, self.sfreq, self.shape = np.arange(len(subjects)) * 4.0, 1.0, (1, 4)
        self.labels = np.array([subjects[:number].count(subject) % 2 for number, subject in enumerate(subjects)])


def made(people: People, protocol: EvaluationProtocol, repeat: int = 0) -> list[Fold]:
    return folds(cast(Windows, people), protocol, repeat)


def parts(fold: Fold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return fold.train, fold.valid, fold.test


@st.composite
def people(draw: st.DrawFn) -> People:
    windows = draw(st.lists(st.integers(1, 4), min_size=3, max_size=23))
    names = draw(st.lists(st.text("abcdef0123", min_size=1, max_size=5), min_size=23, max_size=23, unique=True))
    subjects = [name for name, count in zip(names, windows, strict=False) for _ in range(2 * count)]
    return People(draw(st.permutations(subjects)))


@pytest.mark.slow
@given(people(), st.sampled_from(["kfold", "loso"]), st.integers(0, 3))
def test_folds_share_no_subject_and_test_everyone_once(
    whole: People, protocol: EvaluationProtocol, repeat: int
) -> None:
    found = made(whole, protocol, repeat)
    everyone = sorted(set(whole.subjects.tolist()))
    for fold in found:
        sides = [set(whole.subjects[part].tolist()) for part in parts(fold)]
        assert all(sides)
        assert sum(map(len, sides)) == len(set.union(*sides)) == len(everyone)
        assert sorted(np.concatenate(parts(fold))) == list(range(len(whole.subjects)))
    tested = [subject for fold in found for subject in sorted(set(whole.subjects[fold.test].tolist()))]
    assert sorted(tested) == everyone
    assert len(found) == (len(everyone) if protocol == "loso" else min(5, len(everyone)))


@given(people())
def test_folds_do_not_depend_on_the_order_of_windows(whole: People) -> None:
    def tested(of: People) -> list[set[str]]:
        return [set(of.subjects[fold.test].tolist()) for fold in made(of, "kfold")]

    assert tested(whole) == tested(People(sorted(whole.subjects.tolist())))


def test_who_is_selected_on_turns_with_the_folds() -> None:
    whole = People([f"s{number}" for number in range(10)] * 2)
    selected_on = [set(whole.subjects[fold.valid].tolist()) for fold in made(whole, "loso")]
    assert len(set.union(*selected_on)) > 5
    assert all(len(valid) == 2 for valid in selected_on)


def test_stratified_folds_are_those_of_scikit_learn_over_recordings_with_the_published_seeds() -> None:
    whole = People([f"s{number:02d}" for number in range(36) for _ in range(4)])
    whole.labels = np.tile([0, 0, 0, 1], 36)  # a recording of three windows, and one of one
    whole.recordings = np.array([f"{name}_{label}" for name, label in zip(whole.subjects, whole.labels, strict=True)])
    names, classes = np.repeat(np.unique(whole.subjects), 2), np.tile([0, 1], 36)
    for repeat, seed in ((0, 42), (7, 31337), (9, 31339)):
        expected = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(names, classes, names)
        found = [set(whole.subjects[fold.test].tolist()) for fold in made(whole, "stratified", repeat)]
        assert found == [set(names[tested].tolist()) for _, tested in expected]


def test_stratified_folds_share_no_subject_and_test_everyone_once() -> None:
    whole = People([f"s{number}" for number in range(12)] * 2)
    found = made(whole, "stratified")
    tested = [subject for fold in found for subject in sorted(set(whole.subjects[fold.test].tolist()))]
    assert sorted(tested) == sorted(set(whole.subjects.tolist()))
    for fold in found:
        sides = [set(whole.subjects[part].tolist()) for part in parts(fold)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 12


def test_too_few_recordings_of_a_class_are_refused_where_folds_are_stratified() -> None:
    whole = People([f"s{number}" for number in range(6)] * 2)
    whole.labels[1:] = 0
    whole.labels[0] = 1
    whole.classes = ("a", "b")
    with pytest.raises(DareError, match="set: 1 recordings of b are too few to stratify; it needs 5: probe it with"):
        made(whole, "stratified")


def test_the_fixed_split_of_eegmat_tests_the_last_four_subjects_and_selects_on_the_four_before() -> None:
    whole = People([f"eegmat:Subject{number:02d}" for number in (0, 5, 27, 29, 31, 32, 35)] * 2)
    (fold,) = made(whole, "fixed")
    sides = [sorted({name[-2:] for name in whole.subjects[part].tolist()}) for part in parts(fold)]
    assert sides == [["00", "05", "27"], ["29", "31"], ["32", "35"]]


@pytest.mark.parametrize("protocol", ["kfold", "loso", "stratified"])
def test_too_few_subjects_are_refused(protocol: EvaluationProtocol) -> None:
    with pytest.raises(DareError, match=f"set: 2 subjects are too few for {protocol}; it needs 3"):
        made(People(["a", "b", "b"]), protocol)


def test_a_fold_with_one_class_to_train_on_is_refused() -> None:
    whole = People(["a", "b", "c"] * 2)
    whole.labels[whole.subjects != "a"] = 0
    with pytest.raises(DareError, match="only one class is left to train on when a are tested"):
        made(whole, "loso")


def test_official_is_the_split_on_disk(tuab: Path) -> None:
    whole = open_shards(tuab, SPLITS)
    (fold,) = folds(whole, "official")
    for split, part in zip(SPLITS, parts(fold), strict=True):
        alone = open_shards(tuab, split)
        assert whole.recordings[part].tolist() == alone.recordings.tolist()
        assert whole.start_s[part].tolist() == alone.start_s.tolist()


@pytest.mark.parametrize("missing", SPLITS)
def test_official_needs_all_three_parts(missing: str) -> None:
    splits = [split for split in ("train", "train", "valid", "test") if split != missing]
    with pytest.raises(DareError, match=f"its {missing} is empty; probe it with --protocol kfold"):
        made(People(list("abcd")[: len(splits)], splits=splits), "official")


def test_within_trains_and_tests_on_each_subject_alone_and_splits_by_recording() -> None:
    subjects = ["a"] * 8 + ["b"] * 8
    recordings = [f"{subject}{number // 2}" for number, subject in enumerate(subjects)]
    splits = (["train"] * 4 + ["valid"] * 2 + ["test"] * 2) * 2
    whole = People(subjects, recordings, splits)
    found = made(whole, "within")
    assert [fold.test.tolist() for fold in found] == [[6, 7], [14, 15]]
    for subject, fold in zip("ab", found, strict=True):
        assert set(whole.subjects[np.concatenate(parts(fold))]) == {subject}
        sides = [set(whole.recordings[part].tolist()) for part in parts(fold)]
        assert all(sides)
        assert sum(map(len, sides)) == len(set.union(*sides)) == 4
        assert sorted(np.concatenate(parts(fold)) % 8) == list(range(8))


def test_within_needs_two_recordings_to_train_on() -> None:
    with pytest.raises(
        DareError, match="set: a has 1 training recordings, within needs 2; probe it with another --protocol"
    ):
        made(People(["a", "a"], ["1", "2"], ["train", "test"]), "within")


@pytest.mark.parametrize("stride_s", [1.0, 2.0, 5.0])
def test_within_a_set_without_test_part_tests_blocks_in_time_whose_windows_nothing_else_overlaps(
    stride_s: float,
) -> None:
    whole = People(["a"] * 40 + ["b"] * 20, ["1"] * 20 + ["2"] * 20 + ["3"] * 20)
    whole.start_s = np.tile(np.arange(20) * stride_s, 3)[::-1]
    found = made(whole, "within")
    assert [set(whole.subjects[fold.test].tolist()) for fold in found] == [{"a"}] * 5 + [{"b"}] * 5
    assert sorted(np.concatenate([fold.test for fold in found])) == list(range(60))
    for fold in found:
        assert all(map(len, parts(fold)))
        assert len(set(np.concatenate(parts(fold)).tolist())) == sum(map(len, parts(fold)))
        for window in fold.test:
            others = np.concatenate([fold.train, fold.valid])
            beside = others[whole.recordings[others] == whole.recordings[window]]
            assert (np.abs(whole.start_s[beside] - whole.start_s[window]) >= 4).all()
        starts = np.sort(whole.start_s[fold.test][whole.recordings[fold.test] == whole.recordings[fold.test][0]])
        assert np.ptp(starts) == 3 * stride_s
    begun = [set(fold.test.tolist()) for fold in made(whole, "within", 1)]
    assert begun != [set(fold.test.tolist()) for fold in found]


def test_within_too_few_windows_are_refused() -> None:
    with pytest.raises(DareError, match="set: a has 4 windows, too few for 5 blocks in time"):
        made(People(["a"] * 4), "within")


def test_repeats_draw_other_folds_and_the_official_test_part_stays() -> None:
    whole = People([f"s{number}" for number in range(20)] * 2)
    tested = [[set(whole.subjects[fold.test].tolist()) for fold in made(whole, "kfold", repeat)] for repeat in range(3)]
    assert tested[0] != tested[1] != tested[2]
    assert made(whole, "kfold", 1)[0].test.tolist() == made(whole, "kfold", 1)[0].test.tolist()

    splits = ["train"] * 10 + ["valid"] * 4 + ["test"] * 6
    whole = People([f"s{number}" for number in range(20)] * 2, splits=splits * 2)
    (first,), (second,) = made(whole, "official", 0), made(whole, "official", 1)
    assert first.test.tolist() == second.test.tolist()
    selected_on = [set(whole.subjects[fold.valid].tolist()) for fold in (first, second)]
    assert selected_on[0] != selected_on[1]
    assert [len(valid) for valid in selected_on] == [4, 4]
    assert sorted(np.concatenate(parts(second))) == list(range(40))
