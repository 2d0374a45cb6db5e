"""Signal: from a recording as read to conditioned segments, in counts. Pure functions of arrays."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from manifests import filters
from manifests.errors import MissingError, UnfitError
from manifests.notes import Note, note, text
from manifests.recipe import Recipe
from manifests.shard_format import quantise
from pipelines.recording import AMBIGUOUS, Recording
from pipelines.reference import Weights, montage
from pipelines.windows import ConditionedSegment

_BLOCK = 1 << 17
"""Samples of a block: a constant of the code version, though another changes the signal by less than 0.001 µV."""

_TOGETHER = 4
"""Channels transformed at once: as many as one SIMD register holds; with fewer, each takes as long as all four."""

_MARGIN_S = 2.0
"""Seconds by which blocks overlap beyond the filters' own length, for the resampling to settle."""


@dataclass(frozen=True)
class Conditioned:
    """Gapless segments at the recipe's rate; which of its electrodes they hold, and which of these are interpolated.

    ``clipped`` is the share of samples that int16 could not hold; ``notes`` say which electrodes were unfit to use.
    """

    segments: list[ConditionedSegment]
    present: NDArray[np.bool_]
    interpolated: tuple[str, ...]
    clipped: float
    notes: tuple[Note, ...]

    @classmethod
    def nothing(cls, recipe: Recipe) -> "Conditioned":
        """Return what a recording holds of which nothing is to be used."""
        return cls([], np.zeros(len(recipe.electrodes), np.bool_), (), 0.0, ())


def margin_s(sfreq_hz: float, recipe: Recipe) -> float:
    """Return how many seconds to either side must be read: what filters and resampling of a sample look at.

    Signal is used from where both rates have a sample, which may lie up to one common period further on.
    """
    num_samples = sum(len(taps) // 2 for taps in _taps(sfreq_hz, recipe))
    return (num_samples + _ratio(sfreq_hz, recipe).denominator) / sfreq_hz + _MARGIN_S


def condition(
    recording: Recording,
    recipe: Recipe,
    start_s: float = 0.0,
    stop_s: float = float("inf"),
    planned: Collection[str] | None = None,
) -> Conditioned:
    """Return a recording's signal re-referenced, filtered, resampled and quantised.

    Every segment holds all the recipe's electrodes, zeros where one is absent: not in the file, flat, or not finite. Of
    the file's only the ``planned`` are taken, None for all: names do not tell a difference between two references.
    Each gap in the recording ends a segment, so no filter rings across one. Cores lie between ``start_s`` and
    ``stop_s`` of the file's signal, gaps not counted. Raises DareError where no electrode is usable or one that the
    recipe asks for is not.
    """
    rows = {name: row for row, name in enumerate(recording.electrodes)}
    faults = {name: fault for name, row in rows.items() if (fault := _fault(recording, row))}
    notes = _unfit({name: fault for name, fault in faults.items() if name in recipe.needed})
    try:
        mixed = montage(rows.keys() - faults.keys(), recipe, planned)
    except MissingError as problem:
        differing = [one for one in recording.notes if one.kind == AMBIGUOUS]
        why = text([*differing, *notes])
        kind = UnfitError if differing else MissingError
        raise kind(f"{problem} ({why})" if why else str(problem)) from None
    present = np.array([row is not None for row in mixed.rows])
    segments, num_clipped = [], 0
    for segment in recording.segments:
        # Pieces of one recording share a grid of samples if each begins where both rates have one.
        shift = -recording.first_sample % _ratio(recording.sfreq, recipe).denominator if segment.start == 0 else 0
        begin = segment.start + shift
        whole_uv = recording.data_uv[:, begin : segment.stop]
        if not whole_uv.shape[1]:
            continue
        common_uv = _sum(whole_uv, rows, mixed.common) if mixed.common else None
        one_pass = _Pass.of(recording.sfreq, whole_uv.shape[1], recipe)
        counts = np.empty((len(present), one_pass.num_resampled(whole_uv.shape[1])), np.int16)
        counts[~present] = 0
        places = np.flatnonzero(present)
        for group in (places[first : first + _TOGETHER] for first in range(0, len(places), _TOGETHER)):
            channels_uv = [_sum(whole_uv, rows, mixed.rows[place] or {}) for place in group]
            if common_uv is not None:
                channels_uv = [channel_uv - common_uv for channel_uv in channels_uv]
            num_clipped += one_pass(channels_uv, counts, group)
        before_s = (recording.first_sample + begin) / recording.sfreq
        core = range(*(_inside((edge_s - before_s) * recipe.sfreq_hz, counts) for edge_s in (start_s, stop_s)))
        if core:
            segments.append(ConditionedSegment(segment.onset_s + shift / recording.sfreq, counts, core))
    num_samples = int(present.sum()) * sum(one.counts.shape[1] for one in segments)
    return Conditioned(segments, present, mixed.interpolated, num_clipped / max(1, num_samples), notes)


def is_notched(sfreq_hz: float, recipe: Recipe) -> bool:
    """Return whether a recording of this rate holds the recipe's notch."""
    return filters.is_notched(sfreq_hz, recipe.notch_hz)


def too_slow(sfreq_hz: float, recipe: Recipe) -> tuple[Note, ...]:
    """Return why a recording's rate cannot carry the recipe's band, nothing where it can."""
    if sfreq_hz / 2 >= recipe.band_hz[1]:
        return ()
    low_hz, high_hz = recipe.band_hz
    half_hz = sfreq_hz / 2
    says = "sampled at {sfreq_hz:g} Hz, which holds nothing above {nyquist_hz:g} Hz, where the recipe's band ends at "
    says += "{high_hz:g} Hz"
    # The remedy is part of the text, so that recordings of several rates, which need several, are counted apart.
    if (lower_hz := max(half_hz - 4, 0.9 * half_hz)) > low_hz:
        says += f"; lower it with --set band_hz={low_hz:g},{lower_hz:g}"
    return (note("too slow", says, sfreq_hz=sfreq_hz, nyquist_hz=half_hz, high_hz=high_hz),)


def _inside(sample: float, counts: NDArray[np.int16]) -> int:
    """Return the next whole sample that the signal has, or an end of it."""
    num_samples: int = counts.shape[1]
    return math.ceil(min(max(sample - 1e-6, 0), num_samples))


def _unfit(faults: dict[str, str]) -> tuple[Note, ...]:
    """Return a note for each fault, on the electrodes that have it."""
    kinds = dict.fromkeys(faults.values())
    return tuple(
        note(f"{kind} channel", f"{{names}} is {kind}: taken as absent", [name])
        for kind in kinds
        for name, fault in faults.items()
        if fault == kind
    )


def _fault(recording: Recording, row: int) -> str:
    """Return why a channel is no signal, "" where it is one."""
    parts = [recording.data_uv[row, segment.start : segment.stop] for segment in recording.segments]
    extremes = [(part.min(), part.max()) for part in parts if part.size]
    # NaN is both extremes of whatever holds one.
    if not np.isfinite(extremes).all():
        return "not finite"
    return "flat" if extremes and all(low == high for low, high in extremes) else ""


def _sum(data_uv: NDArray[np.float32], rows: dict[str, int], weights: Weights) -> NDArray[np.float32]:
    """Return a weighted sum of channels, µV; of one channel alone, the channel itself."""
    if list(weights.values()) == [1.0]:
        return data_uv[rows[next(iter(weights))], :]
    return np.array(list(weights.values()), np.float32) @ data_uv[[rows[name] for name in weights]]


@dataclass(frozen=True)
class _Pass:
    """Band-pass, notch, resampling and scaling to counts in one pass: the product of all responses on one spectrum.

    Overlapping blocks, continued at the ends by odd reflection, are transformed, filtered, cut off or filled up at the
    new Nyquist frequency and transformed back, at lengths that make the ratio of the rates, up to down, exact.
    ``response`` holds each frequency's twice, for the real and the imaginary part.
    """

    response: NDArray[np.float32]
    length: int
    margin: int
    up: int
    down: int

    @classmethod
    def of(cls, sfreq_hz: float, num_samples: int, recipe: Recipe) -> "_Pass":
        """Return the pass for a segment of some length; its blocks are even, none larger than `_BLOCK`."""
        up, down = _ratio(sfreq_hz, recipe).as_integer_ratio()
        margin = math.ceil(margin_s(sfreq_hz, recipe) * sfreq_hz / down) * down
        block = math.ceil(num_samples / math.ceil(num_samples / _BLOCK))
        length = next_fast_len(math.ceil(block / down) + 2 * margin // down, real=True) * down
        gain = np.float32(up / down / recipe.quantum_uv)
        response = _response(_taps(sfreq_hz, recipe), length) * gain
        return cls(np.repeat(response[: length // down * up // 2 + 1], 2), length, margin, up, down)

    def num_resampled(self, num_samples: int) -> int:
        """Return how many samples become of some."""
        return num_samples * self.up // self.down

    def __call__(
        self, channels_uv: list[NDArray[np.float32]], counts: NDArray[np.int16], rows: NDArray[np.int64]
    ) -> int:
        """Write channels, as many as are transformed at once or fewer, to rows of ``counts``; return how many clip.

        Their means are taken off: a filter removes them anyway, and without a high-pass int16 should hold the signal
        and not the amplifier's offset.
        """
        resampled_length, skip = self.num_resampled(self.length), self.num_resampled(self.margin)
        means_uv = [channel_uv.mean() for channel_uv in channels_uv]
        block_uv = np.zeros((_TOGETHER, self.length), np.float32)
        num_clipped = 0
        for start in range(0, len(channels_uv[0]), self.length - 2 * self.margin):
            for row_uv, channel_uv, mean_uv in zip(block_uv, channels_uv, means_uv, strict=False):
                self._pad(channel_uv, mean_uv, start - self.margin, row_uv)
            spectrum = rfft(block_uv)[:, : len(self.response) // 2]
            parts = spectrum.view(np.float32)
            parts *= self.response
            resampled = irfft(spectrum, n=resampled_length, overwrite_x=True)[:, skip : resampled_length - skip]
            first = self.num_resampled(start)
            end = min(first + resampled.shape[1], counts.shape[1])
            for place, row in zip(rows, resampled, strict=False):
                num_clipped += quantise(row[: end - first], counts[place, first:end])
        return num_clipped

    def _pad(
        self, channel_uv: NDArray[np.float32], mean_uv: np.float32, start: int, block_uv: NDArray[np.float32]
    ) -> None:
        """Write to a block what a channel, less its mean, has from ``start`` on, continued oddly about its ends.

        Beyond one reflection, which is no longer than the margin, there are zeros.
        """
        end, stop = len(channel_uv), start + len(block_uv)
        reach = min(self.margin, end - 1)
        first, last = max(start, 0), min(stop, end)
        np.subtract(channel_uv[first:last], mean_uv, out=block_uv[first - start : last - start])
        if start < 0:
            mirrored_uv = channel_uv[min(reach, -start) : 0 : -1] - mean_uv
            begin = -start - len(mirrored_uv)
            block_uv[:begin] = 0
            block_uv[begin:-start] = 2 * (channel_uv[0] - mean_uv) - mirrored_uv
        if stop > end:
            mirrored_uv = channel_uv[-2 : -2 - min(reach, stop - end) : -1] - mean_uv
            after = last - start + len(mirrored_uv)
            block_uv[last - start : after] = 2 * (channel_uv[-1] - mean_uv) - mirrored_uv
            block_uv[after:] = 0


def _ratio(sfreq_hz: float, recipe: Recipe) -> Fraction:
    return Fraction(recipe.sfreq_hz / sfreq_hz).limit_denominator(100_000)


def _taps(sfreq_hz: float, recipe: Recipe) -> tuple[filters.Taps, ...]:
    return filters.taps(sfreq_hz, recipe.band_hz, recipe.notch_hz)


@lru_cache(maxsize=8)
def _response(all_taps: tuple[filters.Taps, ...], length: int) -> NDArray[np.float32]:
    """Return the product of the filters' zero-phase responses at the frequencies of a real FFT of a length."""
    response = np.ones(length // 2 + 1)
    for taps in all_taps:
        centred = np.zeros(length)
        centred[: len(taps)] = taps
        response *= rfft(np.roll(centred, -(len(taps) // 2))).real
    return response.astype(np.float32)
