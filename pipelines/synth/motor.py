"""Movement and its imagery: the rolandic rhythms that weaken over the part of the cortex in use.

Event-related desynchronisation of mu and beta, contralateral to the hand, at the vertex for the feet
(Pfurtscheller & Lopes da Silva 1999).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import uniform_filter1d

from pipelines.synth.scalp import reach
from pipelines.synth.signals import Signal, rhythm

_REACTION_S = 0.5
"""From the cue to the moment the rhythm weakens."""

_BYSTANDER = 0.25
"""How much of the desynchronisation the other sites show too."""

HANDS_AND_FEET = ("C3", "CZ", "C4")
FACE = ("C5", "C6")
"""Where the cortex of right hand, feet and left hand lies, and of the face to either side."""


class Desynchronisation:
    """The amplitude of the rolandic rhythms over time, 1 at rest, by site."""

    def __init__(self, num_samples: int, sfreq: float, sites: Sequence[str] = HANDS_AND_FEET) -> None:
        self.amplitude: dict[str, Signal] = {site: np.ones(num_samples) for site in sites}
        self._sfreq = sfreq

    def weaken(self, sites: Sequence[str], depth: float, start_s: float, stop_s: float) -> None:
        """Weaken the rhythm at ``sites`` by the share ``depth`` from the reaction on, elsewhere by less."""
        span = slice(round((start_s + _REACTION_S) * self._sfreq), round(stop_s * self._sfreq))
        for site, amplitude in self.amplitude.items():
            amplitude[span] = 1.0 - depth * (1.0 if site in sites else _BYSTANDER)


def rolandic_uv(
    electrodes: Sequence[str],
    amplitude: Mapping[str, Signal],
    mu_hz: float,
    sfreq: float,
    rng: np.random.Generator,
) -> Signal:
    """Return the mu and beta rhythms (C, T) in µV of sources with an amplitude over time (T,) by site."""
    num_samples = len(next(iter(amplitude.values())))
    signal_uv = np.zeros((len(electrodes), num_samples))
    for site, course in amplitude.items():
        mu_uv = 5.0 * rhythm(mu_hz, 0.8, num_samples, sfreq, rng)
        beta_uv = 2.5 * rhythm(2 * mu_hz, 1.5, num_samples, sfreq, rng)
        # Cortex takes some 300 ms from one state to the next.
        smooth = uniform_filter1d(course, round(0.3 * sfreq), mode="nearest")
        signal_uv += np.outer(reach(electrodes, site, 0.35), smooth * (mu_uv + beta_uv))
    return signal_uv
