"""Checkpoints: a run that was stopped, killed or tampered with goes on as if nothing had been, or says why not."""

import fcntl
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dare_eeg import load_encoder
from dare_eeg.training import config as configs
from tests.commands import Answer, dare, unusable
from tests.dare_eeg.sets import (
    NANO,
    flip_byte,
    metrics_of,
    pretrained,
    recorded,
    tensors_of,
    truncate,
    write_set,
)

pytestmark = pytest.mark.slow

STEPS = 8
PLAN = ("--steps", STEPS, "--checkpoint-every", 4)
GO_ON = ("pretrain", "--out", "{}", "--resume")
"""How to go on with a run."""

KILLED = """
import os, signal, sys
from pathlib import Path
from dare_eeg.training.config import load
from dare_eeg.training.pretrain import pretrain
from dare_eeg.data.shards import training_sets

def report(step, steps, metrics):
    if step == 6:
        os.kill(os.getpid(), signal.SIGKILL)

fields = dict(shards=sys.argv[1], out=sys.argv[2], size="nano", global_batch=8, micro_batch=4, steps=8)
fields["checkpoint_every"] = 4
pretrain(load(None, fields), training_sets(Path(sys.argv[1])), report)
"""


@pytest.fixture(scope="module")
def unbroken(four_electrodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrained(four_electrodes, tmp_path_factory.mktemp("runs") / "unbroken", *PLAN)


@pytest.fixture(scope="module")
def stopped(four_electrodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after three steps."""
    return pretrained(four_electrodes, tmp_path_factory.mktemp("runs") / "stopped", *PLAN, "--stop-after", 3)


@pytest.fixture
def copied(stopped: Path, tmp_path: Path) -> Path:
    """A copy of the stopped run, to go on with or to damage."""
    return shutil.copytree(stopped, tmp_path / "copied")


def resume(shards: Path, run: Path, *options: object) -> Answer:
    return dare("pretrain", "--shards", shards, "--out", run, *NANO, *PLAN, "--resume", *options)


def states(run: Path) -> Path:
    """Return the file with the network of the last checkpoint."""
    return max((run / "checkpoints").glob("step-*/*model_states.pt"))


def everything(value: Any, name: str = "") -> dict[str, Any]:
    """Return every leaf of nested containers by its path."""
    if isinstance(value, dict):
        return {k: v for key, one in value.items() for k, v in everything(one, f"{name}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for key, one in enumerate(value) for k, v in everything(one, f"{name}/{key}").items()}
    return {name: value}


def assert_same_end(run: Path, other: Path) -> None:
    """Losses, weights, the optimizer's moments and the exported encoder are equal to the bit."""
    assert [line["loss"] for line in metrics_of(run)] == [line["loss"] for line in metrics_of(other)]
    assert len(metrics_of(run)) == STEPS
    ours, theirs = (
        everything({part: tensors_of(states(one))[part] for part in ("module", "optimizer")}) for one in (run, other)
    )
    assert ours.keys() == theirs.keys()
    assert sum(isinstance(leaf, torch.Tensor) for leaf in ours.values()) > 200
    for name, leaf in ours.items():
        assert torch.equal(leaf, theirs[name]) if isinstance(leaf, torch.Tensor) else leaf == theirs[name], name
    ours, theirs = (load_file(one / "encoder.safetensors") for one in (run, other))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_stopping_and_going_on_twice_changes_nothing(four_electrodes: Path, copied: Path, unbroken: Path) -> None:
    second = resume(four_electrodes, copied, "--stop-after", 2)
    assert second.status == 0, second.err
    assert "5 of 8 steps" in second.out
    assert f"go on with: dare {' '.join(GO_ON)}".format(copied) in second.out
    assert dare(*(word.format(copied) for word in GO_ON)).status == 0
    assert_same_end(copied, unbroken)
    assert metrics_of(copied)[-1] == metrics_of(unbroken)[-1]


@pytest.mark.slow
def test_a_new_process_goes_on_like_the_old_one(four_electrodes: Path, copied: Path, unbroken: Path) -> None:
    command = [Path(sys.executable).with_name("dare"), "pretrain", "--shards", four_electrodes, "--out", copied]
    words = [str(word) for word in (*command, *NANO, *PLAN, "--resume")]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert_same_end(copied, unbroken)


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_whole_checkpoint(
    four_electrodes: Path, tmp_path: Path, unbroken: Path
) -> None:
    run = tmp_path / "killed"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(four_electrodes), str(run)], check=False)
    assert ended.returncode == -9
    assert [line["step"] for line in metrics_of(run)] == [1, 2, 3, 4, 5, 6]
    half_written = run / "checkpoints" / "step-00000006"
    half_written.mkdir()
    (half_written / states(run).name).write_bytes(states(run).read_bytes()[:1000])
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 7, "loss": 1.2')
    assert resume(four_electrodes, run).status == 0
    assert_same_end(run, unbroken)
    assert not half_written.exists()


def test_a_finished_run_is_left_as_it_is(four_electrodes: Path, unbroken: Path, tmp_path: Path) -> None:
    run = shutil.copytree(unbroken, tmp_path / "finished")
    answer = resume(four_electrodes, run)
    assert answer.status == 0
    assert "8 of 8 steps" in answer.out
    assert_same_end(run, unbroken)


def test_the_last_and_the_best_checkpoint_are_kept(unbroken: Path) -> None:
    kept = {path.name for path in (unbroken / "checkpoints").glob("step-*")}
    valid = {line["step"]: line["valid"]["loss"] for line in metrics_of(unbroken) if "valid" in line}
    assert sorted(valid) == [4, 8]
    assert kept == {"step-00000008", f"step-{min(valid, key=lambda step: valid[step]):08d}"}


@pytest.mark.parametrize(
    ("option", "value", "field"),
    [
        ("--steps", 9, "steps"),
        ("--lr", 1e-3, "lr"),
        ("--seed", 7, "seed"),
        ("--global-batch", 16, "global_batch"),
        ("--micro-batch", 2, "micro_batch"),
        ("--size", "light", "size"),
        ("--precision", "bf16", "precision"),
    ],
)
def test_resuming_another_plan_is_refused_and_the_field_named(
    four_electrodes: Path, copied: Path, option: str, value: object, field: str
) -> None:
    before = metrics_of(copied)
    answer = resume(four_electrodes, copied, option, value)
    assert answer.status == 2
    assert f"its {field} is another" in answer.complaint
    assert metrics_of(copied) == before


def test_resuming_on_another_set_is_refused_and_the_set_named(
    tuab_pretrain: Path, copied: Path, tmp_path: Path
) -> None:
    other = write_set(tmp_path / "four", {"train": [recorded("tuh:a", 9)]}, ("C3", "CZ", "C4", "OZ"))
    for shards, said in (
        (tuab_pretrain, "four is gone, tuab-pretrain is new"),
        (other, "four has other windows (15, now 9) and electrodes, rate or length (without PZ, with OZ)"),
    ):
        answer = resume(shards, copied)
        assert answer.status == 2
        assert f"its sources is another ({said}); " in answer.complaint


def test_how_sources_differ_is_told_with_what_is_left_out_now(
    four_electrodes: Path, copied: Path, tmp_path: Path
) -> None:
    one = write_set(tmp_path / "one", {"train": [recorded("tuh:b", 1)]})
    answer = dare("pretrain", "--out", copied, "--resume", "--exclude", one)
    said = (
        f"its sources is another (four has other windows (15, now 10); --exclude was none, now {one}); give the run's"
    )
    assert said in answer.complaint
    weighed = [tmp_path / name / "merged" for name in ("whole", "half")]
    for merged, weight in zip(weighed, (1, 0.5), strict=True):
        assert dare("merge", four_electrodes, "--out", merged, "--weight", f"four={weight}").status == 0
    assert resume(weighed[0], copied, "--stop-after", 1).status == 0
    assert "(four has other weight (1, now 0.5)); " in resume(weighed[1], copied).complaint
    anew = write_set(tmp_path / "four", {"train": [recorded(f"tuh:{name}", 5, seed=1) for name in "abc"]})
    assert "(four has other windows (15 as before: the set is another))" in resume(anew, copied).complaint


def test_a_run_is_trained_longer_as_its_refusal_says(copied: Path, tmp_path: Path) -> None:
    told = dare("pretrain", "--out", copied, "--resume", "--steps", 20).complaint
    words = (
        told.partition("begin a new run with its weights: dare ")[2].replace("OTHER", str(tmp_path / "longer")).split()
    )
    assert words[:2] == ["pretrain", "--config"]
    answer = dare(*words, "--stop-after", 1)
    assert answer.status == 0, answer.err
    assert f"  begins with all of the network of {copied}\n" in answer.err
    assert "1 of 20 steps" in answer.out
    assert configs.load(tmp_path / "longer" / "config.toml", {}).start_from == str(copied)


def test_the_folder_of_a_run_is_enough_to_go_on(copied: Path, unbroken: Path, tmp_path: Path) -> None:
    moved = copied.rename(tmp_path / "moved")
    answer = dare("pretrain", "--out", moved, "--resume")
    assert answer.status == 0, answer.err
    assert "  this call: from step 4 to 8\n" in answer.err
    assert metrics_of(moved) == metrics_of(unbroken)
    assert configs.load(moved / "config.toml", {}).out == str(moved)
    again = dare("pretrain", "--out", moved, "--resume")
    assert "  no step is left to do; to train longer, begin a new run with its weights: " in again.err
    for words, said in (
        (("--out", tmp_path / "none"), f"{tmp_path / 'none'}: has no checkpoint to resume from; "),
        ((), "--resume: names no run; give the run's folder: --resume --out RUN"),
    ):
        unusable(dare("pretrain", "--resume", *words), said)


def test_a_run_that_is_there_is_not_overwritten(four_electrodes: Path, stopped: Path) -> None:
    answer = dare("pretrain", "--shards", four_electrodes, "--out", stopped, *NANO, *PLAN)
    assert answer.status == 2
    assert answer.complaint.startswith(f"dare: {stopped}: holds a run; go on with --resume")
    assert len(metrics_of(stopped)) == 3


def test_a_run_that_is_not_there_is_not_resumed(four_electrodes: Path, tmp_path: Path) -> None:
    answer = resume(four_electrodes, tmp_path / "none")
    assert answer.status == 2
    assert "has no checkpoint to resume from" in answer.complaint
    assert not (tmp_path / "none" / "config.toml").exists()


@pytest.mark.slow
def test_what_a_run_exports_does_not_depend_on_where_it_was_stopped(four_electrodes: Path, tmp_path: Path) -> None:
    rate = ("--lr", 0.02)  # at which the valid loss falls and rises again
    run = pretrained(four_electrodes, tmp_path / "run", *PLAN, *rate, "--stop-after", 2)
    assert load_encoder(run).provenance.step == 2, "before a first valid loss there is but the last step"
    for stop_after in (3, 3):
        assert resume(four_electrodes, run, *rate, "--stop-after", stop_after).status == 0
        assert load_encoder(run).provenance.step == 4
    valid = {line["step"]: line["valid"]["loss"] for line in metrics_of(run) if "valid" in line}
    assert sorted(valid) == [4, 8]
    assert valid[4] < valid[8]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "gone", "pointer"])
def test_a_damaged_checkpoint_is_refused_in_one_line(four_electrodes: Path, copied: Path, damage: str) -> None:
    file = states(copied)
    match damage:
        case "cut":
            truncate(file, file.stat().st_size // 2)
        case "empty":
            truncate(file, 0)
        case "flipped":
            flip_byte(file, file.stat().st_size // 2)
        case "gone":
            shutil.rmtree(file.parent)
        case "pointer":
            file = copied / "checkpoints" / "checkpoints.json"
            truncate(file, 100)
    answer = resume(four_electrodes, copied)
    assert answer.status == 2
    assert answer.complaint.startswith(f"dare: {copied}/checkpoints/")
    assert len(metrics_of(copied)) == 3


class _Malicious:
    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._marker,)


@pytest.mark.parametrize("layout", ["pickle", "torch"])
def test_what_a_pickle_would_do_is_not_done(
    four_electrodes: Path, copied: Path, tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "touched"
    if layout == "pickle":
        states(copied).write_bytes(pickle.dumps(_Malicious(marker), protocol=2))
    else:
        torch.save({"module": {}, "other": _Malicious(marker)}, states(copied))
    pointer = copied / "checkpoints" / "checkpoints.json"
    told = json.loads(pointer.read_text())
    told["sha256"][states(copied).name] = hashlib.sha256(states(copied).read_bytes()).hexdigest()
    pointer.write_text(json.dumps(told))
    answer = resume(four_electrodes, copied)
    assert answer.status == 2
    assert "cannot be loaded" in answer.complaint
    assert not marker.exists()
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    with suppress(Exception):
        torch.load(states(copied), weights_only=False)
    assert marker.exists(), "the file is harmless, and the test cannot fail"


def test_two_runs_do_not_work_in_one_folder(four_electrodes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with _locked(run):
        answer = dare("pretrain", "--shards", four_electrodes, "--out", run, *NANO, *PLAN)
        unusable(answer, run, "another run is at work in it; wait for it, end it, or choose another --out")
        assert list(run.iterdir()) == []
    assert dare("pretrain", "--shards", four_electrodes, "--out", run, *NANO, "--steps", 1).status == 0


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder as a run at work does."""
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)
