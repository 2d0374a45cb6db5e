"""A set gone bad: ``dare verify`` names what is wrong and where, and the rest can still be read."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dare_eeg.shards import open_shards
from tests.commands import dare, unusable

pytest_plugins = ["tests.corpora_fixtures"]


@pytest.fixture
def good(shards: Path, tmp_path: Path) -> Path:
    """A set to spoil."""
    return shutil.copytree(shards / "tuab", tmp_path / "tuab")


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_flipped_byte_is_named_by_shard_and_window(good: Path) -> None:
    tar = good / "train" / "000000.tar"
    windows = open_shards(good)
    with np.load(tar.with_suffix(".idx.npz")) as index:
        position = int(index["offset"][2]) + 77
    flip(tar, position)
    answer = dare("verify", good)
    assert answer.status == 1
    where = f"{windows.recordings[2]} at {windows.start_s[2]:g} s"
    assert answer.complaint.startswith(f"{tar}: its bytes are not those that were written (1 of 4 windows, the first ")
    assert where in answer.complaint
    spoilt = open_shards(good)
    assert spoilt[1][0].shape == (23, 2000)
    with pytest.raises(ValueError, match="its checksum does not hold") as refused:
        spoilt[2]
    assert str(tar) in str(refused.value)
    assert where in str(refused.value)


def test_flipped_byte_outside_the_windows_is_noticed(good: Path) -> None:
    flip(good / "train" / "000000.tar", 100)
    answer = dare("verify", good)
    assert answer.status == 1
    assert "outside the windows' samples" in answer.complaint


@pytest.mark.parametrize("name", ["train/000000.tar", "valid/000000.idx.npz"])
def test_missing_file_of_a_set_is_named(good: Path, name: str) -> None:
    (good / name).unlink()
    answer = dare("verify", good)
    assert answer.status == 1
    assert Path(name).name in answer.complaint
    assert "is missing; make the set again" in answer.complaint
    with pytest.raises(ValueError, match=Path(name).name):
        open_shards(good, Path(name).parent.name)


def test_changed_index_short_shard_and_stray_files_are_each_named(good: Path) -> None:
    flip(good / "train" / "000000.idx.npz", 400)
    with (good / "valid" / "000000.tar").open("ab") as tar:
        tar.write(b"more")
    (good / "test" / "000001.tar").write_bytes(b"")
    (good / "test" / "000002.tar.partial-a-1-b").write_bytes(b"")
    answer = dare("verify", good)
    assert answer.status == 1
    for said in (
        "train/000000.tar: its index 000000.idx.npz is not the one",
        "valid/000000.tar: has ",
        "test/000001.tar: is not in the manifest",
        "000002.tar.partial-a-1-b: is not in the manifest",
    ):
        assert said in answer.err
    assert "4 faults" in answer.out


@pytest.mark.parametrize("name", ["recordings.jsonl", "plan.json"])
def test_lost_record_of_the_recordings_is_a_fault(good: Path, name: str) -> None:
    (good / name).unlink()
    answer = dare("verify", good)
    assert answer.status == 1
    assert name in answer.complaint


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"kind": "set"}'])
def test_manifest_that_is_none_is_named_with_the_remedy(good: Path, content: bytes | None) -> None:
    (good / "manifest.json").unlink()
    if content is not None:
        (good / "manifest.json").write_bytes(content)
    for command in ("verify", "merge"):
        unusable(dare(command, good), good / "manifest.json", "dare preprocess")
