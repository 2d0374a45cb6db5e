"""What a seizure looks like on the scalp: a rhythm that grows, slows down and ends at once (Fisher et al. 2014)."""

import numpy as np

from pipelines.synth.scalp import reach
from pipelines.synth.signals import Signal

_SITES = ("F7", "F8", "T7", "T8", "C3", "C4")
_FASTEST_HZ, _SLOWEST_HZ = 6.0, 2.5
_FOCAL_RAD, _GENERALISED_RAD = 0.7, 2.0


def add_seizure(
    signal_uv: Signal, electrodes: tuple[str, ...], start: int, length: int, sfreq: int, rng: np.random.Generator
) -> tuple[str, Signal]:
    """Add a seizure to (C, T) in place from sample ``start``; return (``fnsz`` or ``gnsz``, gains (C,)).

    It is focal or generalised, that is, seen around one site or all over the head.
    """
    focal = bool(rng.random() < 0.5)
    site = str(rng.choice(_SITES)) if focal else "CZ"
    gains = reach(electrodes, site, _FOCAL_RAD if focal else _GENERALISED_RAD)
    hz = np.linspace(_FASTEST_HZ, _SLOWEST_HZ, length) + rng.uniform(-0.5, 0.5)
    phase = 2 * np.pi * np.cumsum(hz) / sfreq
    growth = np.linspace(0.3, 1.0, length)
    wave_uv = rng.uniform(60.0, 110.0) * growth * (np.sin(phase) + 0.4 * np.sin(2 * phase + 0.6))
    signal_uv[:, start : start + length] += np.outer(gains, wave_uv)
    return "fnsz" if focal else "gnsz", gains
