"""The physiology every corpus shares: what an electrode picks up from a resting head and from the room.

The usual contents of a clinical recording (Niedermeyer & Lopes da Silva): a 1/f background that neighbouring
electrodes share, an alpha rhythm over the back of the head, blinks, muscle over the temples, and the mains.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfftfreq

from manifests.keyed import key
from pipelines.synth.scalp import reach, spatial_mixing

Signal = NDArray[np.float64]

_BLINK_S = 0.35
_SECONDS_PER_BLINK = 5.0
_SECONDS_PER_MUSCLE_BURST = 15.0


def generator(*parts: object) -> np.random.Generator:
    """Return the random generator that belongs to these parts (see `manifests.keyed.key`)."""
    return np.random.default_rng(key("synth", *parts))


def coloured(
    gain: Callable[[Signal], Signal],
    num_channels: int,
    num_samples: int,
    sfreq: float,
    rng: np.random.Generator,
) -> Signal:
    """Return independent Gaussian noise (C, T) of unit rms with the amplitude spectrum ``gain(hz)``."""
    length = next_fast_len(num_samples, real=True)
    hz = rfftfreq(length, 1 / sfreq)
    phasors = rng.standard_normal((2, num_channels, hz.size))
    noise = irfft(gain(hz) * (phasors[0] + 1j * phasors[1]), length)[:, :num_samples]
    unit_rms: Signal = noise / noise.std(axis=1, keepdims=True)
    return unit_rms


def background(electrodes: Sequence[str], num_samples: int, sfreq: float, rng: np.random.Generator) -> Signal:
    """Return 1/f noise (C, T) of unit rms from 0.5 Hz up, correlated between neighbouring electrodes."""

    def one_over_f(hz: Signal) -> Signal:
        return np.where(hz < 0.5, 0.0, np.maximum(hz, 0.5) ** -0.6)

    return spatial_mixing(electrodes) @ coloured(one_over_f, len(electrodes), num_samples, sfreq, rng)


def rhythm(hz: float, width_hz: float, num_samples: int, sfreq: float, rng: np.random.Generator) -> Signal:
    """Return a rhythm (T,) of unit rms around ``hz``; its bandwidth makes it wax and wane as in a brain."""
    return coloured(lambda f: np.exp(-0.5 * ((f - hz) / width_hz) ** 2), 1, num_samples, sfreq, rng)[0, :]


def muscle(num_samples: int, sfreq: float, rng: np.random.Generator) -> Signal:
    """Return the noise of a tense muscle (T,) of unit rms, from 20 Hz upwards."""
    return coloured(lambda f: (f > 20.0).astype(float), 1, num_samples, sfreq, rng)[0, :]


def blink(sfreq: float) -> Signal:
    """Return the eyelid artefact (T,) of unit height: quick closing, slower opening (Iwasaki et al. 2005)."""
    phase = np.linspace(0.0, 1.0, round(_BLINK_S * sfreq))
    return np.sin(np.pi * phase**0.7) ** 2


def stamp(signal_uv: Signal, wave_uv: Signal, start: int, gains: Signal) -> None:
    """Add a wave (T',) to (C, T) in place from sample ``start``, weighted by gains (C,), cut at the end."""
    room = signal_uv[:, start : start + wave_uv.size]
    room += np.outer(gains, wave_uv[: room.shape[1]])


def calm_uv(
    electrodes: Sequence[str],
    num_samples: int,
    sfreq: float,
    rng: np.random.Generator,
    *,
    alpha_hz: float = 10.0,
    alpha_uv: float = 14.0,
) -> Signal:
    """Return the EEG (C, T) of a waking head at rest, in µV, that neither blinks nor tenses a muscle."""
    signal_uv = 9.0 * background(electrodes, num_samples, sfreq, rng)
    for site in ("O1", "O2"):
        wave_uv = alpha_uv * rhythm(alpha_hz, 0.7, num_samples, sfreq, rng)
        signal_uv += np.outer(reach(electrodes, site, 0.6), wave_uv)
    return signal_uv


def resting_uv(
    electrodes: Sequence[str],
    num_samples: int,
    sfreq: float,
    rng: np.random.Generator,
    *,
    alpha_hz: float = 10.0,
    alpha_uv: float = 14.0,
) -> Signal:
    """Return the EEG (C, T) of a waking head at rest, in µV, in a room without mains."""
    signal_uv = calm_uv(electrodes, num_samples, sfreq, rng, alpha_hz=alpha_hz, alpha_uv=alpha_uv)
    _add_blinks(signal_uv, electrodes, sfreq, rng)
    _add_muscle(signal_uv, electrodes, sfreq, rng)
    return signal_uv


def mains_uv(num_channels: int, num_samples: int, sfreq: float, hz: float, rng: np.random.Generator) -> Signal:
    """Return what each lead (C, T) picks up from the mains, about 1.5 µV: one phase, many amplitudes."""
    amplitude_uv = 1.5 * np.exp(0.3 * rng.standard_normal(num_channels))
    wave = np.sin(2 * np.pi * hz * np.arange(num_samples) / sfreq + rng.uniform(0, 2 * np.pi))
    return np.outer(amplitude_uv, wave)


def _add_blinks(signal_uv: Signal, electrodes: Sequence[str], sfreq: float, rng: np.random.Generator) -> None:
    for start in _moments(signal_uv.shape[1], sfreq, _SECONDS_PER_BLINK, rng):
        stamp(signal_uv, rng.uniform(80.0, 150.0) * blink(sfreq), start, reach(electrodes, "FPZ", 0.45))


def _add_muscle(signal_uv: Signal, electrodes: Sequence[str], sfreq: float, rng: np.random.Generator) -> None:
    for start in _moments(signal_uv.shape[1], sfreq, _SECONDS_PER_MUSCLE_BURST, rng):
        length = round(rng.uniform(0.5, 1.5) * sfreq)
        burst_uv = rng.uniform(8.0, 20.0) * np.hanning(length) * muscle(length, sfreq, rng)
        stamp(signal_uv, burst_uv, start, reach(electrodes, str(rng.choice(["T7", "T8"])), 0.4))


def _moments(num_samples: int, sfreq: float, mean_gap_s: float, rng: np.random.Generator) -> NDArray[np.int64]:
    count = rng.poisson(num_samples / sfreq / mean_gap_s)
    return np.sort(rng.integers(0, num_samples, count))
