"""Augment: disturb what the encoder sees of a window, a pure function of (seed, slot); what it must reach stays clean.

The two views are then masked and noisy, while the momentum encoder and the reconstruction targets keep the signal
as it was: to reach them the encoder has to tell signal from disturbance.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manifests import keyed


@dataclass(frozen=True)
class AugmentationStrength:
    """How much windows are disturbed.

    ``electrode_drop`` is the chance of an electrode to read nothing, ``time_drop`` the longest share of the window
    that is silent, ``noise`` the largest sd of white noise in units of the electrode's own, and ``gain`` the largest
    logarithm of the factor by which an electrode reads too much or too little.
    """

    electrode_drop: float
    time_drop: float
    noise: float
    gain: float


@dataclass(frozen=True)
class Augmentation:
    """What was drawn for windows: ``factor`` (B, C), ``kept`` (B, T) and ``noise`` (B, C, T) in sd of the electrode."""

    factor: NDArray[np.float32]
    kept: NDArray[np.bool_]
    noise: NDArray[np.float32]

    def __call__(self, x_BCT: Tensor) -> Tensor:
        """Return windows (B, C, T) disturbed."""
        factor, kept, noise = (torch.from_numpy(each).to(x_BCT.device) for each in (self.factor, self.kept, self.noise))
        spread = x_BCT.std(dim=-1, keepdim=True, correction=0)
        return (x_BCT + spread * noise) * factor[..., None] * kept[:, None]


def draw(
    seed: int, slots: Iterable[int], electrodes: int, samples: int, strength: AugmentationStrength
) -> Augmentation:
    """Return what is drawn for the windows of some slots; for a slot always the same, whatever stands beside it."""
    each = [_draw(keyed.key("augment", seed, slot), electrodes, samples, strength) for slot in slots]
    return Augmentation(*(np.stack(parts) for parts in zip(*each, strict=True)))


def _draw(
    key: int, electrodes: int, samples: int, strength: AugmentationStrength
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
    dropped = keyed.uniforms(keyed.key(key, "electrodes"), electrodes) < strength.electrode_drop
    gain = np.exp(strength.gain * (2 * keyed.uniforms(keyed.key(key, "gain"), electrodes) - 1))
    share, place, loudness = keyed.uniforms(keyed.key(key, "window"), 3)
    silent = round(strength.time_drop * share * samples)
    start = int(place * (samples - silent + 1))
    time = np.arange(samples)
    noise = strength.noise * loudness * _normals(keyed.key(key, "noise"), electrodes * samples)
    return (
        np.where(dropped, 0, gain).astype(np.float32),
        (time < start) | (time >= start + silent),
        noise.reshape(electrodes, samples).astype(np.float32),
    )


def _normals(key: int, count: int) -> NDArray[np.float64]:
    """Return standard normal numbers (Box & Muller 1958)."""
    radius, angle = keyed.uniforms(key, 2 * ((count + 1) // 2)).reshape(2, -1)
    radius = np.sqrt(-2 * np.log1p(-radius))
    return np.concatenate([radius * np.cos(2 * np.pi * angle), radius * np.sin(2 * np.pi * angle)])[:count]
