"""Tsinghua SSVEP benchmark (Wang 2016): trials of 6 s, in which the visual cortex follows the target's flicker.

Targets flicker from half a second on for 5 s; the cortex follows 140 ms later, at the frequency and its harmonics.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.synth.mat_writer import write_mat
from pipelines.synth.scalp import reach
from pipelines.synth.signals import generator, resting_uv

_CAP = """
    FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8
    TP9 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 TP10 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 PO9 O1 OZ O2
    PO10
"""
_SITES = tuple(_CAP.split())
"""The mastoids M1 and M2 lie about at TP9 and TP10, CB1 and CB2 at PO9 and PO10."""

_REFERENCE = _SITES.index("CZ")
_SFREQ, _TRIAL_S = 250, 6
_FLICKER_S, _LATENCY_S, _FLICKER_END_S = 0.5, 0.14, 5.5
_MAX_BLOCKS = 6

FREQUENCIES_HZ: tuple[float, ...] = tuple(8.0 + column + 0.2 * row for row in range(5) for column in range(8))
"""Of the 40 targets, row by row of the keyboard."""


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write a file a subject: two blocks of the first targets, and more of both with the seconds asked for."""
    num_trials = int(seconds // _TRIAL_S)
    num_targets = min(len(FREQUENCIES_HZ), num_trials // 2)
    num_blocks = min(_MAX_BLOCKS, num_trials // num_targets)
    written = []
    for number in range(1, subjects + 1):
        rng = generator("tsu", seed, number)
        alpha_hz, response_uv = rng.normal(10.0, 0.6), rng.uniform(3.0, 8.0)
        data = np.empty((len(_SITES), _TRIAL_S * _SFREQ, num_targets, num_blocks))
        for target, block in np.ndindex(num_targets, num_blocks):
            data[:, :, target, block] = _trial_uv(FREQUENCIES_HZ[target], response_uv, alpha_hz, rng)
        write_mat(out / f"S{number}.mat", {"data": data})
        written.append(out / f"S{number}.mat")
    phases = np.arange(len(FREQUENCIES_HZ)) * np.pi / 2 % (2 * np.pi)
    write_mat(out / "Freq_Phase.mat", {"freqs": np.array([FREQUENCIES_HZ]), "phases": phases[None]})
    return [*written, out / "Freq_Phase.mat"]


def _trial_uv(hz: float, response_uv: float, alpha_hz: float, rng: np.random.Generator) -> NDArray[np.float64]:
    time_s = np.arange(_TRIAL_S * _SFREQ) / _SFREQ
    signal_uv = resting_uv(_SITES, time_s.size, _SFREQ, rng, alpha_hz=alpha_hz, alpha_uv=8.0)
    follows = (time_s >= _FLICKER_S + _LATENCY_S) & (time_s < _FLICKER_END_S + _LATENCY_S)
    phase = 2 * np.pi * hz * (time_s - _FLICKER_S - _LATENCY_S)
    response = follows * (np.sin(phase) + 0.5 * np.sin(2 * phase))
    signal_uv += np.outer(reach(_SITES, "OZ", 0.5), response_uv * response)
    # Against the vertex, whose own row keeps the noise of its lead alone.
    signal_uv -= signal_uv[_REFERENCE].copy()
    signal_uv[_REFERENCE] = 0.05 * rng.standard_normal(time_s.size)
    return signal_uv
