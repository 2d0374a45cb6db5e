"""A record that a later version wrote, or in which a field is strange, is refused wherever a command meets it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import Answer, contents, dare, preprocess

pytestmark = pytest.mark.slow

pytest_plugins = ["tests.corpora_fixtures"]

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def both(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of tars and stores."""
    return preprocess("tuab", raw / "tuab", tmp_path_factory.mktemp("both"), "--format", "both")


@pytest.fixture
def folder(both: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return shutil.copytree(both, tmp_path / "out" / "tuab")


def newer(record: dict[str, Any]) -> None:
    record |= {"schema_version": 99, "written_by": "7.8.9"}


def strange(record: dict[str, Any]) -> None:
    record |= {"flavour": 1, "written_by": "7.8.9"}


def change_json(path: Path, change: Change, *place: str) -> None:
    whole = json.loads(path.read_text())
    part = whole
    for name in place:
        part = part[name]
    change(part)
    path.write_text(json.dumps(whole))


def change_index(path: Path, change: Change) -> None:
    with np.load(path) as arrays:
        columns = dict(arrays)
    change(columns)
    np.savez(path, allow_pickle=False, **columns)


def assert_refused(answer: Answer, path: Path) -> None:
    assert answer.status == 2
    assert answer.complaint.startswith(f"dare: {path}: ")
    assert "written by dare-eeg 7.8.9" in answer.complaint
    assert "upgrade dare-eeg" in answer.complaint


@pytest.mark.parametrize("change", [newer, strange])
@pytest.mark.parametrize("place", [(), ("recipe",)])
def test_plan_and_its_recipe(raw: Path, folder: Path, change: Change, place: tuple[str, ...]) -> None:
    change_json(folder / "plan.json", change, *place)
    before = contents(folder)
    command = ("preprocess", "tuab", "--src", raw / "tuab", "--out", folder.parent, "--format", "both", "--workers", 1)
    assert_refused(dare(*command), folder / "plan.json")
    assert_refused(dare(*command, "--append"), folder / "plan.json")
    assert contents(folder) == before


@pytest.mark.parametrize("change", [newer, strange])
def test_receipt(raw: Path, folder: Path, change: Change) -> None:
    change_json(folder / "train" / "000000.json", change)
    command = ("preprocess", "tuab", "--src", raw / "tuab", "--out", folder.parent, "--format", "both", "--workers", 1)
    assert_refused(dare(*command), folder / "train" / "000000.json")


@pytest.mark.parametrize("change", [newer, strange])
@pytest.mark.parametrize("place", [(), ("recipe",)])
@pytest.mark.parametrize("command", [("verify",), ("inspect",), ("merge",), ("pretrain", "--shards")])
def test_manifest_and_its_recipe(
    folder: Path, change: Change, place: tuple[str, ...], command: tuple[str, ...]
) -> None:
    change_json(folder / "manifest.json", change, *place)
    assert_refused(dare(*command, folder), folder / "manifest.json")


@pytest.mark.parametrize("change", [newer, strange])
def test_merged_set(folder: Path, tmp_path: Path, change: Change) -> None:
    merged = tmp_path / "merged"
    assert dare("merge", folder, "--out", merged).status == 0
    change_json(merged / "manifest.json", change)
    assert_refused(dare("inspect", merged), merged / "manifest.json")


@pytest.mark.parametrize("change", [newer, strange])
def test_index_of_a_shard(folder: Path, change: Change) -> None:
    path = folder / "train" / "000000.idx.npz"
    change_index(path, change)
    assert_refused(dare("probe", "tuab", "--shards", folder, "--encoder", "scratch", "--size", "nano"), path)


@pytest.mark.parametrize("change", [newer, strange])
def test_facts_of_a_store(folder: Path, tmp_path: Path, change: Change) -> None:
    (path, *_) = sorted((folder / "zarr").glob("*/*.zarr"))
    change_json(path / "zarr.json", change, "attributes")
    answer = dare("preprocess", "tuab", "--src", folder, "--out", tmp_path / "cut", "--workers", 1, "--strict")
    assert answer.status == 1
    assert "written by dare-eeg 7.8.9" in answer.out
    assert "upgrade dare-eeg" in answer.out


@pytest.mark.parametrize("where", ["../../elsewhere.tar", "/etc/passwd", "train/../../other/train/000000.tar"])
@pytest.mark.parametrize("command", [("verify",), ("pretrain", "--shards")])
def test_manifest_that_names_a_file_outside_its_set(folder: Path, where: str, command: tuple[str, ...]) -> None:
    whole = json.loads((folder / "manifest.json").read_text())
    whole["splits"]["train"]["shards"][0]["path"] = where
    (folder / "manifest.json").write_text(json.dumps(whole))
    answer = dare(*command, folder)
    assert answer.status == 2
    assert answer.complaint.startswith(f"dare: {folder / 'manifest.json'}: splits.train.shards.0.path: ")
    assert "leads out of the set" in answer.complaint


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (
            ("shards", "train/../../../evil/000000"),
            {"identity": "a", "code_version": 3, "pieces": []},
            "no name of a shard",
        ),
        (("shards", "train/000007"), {"identity": "a", "code_version": 3, "pieces": [["no.edf", 0]]}, "is not planned"),
        (("recordings", 0, "slug"), "../../evil", "recordings.0.slug"),
    ],
)
def test_plan_that_names_what_it_may_not(
    raw: Path, folder: Path, place: tuple[str | int, ...], value: object, said: str
) -> None:
    plan = json.loads((folder / "plan.json").read_text())
    part = plan
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    (folder / "plan.json").write_text(json.dumps(plan))
    answer = dare(
        "preprocess", "tuab", "--src", raw / "tuab", "--out", folder.parent, "--format", "both", "--workers", 1
    )
    assert answer.status == 2
    assert answer.complaint.startswith(f"dare: {folder / 'plan.json'}: ")
    assert said in answer.complaint
