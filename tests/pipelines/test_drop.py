"""Consent is withdrawn: a subject leaves a set, the rest keeps its bytes, and no later run brings the subject back."""

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import contents, dare, manifest, preprocess, recordings, unusable
from tests.judges import members
from tests.pipelines.droppings import (
    FORMATS,
    SMALL,
    Copy,
    assert_nowhere,
    assert_whole,
    drop,
    receipts,
    subject_of,
    tars,
    windows,
)

pytestmark = pytest.mark.slow
pytest_plugins = ["tests.pipelines.droppings"]


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize("one", FORMATS)
def test_subject_leaves_and_the_others_keep_their_bytes(
    tuab_sets: dict[str, Path], copy: Copy, one: str, split: str
) -> None:
    folder = copy(one)
    subject = subject_of(folder, split)
    before, held, tables = contents(folder), windows(folder), receipts(folder)
    told = drop(folder, "--subject", subject)
    assert f"{folder}: {subject} left" in told
    assert_whole(folder)
    assert_nowhere(folder, subject)
    assert windows(folder) == {key: window for key, window in held.items() if window[0] != subject} != held
    after = contents(folder)
    untouched = [receipt["shard"] for receipt in tables if subject not in {r["subject"] for r in receipt["recordings"]}]
    assert len(untouched) < len(tables)
    for shard in untouched:
        assert {n: c for n, c in after.items() if n.startswith(shard)} == {
            n: c for n, c in before.items() if n.startswith(shard)
        }
    stores = {name for name in after if name.startswith("zarr/")}
    assert all(after[name] == before[name] for name in stores)
    assert bool(stores) == (one != "webdataset")
    if one != "zarr":
        for tar in folder.rglob("*.tar"):
            assert in_tar(tar) == in_tar(tuab_sets[one] / tar.relative_to(folder), but=subject)


def in_tar(tar: Path, but: str = "") -> list[tuple[str, bytes]]:
    """Return the members of a tar in order, but for those of a subject, by tarfile."""
    found = [(info.name, content) for info, content in members(tar)]
    pairs = zip(found[::2], found[1::2], strict=True)
    return [part for pair in pairs if json.loads(pair[1][1])["subject"] != but for part in pair]


@pytest.mark.parametrize("one", FORMATS)
def test_set_says_what_one_made_without_the_subject_says(copy: Copy, tuab_raw: Path, tmp_path: Path, one: str) -> None:
    folder = copy(one)
    subject = subject_of(folder, "train")
    drop(folder, "--subject", subject)
    anew = preprocess("tuab", without(tuab_raw, tmp_path / "raw", subject), tmp_path / "anew", *SMALL, "--format", one)
    mine, theirs = manifest(folder), manifest(anew)
    for split, entry in theirs["splits"].items():
        for field in ("subjects", "recordings", "samples", "hours", "labels"):
            assert mine["splits"][split][field] == entry[field], field
    for electrode, figures in theirs["signal"].items():
        assert mine["signal"][electrode] == pytest.approx(figures, abs=1e-3)
    assert [{**store, "sha256": ""} for store in mine["stores"]] == [
        {**store, "sha256": ""} for store in theirs["stores"]
    ]
    for field in ("recordings", "outcomes", "choices", "electrodes", "format"):
        assert mine[field] == theirs[field], field
    assert recordings(folder) == recordings(anew)
    assert windows(folder) == windows(anew)
    for receipt in receipts(folder):
        assert receipt["samples"] == sum(row["windows"] for row in receipt["recordings"])


def without(tuab_raw: Path, copy: Path, subject: str) -> Path:
    """Copy a raw tree without the recordings of a subject."""
    return shutil.copytree(tuab_raw, copy, ignore=lambda _, names: [one for one in names if subject[4:] in one])


def test_same_command_finds_the_set_done(copy: Copy, tuab_raw: Path, tmp_path: Path) -> None:
    folder = copy()
    subject = subject_of(folder, "train")
    drop(folder, "--subject", subject)
    before = contents(folder)
    command = ("preprocess", "tuab", "--workers", 1, "--out", folder.parent, *SMALL, "--src")
    fewer = dare(*command, without(tuab_raw, tmp_path / "fewer", subject))
    assert (fewer.status, "left alone" in fewer.out) == (0, False)
    for more in ((), ("--append",), ("--retry-failed",), ("--overwrite",)):
        answer = dare(*command, tuab_raw, *more)
        assert answer.status == 0, answer.err
        assert "dropped: 1 subjects who withdrew consent" in answer.out
        assert f"1 recordings below {tuab_raw} are of subjects who withdrew consent: left alone" in answer.out
        assert contents(folder) == before
    assert "consent was withdrawn before" in drop(folder, "--subject", subject.partition(":")[2])
    assert contents(folder) == before
    unusable(
        dare(*command, tuab_raw, "--subjects", subject.partition(":")[2]),
        "every recording is of a subject who withdrew",
    )


def test_what_is_appended_later_does_not_bring_the_subject_back(copy: Copy, tuab_raw: Path, tmp_path: Path) -> None:
    folder = copy()
    subject = subject_of(folder, "train")
    drop(folder, "--subject", subject)
    kept = {name: content for name, content in contents(folder).items() if "/" in name}
    grown = shutil.copytree(tuab_raw, tmp_path / "grown")
    for path in list(grown.rglob("*_t000.edf")):
        if path.name[:8] == subject[4:]:
            shutil.copy(path, path.with_name(path.name.replace("_s001_", "_s002_")))
    command = ("preprocess", "tuab", "--workers", 1, "--out", folder.parent, *SMALL, "--src", grown, "--append")
    answer = dare(*command)
    assert answer.status == 0, answer.err
    assert f"2 recordings below {grown} are of subjects who withdrew consent: left alone" in answer.out
    assert {name: content for name, content in contents(folder).items() if "/" in name} == kept
    other = next(path for path in sorted(grown.rglob("*_t000.edf")) if path.name[:8] != subject[4:])
    shutil.copy(other, other.with_name(other.name.replace("_s001_", "_s002_")))
    assert dare(*command).status == 0
    assert kept.items() < contents(folder).items()
    assert_whole(folder)
    assert_nowhere(folder, subject)


def test_overwrite_keeps_the_subject_out(copy: Copy, tuab_raw: Path) -> None:
    folder = copy()
    subject = subject_of(folder, "train")
    drop(folder, "--subject", subject)
    more = ("--set", "window_s=4", "--set", "stride_s=4", "--overwrite")
    preprocess("tuab", tuab_raw, folder.parent, *SMALL, *more)
    assert_whole(folder)
    assert_nowhere(folder, subject)


class Killed(BaseException):
    """What ends a run from outside."""


def killed_after(allowed: int, monkeypatch: pytest.MonkeyPatch, *command: object) -> bool:
    """Run a command that may rename and remove so many files, and none after that; return whether that ended it."""
    left = itertools.count(allowed, -1)

    def dying(change: Callable[..., None]) -> Callable[..., None]:
        def act(*arguments: Any, **options: Any) -> None:
            if next(left) <= 0:
                raise Killed
            change(*arguments, **options)

        return act

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "unlink", "rmdir"):
            patch.setattr(os, name, dying(getattr(os, name)))
        try:
            dare(*command)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("one", FORMATS)
def test_killed_at_any_change_of_the_folder_the_same_command_ends_it(
    copy: Copy, tuab_sets: dict[str, Path], tuab_raw: Path, monkeypatch: pytest.MonkeyPatch, one: str
) -> None:
    command = ("preprocess", "tuab", "--workers", 1, "--src", tuab_raw, *SMALL, "--format", one, "--out")
    folder = copy(one)
    subject = subject_of(folder, "train")
    drop(folder, "--subject", subject)
    whole = contents(folder)
    ended, refused = 0, 0
    for allowed in itertools.count():
        shutil.rmtree(folder)
        shutil.copytree(tuab_sets[one], folder)
        if not killed_after(allowed, monkeypatch, "drop", folder, "--subject", subject):
            break
        ended += 1
        if one == "both" and (between := dare(*command, folder.parent)).status:
            assert "still holds a subject who is being dropped; run the same dare drop again" in between.complaint
            refused += 1
        drop(folder, "--subject", subject)
        assert contents(folder) == whole
    assert_whole(folder)
    assert ended > 10
    assert (refused > 5) == (one == "both")


def test_another_subject_may_be_dropped_where_the_first_dropping_was_killed(
    copy: Copy, tuab_sets: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy()
    shared = next(one for one in receipts(folder) if len({row["subject"] for row in one["recordings"]}) > 1)
    one, other, *_ = sorted({row["subject"] for row in shared["recordings"]})
    for subject in (one, other):
        drop(folder, "--subject", subject)
    both = contents(folder)
    for allowed in range(3, 40, 3):
        shutil.rmtree(folder)
        shutil.copytree(tuab_sets["webdataset"], folder)
        drop_began = killed_after(allowed, monkeypatch, "drop", folder, "--subject", one)
        for subject in (other, one):
            drop(folder, "--subject", subject)
        assert_whole(folder)
        assert tars(folder) == {name: content for name, content in both.items() if name.endswith(".tar")}
    assert not drop_began
