"""Dead spans: when an electrode of a recording as read holds one value, or lies at a rail, and in which windows."""

from collections.abc import Sequence

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
"""Share of samples at a rail that makes half of `_LEAST_S` part of a dead span, as mains from rail to rail have."""

_CHANCE = 2
"""Blocks that may begin with an extreme of all of them without that being a rail."""


def dead_spans(recording: Recording) -> Spans:
    """Return when each electrode holds one value, or lies at the ends of its range, for half a second or more."""
    half = max(1, round(_LEAST_S / 2 * recording.sfreq))
    # Blocks begin at the same samples of the file, whichever part of it was read.
    first = -recording.first_sample % half
    data_uv = recording.data_uv[:, first:]
    if data_uv.shape[1] <= 2 * half:
        return {}
    edges_uv = data_uv[:, ::half].copy()
    flat = _flat_blocks(data_uv, edges_uv, half)
    found: Spans = {}
    for row, name in enumerate(recording.electrodes):
        spans = [
            _widened(recording.data_uv[row], first + half * start, first + half * stop)
            for start, stop in runs(flat[row])
        ]
        railed = _railed_blocks(data_uv[row], edges_uv[row], half)
        spans += [(first + half * start, first + half * stop) for start, stop in runs(railed)]
        long = [(start, stop) for start, stop in _joined(spans) if stop - start >= 2 * half]
        if long:
            shift = recording.first_sample
            found[name] = tuple((start + shift, stop + shift) for start, stop in long)
    return found


def _flat_blocks(data_uv: NDArray[np.float32], edges_uv: NDArray[np.float32], length: int) -> NDArray[np.bool_]:
    """Return which blocks of some length, channels × blocks, hold the value that they and the next begin with.

    Few begin with the same value as the next, and only in these all samples are looked at.
    """
    flat: NDArray[np.bool_] = edges_uv[:, 1:] == edges_uv[:, :-1]
    blocks = data_uv[:, : flat.shape[1] * length].reshape(len(data_uv), -1, length)
    middle = blocks[:, :, length // 2]
    flat &= middle == edges_uv[:, :-1]
    rows, places = np.nonzero(flat)
    flat[rows, places] = (blocks[rows, places] == edges_uv[rows, places, None]).all(axis=1)
    return flat


def _widened(samples_uv: NDArray[np.float32], start: int, stop: int) -> tuple[int, int]:
    """Return a flat span with the equal samples before and after it."""
    value, reach = samples_uv[start], stop - start
    before, after = samples_uv[max(0, start - reach) : start][::-1], samples_uv[stop : stop + reach]
    return start - _num_first(before == value), stop + _num_first(after == value)


def _num_first(mask: NDArray[np.bool_]) -> int:
    """Return how many are True before the first that is not."""
    return len(mask) if mask.all() else int(np.argmin(mask))


def _railed_blocks(samples_uv: NDArray[np.float32], edges_uv: NDArray[np.float32], length: int) -> NDArray[np.bool_]:
    """Return which blocks of a channel lie at its rails for half of their samples: the ends of a range that are held.

    A rail that is held for long is one of the values that blocks begin with, more than by chance.
    """
    ends = {float(edges_uv.max()), float(edges_uv.min())}
    rails = [end for end in ends if np.count_nonzero(edges_uv == end) > _CHANCE]
    if not rails or len(ends) == 1:
        return np.zeros(len(edges_uv) - 1, np.bool_)
    blocks = samples_uv[: (len(edges_uv) - 1) * length].reshape(-1, length)
    at_rail = np.logical_or.reduce([blocks == rail for rail in rails])
    return np.asarray(at_rail.mean(axis=1) >= _AT_RAIL)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, those that touch as one."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop)
        else:
            joined.append((start, stop))
    return joined


def dead_in(starts_s: Sequence[float], spans: Spans, recording: Recording, recipe: Recipe) -> NDArray[np.bool_]:
    """Return, windows × the recipe's electrodes, which are dead for `max_dead_share` of a window or more.

    Windows start at ``starts_s`` of true time. A derivation is dead where one of its parts is, an electrode made of
    many others never.
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
