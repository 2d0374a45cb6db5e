"""What is on the scalp and no EEG: eyes, muscles, chewing, shivering and a bad electrode.

As in the annotation guidelines of the artifact corpus (Buckwalter et al. 2021).
"""

import numpy as np

from pipelines.synth.scalp import reach
from pipelines.synth.signals import Signal, blink, muscle, rhythm, stamp

KINDS: tuple[str, ...] = ("eyem", "musc", "chew", "shiv", "elec")
"""Eye movement, muscle, chewing, shivering, electrode."""

_BAD_ELECTRODES = ("F3", "F8", "C4", "P3", "O1", "O2")
_CHEWS_HZ = 1.4
_POP_S, _DECAY_S = 0.8, 0.25


def add_artifact(
    signal_uv: Signal,
    electrodes: tuple[str, ...],
    kind: str,
    start: int,
    length: int,
    sfreq: int,
    rng: np.random.Generator,
) -> Signal:
    """Add an artifact to (C, T) in µV in place from sample ``start``; return its gains (C,)."""
    room = signal_uv[:, start : start + length]
    time_s = np.arange(length) / sfreq
    match kind:
        case "eyem":
            gains = reach(electrodes, "FPZ", 0.5)
            for onset in range(0, length - round(0.35 * sfreq), round(0.7 * sfreq)):
                stamp(room, rng.uniform(100.0, 160.0) * blink(sfreq), onset, gains)
        case "musc":
            gains = reach(electrodes, str(rng.choice(["T7", "T8", "F7", "F8"])), 0.5)
            room += np.outer(gains, rng.uniform(20.0, 35.0) * muscle(length, sfreq, rng))
        case "chew":
            gains = np.maximum(reach(electrodes, "T7", 0.6), reach(electrodes, "T8", 0.6))
            bites = np.sin(np.pi * _CHEWS_HZ * time_s) ** 4
            room += np.outer(gains, rng.uniform(80.0, 120.0) * bites * muscle(length, sfreq, rng))
        case "shiv":
            gains = reach(electrodes, "CZ", 1.6)
            tremor = rhythm(rng.uniform(8.0, 10.0), 0.4, length, sfreq, rng)
            room += np.outer(gains, 40.0 * tremor + 12.0 * muscle(length, sfreq, rng))
        case _:
            site = rng.choice(_BAD_ELECTRODES)
            gains = np.array([float(name == site) for name in electrodes])
            pop_uv = rng.uniform(200.0, 300.0) * np.exp(-time_s[: round(_POP_S * sfreq)] / _DECAY_S)
            for onset in range(0, length - pop_uv.size, pop_uv.size):
                stamp(room, pop_uv, onset, gains)
    return gains
