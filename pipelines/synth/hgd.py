"""High-Gamma Dataset (Schirrmeister et al. 2017): four movements executed on cue, two recordings a subject.

Of the cap's 128 electrodes those that pretraining and decoding use are written: the 10-10 system's and, over the motor
cortex, those of the 10-5 system between them.
"""

from pathlib import Path

import numpy as np

from manifests.electrodes import PRETRAIN_58
from pipelines.synth.edf_writer import Annotation, Channel, write_edf_plus
from pipelines.synth.motor import Desynchronisation, rolandic_uv
from pipelines.synth.signals import Signal, generator, mains_uv, resting_uv

_BETWEEN = tuple(
    """FFC5h FFC3h FFC4h FFC6h FCC5h FCC3h FCC4h FCC6h CCP5h CCP3h CCP4h CCP6h CPP5h CPP3h CPP4h CPP6h FFC1h FFC2h FCC1h
    FCC2h CCP1h CCP2h CPP1h CPP2h""".split()
)
_ROWS = {"FFC": ("F", "FC"), "FCC": ("FC", "C"), "CCP": ("C", "CP"), "CPP": ("CP", "P")}
"""The rows of the 10-10 system on either side of those between them."""

_SFREQ, _MAINS_HZ = 500, 50.0
_TRIAL_S = 4.0
_PAUSE_S = (3.0, 3.5)
_SITES = {"right_hand": ["C3"], "left_hand": ["C4"], "feet": ["CZ"], "rest": []}
_NAMES = tuple(_SITES)


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write a recording for training and one for testing of every subject, of these seconds each."""
    written = []
    for number in range(1, subjects + 1):
        traits = generator("hgd", seed, number)
        mu_hz, depth = traits.uniform(9.5, 11.5), traits.uniform(0.4, 0.9)
        for split in ("train", "test"):
            path = out / split / f"{number}.edf"
            _write_recording(path, int(seconds), mu_hz, depth, generator("hgd", seed, number, split))
            written.append(path)
    return written


def _write_recording(path: Path, num_seconds: int, mu_hz: float, depth: float, rng: np.random.Generator) -> None:
    num_samples = num_seconds * _SFREQ
    annotations = _annotations(num_seconds, rng)
    rhythms = Desynchronisation(num_samples, _SFREQ)
    for onset_s, duration_s, text in annotations:
        if _SITES[text]:
            rhythms.weaken(_SITES[text], depth, onset_s, onset_s + duration_s)
    signal_uv = resting_uv(PRETRAIN_58, num_samples, _SFREQ, rng, alpha_uv=9.0)
    signal_uv += rolandic_uv(PRETRAIN_58, rhythms.amplitude, mu_hz, _SFREQ, rng)
    signal_uv += mains_uv(len(PRETRAIN_58), num_samples, _SFREQ, _MAINS_HZ, rng)
    rows = dict(zip(PRETRAIN_58, signal_uv, strict=True))
    labels = [name.replace("FP", "Fp").replace("Z", "z") for name in PRETRAIN_58]
    channels = [Channel(f"EEG {label}", _SFREQ, row) for label, row in zip(labels, signal_uv, strict=True)]
    channels += [Channel(f"EEG {name}", _SFREQ, _between(name, rows, rng)) for name in _BETWEEN]
    channels += [
        Channel("EOG EOGh", _SFREQ, 20.0 * rng.standard_normal(num_samples)),
        Channel("EMG EMG_RH", _SFREQ, 20.0 * rng.standard_normal(num_samples)),
    ]
    write_edf_plus(path, channels, annotations)


def _between(name: str, rows: dict[str, Signal], rng: np.random.Generator) -> Signal:
    """Return what an electrode of the 10-5 system picks up (T,): the mean of the four around it, and its own noise."""
    column = int(name[3])
    inner = str(column - 2) if column > 2 else "Z"
    around = [rows[f"{row}{side}"] for row in _ROWS[name[:3]] for side in (name[3], inner)]
    mean: Signal = np.mean(around, axis=0)
    return mean + 0.5 * rng.standard_normal(len(around[0]))


def _annotations(num_seconds: int, rng: np.random.Generator) -> list[Annotation]:
    num_trials = int(num_seconds // (_TRIAL_S + _PAUSE_S[1]))
    pauses_s = rng.uniform(*_PAUSE_S, num_trials).round(2)
    onsets_s = np.cumsum(pauses_s + _TRIAL_S) - _TRIAL_S
    order = rng.permutation(num_trials).tolist()
    return [
        Annotation(round(float(onset_s), 2), _TRIAL_S, _NAMES[position % len(_NAMES)])
        for onset_s, position in zip(onsets_s, order, strict=True)
    ]
