"""Jobs of several processes: start them under any launcher, watch them, strike one down.

As a program this is one rank: it runs the ``dare`` commands of a file one after another and leaves beside it what each
gave back.
"""

import json
import os
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch.distributed as dist

from dare_eeg.running import job as jobs
from tests.commands import Answer, dare

HOUSE = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
SILENCE = 300.0
"""Seconds after which a job hangs; none takes a tenth of it even on a busy machine."""
MINUTE = 60.0
"""Seconds within which a lost rank takes its job down."""
KILL_WAIT = 5.0
"""Seconds from SIGTERM to SIGKILL; SLURM and torchrun give 30."""

TAKE_SECONDS = {
    "pretrain": ("torch._dynamo", "deepspeed", "dare_eeg.training.pretrain"),
    "probe": ("torch._dynamo", "peft", "dare_eeg.probing.probe"),
}
"""What commands import."""


@contextmanager
def job(launcher: str, *words: object, processes: int = 2) -> Iterator[subprocess.Popen[str]]:
    """Start a script and its arguments as several processes; whatever is left of them at the end is killed.

    ``elastic`` is what torchrun starts them by, with forks of one process that has imported what takes them seconds.
    MLflow is hidden from them: DeepSpeed would import it, which takes every process a second.
    """
    port = free_port()
    command: list[object] = {
        "torchrun": [BIN / "torchrun", "--standalone", "--nproc-per-node", processes],
        "elastic": [sys.executable, __file__, "as-torchrun-does", processes],
        "deepspeed": [BIN / "deepspeed", "--num_gpus", 2, "--master_port", port],
        "srun": [sys.executable, __file__, "as-srun-does", port],
    }[launcher]
    shielded = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "MASTER_"))}
    with TemporaryDirectory() as hiding:
        (Path(hiding) / "mlflow.py").write_text("raise ImportError")
        environment = shielded | {
            "PYTHONPATH": f"{hiding}:{HOUSE}", "PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"
        }  # fmt: skip
        process = subprocess.Popen(
            [str(word) for word in (*command, *words)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
        )  # fmt: skip
        try:
            yield process
        finally:
            left = [*psutil.Process(process.pid).children(recursive=True), process] if process.poll() is None else []
            for one in left:
                one.kill()
            process.communicate()


def finished(process: subprocess.Popen[str], within: float = SILENCE) -> tuple[int, str]:
    """Return the status of a job and all that its processes wrote; subprocess.TimeoutExpired where it hangs."""
    told, _ = process.communicate(timeout=within)
    return process.returncode, told


def ranks(process: subprocess.Popen[str]) -> dict[int, psutil.Process]:
    """Return the processes of a job that train, by rank; tasks of srun are forked in its order."""
    children = sorted(psutil.Process(process.pid).children(recursive=True), key=lambda one: one.pid)
    found = [one for one in children if BIN / "dare" in map(Path, one.cmdline())]
    return {int(one.environ().get("RANK", order)): one for order, one in enumerate(found)}


def until(happened: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Wait for something that a job does; AssertionError with what it said where it ends before."""
    deadline = time.monotonic() + SILENCE
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def together(launcher: str, folder: Path, *commands: tuple[object, ...], processes: int = 2) -> list[list[Answer]]:
    """Run ``dare`` commands one after another in one job; return what each gave back, by rank."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "commands.json"
    file.write_text(json.dumps([[str(word) for word in command] for command in commands]))
    with job(launcher, __file__, file, processes=processes) as process:
        status, told = finished(process)
    assert status == 0, told
    return [[Answer(*one) for one in json.loads(answers(file, rank).read_text())] for rank in range(processes)]


def answers(file: Path, rank: int) -> Path:
    return file.with_name(f"answers-{rank}.json")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rank(file: Path) -> None:
    """Run the commands of a file in this process, in one process group: once it has left that, it can join no other."""
    jobs.num_processes()  # which takes them from what srun sets, too
    dist.init_process_group("gloo")
    given_back = [dare(*command) for command in json.loads(file.read_text())]
    answers(file, dist.get_rank()).write_text(json.dumps(given_back))
    jobs.stop()


def _as_torchrun_does(processes: str, script: str, file: str) -> int:
    """Run the commands of a file in so many forks of this process, by the agent that torchrun is the command of."""
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _import_what_takes_seconds(script, file)
    plan = LaunchConfig(1, 1, int(processes), rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork")
    elastic_launch(plan, _rank)(Path(file))
    return 0


def _as_srun_does(port: str, *words: str) -> int:
    """Start two tasks with the variables that ``srun`` gives them; where one fails, end both and as it did.

    That is ``srun --kill-on-bad-exit=1``. The tasks are forks of this process, which has imported for both what takes
    seconds.
    """
    _import_what_takes_seconds(*words[:2])
    running, ended = [psutil.Process(_forked(port, task, words)) for task in range(2)], []
    while running and not any(task.returncode for task in ended):
        gone, running = psutil.wait_procs(running, 0.05)
        ended += gone
    status = max(abs(task.returncode) for task in ended)
    for task in running:
        task.terminate()
    for task in psutil.wait_procs(running, KILL_WAIT)[1]:
        task.kill()
        task.wait()
    return status


def _import_what_takes_seconds(script: str, first: str) -> None:
    """Import what a command takes, or, where this is the script, those of the file that it is given."""
    commands = {first} if Path(script) == BIN / "dare" else {name for name, *_ in json.loads(Path(first).read_text())}
    for name in (one for command in sorted(commands) for one in TAKE_SECONDS[command]):
        import_module(name)


def _forked(port: str, task: int, words: tuple[str, ...]) -> int:
    if child := os.fork():
        return child
    shared = {"SLURM_NTASKS": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update(shared | {"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)})
    sys.argv = list(words)
    runpy.run_path(words[0], run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    if (start := {"as-srun-does": _as_srun_does, "as-torchrun-does": _as_torchrun_does}.get(sys.argv[1])) is not None:
        sys.exit(start(*sys.argv[2:]))
    _rank(Path(sys.argv[-1]))
