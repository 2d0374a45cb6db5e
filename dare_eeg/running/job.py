"""Job: how the processes that a launcher has started find each other, watch each other, part, and report an error."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import torch.distributed as dist

from dare_eeg.running.heartbeat import Heartbeat
from manifests.atomic_io import sha256_bytes
from manifests.errors import DareError, LostError, UsageError

PATIENCE = timedelta(minutes=5)
"""How long a process waits for another that is alive and does not come: a disk may be slow."""

_OF_A_LOSS = ("connection", "connect", "peer", "timed out", "timeout", "nccl", "socket")
"""What torch's errors speak of when a process has gone; they have no class of their own."""

RESUME = "see what it said, then go on with --resume"
"""What to do after a loss where a run is resumed."""

_LOST = "another process of the job has died or does not answer"


def num_processes() -> int:
    """Return how many processes the job has, by what a launcher or ``srun`` has set."""
    _ranks_from_srun()
    return int(os.environ.get("WORLD_SIZE", "1"))


def has_joined() -> bool:
    """Return whether this process is in a process group."""
    return dist.is_initialized()


def join(init_distributed: Callable[..., Any], backend: str) -> int:
    """Join the job's process group by DeepSpeed's ``init_distributed`` and return how many processes it has.

    A process alone uses no port and no network. Raises LostError where the others do not come.
    """
    os.environ.setdefault("LOCAL_RANK", "0")
    world = num_processes()
    if world == 1 and not dist.is_initialized():
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False, timeout=PATIENCE)
    except (RuntimeError, ValueError) as problem:
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise LostError(
            f"the {world} processes did not find each other at {place} ({str(problem).splitlines()[0][:120]})",
            path=f"rank {os.environ.get('RANK')}",
            remedy="check that all were started, and MASTER_ADDR and MASTER_PORT",
        ) from problem
    return dist.get_world_size()


def stop() -> None:
    """Leave the process group once all processes are here; without the wait some abort on their way out."""
    dist.barrier()
    dist.destroy_process_group()


@contextmanager
def watch_peers(leave: bool, remedy: str = RESUME) -> Iterator[None]:
    """Let the processes of a job watch each other's heartbeats until all come to the end; then, to ``leave``, `stop`.

    Where one of them is lost, the others end with status 2, and one of them tells the ``remedy``.
    """
    if not _is_shared():
        yield
        return
    dist.barrier()  # one that is still starting has no heartbeat yet and is not to be taken for lost
    heartbeat = Heartbeat(dist.get_rank(), dist.get_world_size(), partial(_report_lost, f"{_LOST}; {remedy}"))
    try:
        yield
        if leave:
            stop()
        else:
            dist.barrier()
    finally:
        heartbeat.end()


@contextmanager
def report_once(remedy: str = RESUME) -> Iterator[None]:
    """Let one process of a job raise an error that several meet; the others end with status 2 and print nothing.

    What torch raises when another process has died becomes a LostError with the ``remedy``.
    """
    try:
        yield
    except (DareError, RuntimeError) as problem:
        lost = isinstance(problem, RuntimeError) and _is_shared() and _tells_of_a_loss(problem)
        if not lost and not isinstance(problem, DareError):
            raise
        if lost:
            # The launcher sends SIGTERM to the survivors, too, which must not end them before one has reported.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not _is_reporter("" if lost else str(problem)):
            raise SystemExit(2) from problem
        if lost:
            raise LostError(_LOST, remedy=remedy) from problem
        raise


def _ranks_from_srun() -> None:
    """Take ranks from what ``srun`` sets, where no launcher has set them."""
    if "WORLD_SIZE" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) == 1 or "SLURM_PROCID" not in os.environ:
        return
    if "MASTER_ADDR" not in os.environ:
        raise UsageError(
            "MASTER_ADDR is not set", path="srun", remedy="export it in the job script (the first node of the job)"
        )
    names = {"WORLD_SIZE": "SLURM_NTASKS", "RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID"}
    os.environ |= {ours: os.environ[theirs] for ours, theirs in names.items()}
    os.environ.setdefault("MASTER_PORT", "29500")


def _is_shared() -> bool:
    return dist.is_initialized() and dist.get_world_size() > 1


def _tells_of_a_loss(problem: RuntimeError) -> bool:
    return any(word in str(problem).lower() for word in _OF_A_LOSS)


def _report_lost(said: str, store_answers: bool) -> None:
    """Print that a process is lost, unless another process does."""
    if _is_reporter("") if store_answers else _is_reporter_without_store():
        print(f"dare: {said}", file=sys.stderr, flush=True)


def _is_reporter(message: str) -> bool:
    """Return whether this process is the one to report ``message``: the first that asks the job's store.

    That another process is gone, "", is reported only where nothing else was: the lost one may have said why. Before
    the processes have met, the first of each node reports.
    """
    if not _is_shared():
        return _is_first_of_node()
    me = str(dist.get_rank())
    try:
        store = dist.distributed_c10d._get_default_store()
        first_of_all, first_of_this = (
            store.compare_set(f"said {key}", "", me).decode() == me
            for key in ("anything", sha256_bytes(message.encode()))
        )
        return first_of_this if message else first_of_all
    except RuntimeError:  # the store died with the process that held it
        return _is_reporter_without_store()


def _is_reporter_without_store() -> bool:
    """Return whether this process is to report where the store, and rank 0 that holds it, are gone."""
    return dist.get_rank() == 1 or _is_first_of_node()


def _is_first_of_node() -> bool:
    return os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")) == "0"
