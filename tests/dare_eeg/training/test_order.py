"""Training order: every row once an epoch, exact shares, and nothing but the plan and the step decides."""

import hashlib
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dare_eeg.training.order import CYCLE, OrderPlan, TrainingSource
from manifests.errors import DareError

shard_sizes = st.lists(st.integers(0, 12), min_size=1, max_size=40).filter(any)
seeds = st.integers(0, 2**31)


def source(name: str, rows: list[int], weight: float = 1.0, signature: str = "same") -> TrainingSource:
    shards = tuple(f"{name}/{number}" for number in range(len(rows)))
    return TrainingSource(name, shards, tuple(rows), weight, signature)


def plan(*sources: TrainingSource, seed: int = 7, batch: int = 8, micro_batch: int = 1) -> OrderPlan:
    return OrderPlan(sources, seed, batch, micro_batch, steps=10_000)


def sequence(made: OrderPlan, steps: int) -> list[tuple[int, int, int]]:
    """Return (source, shard, row) of every slot of the first steps."""
    slots = [made.slots(step) for step in range(steps)]
    return [row for one in slots for row in zip(*(a.tolist() for a in vars(one).values()), strict=True)]


def epochs_of(rows: list[tuple[int, int]], total: int) -> list[list[tuple[int, int]]]:
    return [rows[start : start + total] for start in range(0, len(rows) - total + 1, total)]


@given(shard_sizes, seeds, st.integers(1, 16))
@settings(max_examples=40)
def test_every_epoch_gives_each_row_once(sizes: list[int], seed: int, batch: int) -> None:
    total = sum(sizes)
    given_out = [row[1:] for row in sequence(plan(source("a", sizes), seed=seed, batch=batch), -(-3 * total // batch))]
    every_row = [(shard, row) for shard, size in enumerate(sizes) for row in range(size)]
    epochs = epochs_of(given_out, total)
    assert len(epochs) >= 3
    assert all(sorted(epoch) == every_row for epoch in epochs)


@given(shard_sizes, shard_sizes, seeds)
@settings(max_examples=20)
def test_sources_of_a_mixture_keep_their_own_epochs(sizes: list[int], others: list[int], seed: int) -> None:
    given_out = sequence(plan(source("a", sizes), source("b", others), seed=seed, batch=32), 40)
    for number, rows in enumerate((sizes, others)):
        every_row = [(shard, row) for shard, size in enumerate(rows) for row in range(size)]
        mine = [row[1:] for row in given_out if row[0] == number]
        assert all(sorted(epoch) == every_row for epoch in epochs_of(mine, sum(rows)))


def test_epochs_differ_and_shards_of_a_block_are_mixed() -> None:
    given_out = [row[1:] for row in sequence(plan(source("a", [20] * 32)), 160)]
    first, second = epochs_of(given_out, 640)
    assert first != second
    assert len({shard for shard, _ in first[:20]}) > 8
    assert len({shard for shard, _ in first[:320]}) == 16


def test_seeds_and_names_give_other_orders() -> None:
    orders = [sequence(made, 20) for made in (
        plan(source("a", [50, 60])), plan(source("a", [50, 60]), seed=8), plan(source("b", [50, 60])),
    )]  # fmt: skip
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.5, 1.0, 3.0)])
def test_every_cycle_holds_the_exact_share_of_every_source(weights: tuple[float, ...]) -> None:
    sizes = (700, 1300, 2100)
    made = plan(*(source(f"s{n}", [size], weight) for n, (size, weight) in enumerate(zip(sizes, weights, strict=True))))
    given_out = [row[0] for row in sequence(made, 3 * CYCLE // 8)]
    cycles = [Counter(given_out[start : start + CYCLE]) for start in range(0, 3 * CYCLE, CYCLE)]
    assert cycles[0] == cycles[1] == cycles[2]
    whole = sum(size * weight for size, weight in zip(sizes, weights, strict=True))
    for number, (size, weight) in enumerate(zip(sizes, weights, strict=True)):
        assert abs(cycles[0][number] - CYCLE * size * weight / whole) < 1


def test_signatures_alternate_by_whole_batches_and_exact_shares() -> None:
    signatures = ("19 electrodes", "58 electrodes", "19 electrodes")
    made = plan(*(source(f"s{n}", [size], signature=signatures[n]) for n, size in enumerate((100, 300, 200))), batch=4)
    sources = [made.slots(step).source.tolist() for step in range(CYCLE)]
    batches = [{signatures[number] for number in batch} for batch in sources]
    assert all(len(batch) == 1 for batch in batches)
    assert Counter(next(iter(batch)) for batch in batches) == {"19 electrodes": CYCLE / 2, "58 electrodes": CYCLE / 2}
    changes = sum(one != other for one, other in pairwise(batches))
    assert changes > CYCLE / 4, "the signatures take turns throughout the cycle"
    mixed = Counter(number for batch in sources for number in batch)
    assert mixed[2] / mixed[0] == pytest.approx(2, rel=1e-2)


@pytest.mark.slow
@given(seeds, st.permutations(range(24)))
@settings(max_examples=25)
def test_slots_are_a_pure_function_of_plan_and_step(seed: int, steps: list[int]) -> None:
    def fresh() -> OrderPlan:
        return plan(source("a", [3, 2, 4]), source("b", [30] * 20), source("c", [5], 2.0, "other"), seed=seed, batch=6)

    reference, asked = fresh(), fresh()
    expected = {step: reference.slots(step) for step in range(24)}
    for step in [*steps, 400, *steps]:
        got, alone = asked.slots(step), fresh().slots(step)
        for name, value in vars(got).items():
            assert np.array_equal(value, getattr(alone, name))
            assert step == 400 or np.array_equal(value, getattr(expected[step], name))


def test_the_order_of_a_fixed_plan_never_changes() -> None:
    made = plan(
        source("tuab", [37, 12, 51, 9]), source("tuev", [64] * 20, 0.5), source("eegmat", [40], 3.0, "19"), seed=2025
    )
    digest = hashlib.sha256()
    for step in (*range(300), 5_000, 9_999):
        for array in vars(made.slots(step)).values():
            digest.update(array.astype("<i8").tobytes())
    assert digest.hexdigest() == "cdb0b4dc607ec01f29ed5d5c331f67202d4772ef00db528757d032d27df8080b"


def test_identities_tell_sources_apart_by_all_that_changes_the_order() -> None:
    base = source("a", [5, 6]).identity
    assert base == source("a", [5, 6]).identity
    others = {
        "name": source("b", [5, 6]),
        "weight": source("a", [5, 6], 2.0),
        "signature": source("a", [5, 6], signature="else"),
    }
    for field, other in others.items():
        assert getattr(other.identity, field) != getattr(base, field)
    for changed in (
        source("a", [5, 7]),
        source("a", [6, 5]),
        replace(source("a", [5, 6]), selection_hash="others, as many"),
    ):
        assert changed.identity.rows != base.rows


def test_a_source_with_too_small_a_share_is_refused() -> None:
    with pytest.raises(DareError, match=r"^speck: .*--weight speck="):
        plan(source("whole", [100_000]), source("speck", [1]))
    assert len(plan(source("whole", [100_000]), source("speck", [1], weight=100.0)).sources) == 2


def test_no_source_is_accepted_and_then_never_given_out() -> None:
    large = [source(f"large{number}", [10_239]) for number in range(3)]
    with pytest.raises(DareError, match=r"^speck: .*--weight speck="):
        plan(*large, source("speck", [3], signature="other"))


@pytest.mark.parametrize(
    ("sources", "batches", "reason"),
    [
        ([source("a", [9])], (6, 4), "global batch 6 is no multiple of micro-batch 4"),
        ([source("a", [9]), source("b", [0, 0])], (8, 4), "no window to train on in b"),
        ([source("a", [])], (8, 4), "no window to train on in a"),
        ([], (8, 4), "no window to train on"),
    ],
)
def test_plans_that_cannot_be_followed_are_refused(
    sources: list[TrainingSource], batches: tuple[int, int], reason: str
) -> None:
    with pytest.raises(DareError, match=reason):
        plan(*sources, batch=batches[0], micro_batch=batches[1])
