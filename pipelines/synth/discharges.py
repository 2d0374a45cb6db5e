"""The six kinds of events of a clinical recording: what they look like and where they are seen.

Shapes follow the glossary of the IFCN (Kane et al. 2017): a spike is 20 to 70 ms long, a sharp wave 70 to
200 ms, and periodic discharges repeat about once a second.
"""

from typing import NamedTuple, Self

import numpy as np

from pipelines.synth.scalp import reach
from pipelines.synth.signals import Signal, blink, muscle, stamp
from pipelines.synth.tuh import ELECTRODES, TCP_PAIRS

EVENT_NAMES: tuple[str, ...] = ("spsw", "gped", "pled", "eyem", "artf", "bckg")
"""Spike or sharp wave, generalised and lateralised periodic discharges, eye movement, artefact, background.

The corpus counts them from 1 in this order.
"""

_SITES = {
    "spsw": ("F7", "F8", "T7", "T8", "C3", "C4"),
    "gped": ("FZ", "CZ"),
    "pled": ("C3", "C4", "T7", "T8"),
    "eyem": ("FPZ",),
    "artf": ("T7", "T8"),
    "bckg": ("CZ",),
}
_WIDTHS_RAD = {"spsw": 0.45, "gped": 1.6, "pled": 0.7, "eyem": 0.45, "artf": 0.5, "bckg": 1.6}
_SEEN_FROM = 0.5
"""A derivation shows an event where one of its electrodes picks up this share of it."""

_PERIODS = 3


class Discharge(NamedTuple):
    """One event of a recording: its kind, its start, the site of its source and its height."""

    name: str
    start_s: float
    site: str
    height_uv: float

    @classmethod
    def draw(cls, name: str, start_s: float, rng: np.random.Generator) -> Self:
        """Return an event of this kind at a site where it occurs."""
        return cls(name, start_s, str(rng.choice(_SITES[name])), rng.uniform(80.0, 140.0))


def derivations(discharge: Discharge) -> list[int]:
    """Return the positions in `TCP_PAIRS` that show an event."""
    gains = dict(zip(ELECTRODES, _gains(discharge), strict=True))
    return [position for position, pair in enumerate(TCP_PAIRS) if max(gains[name] for name in pair) >= _SEEN_FROM]


def add_discharge(signal_uv: Signal, discharge: Discharge, sfreq: int, rng: np.random.Generator) -> None:
    """Add an event to the signal (C, T) in µV of `ELECTRODES` in place; background adds nothing."""
    start = round(discharge.start_s * sfreq)
    gains = discharge.height_uv * _gains(discharge)
    match discharge.name:
        case "spsw":
            stamp(signal_uv, _spike_and_wave(sfreq), start + round(0.3 * sfreq), gains)
        case "gped" | "pled":
            for period in range(_PERIODS):
                jitter_s = rng.uniform(-0.05, 0.05)
                stamp(
                    signal_uv,
                    _sharp_wave(sfreq),
                    start + round((0.2 + 0.9 * period + jitter_s) * sfreq),
                    gains,
                )
        case "eyem":
            stamp(signal_uv, blink(sfreq), start + round(0.3 * sfreq), gains)
        case "artf":
            stamp(signal_uv, 0.4 * np.hanning(2 * sfreq) * muscle(2 * sfreq, sfreq, rng), start, gains)


def _gains(discharge: Discharge) -> Signal:
    return reach(ELECTRODES, discharge.site, _WIDTHS_RAD[discharge.name])


def _spike_and_wave(sfreq: int) -> Signal:
    return np.concatenate([-_hump(0.06, sfreq), 0.5 * _hump(0.3, sfreq)])


def _sharp_wave(sfreq: int) -> Signal:
    # Triphasic: a small positive, a large negative and a slow positive phase; negative is up in the clinic.
    return np.concatenate([0.3 * _hump(0.08, sfreq), -_hump(0.12, sfreq), 0.5 * _hump(0.25, sfreq)])


def _hump(duration_s: float, sfreq: int) -> Signal:
    return np.hanning(round(duration_s * sfreq))
