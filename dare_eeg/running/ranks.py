"""Ranks: what the processes of a job do together; a process alone does each by itself."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from dare_eeg.running.engine import Engine, library
from dare_eeg.running.job import join, num_processes

_CPU = torch.device("cpu")
_LOOK_S = 0.2
"""Seconds between two looks at whether the first process is done."""

_alone_in_turn = count()

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The processes of a job as one of them sees them: its number ``rank`` among ``world``, its ``device``.

    Where there are several, all must call at once what they do together: all but `is_first` and `share`.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = _CPU

    @classmethod
    def of(cls, engine: Engine) -> "Ranks":
        """Return the processes that an engine trains with."""
        return cls(engine.global_rank, engine.world_size, engine.device)

    @classmethod
    def joined(cls) -> "Ranks":
        """Return the processes that a launcher has started, each on the GPU of its own, where there are any.

        Raises LostError where the others do not come. A process alone joins nobody.
        """
        if num_processes() == 1:
            return ALONE
        world = join(library().init_distributed, "nccl" if torch.cuda.is_available() else "gloo")
        device = _CPU
        if torch.cuda.is_available():
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        return cls(dist.get_rank(), world, device)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and tells for all."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """Return which of so many parts of the work are this process's: every ``world``-th, from its own number on."""
        return range(self.rank, count, self.world)

    def wait(self) -> None:
        """Return once all processes have come here."""
        if self.world > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """Return whether ``flag`` is true in any process."""
        if self.world == 1:
            return flag
        raised = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return bool(raised)

    def mean(self, values: Tensor) -> list[float]:
        """Return the mean of each number over all processes; of several it is taken in single precision."""
        if self.world > 1:
            values = values.float().to(self.device)
            dist.all_reduce(values)
            values /= self.world
        return [float(value) for value in values.tolist()]

    def gather_tensors(self, values: Tensor) -> list[Tensor]:
        """Return what each process has, by rank: tensors of one shape."""
        if self.world == 1:
            return [values]
        found = [torch.empty_like(values) for _ in range(self.world)]
        dist.all_gather(found, values)
        return found

    def gather(self, item: T) -> list[T]:
        """Return what each process has, by rank."""
        if self.world == 1:
            return [item]
        items: list[T | None] = [None] * self.world
        dist.all_gather_object(items, item)
        return cast(list[T], items)

    def first_finds(self, check: Callable[[], bool]) -> bool:
        """Return in every process what a check says in the first: one reads the files for all."""
        found = [self.is_first and check()]
        if self.world > 1:
            dist.broadcast_object_list(found, src=0)
        return found[0]

    def first_does(self, work: Callable[[], T]) -> T | None:
        """Have the first process do something, however long it takes; return what it makes there, elsewhere None.

        Where it fails, the others end with status 2: the first says why.
        """
        if self.world == 1:
            return work()
        store, key = dist.distributed_c10d._get_default_store(), f"alone {next(_alone_in_turn)}"
        if self.is_first:
            is_done = False
            try:
                made = work()
                is_done = True
            finally:
                store.set(key, "done" if is_done else "failed")
            return made
        # Not in a collective operation, which is given up after minutes.
        while not store.check([key]):
            time.sleep(_LOOK_S)
        if store.get(key) != b"done":
            raise SystemExit(2)
        return None


ALONE = Ranks()
