"""Keyed integers, uniforms and permutations: every order, split and shuffle is made of these.

The mixer is the finalizer of splitmix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
generators"), written out here so that an order outlives any library's generator.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def key(*parts: object) -> int:
    """Return 64 bits that depend on every part, on their order and on nothing else.

    Parts are told apart by type and text, so ``key("a", 1)`` differs from ``key("a1")`` and ``key("a", "1")``.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8], "little")


def integers(seed: int | NDArray[np.uint64], counters: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Return one mixed 64-bit integer per counter, or per pair of seed and counter: a pure function of the two."""
    with np.errstate(over="ignore"):
        state: NDArray[np.uint64] = np.asarray(seed, np.uint64) + (counters.astype(np.uint64) + np.uint64(1)) * _GOLDEN
        state = (state ^ (state >> np.uint64(30))) * _MIX_1
        state = (state ^ (state >> np.uint64(27))) * _MIX_2
        state ^= state >> np.uint64(31)
    return state


def uniforms(seed: int | NDArray[np.uint64], count: int) -> NDArray[np.float64]:
    """Return ``count`` numbers in [0, 1), each from 53 mixed bits; of several seeds the first number of each."""
    return (integers(seed, np.arange(count)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, count: int) -> NDArray[np.int64]:
    """Return the numbers 0 to ``count`` - 1 in a keyed order."""
    return np.argsort(integers(seed, np.arange(count)), kind="stable")


def share(text: str, seed: int) -> float:
    """Return a fixed number in [0, 1) for a text: which side of a split a subject falls on."""
    return float(uniforms(key("share", seed, text), 1)[0])
