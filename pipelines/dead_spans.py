"""Dead spans: when an electrode of a recording as read hardly varies, or lies at a rail, and in which windows."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from manifests.electrodes import derivation
from manifests.recipe import Recipe
from pipelines.recording import Recording, Segment, runs

Spans = dict[str, tuple[tuple[int, int], ...]]
"""By electrode, the (start, stop) in samples of the raw recording in which it is dead; none of one that never is."""

_LEAST_S = 0.5
"""Seconds for which an electrode must hold one value, or lie at a rail, to be dead: longer than one of a low amplitude
and a coarse quantisation does by chance, or one that a single artefact saturates."""

_AT_RAIL = 0.5
"""Share of samples at a rail that makes a block of a quarter of a second dead, as mains from rail to rail have."""

_WIDEST = 6
"""Standard deviations from its first sample to which a block that hardly varies reaches: twice three to either side."""

_ALWAYS = 0.9
"""Share of blocks from which on an electrode varies little by itself, as the one that is the reference does."""

_SEEN, _AMONG = 3, 8
"""An end of a channel's range is a rail where so many among so many blocks in a row begin with it."""


def dead_spans(recording: Recording, least_sd_uv: float) -> Spans:
    """Return when each electrode holds one value, or lies at the ends of its range, for half a second or more.

    One that varies by less than a standard deviation of ``least_sd_uv`` is taken to hold one, as the last bits of a
    disconnected amplifier do, unless it always does.
    """
    length = _block_length(recording.sfreq)
    # Blocks begin at the same samples of the file, whichever part of it was read.
    first = -recording.first_sample % length
    data_uv, shift = recording.data_uv[:, first:], recording.first_sample + first
    if data_uv.shape[1] <= 2 * length:
        return {}
    begin_uv = data_uv[:, ::length].copy()
    flat = _flat_blocks(data_uv, begin_uv, length, least_sd_uv)
    always = flat.mean(axis=1) > _ALWAYS
    if always.any():
        flat[always] = _flat_blocks(data_uv[always], begin_uv[always], length, 0.0)
    dead = flat | _railed_blocks(data_uv, begin_uv, length)
    found: Spans = {}
    for row in np.flatnonzero(dead.any(axis=1)):
        samples_uv, spans = data_uv[row], []
        for first_block, end_block in runs(dead[row]):
            start, stop = first_block * length, end_block * length
            if flat[row, first_block]:
                start -= _num_equal(samples_uv[max(0, start - length) : start][::-1], samples_uv[start])
            if flat[row, end_block - 1]:
                stop += _num_equal(samples_uv[stop : stop + length], samples_uv[stop - 1])
            if stop - start >= _LEAST_S * recording.sfreq:
                spans.append((start + shift, stop + shift))
        if spans:
            found[recording.electrodes[row]] = tuple(spans)
    return found


@lru_cache(maxsize=32)
def _block_length(sfreq: float) -> int:
    """Return the samples of a block: the largest prime within half the least span, so that mains begin none alike."""
    downward = range(round(_LEAST_S / 2 * sfreq), 1, -1)
    return next((n for n in downward if all(n % k for k in range(2, math.isqrt(n) + 1))), 1)


def _flat_blocks(
    data_uv: NDArray[np.float32], begin_uv: NDArray[np.float32], length: int, least_sd_uv: float
) -> NDArray[np.bool_]:
    """Return which blocks of some length, channels × blocks, hold the value that they and the next begin with.

    Few begin near the value of the next, fewer have some samples more near it, and only in these all are looked at.
    """
    reach_uv = np.float32(_WIDEST * least_sd_uv)
    with np.errstate(invalid="ignore"):
        flat: NDArray[np.bool_] = np.abs(np.diff(begin_uv, axis=1)) <= reach_uv
    blocks = data_uv[:, : flat.shape[1] * length].reshape(len(data_uv), -1, length)
    for step in (-(-length // 3), -(-length // 7)):
        rows, places = np.nonzero(flat)
        flat[rows, places] = (np.abs(blocks[rows, places, ::step] - begin_uv[rows, places, None]) <= reach_uv).all(
            axis=1
        )
    for row in np.flatnonzero(flat.any(axis=1)):
        for start, stop in runs(flat[row]):
            away_uv = blocks[row, start:stop] - begin_uv[row, start:stop, None]
            flat[row, start:stop] = ~away_uv.any(axis=1) | (away_uv.std(axis=1) < least_sd_uv)
    return flat


def _railed_blocks(data_uv: NDArray[np.float32], begin_uv: NDArray[np.float32], length: int) -> NDArray[np.bool_]:
    """Return which blocks lie at the rails of their channel for half of their samples: the ends of a range, if held.

    A rail that is held for long is what blocks begin with, more of them than by chance.
    """
    railed = np.zeros((len(begin_uv), begin_uv.shape[1] - 1), np.bool_)
    at_an_end = (begin_uv == begin_uv.max(axis=1, keepdims=True)) | (begin_uv == begin_uv.min(axis=1, keepdims=True))
    for row in np.flatnonzero(at_an_end.sum(axis=1) >= _SEEN):
        seen = np.flatnonzero(at_an_end[row])
        if np.ptp(begin_uv[row]) > 0 and (seen[_SEEN - 1 :] - seen[: 1 - _SEEN] < _AMONG).any():
            blocks = data_uv[row, : railed.shape[1] * length].reshape(-1, length)
            at_rail = (blocks == begin_uv[row].max()) | (blocks == begin_uv[row].min())
            railed[row] = at_rail.mean(axis=1) >= _AT_RAIL
    return railed


def _num_equal(samples_uv: NDArray[np.float32], value: np.float32) -> int:
    """Return how many samples equal a value before the first that does not."""
    is_other = samples_uv != value
    return int(np.argmax(is_other)) if is_other.any() else len(samples_uv)


def dead_in(starts_s: Sequence[float], spans: Spans, recording: Recording, recipe: Recipe) -> NDArray[np.bool_]:
    """Return, windows × the recipe's electrodes, which are dead for `max_dead_share` of a window or more.

    Windows start at ``starts_s`` of true time. A derivation is dead where one of its parts is.
    """
    dead = np.zeros((len(starts_s), len(recipe.electrodes)), np.bool_)
    if not (spans and starts_s):
        return dead
    begin, end = _in_file(np.array(starts_s), recording, recipe.window_s)
    limit = recipe.max_dead_share * recipe.window_s * recording.sfreq - 1e-6
    for place, name in enumerate(recipe.electrodes):
        for part in (name, *(derivation(name) or ())):
            if part in spans:
                dead[:, place] |= _covered(begin, end, spans[part]) >= limit
    return dead


def _in_file(
    starts_s: NDArray[np.float64], recording: Recording, window_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the samples of the file at which windows begin and end, within the segment that their middle lies in."""
    segments: Sequence[Segment] = sorted(recording.segments, key=lambda one: one.onset_s)
    onsets_s = np.array([one.onset_s for one in segments])
    within = np.maximum(0, np.searchsorted(onsets_s, starts_s + window_s / 2, side="right") - 1)
    first, last = (np.array([getattr(one, edge) for one in segments], np.float64)[within] for edge in ("start", "stop"))
    begin = first + (starts_s - onsets_s[within]) * recording.sfreq
    edges = np.clip([begin, begin + window_s * recording.sfreq], first, last) + recording.first_sample
    return edges[0], edges[1]


def _covered(
    begin: NDArray[np.float64], end: NDArray[np.float64], spans: tuple[tuple[int, int], ...]
) -> NDArray[np.float64]:
    """Return how many samples of each window lie in spans, which are in order and apart."""
    edges = np.array(spans, np.float64)
    before = np.stack([np.zeros(len(edges)), edges[:, 1] - edges[:, 0]], axis=1).reshape(-1).cumsum()
    return np.asarray(np.interp(end, edges.reshape(-1), before) - np.interp(begin, edges.reshape(-1), before))
