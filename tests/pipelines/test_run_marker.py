"""Runs at work in a folder are known across hosts, and only the half-written files of dead ones are removed."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from manifests.errors import DareError
from pipelines import synth
from pipelines.run_marker import ADOPTING, BEAT_S, BUILDING, SILENT_S, mark_run, remove_abandoned, words
from tests.commands import contents, dare, preprocess, unusable

HERE = socket.gethostname()
OTHER = "node-17.cluster"
SMALL = ("--set", "electrodes=C3,CZ,C4")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    synth.write("tuab", folder, 4, 20.0, seed=7)
    return folder


def dead_process() -> int:
    """Return the number of a process that is no more."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def mark(folder: Path, name: str, silent_s: float = 0.0) -> Path:
    """Write a file that was last touched so long ago."""
    path = folder / name
    path.write_bytes(b"half")
    then_s = path.stat().st_mtime - silent_s
    os.utime(path, (then_s, then_s))
    return path


def test_run_is_seen_by_others_and_not_by_itself(tmp_path: Path) -> None:
    with mark_run(tmp_path / "set") as one:
        mark(tmp_path / "set", f"{BUILDING}.partial-{OTHER}-77-0123abcd")
        assert one.others() == one.others(BUILDING) == [f"{OTHER}-77-0123abcd"]
        assert one.others(ADOPTING) == []
        assert words(one.others()[0]) == f"process 77 on {OTHER}"
        one.turn(BUILDING)
        assert one.others(BUILDING) == [f"{OTHER}-77-0123abcd"]
        assert [path.name for path in one.folder.glob(f"*{one.owner}")] == [f"{BUILDING}.partial-{one.owner}"]
    assert [path.name for path in (tmp_path / "set").iterdir()] == [f"{BUILDING}.partial-{OTHER}-77-0123abcd"]


def test_silent_run_of_another_host_and_dead_one_of_this_are_not_seen(tmp_path: Path) -> None:
    assert 10 * BEAT_S < SILENT_S
    mark(tmp_path, f"{BUILDING}.partial-{OTHER}-77-0123abcd", 2 * SILENT_S)
    mark(tmp_path, f"{BUILDING}.partial-{HERE}-{dead_process()}-0123abcd")
    with mark_run(tmp_path) as one:
        assert one.others() == []


def test_run_whose_mark_is_gone_is_told(tmp_path: Path) -> None:
    with mark_run(tmp_path) as one:
        one.check()
        one.path.unlink()
        with pytest.raises(DareError, match="was emptied while this run worked in it"):
            one.check()


@pytest.mark.parametrize("alone", [True, False])
def test_files_of_other_hosts_are_removed_only_when_no_run_is_at_work(tmp_path: Path, alone: bool) -> None:
    foreign = mark(tmp_path, f"000000.tar.partial-{OTHER}-5-0123abcd")
    scratch = tmp_path / f"alone.partial-{OTHER}-6-0123abcd" / "train"
    scratch.mkdir(parents=True)
    mark(scratch, "000000.tar")
    dead = mark(tmp_path, f"000001.tar.partial-{HERE}-{dead_process()}-0123abcd")
    whole = mark(tmp_path, "000002.tar")
    at_it = mark(tmp_path, f"{BUILDING}.partial-{OTHER}-77-0123abcd", 2 * SILENT_S if alone else 0.0)
    remove_abandoned(tmp_path)
    assert whole.exists()
    assert not dead.exists()
    assert (foreign.exists(), scratch.exists(), at_it.exists()) == (not alone,) * 3


def test_overwrite_waits_for_the_end_of_a_run_on_another_host(raw: Path, tmp_path: Path) -> None:
    folder = preprocess("tuab", raw, tmp_path, *SMALL)
    before = contents(folder)
    at_it = mark(folder, f"{BUILDING}.partial-{OTHER}-77-0123abcd")
    command = ("preprocess", "tuab", "--src", raw, "--out", tmp_path, "--workers", 1, *SMALL, "--limit", 2)
    unusable(dare(*command, "--overwrite"), folder, f"another run is at work in it (process 77 on {OTHER})")
    at_it.unlink()
    assert contents(folder) == before
    at_it = mark(folder, at_it.name, 2 * SILENT_S)
    assert dare(*command, "--overwrite").status == 0
    assert contents(folder) == contents(preprocess("tuab", raw, tmp_path / "alone", *SMALL, "--limit", 2))


@pytest.mark.parametrize("owner", [f"{HERE}-DEAD-0123abcd", f"{OTHER}-9-0123abcd"])
def test_plan_that_was_withdrawn_by_the_dead_goes_back(raw: Path, tmp_path: Path, owner: str) -> None:
    folder = preprocess("tuab", raw, tmp_path, *SMALL)
    before = contents(folder)
    withdrawn = folder / f"withdrawn.partial-{owner.replace('DEAD', str(dead_process()))}"
    (folder / "plan.json").rename(withdrawn)
    preprocess("tuab", raw, tmp_path, *SMALL)
    assert contents(folder) == before
