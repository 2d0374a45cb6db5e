"""Every refusal says in one line what it is about, why and what to do, and keeps the three apart for a program."""

import copy
import errno
import shutil
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path

import pytest

import pipelines
from manifests import manifest as manifests
from manifests import recipe as recipes
from manifests.atomic_io import unwritable
from manifests.errors import DamagedError, DareError, LostError, MissingError, RefusedError, UsageError
from manifests.merge import merge
from pipelines import inspect, synth
from pipelines.formats.readers import read_header
from pipelines.run_marker import mark_run
from tests.commands import preprocess_by_hand

CLASSES = (UsageError, MissingError, DamagedError, RefusedError, LostError)


def refused(kind: type[DareError], act: Callable[[], object]) -> tuple[str, str, str]:
    """Return (path, reason, remedy) of the error that an act must raise, whose text is made of them."""
    with pytest.raises(DareError) as refusal:
        act()
    error = refusal.value
    assert type(error) is kind
    assert "\n" not in str(error)
    assert str(error) == f"{error.path}: {error.reason}" + (f"; {error.remedy}" if error.remedy else "")
    return error.path, error.reason, error.remedy


@pytest.mark.parametrize("kind", CLASSES)
def test_text_is_what_it_is_about_the_reason_and_the_way_out(kind: type[DareError]) -> None:
    assert str(kind("is gone", path=Path("a/b"), remedy="get it again")) == "a/b: is gone; get it again"
    assert str(kind("is gone", path=Path("a/b"))) == "a/b: is gone"
    assert str(kind("is gone", remedy="get it again")) == "is gone; get it again"
    assert str(kind("is gone")) == "is gone"


def test_error_is_told_of_by_who_knows_a_better_name_for_what_it_is_about() -> None:
    error = DamagedError("is cut", path="/raw/a.edf", remedy="get it again")
    assert str(error.about("a.edf", Path("/raw/a.edf"))) == "a.edf: is cut; get it again"
    assert str(error.about("", "/raw/a.edf")) == "is cut; get it again"
    assert str(error.about("b.edf", "/raw/b.edf")) == "b.edf: /raw/a.edf: is cut; get it again"
    assert type(error.about("")) is DamagedError


@pytest.mark.parametrize("kind", CLASSES)
def test_error_keeps_its_parts_on_the_way_to_another_process(kind: type[DareError]) -> None:
    error = kind("is gone", path=Path("a/b"), remedy="get it again")
    ours, theirs = Pipe()
    ours.send(error)
    for twin in (copy.copy(error), theirs.recv()):
        assert (type(twin), twin.path, twin.reason, twin.remedy) == (kind, "a/b", "is gone", "get it again")
        assert str(twin) == str(error)


def test_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.edf"
    assert refused(MissingError, lambda: read_header(path)) == (
        str(path),
        "cannot be read: No such file or directory",
        "name a file that is there",
    )
    recipe = recipes.load("tueg")
    reason = "cannot be opened: No such file or directory"
    told = refused(MissingError, lambda: next(pipelines.cut(path, recipe)))
    assert told == (str(path), reason, "name a file that is there")
    assert refused(MissingError, lambda: manifests.load(tmp_path)) == (
        str(tmp_path / "manifest.json"),
        "not found",
        "an unfinished set is finished by running dare preprocess again, a missing one made by it",
    )


def test_what_is_damaged(tmp_path: Path) -> None:
    (recording, *_) = synth.write("tueg", tmp_path / "raw", 1, 10.0, seed=0)
    recording.write_bytes(recording.read_bytes()[:200])
    path, reason, remedy = refused(DamagedError, lambda: read_header(recording))
    assert (path, reason, remedy) == (str(recording), "has 200 bytes, too short for its header of 256", "")
    recipe = recipes.load("tueg")
    for act in (lambda: next(pipelines.cut(recording, recipe)), lambda: inspect.recording(recording)):
        assert refused(DamagedError, act) == (path, reason, "get the file again")
    (tmp_path / "manifest.json").write_text("{")
    path, reason, remedy = refused(DamagedError, lambda: manifests.load(tmp_path))
    assert path == str(tmp_path / "manifest.json")
    assert reason.startswith("unreadable (Expecting property name")
    assert remedy.endswith("a missing one made by it")


def test_what_must_not_be_used_so(tmp_path: Path) -> None:
    synth.write("tueg", tmp_path / "raw", 1, 10.0, seed=0)
    preprocess_by_hand("tueg", tmp_path / "raw", tmp_path / "set", ("electrodes=C3,CZ",))
    path, reason, remedy = refused(
        RefusedError, lambda: preprocess_by_hand("tueg", tmp_path / "raw", tmp_path / "set", ("electrodes=C3",))
    )
    assert path == str(tmp_path / "set")
    assert reason == "holds shards of another plan (recipe: electrodes ['C3', 'CZ'], now ['C3'])"
    assert remedy == "choose another --out or replace it with --overwrite"


def test_what_was_asked_for_wrongly(tmp_path: Path) -> None:
    path, reason, remedy = refused(UsageError, lambda: recipes.load("tuab", settings=("stride=4",)))
    assert (path, reason) == ("recipe tuab", "stride: is no field")
    assert remedy.startswith("did you mean stride_s? fields are bad_channels, balance, ")
    set_of_1 = [tmp_path / "a" / "set", tmp_path / "b" / "set"]
    synth.write("tueg", tmp_path / "raw", 1, 10.0, seed=0)
    preprocess_by_hand("tueg", tmp_path / "raw", set_of_1[0], ("electrodes=C3",))
    assert refused(UsageError, lambda: merge(set_of_1[:1], set_of_1[0], {})) == (
        str(set_of_1[0]),
        "is a shard set itself",
        "choose another --out",
    )


def test_refused_write_is_a_wrong_folder_or_a_lost_disk(tmp_path: Path) -> None:
    gone = unwritable(tmp_path, OSError(errno.ENOENT, "No"))
    assert (type(gone), gone.remedy) == (UsageError, "choose a folder that can be written")
    denied, full = (unwritable(tmp_path, OSError(code, "No")) for code in (errno.EACCES, errno.ENOSPC))
    assert (type(denied), str(denied)) == (UsageError, f"{tmp_path}: no; choose a folder that can be written")
    assert type(full) is LostError
    assert full.remedy == "free some space and run the same command again: what is finished is kept"


def test_what_was_lost_at_work(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with mark_run(folder) as marker:
        shutil.rmtree(folder)
        assert refused(LostError, marker.check) == (
            str(folder),
            "was emptied while this run worked in it",
            "run the same command again",
        )


def test_file_that_the_system_does_not_give_is_missing_no_file_or_on_a_lost_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert refused(MissingError, lambda: manifests.load(tmp_path / "file"))[1] == "not found"
    assert refused(MissingError, lambda: manifests.load_rows(tmp_path))[1] == "not found"
    for name, load in (("manifest.json", manifests.load), ("recordings.jsonl", manifests.load_rows)):
        (tmp_path / name).mkdir()
        path, reason, _ = refused(DamagedError, lambda load=load: load(tmp_path))  # type: ignore[misc]
        assert (path, reason) == (str(tmp_path / name), "unreadable (is a directory)")

    def fail(_: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error", str(tmp_path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    for act in (manifests.load, manifests.load_rows):
        assert refused(LostError, lambda act=act: act(tmp_path))[1] == "unreadable (input/output error)"  # type: ignore[misc]
