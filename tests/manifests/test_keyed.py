"""Orders and splits are frozen: a change of any value here reorders every training and moves every subject."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import keyed

SEEDS = st.integers(0, 2**64 - 1)
SPLITMIX64_FROM_0 = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
"""The first numbers of the published generator, as its reference code prints them."""


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), 1449310910991872227),
        (("a", 1), 9617701638908543291),
        (("a1",), 14263242679437374354),
        (("a", "1"), 17419350539692329598),
        (("shards", 0, "train"), 1287725638730810346),
    ],
)
def test_keys_are_frozen_and_tell_their_parts_apart(parts: tuple[object, ...], expected: int) -> None:
    assert keyed.key(*parts) == expected


def test_key_of_a_file_name_that_is_no_utf8_is_of_its_bytes() -> None:
    names = [os.fsdecode(name) for name in (b"caf\xe9", b"caf\xe8", "café".encode())]
    assert len({keyed.key(name) for name in names}) == 3
    assert 0 <= keyed.share(names[0], 0) < 1


def test_integers_are_those_of_splitmix64() -> None:
    assert keyed.integers(0, np.arange(4)).tolist() == SPLITMIX64_FROM_0


def test_integers_wrap_at_64_bits() -> None:
    expected = [16490336266968443936, 16834447057089888969, 4048727598324417001]
    assert keyed.integers(2**64 - 1, np.arange(3)).tolist() == expected


def test_permutations_are_frozen() -> None:
    assert keyed.permutation(0, 10).tolist() == [2, 4, 6, 8, 5, 1, 7, 0, 9, 3]
    assert keyed.permutation(7, 5).tolist() == [1, 0, 4, 3, 2]


def test_shares_of_subjects_are_frozen() -> None:
    assert keyed.share("tuh:aaaaaaaq", 0) == 0.08892792812009387
    assert keyed.share("tuh:aaaaaaaq", 1) == 0.48243687128527535
    assert keyed.share("eegmat:Subject00", 0) == 0.03583700313038152


@given(SEEDS, st.integers(0, 500))
def test_permutation_holds_every_number_once(seed: int, count: int) -> None:
    assert sorted(keyed.permutation(seed, count).tolist()) == list(range(count))


@given(SEEDS, st.lists(st.integers(0, 2**63 - 1), max_size=20))
def test_integer_of_a_counter_does_not_depend_on_its_company(seed: int, counters: list[int]) -> None:
    together = keyed.integers(seed, np.array(counters, np.int64)).tolist()
    assert together == [int(keyed.integers(seed, np.array([one]))[0]) for one in counters]


@given(SEEDS, st.integers(1, 200))
def test_uniforms_lie_from_0_to_below_1(seed: int, count: int) -> None:
    numbers = keyed.uniforms(seed, count)
    assert numbers.min() >= 0
    assert numbers.max() < 1


def test_shares_of_many_subjects_are_spread_evenly() -> None:
    shares = [keyed.share(f"tuh:{number:08d}", 0) for number in range(10_000)]
    np.testing.assert_allclose(np.histogram(shares, 10, (0, 1))[0], 1000, atol=150)


def test_values_do_not_depend_on_the_hash_seed_of_the_process() -> None:
    code = "from manifests import keyed; print(keyed.key('a', 1), keyed.share('tuh:aaaaaaaq', 0))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for seed in ("0", "1", "random")
    }
    assert printed == {f"{keyed.key('a', 1)} {keyed.share('tuh:aaaaaaaq', 0)}"}
