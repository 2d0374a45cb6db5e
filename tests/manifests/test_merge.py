"""Many sets as one, by reference: nothing copied, no subject on two sides."""

import json
import re
import shutil
from pathlib import Path

import pytest

from dare_eeg.data.shards import training_sets
from manifests import recipe as recipes
from tests.commands import contents, dare, manifest, preprocess, unusable

pytest_plugins = ["tests.corpora_fixtures"]


@pytest.fixture
def sets(shards: Path, tmp_path: Path) -> Path:
    """A folder with copies of two sets that share no subject."""
    for corpus in ("tuab", "tuev"):
        shutil.copytree(shards / corpus, tmp_path / corpus)
    return tmp_path


@pytest.fixture
def swapped(raw: Path, tmp_path: Path) -> Path:
    """A set whose train holds the patients that are test in tuab."""
    tree = tmp_path / "raw"
    shutil.copytree(raw / "tuab", tree)
    (tree / "edf" / "train").rename(tree / "edf" / "other")
    (tree / "edf" / "eval").rename(tree / "edf" / "train")
    (tree / "edf" / "other").rename(tree / "edf" / "eval")
    return preprocess("tuab", tree, tmp_path / "out").rename(tmp_path / "swapped")


def subjects(folder: Path, split: str) -> set[str]:
    return set(manifest(folder)["splits"][split]["subjects"])


def trained_on(merged: Path) -> dict[str, set[str]]:
    return {one.name: set(one.train.subjects.tolist()) for one in training_sets(merged)}


def told(out: str, split: str) -> list[tuple[int, int, float]]:
    """Return windows, subjects and hours of a split as a merge tells them: of all sets, then of each."""
    found = re.findall(rf"^ +{split} +(\d+) windows +(\d+) subjects +([\d.]+) h$", out, re.MULTILINE)
    return [(int(windows), int(subjects), float(hours)) for windows, subjects, hours in found]


def test_merging_tells_what_there_is_to_train_on(sets: Path) -> None:
    options = ("--weight", "tuev=3", "--exclude", f"{sets / 'tuab'}:valid")
    answer = dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "both", *options)
    for split in ("train", "valid"):
        parts = [getattr(one, split) for one in training_sets(sets / "both")]
        (windows, subjects, hours), *each = told(answer.out, split)
        assert [(len(part), len(part.subject_names)) for part in parts] == [(one, two) for one, two, _ in each]
        assert (windows, subjects) == tuple(sum(one[place] for one in each) for place in (0, 1))
        expected = sum(len(part) * part.shape[1] / part.sfreq / 3600 for part in parts)
        assert hours == pytest.approx(expected, abs=0.005)
    assert "  tuev at weight 3: " in answer.out
    assert "  2 signatures, which take turns by whole batches:\n    19 electrodes of the network, 200 Hz" in answer.out
    inspected = dare("inspect", sets / "both")
    assert inspected.out == answer.out
    assert json.loads(dare("inspect", sets / "both", "--json").out) == manifest(sets / "both")


def test_another_merged_set_is_replaced_only_when_told(sets: Path) -> None:
    dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "both")
    before = contents(sets / "both")
    unusable(
        dare("merge", sets / "tuab", "--out", sets / "both"), sets / "both", "holds another merged set; replace it"
    )
    assert contents(sets / "both") == before
    assert dare("merge", sets / "tuev", sets / "tuab", "--out", sets / "both").status == 0, "the same again"
    assert dare("merge", sets / "tuab", "--out", sets / "both", "--overwrite").status == 0
    assert [source["name"] for source in manifest(sets / "both")["sources"]] == ["tuab"]
    (sets / "tuab" / "plan.json").unlink()
    unusable(dare("merge", sets / "tuev", "--out", sets / "tuab", "--overwrite"), "is a shard set itself")


def test_merged_set_refers_to_its_sources_and_copies_nothing(sets: Path) -> None:
    before = contents(sets)
    assert dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "both").status == 0
    assert set(contents(sets)) - set(before) == {"both/manifest.json"}
    assert [source["path"] for source in manifest(sets / "both")["sources"]] == ["../tuab", "../tuev"]
    assert trained_on(sets / "both") == {name: subjects(sets / name, "train") for name in ("tuab", "tuev")}


def test_merged_set_moves_together_with_its_sources(sets: Path) -> None:
    dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "both")
    moved = sets.rename(sets.with_name("moved"))
    assert dare("verify", moved / "both").status == 0


def test_merging_does_not_depend_on_the_order_of_sets(sets: Path) -> None:
    dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "one")
    dare("merge", sets / "tuev", sets / "tuab", "--out", sets / "other")
    assert contents(sets / "one") == contents(sets / "other")


def test_weight_is_kept_by_name(sets: Path) -> None:
    dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "both", "--weight", "tuev=0.25")
    assert {one.name: one.weight for one in training_sets(sets / "both")} == {"tuab": 1.0, "tuev": 0.25}


def test_excluded_subjects_are_left_out_of_training_and_validation(sets: Path) -> None:
    answer = dare(
        *("merge", sets / "tuab", sets / "tuev", "--out", sets / "both"), "--exclude", f"{sets / 'tuab'}:train"
    )
    assert answer.status == 0
    (tuab, tuev) = training_sets(sets / "both")
    assert set(tuab.train.subjects) == set()
    assert set(tuab.valid.subjects) == subjects(sets / "tuab", "valid") != set()
    assert set(tuev.train.subjects) == subjects(sets / "tuev", "train")


def test_excluding_a_whole_set_leaves_out_all_its_subjects(sets: Path) -> None:
    dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "both", "--exclude", sets / "tuab")
    (tuab, tuev) = training_sets(sets / "both")
    assert len(tuab.train) == len(tuab.valid) == 0
    assert len(tuev.train) > 0


@pytest.mark.parametrize("is_old", [False, True])
def test_exclusion_that_takes_nobody_out_says_why(sets: Path, is_old: bool) -> None:
    if is_old:
        written = manifest(sets / "tuev")
        del written["recipe"]["unlinkable"]
        (sets / "tuev" / "manifest.json").write_text(json.dumps(written))
    nobody = f"--exclude {sets / 'tuev'}:test takes nobody out of the sets: "
    answer = dare("merge", sets / "tuab", "--out", sets / "some", "--exclude", f"{sets / 'tuev'}:test")
    assert nobody + "the ids of TUEV's eval part cannot be linked to TUH's" in answer.out
    nobody = f"--exclude {sets / 'tuab'}:test takes nobody out of the sets: "
    answer = dare("merge", sets / "tuev", "--out", sets / "more", "--exclude", f"{sets / 'tuab'}:test")
    assert nobody + "none of its subjects is in them" in answer.out


def test_ids_that_cannot_be_linked_hide_who_is_known(sets: Path) -> None:
    (ids,) = recipes.load("tuev").unlinkable
    tested = subjects(sets / "tuev", "test")
    assert ids.hides(tested, subjects(sets / "tuab", "train"))
    assert not ids.hides(tested, {"physionetmi:S001"})
    assert not ids.hides(subjects(sets / "tuab", "test"), subjects(sets / "tuev", "train"))


def test_subject_of_one_train_in_the_test_of_another_is_refused(sets: Path, swapped: Path) -> None:
    answer = dare("merge", sets / "tuab", swapped, "--out", sets / "both")
    assert answer.status == 2
    assert "train are in the test of" in answer.complaint
    assert "--exclude" in answer.complaint
    assert not (sets / "both").exists()


def test_refused_merge_is_mended_as_its_message_says(sets: Path, swapped: Path) -> None:
    mended = ("--exclude", f"{sets / 'tuab'}:test", "--exclude", f"{swapped}:test")
    assert dare("merge", sets / "tuab", swapped, "--out", sets / "both", *mended).status == 0
    held_out = subjects(sets / "tuab", "test") | subjects(swapped, "test")
    assert all(not trained & held_out for trained in trained_on(sets / "both").values())


def test_subject_of_one_valid_is_left_out_of_the_train_of_another(raw: Path, sets: Path) -> None:
    whole = preprocess("tuab", raw / "tuab", sets / "out", "--set", "valid_share=0").rename(sets / "whole")
    held_out = subjects(sets / "tuab", "valid")
    assert held_out <= subjects(whole, "train")
    answer = dare("merge", sets / "tuab", whole, "--out", sets / "both", "--exclude", f"{whole}:test")
    assert answer.status == 0, answer.err
    assert trained_on(sets / "both")["whole"] == subjects(whole, "train") - held_out
    assert f"whole: {len(held_out)} subjects left out of train" in answer.out


def test_merged_set_verifies_every_source(sets: Path) -> None:
    dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "both")
    assert dare("verify", sets / "both").status == 0
    (tar,) = (sets / "tuev" / "valid").glob("*.tar")
    tar.unlink()
    answer = dare("verify", sets / "both")
    assert answer.status == 1
    assert tar.name in answer.err


def test_source_made_anew_is_noticed(raw: Path, sets: Path) -> None:
    dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "both")
    preprocess("tuab", raw / "tuab", sets, "--overwrite", "--set", "split_seed=3")
    answer = dare("verify", sets / "both")
    assert answer.status == 1
    assert "tuab: has changed since it was merged; run dare merge again, with --overwrite" in answer.err


def test_missing_source_is_named(sets: Path) -> None:
    dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "both")
    shutil.rmtree(sets / "tuab")
    answer = dare("verify", sets / "both")
    assert answer.status == 1
    assert "tuab/manifest.json: not found" in answer.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--weight", "tuar=2"), "--weight tuar: names none of the sets; name one of tuab"),
        (("--weight", "tuab=0"), "tuab=0"),
        (("--weight", "tuab=much"), "tuab=much"),
        (("--exclude", "nowhere:test"), "nowhere/manifest.json"),
        (("--exclude", "TUAB:tset"), "tuab: has no split 'tset'; name one of train, valid, test"),
    ],
)
def test_option_that_makes_no_sense_is_named(sets: Path, options: tuple[str, ...], said: str) -> None:
    options = tuple(option.replace("TUAB", str(sets / "tuab")) for option in options)
    answer = dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "both", *options)
    assert answer.status == 2
    assert said in answer.complaint
    assert not (sets / "both").exists()


def test_sets_of_one_name_are_refused(sets: Path) -> None:
    answer = dare("merge", sets / "tuab", sets / "tuab", "--out", sets / "both")
    assert answer.status == 2
    assert "same folder name" in answer.complaint


def test_folder_without_a_set_and_merged_set_are_no_sources(sets: Path) -> None:
    (sets / "empty").mkdir()
    dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "both")
    for folder, said in ((sets / "empty", "not found"), (sets / "both", "is a merged set")):
        answer = dare("merge", folder, "--out", sets / "more")
        assert answer.status == 2
        assert said in answer.complaint


def test_merging_over_a_set_leaves_the_set_as_it_was(sets: Path) -> None:
    before = contents(sets / "tuab")
    answer = dare("merge", sets / "tuab", sets / "tuev", "--out", sets / "tuab")
    assert answer.status == 2
    assert str(sets / "tuab") in answer.complaint
    assert contents(sets / "tuab") == before


def test_a_merge_that_leaves_nobody_says_so(sets: Path) -> None:
    merged = ("merge", sets / "tuab", "--out")
    none = dare(*merged, sets / "none", "--exclude", sets / "tuab")
    assert "  no window to train on: dare pretrain will refuse it; merge again and leave out fewer\n" in none.out
    some = dare(*merged, sets / "some", "--exclude", f"{sets / 'tuab'}:valid")
    assert "  no window to validate on: an encoder will be that of its last step\n" in some.out


def test_signatures_that_differ_in_order_alone_say_so(sets: Path, raw: Path) -> None:
    turned = preprocess("tuev", raw / "tuev", sets / "out", "--set", "electrodes=C4,CZ,C3")
    straight = preprocess("tuev", raw / "tuev", sets / "out2", "--set", "electrodes=C3,CZ,C4").rename(sets / "straight")
    out = dare("merge", turned, straight, "--out", sets / "both").out
    assert "    3 electrodes of the network, 200 Hz, 5 s, C4 CZ C3 ... in this order: tuev\n" in out
    assert "    3 electrodes of the network, 200 Hz, 5 s, C3 CZ C4 ... in this order: straight\n" in out


def test_people_are_left_out_under_another_name_where_a_recording_is_the_very_file(sets: Path) -> None:
    (sets / "named").mkdir()
    other = Path(shutil.copytree(sets / "tuab", sets / "named" / "tuab"))
    for path in (other / "manifest.json", other / "recordings.jsonl"):
        path.write_text(path.read_text().replace('"tuh:', '"mine:'))
    answer = dare("merge", sets / "tuab", "--out", sets / "both", "--exclude", f"{other}:train")
    assert answer.status == 0, answer.err
    left = subjects(sets / "tuab", "train")
    assert f"--exclude {other}:train: {len(left)} known by recordings that are the very files" in answer.out
    (tuab,) = training_sets(sets / "both")
    assert (set(tuab.train.subjects), set(tuab.valid.subjects)) == (set(), subjects(sets / "tuab", "valid"))
    (tuab,) = training_sets(sets / "tuab", (f"{other}:train",))
    assert (set(tuab.train.subjects), set(tuab.valid.subjects)) == (set(), subjects(sets / "tuab", "valid"))
