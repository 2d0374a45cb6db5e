"""A test part of one's own: keyed by subject, apart from train and valid, the same for every recipe of the corpus."""

from collections import Counter
from pathlib import Path

import pytest

from manifests import keyed, manifest
from tests.commands import dare, preprocess
from tests.pipelines.own_trees import BY_SUBJECT, CLASSES, TASKS, made, recipe, refused, write

LAYOUT = f'{BY_SUBJECT}labels = "annotations"\n'


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten people with a recording or two, tasks annotated."""
    folder = tmp_path_factory.mktemp("people")
    for number in range(10):
        for day in range(1 + number % 2):
            write(folder / f"P{number}" / f"day{day}.edf", TASKS, TASKS)
    return folder


def sides(folder: Path) -> dict[str, str]:
    """Return the split of each subject, which is one."""
    found: dict[str, str] = {}
    for split, entry in manifest.load_set(folder).splits.items():
        for subject in entry.subjects:
            assert found.setdefault(subject, split) == split
    return found


@pytest.mark.parametrize("split", ["rank", "hash"])
def test_share_of_the_subjects_is_held_out_by_the_largest_keys(people: Path, tmp_path: Path, split: str) -> None:
    folder = made(people, tmp_path, LAYOUT, f'{CLASSES}test_share = 0.3\nvalid_share = 0.2\nsplit = "{split}"\n')
    found = sides(folder)
    shares = {subject: keyed.share(subject, 0) for subject in found}
    ranked = sorted(shares, key=lambda subject: shares[subject])
    if split == "rank":
        assert Counter(found.values()) == {"train": 5, "valid": 2, "test": 3}
        assert {one for one in found if found[one] == "test"} == set(ranked[-3:])
        assert {one for one in found if found[one] == "valid"} == set(ranked[:2])
    else:
        assert {one for one in found if found[one] == "test"} == {one for one in ranked if shares[one] >= 0.7}
        assert {one for one in found if found[one] == "valid"} == {one for one in ranked if shares[one] < 0.2}
    assert manifest.load_set(folder).recipe.protocol == "official"


def test_probe_and_pretraining_hold_out_the_same_subjects(people: Path, tmp_path: Path) -> None:
    labelled = made(people, tmp_path, LAYOUT, f"{CLASSES}test_share = 0.2\n")
    own = recipe(tmp_path, LAYOUT, f"{CLASSES}test_share = 0.2\n")
    plain = preprocess("mine", people, tmp_path / "shards", "--recipe", own, "--for", "pretrain")
    assert plain.name == "mine-pretrain"
    tests = [{one for one, side in sides(folder).items() if side == "test"} for folder in (labelled, plain)]
    assert tests[0] == tests[1] != set()


@pytest.mark.parametrize(("num", "wanted"), [(3, {"train": 1, "valid": 1, "test": 1}), (2, {"train": 1, "valid": 1})])
def test_few_subjects_leave_one_for_each_part(tmp_path: Path, num: int, wanted: dict[str, int]) -> None:
    for number in range(num):
        write(tmp_path / "raw" / f"P{number}" / "day1.edf", TASKS, TASKS)
    for split in ("rank", "hash"):
        more = f'{CLASSES}test_share = 0.1\nsplit = "{split}"\n'
        (tmp_path / split).mkdir()
        folder = made(tmp_path / "raw", tmp_path / split, LAYOUT, more)
        assert Counter(sides(folder).values()) == wanted
        told = "test_share: too few subjects for a test part" in manifest.load_set(folder).notes
        assert told == (num == 2)


def test_set_that_grows_leaves_everyone_where_they_were(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(5):
        write(raw / f"P{number}" / "day1.edf", TASKS, TASKS)
    more = f"{CLASSES}test_share = 0.3\n"
    before = sides(made(raw, tmp_path, LAYOUT, more))
    for number in range(5, 10):
        write(raw / f"P{number}" / "day1.edf", TASKS, TASKS)
    write(raw / "P0" / "day2.edf", TASKS, TASKS)
    folder = made(raw, tmp_path, LAYOUT, more, "--append")
    after = sides(folder)
    assert {one: after[one] for one in before} == before
    assert Counter(after.values())["test"] == 3
    assert not dare("verify", folder).status


def test_official_test_part_and_one_of_ones_own_exclude_each_other(people: Path, tmp_path: Path) -> None:
    official = LAYOUT.replace("{session}", "{split}") + 'test = ["day1"]\n'
    said = refused(people, tmp_path, official, f"{CLASSES}test_share = 0.2\n")
    assert "test_share is for a layout without an official test part" in said
    assert "leave nothing to train on" in refused(people, tmp_path, LAYOUT, "test_share = 0.6\nvalid_share = 0.4\n")
