"""A set gone bad: ``dare verify`` names what is wrong and where, and the rest can still be read."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dare_eeg.data.shards import open_shards
from tests.commands import dare, preprocess, unusable

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


@pytest.fixture(scope="module")
def archive(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of both formats."""
    return preprocess("tuab", raw / "tuab", tmp_path_factory.mktemp("archive"), "--format", "both")


@pytest.fixture
def stored(archive: Path, tmp_path: Path) -> Path:
    """A set of both formats to spoil."""
    return shutil.copytree(archive, tmp_path / "tuab")


@pytest.mark.parametrize("format", ["zarr", "both"])
def test_set_with_stores_holds(raw: Path, tmp_path: Path, format: str) -> None:
    folder = preprocess("tuab", raw / "tuab", tmp_path, "--format", format)
    answer = dare("verify", folder)
    assert (answer.status, answer.out) == (0, f"{folder}: whole\n")


def test_faults_of_stores_are_each_named(stored: Path) -> None:
    flipped, lacking, gone, renamed, *_ = sorted((stored / "zarr").glob("*/*.zarr"))
    flip(flipped / "c" / "0" / "0", 1000)
    (lacking / "c" / "0" / "0").unlink()
    shutil.rmtree(gone)
    facts = renamed / "zarr.json"
    facts.write_bytes(facts.read_bytes().replace(b'"C3"', b'"C5"'))
    shutil.copytree(flipped, flipped.with_name("another.zarr"))
    shutil.copytree(flipped, flipped.with_name(f"{flipped.name}.partial-a-1-b"))
    answer = dare("verify", stored)
    assert answer.status == 1
    for path, said in (
        (flipped, "samples from 0 on, 1 of 2 chunks"),
        (lacking, " bytes, the manifest says "),
        (gone, "is missing; make the set again"),
        (renamed, "in what it says of its samples"),
        (flipped.with_name("another.zarr"), "is not in the manifest; delete it"),
        (flipped.with_name(f"{flipped.name}.partial-a-1-b"), "is not in the manifest; delete it"),
    ):
        (line,) = [line for line in answer.err.splitlines() if line.startswith(f"{path}: ")]
        assert said in line
    assert "6 faults" in answer.out


@pytest.mark.parametrize("content", ["[]", "null", "1", "{}", "\xff"])
def test_store_that_says_nothing_of_itself_is_named(stored: Path, content: str) -> None:
    store, *_ = sorted((stored / "zarr").glob("*/*.zarr"))
    (store / "zarr.json").write_text(content, encoding="latin-1")
    answer = dare("verify", stored)
    assert answer.status == 1
    assert answer.complaint.startswith(f"{store}: ")


def test_lost_index_of_windows_in_stores_is_named(raw: Path, tmp_path: Path) -> None:
    folder = preprocess("tuab", raw / "tuab", tmp_path, "--format", "zarr")
    (folder / "train" / "000000.idx.npz").unlink()
    flip(folder / "valid" / "000000.idx.npz", 400)
    answer = dare("verify", folder)
    assert "000000.idx.npz is missing; make the set again" in answer.err
    assert f"{folder}/valid/000000.idx.npz: its index 000000.idx.npz is not the one that was written" in answer.err
    assert "2 faults" in answer.out


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
