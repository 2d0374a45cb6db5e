"""Workers: tasks spread over processes, local or of a dask cluster; one that is killed loses only its own task."""

import ctypes
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manifests import records
from manifests.atomic_io import partial_name
from manifests.errors import DareError, LostError
from manifests.manifest import Receipt, load_receipt
from manifests.plan import Piece, PlannedRecording
from manifests.recipe import Recipe
from pipelines.build import build
from pipelines.plan import Task

ENVIRONMENT = {
    # By dask's own settings the allocator returns every large array to the system: slower than a single process.
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    # Transforms go over more memory than a processor finds quickly in pages of 4 kB.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # A worker has one core; threads of its libraries would take the cores of the other workers.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""Variables that a worker is started with."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # glibc's malloc.h

_DASK = {
    "distributed.nanny.pre-spawn-environ": ENVIRONMENT,
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.worker-ttl": None,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.comm.timeouts.connect": "60s",
}
"""How dask is set up.

No task fails for another's sake: a worker is given one task at a time, and a task whose worker died is not tried again
by dask. A worker that is too busy to answer is not given up (``worker-ttl``). Dask's monitoring ticks once a second, as
its default of fifty ticks costs each process 50 ms of every second.
"""


@dataclass(frozen=True)
class Workers:
    """Who builds: ``count`` local processes, or those of a dask scheduler (its address or scheduler file).

    ``part`` (i, n) takes the i-th of every n shards, for job arrays without a scheduler.
    """

    count: int = 1
    scheduler: str = ""
    part: tuple[int, int] = (1, 1)


def built(tasks: list[Task], recipe: Recipe, src: Path, folder: Path, workers: Workers) -> Iterator[Receipt]:
    """Yield receipts as shards get done: in this process where one worker is asked for, else on dask.

    A task whose worker was killed is built again by `build_isolated`, after all others. With one worker there is only
    this process: what kills it ends the run, and the same command with two workers gets past that recording.
    """
    if not tasks:
        return
    if not workers.scheduler and workers.count == 1:
        _keep_pages()
        for task in tasks:
            yield _unless_done(task, recipe, src, folder)
        return
    from distributed import CancelledError, KilledWorker, as_completed

    with _client(workers, len(tasks)) as client:
        futures = {client.submit(_unless_done, task, recipe, src, folder, pure=False): task for task in tasks}
        suspects = []
        try:
            for future in as_completed(futures):
                try:
                    yield future.result()
                except KilledWorker:
                    suspects.append(futures[future])
                future.release()
            for task in suspects:
                yield client.submit(build_isolated, task, recipe, src, folder, pure=False).result()
        except KilledWorker:
            raise LostError(
                "killed every worker that built it, even in a process of its own",
                path=folder / task.shard,
                remedy="run the same command again on a machine with more memory, what is finished is kept",
            ) from None
        except CancelledError:
            raise LostError(
                "was lost",
                path=f"--scheduler {workers.scheduler}",
                remedy="start it and run the same command again, what is finished is kept",
            ) from None


def _keep_pages() -> None:
    """Have glibc keep freed memory, as `ENVIRONMENT` does in workers; nothing is done with another C library."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)
        mallopt(_M_MMAP_MAX, 0)


def build_isolated(task: Task, recipe: Recipe, src: Path, folder: Path) -> Receipt:
    """Build a task whose worker was killed in a process of its own and return its receipt.

    Where that process is killed as well, each recording is tried in one of its own, and the shard is built without
    those whose process was killed. Where even that is killed, the shard is built without any: all its recordings have
    failed.
    """
    if not _lives(task, recipe, src, folder):
        paths = dict.fromkeys(piece.recording.path for piece in task.pieces)
        scratch = folder / partial_name("alone")
        try:
            lost = [path for path in paths if not _lives(_only(task, path), recipe, src, scratch)]
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if not (_lives(task, recipe, src, folder, lost) or _lives(task, recipe, src, folder, list(paths))):
            raise LostError(
                "a process that reads nothing was killed", path=folder / task.shard, remedy="is there memory left?"
            )
    return load_receipt(folder / f"{task.shard}.json")


def _only(task: Task, path: str) -> Task:
    return replace(task, pieces=[piece for piece in task.pieces if piece.recording.path == path])


def _lives(task: Task, recipe: Recipe, src: Path, folder: Path, lost: list[str] | None = None) -> bool:
    """Build a task in a process of its own and return whether that survived; DareError where it cannot write."""
    asked = {
        "shard": {"shard": task.shard, "identity": task.identity, "format": task.format},
        "pieces": [[piece.recording.as_json(), piece.number] for piece in task.pieces],
        "recipe": recipe.as_json(),
        "src": str(src),
        "folder": str(folder),
        "lost": lost or [],
    }
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines.workers"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ENVIRONMENT,
    ) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        with suppress(BrokenPipeError):
            child.stdin.write(json.dumps(asked) + "\n")
            child.stdin.flush()
        complaint = child.stderr.read()
    if child.returncode > 0:
        raise LostError(complaint.strip().rpartition("\n")[2] or f"{folder / task.shard}: cannot be built")
    return child.returncode == 0


def _child() -> None:
    """Build the task that the first line of stdin describes; exit when stdin ends, as then the parent has died."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    remedy = "run the same command again"
    recordings = [(records.read(PlannedRecording, one, "task", remedy), number) for one, number in asked["pieces"]]
    task = Task(**asked["shard"], pieces=[Piece(recording, number) for recording, number in recordings])
    recipe = records.read(Recipe, asked["recipe"], "task", remedy)
    try:
        build(task, recipe, Path(asked["src"]), Path(asked["folder"]), frozenset(asked["lost"]))
    except DareError as problem:
        sys.exit(str(problem))


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(1)


def _unless_done(task: Task, recipe: Recipe, src: Path, folder: Path) -> Receipt:
    """Build a task, unless another run of the same plan has done so since this one began."""
    path = folder / f"{task.shard}.json"
    if path.exists() and (receipt := load_receipt(path)).identity == task.identity:
        return receipt
    return build(task, recipe, src, folder)


@contextmanager
def _client(workers: Workers, num_tasks: int) -> Iterator[Any]:
    """Yield a dask client of the scheduler that was named, or of local processes that end with the block.

    Local processes have no memory limit but the machine's: at a limit of dask's they would be paused for ever.
    """
    import dask
    from distributed import Client, LocalCluster

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # this command reports the same in its own words
    if workers.scheduler:
        by_file = Path(workers.scheduler).is_file()
        try:
            client = Client(**{"scheduler_file" if by_file else "address": workers.scheduler})
        except (OSError, ValueError) as problem:
            raise LostError(
                f"cannot be reached ({problem})", path=f"--scheduler {workers.scheduler}", remedy="is it running?"
            ) from None
        with client:
            yield client
        return
    with dask.config.set(_DASK), deaf_to_interrupts():
        cluster = LocalCluster(
            n_workers=min(workers.count, num_tasks),
            threads_per_worker=1,
            memory_limit=0,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )
    with cluster, Client(cluster) as client:
        yield client


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C and put off SIGTERM while the block starts processes.

    The processes inherit that they ignore Ctrl-C: this one ends them in good order. A SIGTERM takes effect after the
    block, as a cluster that is half started cannot be ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a handler or a mask would not be inherited
    end = signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, end)
    if asked:
        signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    _child()
