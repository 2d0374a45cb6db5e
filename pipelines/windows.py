"""Windows: which stretches of a recording become samples, and with which label."""

import math
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Recipe


@dataclass(frozen=True)
class Cue:
    """A labelled moment, in seconds from the recording's first sample; ``label`` counts into the recipe's classes."""

    onset_s: float
    label: int


@dataclass(frozen=True)
class Stretch:
    """A gapless stretch of conditioned signal: µV, float32, electrodes × samples at the recipe's rate.

    Windows begin at, or are cued by, the samples of its ``core``; what lies around is there for them to reach into.
    """

    onset_s: float
    data_uv: NDArray[np.float32]
    core: range


@dataclass(frozen=True)
class Window:
    """One sample: µV, float32, electrodes × samples, from ``start_s`` of the recording; label -1 where it has none.

    ``number`` tells it from the recording's others.
    """

    number: int
    start_s: float
    label: int
    data_uv: NDArray[np.float32]


def on_a_grid(stretches: list[Stretch], label: int, recipe: Recipe, first: int = 0) -> list[Window]:
    """Return the windows of ``window_s`` that fit at every ``stride_s`` of each gapless stretch, numbered from first.

    Of windows that do not overlap none reaches beyond the core, where the next piece's grid begins.
    """
    length, stride = recipe.window_samples, round(recipe.stride_s * recipe.sfreq_hz)
    starts = [
        (stretch, start)
        for stretch in stretches
        for start in stretch.core[::stride]
        if start + length <= stretch.data_uv.shape[1] and start + min(length, stride) <= stretch.core.stop
    ]
    return [
        Window(number, stretch.onset_s + start / recipe.sfreq_hz, label, stretch.data_uv[:, start : start + length])
        for number, (stretch, start) in enumerate(starts, first)
    ]


def at_cues(stretches: list[Stretch], cues: list[Cue], recipe: Recipe) -> tuple[list[Window], str]:
    """Return (the windows that start ``offset_s`` from each cue, a note on those that could not be cut).

    A window that leaves its gapless stretch is dropped (``edges = "drop"``), filled with zeros (``pad``), or takes
    what is missing from the stretch's other end (``wrap``, as published for TUEV).
    """
    windows, lost = [], Counter[str]()
    for number, cue in enumerate(cues):
        stretch = next((s for s in stretches if _holds(s, cue.onset_s, recipe.sfreq_hz)), None)
        if stretch is None:
            lost["lie outside the signal or in a gap"] += 1
            continue
        start = round((cue.onset_s + recipe.offset_s - stretch.onset_s) * recipe.sfreq_hz)
        window = _cut(stretch.data_uv, start, recipe.window_samples, recipe.edges)
        if window is None:
            lost["reach beyond an end of the signal or into a gap"] += 1
        else:
            windows.append(Window(number, stretch.onset_s + start / recipe.sfreq_hz, cue.label, window))
    return windows, "; ".join(f"{count} of {len(cues)} events {why}: dropped" for why, count in sorted(lost.items()))


def within(onset_s: float, duration_s: float, label: int, recipe: Recipe) -> list[Cue]:
    """Return a cue for each window of ``window_s`` that fits, every ``stride_s``, into a span of one label."""
    count = math.floor((duration_s - recipe.window_s) / recipe.stride_s + 1e-6) + 1
    return [Cue(onset_s + number * recipe.stride_s, label) for number in range(max(0, count))]


def by_overlap(spans: list[tuple[float, float, int]], duration_s: float, background: int, recipe: Recipe) -> list[Cue]:
    """Return a cue for each window, every ``stride_s`` from the recording's start, that lies within ``duration_s``.

    A window has the label of the span, (onset in s, end in s, label), that covers most of it, ``background`` where
    none touches it.
    """
    cues = within(0.0, duration_s, background, recipe)
    covered: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for onset_s, end_s, label in spans:
        first = max(0, math.floor((onset_s - recipe.window_s) / recipe.stride_s) + 1)
        for number in range(first, min(len(cues), math.ceil(end_s / recipe.stride_s))):
            begin_s = cues[number].onset_s
            covered[number][label] += max(0.0, min(end_s, begin_s + recipe.window_s) - max(onset_s, begin_s))
    for number, shares in covered.items():
        most, share_s = max(shares.items(), key=lambda one: (one[1], -one[0]))
        if share_s > 1e-6:
            cues[number] = Cue(cues[number].onset_s, most)
    return cues


def thin(windows: list[Window], limit: int) -> list[Window]:
    """Return at most ``limit`` of the windows, spread evenly over them."""
    if limit >= len(windows):
        return windows
    return [windows[position * len(windows) // limit] for position in range(limit)]


def count_on_a_grid(duration_s: float, recipe: Recipe) -> int:
    """Return how many windows `on_a_grid` cuts from a gapless recording of this length."""
    samples = int(duration_s * recipe.sfreq_hz + 1e-6) - recipe.window_samples
    return max(0, samples // round(recipe.stride_s * recipe.sfreq_hz) + 1) if samples >= 0 else 0


def _holds(stretch: Stretch, onset_s: float, sfreq_hz: float) -> bool:
    return stretch.core.start <= (onset_s - stretch.onset_s) * sfreq_hz < stretch.core.stop


def _cut(data_uv: NDArray[np.float32], start: int, length: int, edges: str) -> NDArray[np.float32] | None:
    num_samples = data_uv.shape[1]
    if start >= 0 and start + length <= num_samples:
        return data_uv[:, start : start + length]
    if edges == "drop":
        return None
    wanted = np.arange(start, start + length)
    if edges == "wrap":
        return data_uv[:, wanted % num_samples]
    window = np.zeros((data_uv.shape[0], length), np.float32)
    inside = (wanted >= 0) & (wanted < num_samples)
    window[:, inside] = data_uv[:, wanted[inside]]
    return window
