"""Order: which windows a training step sees. A pure function of the plan and the step.

The state needed to go on is one integer, the step. A change to the order that a plan gives must raise
`manifests.manifest.ORDER_VERSION`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.rows import BLOCK_SHARDS
from manifests import keyed
from manifests.atomic_io import canonical_json, sha256_bytes
from manifests.errors import MissingError, UsageError

CYCLE = 4096
"""Slots over which every source gets its exact share."""


class Identity(NamedTuple):
    """What tells one source from another: ``rows`` is a hash of all rows that count, shard by shard."""

    name: str
    rows: str
    weight: float
    signature: str


@dataclass(frozen=True)
class TrainingSource:
    """One set as the order sees it: the rows of each shard, its weight, and what must agree within a batch.

    ``shards`` are names that change when the content does, and ``selection_hash`` when other rows of them count;
    ``signature`` is (electrodes, rate, samples).
    """

    name: str
    shards: tuple[str, ...]
    rows: tuple[int, ...]
    weight: float
    signature: str
    selection_hash: str = ""

    @cached_property
    def total(self) -> int:
        """Rows of all shards."""
        return sum(self.rows)

    @property
    def identity(self) -> Identity:
        """What must be equal for the order to be."""
        rows = sha256_bytes(canonical_json([self.shards, self.rows, self.selection_hash]))
        return Identity(self.name, rows, self.weight, self.signature)


@dataclass(frozen=True)
class Slots:
    """What fills a global batch: for each slot its source, the shard and the row within it."""

    source: NDArray[np.int64]
    shard: NDArray[np.int64]
    row: NDArray[np.int64]

    def between(self, first: int, end: int) -> "Slots":
        """Return some slots of the batch."""
        return Slots(self.source[first:end], self.shard[first:end], self.row[first:end])


@dataclass(frozen=True)
class OrderPlan:
    """All that the order depends on: equal plans give the same order."""

    sources: tuple[TrainingSource, ...]
    seed: int
    global_batch: int
    micro_batch: int
    steps: int
    _epochs: dict[tuple[int, int], "_Epoch"] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.global_batch % self.micro_batch:
            raise UsageError(
                f"global batch {self.global_batch} is no multiple of micro-batch {self.micro_batch}",
                remedy="change --global-batch or --micro-batch",
            )
        if not self.sources or not all(source.total for source in self.sources):
            empty = [source.name for source in self.sources if not source.total]
            raise MissingError(f"no window to train on{f' in {empty[0]}' if empty else ''}", remedy="see dare inspect")
        weights = self._weights(range(len(self.sources)))
        for source, weight in zip(self.sources, weights, strict=True):
            if weight * CYCLE < weights.sum():
                raise UsageError(
                    f"its share of the windows is less than 1 in {CYCLE}",
                    path=source.name,
                    remedy=f"raise it with dare merge --weight {source.name}=W, or leave the set out",
                )

    def slots(self, step: int) -> Slots:
        """Return the windows of a step: all of one signature, sources mixed by exact quota."""
        group, batch_number = self._group(step)
        quotas, assignment, earlier = self._mixtures[group]
        slot = batch_number * self.global_batch + np.arange(self.global_batch)
        cycle, position = slot // CYCLE, slot % CYCLE
        member = assignment[position]
        sequence = cycle * quotas[member] + earlier[position]
        shard, row = np.empty((2, self.global_batch), np.int64)
        for number, source in enumerate(group):
            mine = member == number
            shard[mine], row[mine] = self._rows(source, sequence[mine])
        return Slots(np.array(group)[member], shard, row)

    @cached_property
    def _groups(self) -> list[tuple[int, ...]]:
        ordered = sorted(range(len(self.sources)), key=lambda number: (self.sources[number].signature, number))
        return [tuple(group) for _, group in groupby(ordered, key=lambda number: self.sources[number].signature)]

    @cached_property
    def _mixtures(self) -> dict[tuple[int, ...], tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """By group: the share of a cycle of each member, whose each slot is, how many its member had before it."""
        mixtures = {}
        for group in self._groups:
            quotas = _quotas(self._weights(group))
            assignment = _assignment(keyed.key("sources", self.seed, *group), quotas)
            earlier = np.empty(CYCLE, np.int64)
            for member, quota in enumerate(quotas):
                earlier[assignment == member] = np.arange(quota)
            mixtures[group] = quotas, assignment, earlier
        return mixtures

    @cached_property
    def _turns(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The share of a cycle of each group, and whose each batch is."""
        quotas = _quotas(np.array([self._weights(group).sum() for group in self._groups]))
        return quotas, _assignment(keyed.key("groups", self.seed), quotas)

    def _weights(self, numbers: Iterable[int]) -> NDArray[np.float64]:
        return np.array([self.sources[number].weight * self.sources[number].total for number in numbers])

    def _group(self, step: int) -> tuple[tuple[int, ...], int]:
        """Return the signature group whose turn it is, and how many batches it has had."""
        if len(self._groups) == 1:
            return self._groups[0], step
        quotas, turns = self._turns
        number = int(turns[step % CYCLE])
        had = step // CYCLE * int(quotas[number]) + int(np.count_nonzero(turns[: step % CYCLE] == number))
        return self._groups[number], had

    def _rows(self, source: int, sequence: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        shard, row = np.empty((2, len(sequence)), np.int64)
        for epoch in np.unique(sequence // self.sources[source].total):
            mine = sequence // self.sources[source].total == epoch
            shard[mine], row[mine] = self._epoch(source, int(epoch)).at(sequence[mine] % self.sources[source].total)
        return shard, row

    def _epoch(self, source: int, epoch: int) -> "_Epoch":
        if (source, epoch) not in self._epochs:
            for stale in [known for known in self._epochs if known[0] == source and known[1] < epoch - 1]:
                del self._epochs[stale]
            key = keyed.key("epoch", self.seed, self.sources[source].name, epoch)
            self._epochs[source, epoch] = _Epoch(key, np.array(self.sources[source].rows))
        return self._epochs[source, epoch]


class _Epoch:
    """One pass over a source: its shards in a keyed order, in blocks, the rows of a block mixed."""

    def __init__(self, key: int, rows: NDArray[np.int64]) -> None:
        self._key, self._rows = key, rows
        self._shards = keyed.permutation(key, len(rows))
        ends = np.cumsum(rows[self._shards])
        self._starts = np.concatenate(([0], ends[BLOCK_SHARDS - 1 :: BLOCK_SHARDS], ends[-1:]))
        self._blocks: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def at(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (shard, row) at positions of the epoch."""
        shard, row = np.empty((2, len(positions)), np.int64)
        blocks = np.searchsorted(self._starts, positions, side="right") - 1
        for number in np.unique(blocks):
            mine = blocks == number
            shards, rows = self._block(int(number))
            shard[mine], row[mine] = (
                shards[positions[mine] - self._starts[number]],
                rows[positions[mine] - self._starts[number]],
            )
        return shard, row

    def _block(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if number not in self._blocks:
            self._blocks = {known: block for known, block in self._blocks.items() if known == number - 1}
            members = self._shards[number * BLOCK_SHARDS : (number + 1) * BLOCK_SHARDS]
            shards = np.repeat(members, self._rows[members])
            rows = np.concatenate([np.arange(self._rows[member]) for member in members])
            mixed = keyed.permutation(keyed.key(self._key, number), len(rows))
            self._blocks[number] = shards[mixed], rows[mixed]
        return self._blocks[number]


def _quotas(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return whole shares of a cycle in proportion to the weights (largest remainder)."""
    exact: NDArray[np.float64] = weights / weights.sum() * CYCLE
    shares = np.floor(exact).astype(np.int64)
    remainder = np.argsort(shares - exact, kind="stable")[: CYCLE - shares.sum()]
    shares[remainder] += 1
    return shares


def _assignment(key: int, quotas: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which member each of the cycle's slots belongs to, in a keyed order."""
    return np.repeat(np.arange(len(quotas)), quotas)[keyed.permutation(key, CYCLE)]
