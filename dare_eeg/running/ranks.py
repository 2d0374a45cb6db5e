"""Ranks: what the processes of a job do together; a process alone does each by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from dare_eeg.running.engine import Engine

_CPU = torch.device("cpu")

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


ALONE = Ranks()
