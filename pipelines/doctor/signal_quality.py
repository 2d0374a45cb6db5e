"""Measure: what stretches of a recording show of mains, clipping, dead channels and the unit."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.quality import held, sds
from pipelines.recording import Recording

MAINS_HZ = (50, 60)
"""The two frequencies that the world's mains have."""

STANDS_OUT_DB = 6.0
"""By how much a mains frequency must rise above its neighbourhood to call for a notch."""

DIPS_DB = -6.0
"""By how much it falls below where a notch has been before."""

_WELCH_S = 2.0  # bins of 0.5 Hz: the line and its neighbourhood fall apart, and 20 s still average well
_LINE_HALF_HZ = 1.0
_NEIGHBOURHOOD_HZ = (2.0, 6.0)


@dataclass(frozen=True)
class Measures:
    """What a recording's samples show, over the stretches that were read.

    ``mains_db`` is by how much each mains frequency stands out, None where the rate is too low for it; ``sd_uv`` the
    median over channels of their deviation, None where all are flat or not finite; ``clipped`` the share of a
    channel's samples that stay at its highest or lowest value; ``missing`` the share of samples in gaps.
    """

    mains_db: dict[int, float | None]
    sd_uv: float | None
    flat: tuple[str, ...]
    not_finite: tuple[str, ...]
    clipped: dict[str, float]
    missing: float


def signal_quality(stretches: list[Recording]) -> Measures:
    """Return what stretches of one recording, read by the same electrodes, show."""
    parts = [stretch.data_uv[:, segment.start : segment.stop] for stretch in stretches for segment in stretch.segments]
    names, num_samples = stretches[0].electrodes, sum(stretch.data_uv.shape[1] for stretch in stretches)
    finite = np.array([all(np.isfinite(part[row]).all() for part in parts) for row in range(len(names))], np.bool_)
    moves = np.array([any(np.ptp(part[row]) > 0 for part in parts) for row in range(len(names))], np.bool_) & finite
    alive = [part[moves] for part in parts if moves.any()]
    spectrum = _spectrum(alive, stretches[0].sfreq)
    return Measures(
        mains_db={line: None if spectrum is None else _stands_out_db(*spectrum, line) for line in MAINS_HZ},
        sd_uv=_median_sd_uv(alive),
        flat=tuple(name for row, name in enumerate(names) if finite[row] and not moves[row]),
        not_finite=tuple(name for row, name in enumerate(names) if not finite[row]),
        clipped=dict(zip([name for row, name in enumerate(names) if moves[row]], _held_shares(alive), strict=False)),
        missing=1 - sum(part.shape[1] for part in parts) / num_samples if num_samples else 0.0,
    )


def _median_sd_uv(parts: list[NDArray[np.float32]]) -> float | None:
    """Return the median over channels of the median over stretches, which no single artefact moves."""
    sds_uv = [sds(part) for part in parts if part.shape[1] > 1]
    return float(np.median(np.median(sds_uv, axis=0))) if sds_uv else None


def _spectrum(parts: list[NDArray[np.float32]], sfreq: float) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return (frequencies in Hz, power density, channels × frequencies, by Welch 1967), None where all is too short."""
    from scipy.signal import welch

    length = round(_WELCH_S * sfreq)
    densities = [welch(part, sfreq, nperseg=length)[1] for part in parts if part.shape[1] >= length > 1]
    if not densities:
        return None
    frequencies = np.arange(length // 2 + 1, dtype=np.float64) * (sfreq / length)
    power = np.asarray(np.mean(densities, axis=0), np.float64)
    return frequencies, power


def _stands_out_db(frequencies: NDArray[np.float64], power: NDArray[np.float64], line_hz: float) -> float | None:
    """Return the power at a line over the median of its neighbourhood, in dB: the median over channels."""
    away = np.abs(frequencies - line_hz)
    if frequencies[-1] < line_hz + _LINE_HALF_HZ:
        return None
    near, far = _NEIGHBOURHOOD_HZ
    around = np.median(power[:, (away >= near) & (away <= far)], axis=1)
    peak = power[:, away <= _LINE_HALF_HZ].max(axis=1)
    seen = (around > 0) & (peak > 0)
    return float(np.median(10 * np.log10(peak[seen] / around[seen]))) if seen.any() else None


def _held_shares(parts: list[NDArray[np.float32]]) -> list[float]:
    """Return the share of each channel's samples that lie in runs at its highest or lowest value."""
    if not parts:
        return []
    num_held = np.sum([seen.sum(axis=1) for seen in held(parts)], axis=0)
    return [float(share) for share in num_held / sum(part.shape[1] for part in parts)]
