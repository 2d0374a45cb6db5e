"""Files are whole or absent, whatever happens while they are written."""

import errno
import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.atomic_io import atomic_write, canonical_json, create, json_lines, read_json, sha256_file, write_bytes
from manifests.errors import DareError, UsageError
from tests.conftest import only_on

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: all(not 0xD800 <= ord(c) < 0xE000 for c in json.dumps(value, ensure_ascii=False)))


def full(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_whole_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "below" / "file"
    for content in (b"old", b"new"):
        write_bytes(path, content)
        assert path.read_bytes() == content
    assert [one.name for one in path.parent.iterdir()] == ["file"]


def test_exception_leaves_the_old_file_and_no_partial(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_write(path) as partial:
            partial.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"file": b"old"}


def test_file_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "file") as partial:
        partial.write_bytes(b"half")
        assert not (tmp_path / "file").exists()
        assert partial.parent == tmp_path
    assert (tmp_path / "file").read_bytes() == b"half"


@pytest.mark.parametrize("place", ["write", "fsync", "replace"])
def test_full_disk_is_one_line_with_a_remedy_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    owner: Any = os if place == "fsync" else Path
    monkeypatch.setattr(owner, {"write": "write_bytes"}.get(place, place), full)
    path = tmp_path / "file"
    with pytest.raises(DareError) as refused:
        write_bytes(path, b"content")
    assert str(refused.value).startswith(f"{path}: no space left on device; free some space")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_content_and_name_reach_the_disk_in_that_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append("folder" if os.path.samestat(os.fstat(descriptor), tmp_path.stat()) else "content")
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_bytes(tmp_path / "file", b"content")
    assert steps == ["content", "rename", "folder"]


def test_of_many_who_create_a_file_at_once_one_does(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)

    def contend(number: int) -> bytes:
        barrier.wait()
        create(tmp_path / "file", str(number).encode() * 100_000)
        return (tmp_path / "file").read_bytes()

    with ThreadPoolExecutor(8) as threads:
        seen = set(threads.map(contend, range(8)))
    assert len(seen) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_created_file_needs_no_hard_links_and_tells_of_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> NoReturn:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "link", no_links)
    create(tmp_path / "file", b"content")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"file": b"content"}
    monkeypatch.setattr(os, "link", full)
    with pytest.raises(DareError, match="no space left on device; free some space"):
        create(tmp_path / "other", b"content")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_folder_whose_path_holds_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DareError, match="choose a folder whose path holds no file"):
        write_bytes(tmp_path / "file" / "below", b"content")


@pytest.mark.slow
@given(JSON)
def test_canonical_json_is_one_text_for_one_value(value: Any) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
    assert text.endswith(b"\n")


def test_canonical_json_has_a_line_for_each_entry_and_each_row_of_a_table() -> None:
    value = {"shards": {"train": [["a", 0], ["b", 1]]}, "rows": [{"y": [1], "x": 2}], "names": ["C3", "C4"]}
    lines = ["{", ' "names": ["C3", "C4"],', ' "rows": [', '  {"x": 2, "y": [1]}', " ],", ' "shards": {']
    lines += ['  "train": [', '   ["a", 0],', '   ["b", 1]', "  ]", " }", "}", ""]
    assert canonical_json(value).decode().split("\n") == lines


def test_canonical_json_is_sorted_ascii_and_has_no_nan() -> None:
    assert canonical_json({"b": 1, "a": "ü"}) == b'{\n "a": "\\u00fc",\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))


def test_json_lines_hold_one_object_a_line() -> None:
    assert json_lines([{"b": 1, "a": "x\ny"}, {}]) == b'{"a": "x\\ny", "b": 1}\n{}\n'


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_broken_json_is_named_with_its_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(DareError, match=r"plan\.json: unreadable .*; do this"):
        read_json(path, "do this")


def test_missing_json_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(DareError, match=r"plan\.json: not found; do this"):
        read_json(tmp_path / "plan.json", "do this")


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()


@pytest.mark.parametrize("write", [write_bytes, create])
def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to(os.devnull)
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DareError, match=rf"{path.name}: is there and is no regular file; name another file"):
            write(path, b"content")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["device", "folder", "pipe"]


@only_on("Linux", sys.platform == "linux")
def test_folder_that_the_system_cannot_make_is_a_wrong_one() -> None:
    with pytest.raises(UsageError, match="no such file or directory; choose a folder that can be written"):
        write_bytes(Path("/proc/nowhere/file"), b"content")
