"""Quality: what a recording as read shows to be no EEG as a whole: a wrong unit, or clipping."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from manifests.notes import Note, note, one_line
from manifests.recipe import Recipe
from manifests.shard_format import MOST_COUNTS
from pipelines.recording import PLAUSIBLE_SD_UV, UV_PER_UNIT, Channel, Recording

MEASURED = ("quality", "sd_range_uv", "max_clipped_share", "bad_channels")
"""Fields of a recipe that only a raw recording can answer, and not what was made of it."""

_NUM_LOOKS, _LOOK_S = 16, 4.0
"""Stretches by which the recording is judged; the drift of an amplifier without a high-pass is small within one."""

_LIVELY = 0.9
"""Share of the stretches that must be too low: amplifiers that are left running say little for hours, with no EEG."""

_FEW, _LEAST_SHARE = 16, 0.1
"""One of so many samples tells whether a channel lies at the ends of its range for that share of the time."""

_LEAST_HELD = 3  # samples in a row at an extreme: two are chance where the amplitude is small
_USUAL_SD_UV = 20.0


def unfit(
    stretches: Sequence[Recording], recipe: Recipe, channels: Callable[[], Collection[Channel]]
) -> tuple[Note, ...]:
    """Return why a recording, of which these stretches were read, is no EEG by its amplitude or for clipping.

    ``channels`` returns those of its header that were read, to say their unit. Electrodes that are flat or not finite
    are left out of account, as they are absent anyway. What is well gives no note.
    """
    parts = _looks(stretches)
    if not parts:
        return ()
    with np.errstate(over="ignore", invalid="ignore"):
        sds_uv = np.array([sds(part) for part in parts])
        moves = np.isfinite(sds_uv).all(axis=0) & (sds_uv > 0).any(axis=0)
        if not moves.any():
            return ()
        if not moves.all():
            parts, sds_uv = [part[moves] for part in parts], sds_uv[:, moves]
        # Stretches of zeros tell no unit.
        typical_uv, highest_uv = np.nanquantile(np.where(sds_uv > 0, sds_uv, np.nan), (0.5, _LIVELY), axis=0)
        share = _clipped_share(parts, sds_uv, MOST_COUNTS * recipe.quantum_uv)
    low_uv, high_uv = recipe.sd_range_uv
    for beyond in (typical_uv > high_uv, highest_uv < low_uv):
        if beyond.sum() > len(typical_uv) / 2:
            sd_uv = float(np.median(typical_uv[beyond]))
            figures = {"sd_uv": sd_uv, "count": int(beyond.sum()), "total": len(typical_uv)}
            says = "standard deviation of {sd_uv:.2g} µV in {count} of {total} electrodes"
            return (_asking_for_the_unit("unit", says, sd_uv, channels(), figures, recipe),)
    if share > recipe.max_clipped_share:
        says, sd_uv = "{share:.0%} of all samples are clipped", float(np.median(typical_uv))
        return (_asking_for_the_unit("mostly clipped", says, sd_uv, channels(), {"share": share}, recipe),)
    return ()


def sds(part: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the standard deviation of each channel of a stretch, channels × samples; 0 exactly where it is flat."""
    with np.errstate(over="ignore", invalid="ignore"):
        means = part.mean(axis=1, keepdims=True)
        away = part - means
        deviations = np.nan_to_num(np.sqrt(np.vecdot(away, away) / np.float32(part.shape[1])), nan=np.nan)
    # The mean of equal numbers need not be that number.
    still = np.flatnonzero(deviations <= np.float32(1e-3) * np.abs(means[:, 0]))
    deviations[still[np.ptp(part[still], axis=1) == 0]] = 0
    return np.asarray(deviations, np.float64)


def held(parts: Sequence[NDArray[np.float32]]) -> list[NDArray[np.bool_]]:
    """Return where each channel's samples lie in runs at its highest or lowest value, in each part."""
    at_an_end = [np.zeros(part.shape, np.bool_) for part in parts]
    for extreme in (
        np.max([part.max(axis=1) for part in parts], axis=0),
        np.min([part.min(axis=1) for part in parts], axis=0),
    ):
        for part, seen in zip(parts, at_an_end, strict=True):
            seen |= _in_runs(part == extreme[:, None])
    return at_an_end


def _looks(stretches: Sequence[Recording]) -> list[NDArray[np.float32]]:
    """Return parts spread over the segments of what was read, all of it where that is short."""
    length = max(1, round(_LOOK_S * stretches[0].sfreq))
    parts = [
        (one.data_uv, start, min(start + length, segment.stop))
        for one in stretches
        for segment in one.segments
        for start in range(segment.start, segment.stop, length)
    ]
    chosen = [parts[k * len(parts) // _NUM_LOOKS] for k in range(_NUM_LOOKS)] if len(parts) > _NUM_LOOKS else parts
    return [data_uv[:, start:stop] for data_uv, start, stop in chosen if stop - start > 1]


def _clipped_share(parts: list[NDArray[np.float32]], sds_uv: NDArray[np.float64], top_uv: float) -> float:
    """Return the share of samples held at the ends of their channel's range, or too far from its mean for int16.

    Only channels of which that may be much are looked at: few samples tell of the ends, and half of a signal lies
    beyond a top only if its deviation is about as large.
    """
    few = np.concatenate([part[:, ::_FEW] for part in parts], axis=1)
    ends = few.max(axis=1, keepdims=True), few.min(axis=1, keepdims=True)
    at_ends = np.count_nonzero((few == ends[0]) | (few == ends[1]), axis=1) / few.shape[1]
    likely = np.flatnonzero((at_ends > _LEAST_SHARE) | (sds_uv.max(axis=0) > top_uv / 2))
    if not len(likely):
        return 0.0
    looked_at = [part[likely] for part in parts]
    away = [np.abs(part - part.mean(axis=1, keepdims=True)) > top_uv for part in looked_at]
    num_clipped = sum(np.count_nonzero(one | other) for one, other in zip(away, held(looked_at), strict=True))
    return num_clipped / sum(part.size for part in parts)


def share_beyond(stretches: Sequence[Recording], top_uv: float) -> float:
    """Return the share of the samples of stretches that lie further than ``top_uv`` from the mean of a few seconds."""
    parts = [part[np.isfinite(part).all(axis=1)] for part in _looks(stretches)]
    size = sum(part.size for part in parts)
    away = (np.abs(part - part.mean(axis=1, keepdims=True)) > top_uv for part in parts)
    return sum(map(np.count_nonzero, away)) / size if size else 0.0


def _in_runs(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where a mask, channels × samples, is True in runs of some length."""
    width = mask.shape[1] - _LEAST_HELD + 1
    inside = np.zeros_like(mask)
    if width > 0:
        begins = np.logical_and.reduce([mask[:, shift : shift + width] for shift in range(_LEAST_HELD)])
        for shift in range(_LEAST_HELD):
            inside[:, shift : shift + width] |= begins
    return inside


def _asking_for_the_unit(
    kind: str, says: str, sd_uv: float, channels: Collection[Channel], figures: dict[str, float], recipe: Recipe
) -> Note:
    """Return a note that names the unit of most channels, and the one that would make a standard deviation usual."""
    units = Counter((one_line(one.unit.strip()), one.scale_to_uv) for one in channels)
    (found, scale), _ = max(units.items(), key=lambda one: one[1], default=(("", math.nan), 0))
    is_stated = not math.isnan(scale)
    others = {"nV": UV_PER_UNIT["nv"], "µV": UV_PER_UNIT["uv"], "mV": UV_PER_UNIT["mv"], "V": UV_PER_UNIT["v"]}
    would_uv = {name: sd_uv / (scale if is_stated else 1.0) * other for name, other in others.items()}
    low_uv, high_uv = PLAUSIBLE_SD_UV
    fitting = [name for name, uv in would_uv.items() if low_uv <= uv <= high_uv and others[name] != scale]
    would, stating = "no other would fit", ""
    if fitting:
        best = min(fitting, key=lambda name: abs(math.log(would_uv[name] / _USUAL_SD_UV)))
        would, figures = f"{best} would give {{would_uv:.2g}} µV", figures | {"would_uv": would_uv[best]}
        if recipe.layout:
            stating = f"--set layout.unit={best.replace('µ', 'u')} where all files are so, "
    read_as = "read as {names}" if is_stated else "none is stated, read as µV"
    asked = f"is the unit right? ({read_as}; {would}); {stating}--set quality=none takes it as it is"
    return note(kind, f"{says}: {asked}", [found] if is_stated else [], **figures)
