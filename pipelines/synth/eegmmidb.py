"""EEG Motor Movement/Imagery Dataset of PhysioNet: 14 runs a subject, 64 electrodes (Schalk et al. 2004)."""

from pathlib import Path

import numpy as np

from manifests.electrodes import canonical
from pipelines.synth.edf_writer import Annotation, Channel, write_edf_plus
from pipelines.synth.motor import Desynchronisation, rolandic_uv
from pipelines.synth.signals import generator, mains_uv, resting_uv

_OFFICIAL_ORDER = """
    Fc5. Fc3. Fc1. Fcz. Fc2. Fc4. Fc6. C5.. C3.. C1.. Cz.. C2.. C4.. C6.. Cp5. Cp3. Cp1. Cpz. Cp2. Cp4. Cp6.
    Fp1. Fpz. Fp2. Af7. Af3. Afz. Af4. Af8. F7.. F5.. F3.. F1.. Fz.. F2.. F4.. F6.. F8.. Ft7. Ft8.
    T7.. T8.. T9.. T10. Tp7. Tp8. P7.. P5.. P3.. P1.. Pz.. P2.. P4.. P6.. P8.. Po7. Po3. Poz. Po4. Po8.
    O1.. Oz.. O2.. Iz..
"""
_LABELS = tuple(_OFFICIAL_ORDER.split())
_ELECTRODES = tuple(canonical(label) for label in _LABELS)

_SFREQ, _ODD_SFREQ, _ODD_SUBJECT = 160, 128, 3
_MAINS_HZ = 60.0
_REST_S, _TASK_S = 4.2, 4.1

_BASELINE_RUNS = (1, 2)
_EYES_CLOSED_RUN = 2
_EXECUTED_RUNS = (3, 5, 7, 9, 11, 13)
_HAND_RUNS = (3, 4, 7, 8, 11, 12)
_HANDS = {"T1": ["C4"], "T2": ["C3"]}
_FISTS_OR_FEET = {"T1": ["C3", "C4"], "T2": ["CZ"]}
_IMAGERY = 0.8
"""Imagined movement weakens the rhythms less than movement does."""


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write the 14 runs of every subject, each of these seconds; subject 3 is of the odd ones at 128 Hz."""
    written = []
    for number in range(1, subjects + 1):
        traits = generator("physionetmi", seed, number)
        mu_hz, depth = traits.uniform(9.5, 11.5), traits.uniform(0.3, 0.9)
        for run in range(1, 15):
            path = out / f"S{number:03d}" / f"S{number:03d}R{run:02d}.edf"
            sfreq = _ODD_SFREQ if number == _ODD_SUBJECT else _SFREQ
            rng = generator("physionetmi", seed, number, run)
            _write_run(path, run, int(seconds), sfreq, mu_hz, depth, rng)
            written.append(path)
    return written


def _write_run(
    path: Path, run: int, num_seconds: int, sfreq: int, mu_hz: float, depth: float, rng: np.random.Generator
) -> None:
    num_samples = num_seconds * sfreq
    annotations = _annotations(run, num_seconds, rng)
    sites = _HANDS if run in _HAND_RUNS else _FISTS_OR_FEET
    effort = depth if run in _EXECUTED_RUNS else depth * _IMAGERY
    rhythms = Desynchronisation(num_samples, sfreq)
    for onset_s, duration_s, text in annotations:
        if text in sites:
            rhythms.weaken(sites[text], effort, onset_s, onset_s + duration_s)
    alpha_uv = 18.0 if run == _EYES_CLOSED_RUN else 9.0
    signal_uv = resting_uv(_ELECTRODES, num_samples, sfreq, rng, alpha_uv=alpha_uv)
    signal_uv += rolandic_uv(_ELECTRODES, rhythms.amplitude, mu_hz, sfreq, rng)
    signal_uv += mains_uv(len(_LABELS), num_samples, sfreq, _MAINS_HZ, rng)
    channels = [Channel(label, sfreq, samples) for label, samples in zip(_LABELS, signal_uv, strict=True)]
    write_edf_plus(path, channels, annotations)


def _annotations(run: int, num_seconds: int, rng: np.random.Generator) -> list[Annotation]:
    if run in _BASELINE_RUNS:
        return [Annotation(0.0, float(num_seconds), "T0")]
    num_trials = int(num_seconds // (_REST_S + _TASK_S))
    annotations = []
    for trial, position in enumerate(rng.permutation(num_trials).tolist()):
        start_s = round(trial * (_REST_S + _TASK_S), 1)
        annotations.append(Annotation(start_s, _REST_S, "T0"))
        annotations.append(Annotation(round(start_s + _REST_S, 1), _TASK_S, f"T{1 + position % 2}"))
    return annotations
