"""The same bytes from a dask cluster, from job arrays in any order, and by the scripts of the page on clusters."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines import synth
from tests.commands import contents, dare, preprocess, unusable
from tests.pipelines.processes import DARE, HOUSE, ONE_EACH, Running, midway, receipts

pytestmark = pytest.mark.slow

SMALL = (*ONE_EACH, "--set", "electrodes=C3,CZ,C4")
DASK = Path(sys.executable).parent / "dask"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    synth.write("tuab", folder, 12, 24.0, seed=11)
    return folder


@pytest.fixture(scope="module")
def whole(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one worker writes in one go."""
    return contents(preprocess("tuab", raw, tmp_path_factory.mktemp("whole"), *SMALL))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of a scheduler with two workers, started from the command line."""
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    scheduler = [DASK, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    workers = [DASK, "worker", "--nworkers", "2", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard"]
    with (folder / "log").open("w") as log:
        started = [
            subprocess.Popen(
                [*command, "--scheduler-file", file],
                stdout=log,
                stderr=log,
                cwd=HOUSE,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": HOUSE},
            )
            for command in (scheduler, [*workers, "--local-directory", folder])
        ]
        while not file.exists() or not file.read_text():
            assert started[0].poll() is None, (folder / "log").read_text()
        yield file
        for process in reversed(started):
            process.terminate()
            process.wait()


def test_cluster_writes_the_same_bytes(raw: Path, tmp_path: Path, whole: dict[str, bytes], cluster: Path) -> None:
    command = ("preprocess", "tuab", "--src", raw, "--out", tmp_path, *SMALL)
    answer = dare(*command, "--scheduler", cluster)
    assert answer.status == 0, answer.err
    assert contents(tmp_path / "tuab") == whole
    address = json.loads(cluster.read_text())["address"]
    for receipt in receipts(tmp_path / "tuab")[:2]:
        receipt.unlink()
    assert dare(*command, "--scheduler", address).status == 0
    assert contents(tmp_path / "tuab") == whole


def test_worker_of_a_cluster_that_dies_loses_nothing(
    raw: Path, tmp_path: Path, whole: dict[str, bytes], cluster: Path
) -> None:
    running = Running("preprocess", "tuab", "--src", raw, "--out", tmp_path, *SMALL, "--scheduler", cluster)
    running.until(lambda: receipts(tmp_path / "tuab"))
    scheduler = json.loads(cluster.read_text())["address"]
    workers = [
        one
        for one in psutil.process_iter()
        if one.status() != psutil.STATUS_ZOMBIE
        and "spawn_main" in " ".join(one.cmdline())
        and any(connected(one, scheduler))
    ]
    assert len(workers) >= 1
    workers[0].send_signal(signal.SIGKILL)
    answer = running.answer()
    assert answer.status == 0, answer.err
    assert contents(tmp_path / "tuab") == whole


def connected(process: psutil.Process, address: str) -> Iterator[bool]:
    """Yield, for every connection of a process, whether it leads to an address."""
    for connection in process.net_connections("tcp"):
        if connection.raddr:
            yield address.endswith(f"://{connection.raddr.ip}:{connection.raddr.port}")


def test_scheduler_that_is_not_there_is_one_line(raw: Path, tmp_path: Path) -> None:
    answer = dare("preprocess", "tuab", "--src", raw, "--out", tmp_path, "--scheduler", "tcp:nowhere")
    unusable(answer, "--scheduler tcp:nowhere", "is it running?")


def test_workers_are_started_with_one_thread_and_an_allocator_that_keeps_its_pages(raw: Path, tmp_path: Path) -> None:
    running = midway(tmp_path / "tuab", "preprocess", "tuab", "--src", raw, "--out", tmp_path, *SMALL, "--workers", 2)
    workers = [one for one in running.offspring if "spawn_main" in " ".join(one.cmdline())]
    variables = [one.environ() for one in workers]
    running.go_on()
    assert running.answer().status == 0
    assert len(variables) == 2
    for found in variables:
        assert found["MALLOC_TRIM_THRESHOLD_"] == found["MALLOC_MMAP_THRESHOLD_"] == str(1 << 30)
        assert found["OMP_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "1"


@pytest.mark.parametrize("order", [(3, 1, 4, 2), (4, 3, 2, 1)])
def test_parts_in_any_order_write_the_same_bytes(
    raw: Path, tmp_path: Path, whole: dict[str, bytes], order: tuple[int, ...]
) -> None:
    for part in order:
        assert not (tmp_path / "tuab" / "manifest.json").exists()
        command = ("preprocess", "tuab", "--src", raw, "--out", tmp_path, "--workers", 1, *SMALL)
        assert dare(*command, "--part", f"{part}/4").status == 0
    assert contents(tmp_path / "tuab") == whole


# --- what the page on clusters says -----------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    """Return the blocks of code of a language in the page's part on preprocessing."""
    text = (Path(HOUSE) / "docs" / "cluster.md").read_text()
    _, _, part = text.partition("\n## Preprocess on a cluster\n")
    return re.findall(rf"^```{language}\n(.*?)^```$", part.partition("\n## ")[0], re.DOTALL | re.MULTILINE)


def test_scripts_of_the_page_are_sound_and_their_commands_exist() -> None:
    scripts = blocks("bash")
    assert len(scripts) == 2
    helps = [dare("preprocess", "--help").out]
    for command in ("scheduler", "worker"):
        helps.append(subprocess.run([DASK, command, "--help"], capture_output=True, text=True, check=True).stdout)
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        assert script.startswith("#!/bin/bash\n#SBATCH ")
        options = set(re.findall(r" (--[a-z-]+)", re.sub(r"^#.*$", "", script, flags=re.MULTILINE)))
        assert [option for option in options if not any(option in text for text in helps)] == []
    array = next(script for script in scripts if "--array" in script)
    (parts,) = re.findall(r"#SBATCH --array=1-(\d+)", array)
    assert f'--part "${{SLURM_ARRAY_TASK_ID}}/{parts}"' in array


@pytest.fixture
def job(raw: Path, tmp_path: Path) -> Path:
    """The script that starts a scheduler, made to work below a folder of tests, where srun starts one worker."""
    (script,) = [script for script in blocks("bash") if "dask scheduler" in script]
    for shown, here in (("tueg --for pretrain", "tuab"), ("/data/raw", str(raw)), ("/data", str(tmp_path))):
        assert shown in script
        script = script.replace(shown, here)
    commands = {
        "activate": 'PATH="$PWD/.venv/bin:$PATH"',
        "srun": 'exec "$@"',
        "dask": f'exec {DASK} "$@"',
        "dare": f'exec {shlex.join(DARE)} "$@" {shlex.join(SMALL)}',
    }
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name, text in commands.items():
        (tmp_path / ".venv" / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)
    (tmp_path / "scheduler-7.json").write_text('{"address": "tcp://127.0.0.1:1"}')  # left by a job that was killed
    (tmp_path / "job").write_text(f"cd {tmp_path}; exec > log 2>&1; SLURM_JOB_ID=7\n{script}")
    return tmp_path / "job"


def test_script_of_the_page_ends_its_scheduler_and_workers(job: Path, whole: dict[str, bytes]) -> None:
    running = Running(job, program=["bash"])
    try:
        running.until(lambda: receipts(job.parent / "shards" / "tuab"))
        assert running.answer().status == 0, (job.parent / "log").read_text()
        assert contents(job.parent / "shards" / "tuab") == whole
        assert len(running.offspring) >= 3
        assert running.leaves_nobody()
    finally:
        running.kill()


def test_script_of_the_page_that_is_told_to_end_leaves_nobody(job: Path) -> None:
    running = midway(job.parent / "shards" / "tuab", job, program=["bash"])
    try:
        running.process.terminate()  # the shell alone, as sbatch --signal=B:TERM does
        running.go_on()
        assert running.answer().status == 128 + signal.SIGTERM
        assert not (job.parent / "shards" / "tuab" / "manifest.json").exists()
        assert "dare: interrupted; what is finished is kept" in (job.parent / "log").read_text()
        assert len(running.offspring) >= 3
        assert running.leaves_nobody()
    finally:
        running.kill()


def test_job_script_of_jobqueue_is_what_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    jobqueue = pytest.importorskip("dask_jobqueue")
    (script,) = blocks("python")
    made: list[Any] = []
    plain = jobqueue.SLURMCluster

    def without_jobs(**options: Any) -> Any:
        made.append(plain(**options | {"n_workers": 0}))
        return made[-1]

    ran: list[list[str]] = []
    monkeypatch.setattr(jobqueue, "SLURMCluster", without_jobs)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: ran.append(command))
    exec(script, {})
    (cluster,) = made
    text = cluster.job_script()
    assert ran[0][:3] == ["dare", "preprocess", "tueg"]
    assert ran[0][-2:] == ["--scheduler", cluster.scheduler_address]
    cluster.close()
    for said in ("#SBATCH --cpus-per-task=1", "#SBATCH --mem=4G", "#SBATCH -t 12:00:00", "export OMP_NUM_THREADS=1"):
        assert said in text
    (worker,) = [line for line in text.splitlines() if "dask_worker" in line]
    assert "--nthreads 1 " in worker
    assert worker.endswith("--memory-limit 0")
