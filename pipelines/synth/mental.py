"""Mental states: what effort and feeling do to a waking head.

Effort raises theta over the frontal midline and weakens alpha over the back of the head (Gevins & Smith 2003); beta
over the temples is strong in pleasant states and weak in neutral ones (Zheng & Lu 2015).
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from pipelines.synth.scalp import reach
from pipelines.synth.signals import Signal, resting_uv, rhythm


class State(NamedTuple):
    """The rms of three rhythms under their sites, in µV, and where in the alpha band a person's lies."""

    alpha_uv: float
    theta_uv: float
    beta_uv: float
    alpha_hz: float = 10.0

    def of(self, alpha_hz: float, rng: np.random.Generator) -> Self:
        """Return the state as somebody is in it for once: no two times alike."""
        alpha_uv, theta_uv, beta_uv = np.array(self[:3]) * np.exp(0.2 * rng.standard_normal(3))
        return self._replace(alpha_uv=alpha_uv, theta_uv=theta_uv, beta_uv=beta_uv, alpha_hz=alpha_hz)


def mental_uv(
    electrodes: Sequence[str], num_samples: int, sfreq: float, state: State, rng: np.random.Generator
) -> Signal:
    """Return the EEG (C, T) in µV of a head in a state, in a room without mains."""
    signal_uv = resting_uv(electrodes, num_samples, sfreq, rng, alpha_hz=state.alpha_hz, alpha_uv=state.alpha_uv)
    theta_uv = state.theta_uv * rhythm(6.0, 0.7, num_samples, sfreq, rng)
    signal_uv += np.outer(reach(electrodes, "FZ", 0.5), theta_uv)
    for site in ("T7", "T8"):
        beta_uv = state.beta_uv * rhythm(22.0, 3.0, num_samples, sfreq, rng)
        signal_uv += np.outer(reach(electrodes, site, 0.5), beta_uv)
    return signal_uv
