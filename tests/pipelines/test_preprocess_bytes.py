"""The same bytes however the work was done: by one or many, in parts, in any order, killed and begun again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import LocalCluster

from manifests.notes import prose
from tests.commands import contents, dare, manifest, preprocess

pytestmark = pytest.mark.slow

pytest_plugins = ["tests.corpora_fixtures"]

MANY_SHARDS = ("--set", "shard_mb=0.05")
"""Each recording gets a shard of its own."""


@pytest.fixture(scope="module")
def one_go(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tree that one worker writes in one go."""
    return contents(preprocess("tuab", raw / "tuab", tmp_path_factory.mktemp("one"), *MANY_SHARDS))


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one(raw: Path, tmp_path: Path, one_go: dict[str, bytes]) -> None:
    answer = dare("preprocess", "tuab", "--src", raw / "tuab", "--out", tmp_path, "--workers", 2, *MANY_SHARDS)
    assert answer.status == 0, answer.err
    assert contents(tmp_path / "tuab") == one_go


@pytest.mark.slow
def test_workers_of_a_scheduler_write_the_same_bytes(raw: Path, tmp_path: Path, one_go: dict[str, bytes]) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        command = ("preprocess", "tuab", "--src", raw / "tuab", "--out", tmp_path, *MANY_SHARDS)
        answer = dare(*command, "--scheduler", cluster.scheduler_address)
    assert answer.status == 0, answer.err
    assert contents(tmp_path / "tuab") == one_go


@pytest.mark.slow
@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_parts_write_the_same_bytes_in_any_order(
    raw: Path, tmp_path: Path, one_go: dict[str, bytes], order: tuple[int, int]
) -> None:
    command = ("preprocess", "tuab", "--src", raw / "tuab", "--out", tmp_path, "--workers", 1, *MANY_SHARDS)
    first, second = (dare(*command, "--part", f"{part}/2") for part in order)
    assert (first.status, second.status) == (0, 0)
    assert f"part {order[0]}/2 is done" in first.out
    assert contents(tmp_path / "tuab") == one_go


def test_parts_that_replace_another_set_keep_what_the_others_built(
    raw: Path, tmp_path: Path, one_go: dict[str, bytes]
) -> None:
    preprocess("tuab", raw / "tuab", tmp_path, "--limit", 1)
    command = ("preprocess", "tuab", "--src", raw / "tuab", "--out", tmp_path, "--workers", 1, *MANY_SHARDS)
    for part in (1, 2):
        assert dare(*command, "--overwrite", "--part", f"{part}/2").status == 0
    assert contents(tmp_path / "tuab") == one_go


def test_first_part_builds_its_share_and_writes_no_manifest(raw: Path, tmp_path: Path) -> None:
    command = ("preprocess", "tuab", "--src", raw / "tuab", "--out", tmp_path, "--workers", 1, *MANY_SHARDS)
    assert dare(*command, "--part", "1/2").status == 0
    assert not (tmp_path / "tuab" / "manifest.json").exists()
    assert len(list(tmp_path.rglob("*.tar"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["0", "4321"])
def test_hash_seed_of_the_process_changes_no_byte(
    raw: Path, tmp_path: Path, one_go: dict[str, bytes], hash_seed: str
) -> None:
    command = ("preprocess", "tuab", "--src", raw / "tuab", "--workers", "1", *MANY_SHARDS)
    subprocess.run(
        [sys.executable, "-c", "import cli; cli.main()", *command, "--out", tmp_path],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
    )
    assert contents(tmp_path / "tuab") == one_go


def test_copied_tree_gives_the_same_bytes(raw: Path, tmp_path: Path, one_go: dict[str, bytes]) -> None:
    copied = shutil.copytree(raw / "tuab", tmp_path / "elsewhere" / "copied", copy_function=shutil.copy)
    assert contents(preprocess("tuab", copied, tmp_path / "out", *MANY_SHARDS)) == one_go


def test_running_again_touches_nothing(raw: Path, tmp_path: Path) -> None:
    folder = preprocess("tuab", raw / "tuab", tmp_path, *MANY_SHARDS)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    answer = dare("preprocess", "tuab", "--src", raw / "tuab", "--out", tmp_path, "--workers", 1, *MANY_SHARDS)
    assert answer.status == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_lost_shard_alone_is_built_again(raw: Path, tmp_path: Path, one_go: dict[str, bytes]) -> None:
    folder = preprocess("tuab", raw / "tuab", tmp_path, *MANY_SHARDS)
    lost, *others = sorted(folder.rglob("*.tar"))
    before = {path: path.stat().st_mtime_ns for path in others}
    lost.with_suffix(".json").unlink()
    lost.unlink()
    preprocess("tuab", raw / "tuab", tmp_path, *MANY_SHARDS)
    assert contents(folder) == one_go
    assert {path: path.stat().st_mtime_ns for path in others} == before


DIE_AT_EACH_WRITE = """
import contextlib, os, signal, sys
import cli
from manifests import atomic_io

*arguments, out = sys.argv[1:]
sync = atomic_io.sync

def run(number):
    sys.argv = ["dare", *arguments, "--out", f"{out}/{number}"]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(sys.stderr):
        cli.main()

def dies_at(number):
    left = number
    def counted(path):
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(path)
    return counted

run(0)
number, status = 0, signal.SIGKILL
while os.WIFSIGNALED(status):
    number += 1
    child = os.fork()
    if not child:
        atomic_io.sync = dies_at(number)
        run(number)
        os._exit(0)
    _, status = os.waitpid(child, 0)
print(number - 1)
"""
"""Runs a command whole, and then again and again, killed at its first, second ... sync of a file, until it lives."""


@pytest.mark.slow
def test_killed_at_any_write_and_run_again_gives_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    small = ("--set", "electrodes=C3,CZ,C4", "--subjects", "aaaaaaaq,aaaaaaar", *MANY_SHARDS)
    command = ("preprocess", "tuab", "--src", raw / "tuab", "--workers", "1", *small)
    run = subprocess.run(
        [sys.executable, "-c", DIE_AT_EACH_WRITE, *command, tmp_path],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    num_deaths, unbroken = int(run.stdout), contents(tmp_path / "0" / "tuab")
    assert num_deaths >= 2 * len(unbroken)
    unlike = []
    for number in range(1, num_deaths + 1):
        again = dare(*command, "--out", tmp_path / str(number))
        if again.status or contents(tmp_path / str(number) / "tuab") != unbroken:
            unlike.append((number, again.err.splitlines()[-1:]))
    assert unlike == []


def test_partial_files_of_dead_runs_are_removed(raw: Path, tmp_path: Path, one_go: dict[str, bytes]) -> None:
    folder = preprocess("tuab", raw / "tuab", tmp_path, *MANY_SHARDS)
    (folder / "train" / "000000.tar.partial-host-1-12345678").write_bytes(b"half")
    (folder / "manifest.json").unlink()
    preprocess("tuab", raw / "tuab", tmp_path, *MANY_SHARDS)
    assert contents(folder) == one_go


def test_failed_recording_is_built_again_when_mended(raw: Path, tmp_path: Path, one_go: dict[str, bytes]) -> None:
    folder = preprocess("tuab", raw / "tuab", tmp_path, *MANY_SHARDS)
    path, *_ = sorted(folder.glob("*/*.json"))
    receipt = json.loads(path.read_text())
    away = [note.as_json() for note in prose("the disk was away")]
    receipt["recordings"][0] |= {"outcome": "failed", "reason": "the disk was away", "notes": away, "windows": 0}
    path.write_text(json.dumps(receipt))
    (folder / "manifest.json").unlink()
    said = manifest(preprocess("tuab", raw / "tuab", tmp_path, *MANY_SHARDS))["outcomes"]["failed"]
    assert said == {"the disk was away": 1}
    preprocess("tuab", raw / "tuab", tmp_path, *MANY_SHARDS, "--retry-failed")
    assert contents(folder) == one_go
