"""Windows: which parts of a recording become windows, and with which label."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from manifests.notes import Note, note
from manifests.recipe import Recipe

_TINY_S = 1e-7  # below any time that a file can tell


@dataclass(frozen=True)
class LabelledOnset:
    """A labelled moment, in seconds from the recording's first sample; ``label`` counts into the recipe's classes."""

    onset_s: float
    label: int


class LabelledSpan(NamedTuple):
    """A labelled span, in seconds from a recording's first sample; of those that a window keeps, from its start."""

    onset_s: float
    end_s: float
    label: int

    @property
    def duration_s(self) -> float:
        """How long the whole span lasts, however much of it a window holds."""
        return self.end_s - self.onset_s


@dataclass(frozen=True)
class ConditionedSegment:
    """A gapless segment of conditioned signal: int16 counts, electrodes × samples at the recipe's rate.

    Windows begin at, or are cued by, the samples of its ``core``; what lies around is there for them to reach into.
    """

    onset_s: float
    counts: NDArray[np.int16]
    core: range


@dataclass(frozen=True)
class Window:
    """One window: int16 counts, electrodes × samples, from ``start_s`` of the recording; label -1 where it has none.

    ``number`` tells it from the recording's others; ``dead`` are the electrodes, by row, that are no signal in it.
    ``spans`` are the labelled spans that it touches, in order of time, None where the corpus's labels are no spans.
    """

    number: int
    start_s: float
    label: int
    counts: NDArray[np.int16]
    dead: tuple[int, ...] = ()
    spans: tuple[LabelledSpan, ...] | None = None


def on_a_grid(segments: list[ConditionedSegment], label: int, recipe: Recipe, first: int = 0) -> list[Window]:
    """Return the windows of ``window_s`` that fit at every ``stride_s`` of each gapless segment, numbered from first.

    Of windows that do not overlap none reaches beyond the core, where the next piece's grid begins.
    """
    length, stride = recipe.window_samples, round(recipe.stride_s * recipe.sfreq_hz)
    starts = [
        (segment, start)
        for segment in segments
        for start in segment.core[::stride]
        if start + length <= segment.counts.shape[1] and start + min(length, stride) <= segment.core.stop
    ]
    return [
        Window(number, segment.onset_s + start / recipe.sfreq_hz, label, segment.counts[:, start : start + length])
        for number, (segment, start) in enumerate(starts, first)
    ]


def at_cues(
    segments: list[ConditionedSegment], cues: list[LabelledOnset], span_s: tuple[float, float], recipe: Recipe
) -> tuple[list[Window], list[Note], int]:
    """Return (the windows ``offset_s`` from the cues in a span, notes on those without, how many leave the signal).

    A window that leaves its gapless segment is dropped (``edges = "drop"``), filled with zeros (``pad``), or takes
    what is missing from the segment's other end (``wrap``, as published for TUEV). A segment shorter than a window
    has none. Cues are numbered over all spans.
    """
    fit = [segment for segment in segments if segment.counts.shape[1] >= recipe.window_samples]
    windows: list[Window] = []
    num_here = num_outside = num_beyond = 0
    for number, cue in enumerate(cues):
        if not span_s[0] - _TINY_S <= cue.onset_s < span_s[1] - _TINY_S:
            continue
        num_here += 1
        segment = next((one for one in fit if _holds(one, cue.onset_s, recipe.sfreq_hz)), None)
        if segment is None:
            num_outside += 1
            continue
        start = round((cue.onset_s + recipe.offset_s - segment.onset_s) * recipe.sfreq_hz)
        num_beyond += not 0 <= start <= segment.counts.shape[1] - recipe.window_samples
        window = _cut(segment.counts, start, recipe.window_samples, recipe.edges)
        if window is not None:
            windows.append(Window(number, segment.onset_s + start / recipe.sfreq_hz, cue.label, window))
    outside = "{count} of {total} events lie outside the signal or in a gap: dropped"
    beyond = "{count} of {total} events reach beyond an end of the signal or into a gap: dropped"
    num_lost = num_here - num_outside - len(windows)
    notes = happened(
        note("events outside", outside, count=num_outside, total=num_here),
        note("events beyond an end", beyond, count=num_lost, total=num_here),
    )
    return windows, notes, num_beyond


def deduplicated(cues: list[LabelledOnset], recipe: Recipe) -> tuple[list[LabelledOnset], list[Note]]:
    """Return (one cue of those of one label at one onset, none where labels differ; notes on the others).

    Onsets are one that lie less than a sample of the windows apart, as rounding leaves them.
    """
    by_onset = sorted(range(len(cues)), key=lambda place: cues[place].onset_s)
    moments: list[list[int]] = []
    for place in by_onset:
        since_s = cues[place].onset_s - cues[moments[-1][0]].onset_s if moments else math.inf
        if since_s < 1 / recipe.sfreq_hz - _TINY_S:
            moments[-1].append(place)
        else:
            moments.append([place])
    agreeing = [moment for moment in moments if len({cues[place].label for place in moment}) == 1]
    kept = {min(moment) for moment in agreeing}
    num_agreeing = sum(map(len, agreeing))
    repeated = "{count} of {total} labels repeat one at the same onset: one window for both"
    contradicting = "{count} of {total} labels contradict another at the same onset: dropped"
    return [cue for place, cue in enumerate(cues) if place in kept], happened(
        note("repeated labels", repeated, count=num_agreeing - len(kept), total=len(cues)),
        note("contradicting labels", contradicting, count=len(cues) - num_agreeing, total=len(cues)),
    )


def happened(*notes: Note) -> list[Note]:
    """Return the notes whose ``count`` of events is not 0."""
    return [one for one in notes if one.figures["count"]]


def within(onset_s: float, duration_s: float, label: int, recipe: Recipe) -> list[LabelledOnset]:
    """Return a cue for each window of ``window_s`` that fits, every ``stride_s``, into a span of one label."""
    count = math.floor((duration_s - recipe.window_s) / recipe.stride_s + 1e-6) + 1
    return [LabelledOnset(onset_s + number * recipe.stride_s, label) for number in range(max(0, count))]


def by_overlap(
    spans: Sequence[LabelledSpan], duration_s: float, background: int, recipe: Recipe
) -> list[LabelledOnset]:
    """Return a cue for each window, every ``stride_s`` from the recording's start, that lies within ``duration_s``.

    A window has the label whose spans cover most of it, ``background`` where none touches it.
    """
    cues = within(0.0, duration_s, background, recipe)
    covered: defaultdict[int, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
    for onset_s, end_s, label in spans:
        first = max(0, math.floor((onset_s - recipe.window_s) / recipe.stride_s) + 1)
        for number in range(first, min(len(cues), math.ceil(end_s / recipe.stride_s))):
            begin_s = cues[number].onset_s
            covered[number][label] += max(0.0, min(end_s, begin_s + recipe.window_s) - max(onset_s, begin_s))
    for number, shares in covered.items():
        most, share_s = max(shares.items(), key=lambda one: (one[1], -one[0]))
        if share_s > 1e-6:
            cues[number] = LabelledOnset(cues[number].onset_s, most)
    return cues


def united(spans: Sequence[LabelledSpan]) -> list[LabelledSpan]:
    """Return the spans in order of time, those of one label that overlap or abut as one: the same on many channels."""
    whole: list[LabelledSpan] = []
    for span in sorted(spans, key=lambda one: (one.label, one.onset_s)):
        if whole and span.label == whole[-1].label and span.onset_s <= whole[-1].end_s:
            before = whole.pop()
            span = before._replace(end_s=max(before.end_s, span.end_s))
        whole.append(span)
    return sorted(whole)


def with_spans(windows: list[Window], spans: Sequence[LabelledSpan] | None, recipe: Recipe) -> list[Window]:
    """Return the windows of a recording, each with those of its spans that it holds any time of."""
    if spans is None:
        return windows
    in_order, length_s = sorted(spans), recipe.window_samples / recipe.sfreq_hz
    onsets_s = np.array([span.onset_s for span in in_order])
    # No span before the first that this reaches is still going on.
    latest_s = np.maximum.accumulate([span.end_s for span in in_order]) if in_order else onsets_s
    kept = []
    for window in windows:
        begin_s, end_s = window.start_s, window.start_s + length_s
        near = in_order[np.searchsorted(latest_s, begin_s) : np.searchsorted(onsets_s, end_s)]
        touched = tuple(
            LabelledSpan(span.onset_s - begin_s, span.end_s - begin_s, span.label)
            for span in near
            if min(span.end_s, end_s) - max(span.onset_s, begin_s) > _TINY_S
        )
        kept.append(replace(window, spans=touched))
    return kept


def quiet(windows: list[Window], recipe: Recipe) -> list[Window]:
    """Return the windows in which no sample of an electrode that is alive reaches ``reject_uv``; all where it is 0."""
    limit = recipe.reject_uv / recipe.quantum_uv
    return [one for one in windows if not limit or _height(one) < limit]


def _height(window: Window) -> int:
    alive = np.delete(window.counts, window.dead, axis=0) if window.dead else window.counts
    return max(int(alive.max()), -int(alive.min()))


def thin(windows: list[Window], limit: int) -> list[Window]:
    """Return at most ``limit`` of the windows, spread evenly over them."""
    if limit >= len(windows):
        return windows
    return [windows[position * len(windows) // limit] for position in range(limit)]


def count_on_a_grid(duration_s: float, recipe: Recipe) -> int:
    """Return how many windows `on_a_grid` cuts from a gapless recording of this length."""
    samples = int(duration_s * recipe.sfreq_hz + 1e-6) - recipe.window_samples
    return max(0, samples // round(recipe.stride_s * recipe.sfreq_hz) + 1) if samples >= 0 else 0


def _holds(segment: ConditionedSegment, onset_s: float, sfreq_hz: float) -> bool:
    duration_s: float = segment.counts.shape[1] / sfreq_hz
    return -_TINY_S <= onset_s - segment.onset_s < duration_s - _TINY_S


def _cut(counts: NDArray[np.int16], start: int, length: int, edges: str) -> NDArray[np.int16] | None:
    num_samples = counts.shape[1]
    if start >= 0 and start + length <= num_samples:
        return counts[:, start : start + length]
    if edges == "drop":
        return None
    wanted = np.arange(start, start + length)
    if edges == "wrap":
        return counts[:, wanted % num_samples]
    window = np.zeros((counts.shape[0], length), np.int16)
    inside = (wanted >= 0) & (wanted < num_samples)
    window[:, inside] = counts[:, wanted[inside]]
    return window
