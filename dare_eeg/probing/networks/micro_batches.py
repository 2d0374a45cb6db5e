"""Micro-batches: the gradients of a step, the same to the bit however many processes share its parts."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dare_eeg.running.ranks import Ranks


def cut(numbers: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Return windows in parts of a size, the last of those that are left.

    One window that is left alone joins the part before it: batch norm may find no variance in it.
    """
    starts = list(range(0, len(numbers), size))
    if len(starts) > 1 and size > 1 and len(numbers) - starts[-1] == 1:
        starts.pop()
    return [numbers[start:end] for start, end in zip(starts, [*starts[1:], len(numbers)], strict=True)]


def gradients(network: nn.Module, losses: Sequence[Callable[[], Tensor]], ranks: Ranks) -> float:
    """Leave the gradients of the sum of some losses in a network and return that sum; ranks compute them in turn.

    Each loss finds the buffers as they were before all of them; in the end each buffer is the mean of what they have
    made of it. Sums are taken in the order of the losses, whoever has computed which; all ranks must call this at once.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    buffers = list(network.buffers())
    before = [buffer.clone() for buffer in buffers]
    total: Tensor | None = None
    for first in range(0, len(losses), ranks.world):
        # Who has none left computes the last one, too: weights that a pass limits are then the same everywhere.
        mine = losses[min(first + ranks.rank, len(losses) - 1)]
        of_round = ranks.gather_tensors(_made(mine, trained, buffers, before))
        for one in of_round[: len(losses) - first]:
            total = one.clone() if total is None else total.add_(one)
    assert total is not None
    sizes = [one.numel() for one in (*trained, *buffers)]
    loss, *pieces = total.split([1, *sizes])  # type: ignore[no-untyped-call]
    for parameter, piece in zip(trained, pieces, strict=False):
        parameter.grad = piece.view_as(parameter).to(parameter.dtype)
    for buffer, old, piece in zip(buffers, before, pieces[len(trained) :], strict=True):
        buffer.copy_((old.double() + piece.view_as(old) / len(losses)).to(old.dtype))
    return float(loss)


def _made(
    loss: Callable[[], Tensor], trained: list[nn.Parameter], buffers: list[Tensor], before: list[Tensor]
) -> Tensor:
    """Return of a loss, in a row: itself, the gradients, and by how much it has moved the buffers."""
    for parameter in trained:
        parameter.grad = None
    for buffer, old in zip(buffers, before, strict=True):
        buffer.copy_(old)
    value = loss()
    value.backward()  # type: ignore[no-untyped-call]
    made = [torch.zeros_like(one) if one.grad is None else one.grad for one in trained]
    moved = [buffer.float() - old.float() for buffer, old in zip(buffers, before, strict=True)]
    return torch.cat([part.reshape(-1).float() for part in (value.detach(), *made, *moved)])
