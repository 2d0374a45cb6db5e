"""Signal: from a recording as read to conditioned stretches. Pure functions of arrays, µV in, µV out."""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.recording import Recording
from pipelines.windows import Stretch

_BLOCK = 1 << 18
"""Samples of a block: a constant of the code version, though another changes the signal by less than 0.001 µV."""

_MARGIN_S = 2.0
"""Seconds by which blocks overlap beyond the filters' own length, for the resampling to settle."""


def margin_s(sfreq_hz: float, recipe: Recipe) -> float:
    """Return how many seconds to either side must be read: what filters and resampling of a sample look at.

    Signal is used from where both rates have a sample, which may lie up to one common period further on.
    """
    num_samples = sum(len(taps) // 2 for taps in _filters(sfreq_hz, recipe.band_hz, recipe.notch_hz))
    return (num_samples + _ratio(sfreq_hz, recipe).denominator) / sfreq_hz + _MARGIN_S


def condition(
    recording: Recording, recipe: Recipe, start_s: float = 0.0, stop_s: float = float("inf")
) -> tuple[list[Stretch], NDArray[np.bool_], str]:
    """Return (gapless stretches at the recipe's rate, which of its electrodes are present, a note on the absent).

    Every stretch holds all the recipe's electrodes, zeros where one is absent: not in the file, flat, or not finite.
    Each gap in the recording ends a stretch, so no filter rings across one; a stretch shorter than a window is left
    out. Cores lie between ``start_s`` and ``stop_s`` of the file's signal, gaps not counted. Raises DareError where no
    electrode is usable.
    """
    rows = {name: row for row, name in enumerate(recording.electrodes)}
    spans = [slice(segment.start, segment.stop) for segment in recording.segments]
    faults = {name: fault for name, row in rows.items() if (fault := _fault(recording.data_uv[row], spans))}
    present = np.array([name in rows and name not in faults for name in recipe.electrodes])
    note = "; ".join(f"{name} is {fault}: taken as absent" for name, fault in faults.items())
    if not present.any():
        raise DareError(f"no usable electrode: {note or 'none of the recipe'}")
    if recipe.missing == "require" and not present.all():
        raise DareError(f"an electrode is required: {note}; take the recording with --set missing=mask")
    places = [(place, rows[name]) for place, name in enumerate(recipe.electrodes) if present[place]]
    stretches = []
    for segment in recording.segments:
        if (segment.stop - segment.start) / recording.sfreq < recipe.window_s:
            continue
        # Pieces of one recording share a grid of samples if each begins where both rates have one.
        shift = -recording.first_sample % _ratio(recording.sfreq, recipe).denominator if segment.start == 0 else 0
        begin = segment.start + shift
        whole_uv = recording.data_uv[:, begin : segment.stop]
        average = recipe.reference == "average"
        reference_uv = np.float32(0) if not average else whole_uv[[row for _, row in places]].mean(axis=0)
        one_pass = _Pass.of(recording.sfreq, whole_uv.shape[1], recipe)
        data_uv = np.zeros((len(present), one_pass.num_resampled(whole_uv.shape[1])), np.float32)
        for place, row in places:
            data_uv[place] = one_pass(whole_uv[row] - reference_uv)
        before_s = (recording.first_sample + begin) / recording.sfreq
        core = range(*(_inside((edge_s - before_s) * recipe.sfreq_hz, data_uv) for edge_s in (start_s, stop_s)))
        if core:
            stretches.append(Stretch(segment.onset_s + shift / recording.sfreq, data_uv, core))
    return stretches, present, note


def too_slow(sfreq_hz: float, recipe: Recipe) -> str:
    """Return why a recording's rate cannot carry the recipe's band, "" where it can."""
    if sfreq_hz / 2 >= recipe.band_hz[1]:
        return ""
    return (
        f"sampled at {sfreq_hz:g} Hz, which holds nothing above {sfreq_hz / 2:g} Hz, where the recipe's band ends at "
        f"{recipe.band_hz[1]:g} Hz; lower it with --set band_hz={recipe.band_hz[0]:g},{sfreq_hz / 2 - 4:g}"
    )


def _inside(sample: float, data_uv: NDArray[np.float32]) -> int:
    """Return the next whole sample that the data have, or an end of theirs."""
    return math.ceil(min(max(sample - 1e-6, 0), data_uv.shape[1]))


def _fault(channel_uv: NDArray[np.float32], spans: list[slice]) -> str:
    parts = [channel_uv[span] for span in spans]
    if not all(np.isfinite(part).all() for part in parts):
        return "not finite"
    return "flat" if all(np.ptp(part) == 0 for part in parts if part.size) else ""


@dataclass(frozen=True)
class _Pass:
    """Band-pass, notch and resampling of a channel in one pass: the product of all responses on one spectrum.

    Overlapping blocks, continued at the ends by odd reflection, are transformed, filtered, cut off or filled up at the
    new Nyquist frequency and transformed back, at lengths that make the ratio of the rates, up to down, exact.
    """

    response: NDArray[np.float32]
    length: int
    margin: int
    up: int
    down: int

    @classmethod
    def of(cls, sfreq_hz: float, num_samples: int, recipe: Recipe) -> "_Pass":
        """Return the pass for a stretch of some length; its blocks are even, none larger than `_BLOCK`."""
        up, down = _ratio(sfreq_hz, recipe).as_integer_ratio()
        margin = math.ceil(margin_s(sfreq_hz, recipe) * sfreq_hz / down) * down
        block = math.ceil(num_samples / math.ceil(num_samples / _BLOCK))
        length = next_fast_len(math.ceil(block / down) + 2 * margin // down, real=True) * down
        response = _response(_filters(sfreq_hz, recipe.band_hz, recipe.notch_hz), length) * np.float32(up / down)
        return cls(response, length, margin, up, down)

    def num_resampled(self, num_samples: int) -> int:
        """Return how many samples become of some."""
        return num_samples * self.up // self.down

    def __call__(self, channel_uv: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a channel (T,) filtered and resampled.

        The mean is taken off first: a filter removes it anyway, and without a high-pass int16 should hold the signal
        and not the amplifier's offset.
        """
        block = self.length - 2 * self.margin
        padded = _reflected(channel_uv - np.float32(channel_uv.mean(dtype=np.float64)), self.margin, block)
        resampled_length, skip = self.num_resampled(self.length), self.num_resampled(self.margin)
        pieces = []
        for start in range(0, len(channel_uv), block):
            spectrum = rfft(padded[start : start + self.length])
            spectrum *= self.response
            piece = irfft(spectrum[: resampled_length // 2 + 1], n=resampled_length, overwrite_x=True)
            pieces.append(piece[skip : resampled_length - skip])
        return np.concatenate(pieces)[: self.num_resampled(len(channel_uv))]


def _ratio(sfreq_hz: float, recipe: Recipe) -> Fraction:
    return Fraction(recipe.sfreq_hz / sfreq_hz).limit_denominator(100_000)


@lru_cache(maxsize=32)
def _filters(sfreq_hz: float, band_hz: tuple[float, float], notch_hz: float) -> tuple[tuple[float, ...], ...]:
    """Return the taps of the zero-phase filters that `mne.filter.filter_data` and `mne.filter.notch_filter` design."""
    import mne

    low, high = band_hz[0] or None, band_hz[1] if band_hz[1] < sfreq_hz / 2 else None
    edges = [(low, high)] if (low, high) != (None, None) else []
    widths: list[dict[str, float]] = [{}] * len(edges)
    if 0 < notch_hz < sfreq_hz / 2 - 1:
        half = notch_hz / 400 + 0.5
        edges.append((notch_hz + half, notch_hz - half))
        widths.append({"l_trans_bandwidth": 0.5, "h_trans_bandwidth": 0.5})
    return tuple(
        tuple(mne.filter.create_filter(None, sfreq_hz, *edge, **width, verbose="ERROR"))
        for edge, width in zip(edges, widths, strict=True)
    )


@lru_cache(maxsize=8)
def _response(filters: tuple[tuple[float, ...], ...], length: int) -> NDArray[np.float32]:
    """Return the product of the filters' zero-phase responses at the frequencies of a real FFT of a length."""
    response = np.ones(length // 2 + 1)
    for taps in filters:
        centred = np.zeros(length)
        centred[: len(taps)] = taps
        response *= rfft(np.roll(centred, -(len(taps) // 2))).real
    return response.astype(np.float32)


def _reflected(channel_uv: NDArray[np.float32], margin: int, block: int) -> NDArray[np.float32]:
    """Return a channel continued oddly about its ends, zeros beyond one reflection, for whole blocks and margins."""
    num_samples = len(channel_uv)
    reach = min(margin, num_samples - 1)
    padded = np.zeros(2 * margin + -(-num_samples // block) * block, np.float32)
    end = margin + num_samples
    padded[margin:end] = channel_uv
    padded[margin - reach : margin] = 2 * channel_uv[0] - channel_uv[reach:0:-1]
    padded[end : end + reach] = 2 * channel_uv[-1] - channel_uv[-2 : -2 - reach : -1]
    return padded
