"""The heart, as a lead on the chest sees it."""

import numpy as np

from pipelines.synth.signals import Signal, blink, stamp


def heart_uv(num_samples: int, sfreq: float, rng: np.random.Generator) -> Signal:
    """Return the R waves (T,) of a heart at rest, in µV."""
    signal_uv = np.zeros((1, num_samples))
    beats_s = np.cumsum(rng.normal(0.85, 0.04, round(num_samples / sfreq / 0.6) + 1))
    # An R wave is as smooth as a blink, and a seventh as long.
    r_wave_uv = 600.0 * blink(sfreq / 7)
    for beat_s in beats_s:
        stamp(signal_uv, r_wave_uv, round(beat_s * sfreq), np.ones(1))
    return signal_uv[0, :]
