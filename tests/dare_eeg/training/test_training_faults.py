"""Faults: ranks that are killed or asked to stop, shards and losses that are spoiled. Nothing hangs or is lost."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import judges
from tests.commands import dare
from tests.dare_eeg.running import ranks
from tests.dare_eeg.sets import NANO, flip_byte, metrics_of, recorded, write_set

pytestmark = pytest.mark.slow

STEPS = 6
FAR = ("--steps", 100_000, "--checkpoint-every", 2)
"""A run that does not end by itself."""

KILLED_WHILE_SAVING = """
import os, signal, sys
from pathlib import Path
sys.modules["mlflow"] = None  # DeepSpeed would import it, which takes a second
import deepspeed, torch, torch._dynamo
import dare_eeg.training.pretrain
from tests.commands import dare

true_save, true_replace = torch.save, Path.replace

def train(moment, words):
    saves = []

    def now(when):
        if moment == when and len(saves) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def save(value, path, **options):
        true_save(value, path, **options)
        saves.append(path)
        if moment == "states" and len(saves) == 2:
            os.truncate(path, os.path.getsize(path) // 2)
        now("states")

    def replace(partial, path):
        if Path(path).name != "checkpoints.json":
            return true_replace(partial, path)
        now("pointer")
        true_replace(partial, path)
        now("sweep")

    torch.save, Path.replace = save, replace
    print(dare(*words))

for moment in ("states", "pointer", "sweep"):
    if not (child := os.fork()):
        train(moment, [word.replace("MOMENT", moment) for word in sys.argv[1:]])
        os._exit(0)
    print(moment, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def options(shards: Path, run: Path, *more: object) -> tuple[object, ...]:
    return ("pretrain", "--shards", shards, "--out", run, *NANO, *more)


def steps_done(run: Path) -> int:
    file = run / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def last(run: Path) -> int:
    """Return the step of the last whole checkpoint, 0 where there is none."""
    file = run / "checkpoints" / "checkpoints.json"
    return int(json.loads(file.read_text())["step"]) if file.exists() else 0


@pytest.fixture(scope="module")
def unbroken(four_electrodes: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of a run that nothing happens to."""
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    assert dare(*options(four_electrodes, run, "--steps", STEPS, "--checkpoint-every", 2)).status == 0
    return [line["loss"] for line in metrics_of(run)]


@pytest.fixture(scope="module")
def killed_while_saving(four_electrodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that were killed at a moment of their second checkpoint, named by the moment."""
    folder = tmp_path_factory.mktemp("killed")
    words = options(four_electrodes, folder / "MOMENT", "--steps", STEPS, "--checkpoint-every", 2)
    command = [sys.executable, "-c", KILLED_WHILE_SAVING, *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ranks.HOUSE)
    told = [line for line in ended.stdout.splitlines() if line.endswith(" -9")]
    assert told == [f"{moment} -9" for moment in ("states", "pointer", "sweep")], ended.stdout + ended.stderr
    return folder


@pytest.mark.parametrize(("moment", "kept"), [("states", 2), ("pointer", 2), ("sweep", 4)])
def test_a_checkpoint_half_written_is_never_used(
    four_electrodes: Path, killed_while_saving: Path, unbroken: list[float], moment: str, kept: int
) -> None:
    run = killed_while_saving / moment
    assert last(run) == kept
    assert {path.name for path in (run / "checkpoints").glob("step-*")} == {"step-00000002", "step-00000004"}
    answer = dare(*options(four_electrodes, run, "--steps", STEPS, "--checkpoint-every", 2), "--resume")
    assert answer.status == 0, answer.err
    assert [line["loss"] for line in metrics_of(run)] == unbroken


def test_ctrl_c_saves_says_how_to_go_on_and_ends_as_interrupted(four_electrodes: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [
        sys.executable,
        "-c",
        "import cli; cli.main()",
        *map(str, options(four_electrodes, run, "--steps", 100_000)),
    ]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ranks.HOUSE) as process:
        ranks.until(lambda: steps_done(run) >= 3, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=ranks.MINUTE)
    assert process.returncode == 130
    assert "\nstopping after this step, which is saved; Ctrl-C again ends at once\n" in err
    assert last(run) == steps_done(run) >= 3
    assert f"  go on with: dare pretrain --out {run} --resume\n" in out
    before = metrics_of(run)
    assert dare("pretrain", "--out", run, "--resume", "--stop-after", 1).status == 0
    assert metrics_of(run)[:-1] == before


@pytest.mark.parametrize(
    ("launcher", "struck"), [("srun", "one rank"), ("torchrun", "the launcher"), ("torchrun", "all, by Ctrl-C")]
)
def test_a_signal_ends_all_ranks_at_one_step_with_a_checkpoint(
    four_electrodes: Path, tmp_path: Path, launcher: str, struck: str
) -> None:
    run = tmp_path / "run"
    with ranks.job(launcher, ranks.BIN / "dare", *options(four_electrodes, run, *FAR)) as process:
        ranks.until(lambda: steps_done(run) >= 3, process)
        if struck == "one rank":
            ranks.ranks(process)[1].send_signal(signal.SIGUSR1)
        elif struck == "the launcher":
            process.terminate()
        else:  # as a terminal does to all, and the launcher, which is one of them, once more to its own
            for one in (*ranks.ranks(process).values(), process):
                one.send_signal(signal.SIGINT)
        status, told = ranks.finished(process)
    assert last(run) == steps_done(run) >= 3
    assert told.count("go on with: dare pretrain --out") == 1, told
    if struck == "one rank":
        assert status == 0
    before = metrics_of(run)
    assert dare(*options(four_electrodes, run, *FAR), "--resume", "--stop-after", 1).status == 0
    assert metrics_of(run)[:-1] == before


@pytest.mark.parametrize(
    ("launcher", "struck", "by", "stage"),
    [
        ("torchrun", 1, signal.SIGKILL, 2),
        ("deepspeed", 1, signal.SIGKILL, 2),
        ("srun", 0, signal.SIGKILL, 0),
        ("srun", 0, signal.SIGSTOP, 0),
    ],
)
def test_a_rank_that_is_killed_or_stopped_takes_the_job_down_within_a_minute_and_is_spoken_of_once(
    four_electrodes: Path, tmp_path: Path, launcher: str, struck: int, by: signal.Signals, stage: int
) -> None:
    settings = tmp_path / "deepspeed.json"
    settings.write_text(json.dumps({"zero_optimization": {"stage": stage}}))
    words = options(four_electrodes, tmp_path / "run", *FAR, "--deepspeed", settings)
    with ranks.job(launcher, ranks.BIN / "dare", *words) as process:
        ranks.until(lambda: steps_done(tmp_path / "run") >= 3, process)
        ranks.ranks(process)[struck].send_signal(by)
        status, told = ranks.finished(process, ranks.MINUTE)
    assert status != 0
    (complaint,) = [line for line in told.splitlines() if line.startswith("dare: ")]
    assert complaint.startswith("dare: another process of the job has died or does not answer")
    assert complaint.endswith("go on with --resume")
    assert "dare_eeg/training/pretrain.py" not in told
    assert "frame #" not in told
    assert last(tmp_path / "run") >= 2
    if not stage:
        assert dare(*words, "--resume", "--stop-after", 1).status == 0


def test_a_damaged_shard_that_one_rank_reads_ends_all_and_is_named_once(tmp_path: Path) -> None:
    shards = write_set(tmp_path / "damaged", {"train": [recorded("tuh:a", 48)]})
    tar = shards / "train" / "000000.tar"
    member = judges.members(tar)[2 * 30][0]
    flip_byte(tar, member.offset_data + 1000)
    with ranks.job("srun", ranks.BIN / "dare", *options(shards, tmp_path / "run", *FAR)) as process:
        status, told = ranks.finished(process)
    assert status == 2
    named = f"dare: {tar}: window 30 (a.edf at 150 s) its checksum does not hold"
    assert sum(line.startswith(named) for line in told.splitlines()) == 1, told
    assert "Traceback" not in told


def test_an_error_that_all_ranks_meet_is_told_once(four_electrodes: Path, tmp_path: Path) -> None:
    with ranks.job(
        "srun", ranks.BIN / "dare", *options(four_electrodes, tmp_path / "run", "--micro-batch", 8)
    ) as process:
        status, told = ranks.finished(process)
    assert status == 2
    (complaint,) = told.splitlines()
    assert "global batch 8 is no multiple of micro-batch 8 times 2 processes" in complaint


def test_a_loss_that_is_not_finite_leaves_the_windows_it_came_from(four_electrodes: Path, tmp_path: Path) -> None:
    answer = dare(*options(four_electrodes, tmp_path / "run", "--steps", 9, "--checkpoint-every", 9, "--lr", 1e30))
    assert answer.status == 2
    told = json.loads((tmp_path / "run" / "not_finite.json").read_text())
    assert f"the loss is not finite at step {told['step']}; look at {told['not_finite'][0][0]} and" in answer.err
    assert "the step before may have spoiled the weights" in answer.err
    assert told["finite"] == []
    assert [len(batch) for batch in told["not_finite"]] == [4, 4]
    assert all(text.startswith("four: ") and ".edf at " in text for batch in told["not_finite"] for text in batch)
