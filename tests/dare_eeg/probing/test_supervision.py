"""How few labels are learnt from: shots of train, and the first windows of those who are tested."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from dare_eeg import open_shards
from dare_eeg.data.shards import Windows
from dare_eeg.probing.control import cautions
from dare_eeg.probing.fit import FoldFit
from dare_eeg.probing.results import Figure
from dare_eeg.probing.splits import Fold, folds, on_both_sides
from dare_eeg.probing.supervision import Supervision, supervised
from manifests.errors import RefusedError
from manifests.manifest import SPLITS
from tests.commands import dare, unusable
from tests.dare_eeg.sets import Window, recorded, write_set

LENGTH_S = 5.0


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight subjects with twelve windows of two classes, in turn."""
    made = [recorded(f"tuh:{name}", 12, labels=[0, 1] * 6) for name in "abcdefgh"]
    splits = {"train": made[:5], "valid": [made[5]], "test": made[6:]}
    return write_set(tmp_path_factory.mktemp("sets") / "people", splits, classes=("rest", "task"))


@pytest.fixture(scope="module")
def windows(people: Path) -> Windows:
    return open_shards(people, SPLITS)


def drawn(windows: Windows, repeat: int = 0, **how: int) -> tuple[Fold, Fold]:
    """Return the first of five folds, whole and with the labels that are learnt from."""
    whole = folds(windows, "kfold", repeat)[0]
    return whole, supervised(windows, whole, Supervision(**how), repeat)


@pytest.mark.parametrize(("shots", "of_valid"), [(1, 1), (3, 1), (8, 2)])
def test_shots_are_so_many_windows_a_class_of_many_subjects(windows: Windows, shots: int, of_valid: int) -> None:
    whole, fold = drawn(windows, shots=shots)
    assert Counter(windows.labels[fold.train].tolist()) == {0: shots, 1: shots}
    assert Counter(windows.labels[fold.valid].tolist()) == {0: of_valid, 1: of_valid}
    assert set(fold.train) < set(whole.train)
    assert set(fold.valid) < set(whole.valid)
    assert fold.test.tolist() == whole.test.tolist()
    of_subject = Counter(windows.subjects[fold.train][windows.labels[fold.train] == 0].tolist())
    assert len(of_subject) == min(shots, len(set(windows.subjects[whole.train].tolist())))
    assert max(of_subject.values()) - min(of_subject.values()) <= 1


def test_shots_are_others_by_repeat_and_the_same_when_asked_again(windows: Windows) -> None:
    whole = folds(windows, "official")[0]
    first, again, other = (
        supervised(windows, whole, Supervision(shots=2), repeat).train.tolist() for repeat in (0, 0, 1)
    )
    assert first == again != other


def test_more_shots_than_there_are_windows_are_refused(windows: Windows) -> None:
    with pytest.raises(RefusedError, match="99 windows of rest are to be learnt from, and there are 30; ask for fewer"):
        drawn(windows, shots=99)


def test_the_first_windows_of_tested_subjects_are_trained_on_and_leave_the_test(windows: Windows) -> None:
    whole, fold = drawn(windows, calibrate=2)
    moved = np.setdiff1d(fold.train, whole.train)
    assert moved.tolist() == np.setdiff1d(whole.test, fold.test).tolist() == fold.calibrated.tolist()
    for subject in set(windows.subjects[whole.test].tolist()):
        mine = moved[windows.subjects[moved] == subject]
        assert windows.start_s[mine].tolist() == [0, LENGTH_S, 2 * LENGTH_S, 3 * LENGTH_S]
    assert fold.left_out == len(moved)
    assert fold.valid.tolist() == whole.valid.tolist()
    assert on_both_sides(windows, fold) == []


def test_windows_that_overlap_those_trained_on_leave_the_test_too(tmp_path: Path) -> None:
    plain = recorded("tuh:z", 12, labels=[0, 1] * 6)
    half = [
        Window(one.counts, one.subject, one.recording, number * LENGTH_S / 2, one.label)
        for number, one in enumerate(plain)
    ]
    others = [recorded(f"tuh:{name}", 4, labels=[0, 1] * 2) for name in "abc"]
    splits = {"train": others[:2], "valid": others[2:], "test": [half]}
    windows = open_shards(write_set(tmp_path / "set", splits, classes=("rest", "task")), SPLITS)
    fold = supervised(windows, folds(windows, "official")[0], Supervision(calibrate=1), 0)
    assert windows.start_s[fold.calibrated].tolist() == [0, LENGTH_S / 2]
    assert windows.start_s[fold.test].min() == 1.5 * LENGTH_S
    assert fold.left_out == 3


def test_calibration_is_refused_where_it_leaves_nothing_of_a_class_to_test(windows: Windows, tuab: Path) -> None:
    with pytest.raises(RefusedError, match="has 6 windows of rest: 6 to train on leave none to test"):
        drawn(windows, calibrate=6)
    patients = open_shards(tuab, SPLITS)
    with pytest.raises(RefusedError, match="0 windows of abnormal: 1 to train on leave none to test"):
        supervised(patients, folds(patients, "official")[0], Supervision(calibrate=1), 0)


def test_rows_of_few_labels_make_a_ladder_of_their_own_and_say_so(people: Path, nano_run: Path, tmp_path: Path) -> None:
    asked = ("probe", "tuab", "--shards", people, "--out", tmp_path, "--resamples", 2, "--protocol", "kfold")
    rows = ("--baselines", "majority,band-power-logistic,csp-lda")
    assert dare(*asked, *rows).status == 0
    few = dare(*asked, *rows, "--encoder", nano_run, "--mode", "linear", "--shots", 1, "--calibrate", 1)
    assert few.status == 0, few.err
    assert "trained on 1 windows a class, calibrated on the first 1 windows a class of each tested subject" in few.out
    assert "16 windows of tested subjects are trained on: 16 left the test" in few.out
    ladder = json.loads((tmp_path / "ladder.json").read_text())
    suffix = "-1-shots-calibrated-1"
    names = {"majority", "band-power-logistic", "csp-lda"}
    assert {row["name"] for row in ladder["rows"]} == {f"{name}{suffix}" for name in (*names, "nano-linear")}
    assert set(ladder["others"]) == names
    assert (ladder["shots"], ladder["calibrate"]) == (1, 1)
    results = json.loads((tmp_path / f"csp-lda{suffix}" / "results.json").read_text())
    assert {fold["windows"]["train"] for fold in results["folds"]} == {4, 6}
    assert "trained on 1 windows" in (tmp_path / f"csp-lda{suffix}" / "report.html").read_text()
    again = dare(*asked, *rows, "--shots", 1, "--calibrate", 1)
    assert again.err.count("done before") == 3
    unusable(dare(*asked, "--baselines", "majority", "--shots", 99), "are to be learnt from", "--shots")


@pytest.mark.parametrize("epochs", [1, 5, 6])
def test_a_network_is_fitted_on_few_labels(people: Path, nano_run: Path, tmp_path: Path, epochs: int) -> None:
    asked = ("--encoder", nano_run, "--mode", "conv-linear", "--epochs", epochs, "--shots", 2, "--resamples", 2)
    answer = dare("probe", "tuab", "--shards", people, "--out", tmp_path / "row", *asked)
    assert answer.status == 0, answer.err


def test_labels_are_permuted_within_each_subject_of_train_and_valid_alone(windows: Windows) -> None:
    whole, fold = drawn(windows, permuted=True)
    assert [part.tolist() for part in (fold.train, fold.valid, fold.test)] == [
        part.tolist() for part in (whole.train, whole.valid, whole.test)
    ]
    said, true = fold.labels(windows), windows.labels
    assert said[fold.test].tolist() == true[fold.test].tolist()
    for subject in sorted(set(windows.subjects[fold.train].tolist())):
        mine = windows.subjects == subject
        assert Counter(said[mine].tolist()) == Counter(true[mine].tolist())
    assert 0.3 < np.mean(said[fold.train] != true[fold.train]) < 0.7
    other = supervised(windows, whole, Supervision(permuted=True), 1)
    assert other.labels(windows)[fold.train].tolist() != said[fold.train].tolist()


def test_whole_subjects_change_their_class_where_each_has_one(tmp_path: Path) -> None:
    made = [recorded(f"tuh:{name}", 3, labels=[number % 2] * 3) for number, name in enumerate("abcdefghij")]
    splits = {"train": made[:6], "valid": made[6:8], "test": made[8:]}
    patients = open_shards(write_set(tmp_path / "set", splits, classes=("rest", "task")), SPLITS)
    whole = folds(patients, "official")[0]
    fitted_on = np.concatenate([whole.train, whole.valid])
    wrong = []
    for repeat in range(8):
        said = supervised(patients, whole, Supervision(permuted=True), repeat).labels(patients)[fitted_on]
        assert Counter(said.tolist()) == {0: 12, 1: 12}
        of_subject = {name: set(said[patients.subjects[fitted_on] == name].tolist()) for name in made_of(patients)}
        assert {len(labels) for name, labels in of_subject.items() if labels} == {1}
        wrong.append(float(np.mean(said != patients.labels[fitted_on])))
    assert 0.2 < np.mean(wrong) < 0.8


def made_of(windows: Windows) -> list[str]:
    return sorted(set(windows.subjects.tolist()))


@pytest.fixture(scope="module")
def permuted(tuab: Path, nano_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ladder with and without permuted labels, of patients whom anything tells apart."""
    root = tmp_path_factory.mktemp("controls")
    asked = ("probe", "tuab", "--shards", tuab, "--out", root, "--protocol", "kfold", "--repeats", 4)
    rows = ("--encoder", nano_run, "--baselines", "majority,band-power-logistic")
    assert dare(*asked, *rows, "--resamples", 200).status == 0
    answer = dare(*asked, *rows, "--resamples", 200, "--permuted")
    assert answer.status == 0, answer.err
    assert "fitted on permuted labels" in answer.out
    return root


def test_what_is_fitted_on_permuted_labels_is_chance_and_a_control(permuted: Path) -> None:
    rows = {row["name"]: row for row in json.loads((permuted / "ladder.json").read_text())["rows"]}
    controls = {name for name, row in rows.items() if row["kind"] == "control"}
    assert controls == {"nano-linear-permuted", "majority-permuted", "band-power-logistic-permuted"}
    for name in controls - {"majority-permuted"}:
        true = rows[name.removesuffix("-permuted")]["metrics"]["balanced_accuracy"]["mean"]
        assert rows[name]["metrics"]["balanced_accuracy"]["mean"] < 0.65 < true
        assert rows[name]["comparisons"] == []
    against = {one["against"] for row in rows.values() for one in row["comparisons"]}
    assert against == {"band-power-logistic"}


def test_a_control_that_is_no_chance_is_told(tmp_path: Path) -> None:
    parts: dict[str, list[Window]] = {"train": [], "valid": [], "test": []}
    for number, name in enumerate("abcdefghij"):
        mostly = [number % 2] * 5 + [1 - number % 2]
        for part, recording in (("train", "1"), ("train", "2"), ("test", "3")):
            made = recorded(f"tuh:{name}", 6, labels=mostly)
            parts[part] += [replace(one, recording=f"{name}{recording}.edf") for one in made]
    shards = write_set(tmp_path / "set", {part: [made] for part, made in parts.items() if made}, classes=("a", "b"))
    asked = ("probe", "tuab", "--shards", shards, "--protocol", "within", "--baselines", "majority", "--permuted")
    answer = dare(*asked, "--out", tmp_path / "row", "--resamples", 200)
    told = (
        "its labels were permuted, and its 95 % interval is without 0.5, which is chance: windows that are tested reach"
    )
    assert told in answer.out


def test_controls_of_subjects_with_as_much_of_each_class_are_rarely_told_to_be_more_than_chance() -> None:
    labels = np.tile([0, 1], 6 * 20)
    told = []
    for number in range(60):
        rng = np.random.default_rng(number)
        windows = cast(Windows, SimpleNamespace(labels=labels, classes=("rest", "task")))
        ways = rng.choice([-1, 1], 10)  # of each permutation's classifier, which is right or wrong for all subjects
        numbers = np.arange(len(labels)).reshape(10, -1)
        rounds = []
        for mine, way in zip(numbers, ways, strict=True):
            right = rng.random(len(mine)) < 0.5 + 0.3 * way
            said = np.where(right, labels[mine], 1 - labels[mine])
            rounds.append((Fold(mine[:0], mine[:0], mine), FoldFit(np.eye(2)[said], {})))
        mean = 0.5 + 0.3 * ways.mean() + 0.01
        figure = Figure(mean=mean, sd=0, ci95=(mean - 0.005, mean + 0.005), seeds=())
        told.append(bool(cautions(figure, windows, [rounds])))
    assert sum(told) <= 6
    assert "a single permutation may do that" in cautions(figure, windows, [rounds[:1]])[0]
