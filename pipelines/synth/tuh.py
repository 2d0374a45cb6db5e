"""What the corpora of Temple University Hospital share: labels, spare channels, patients, montage, mains.

Labels and montage as in NEDC's "Electrode Location and Channel Labels" (2022).
"""

from pathlib import Path

import numpy as np

from pipelines.synth.edf_writer import Channel, write_edf
from pipelines.synth.signals import Signal, blink, mains_uv, muscle, resting_uv, stamp

_HEAD = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ T1 T2 ROC LOC"
_TCP_MONTAGE = """
    FP1-F7 F7-T3 T3-T5 T5-O1 FP2-F8 F8-T4 T4-T6 T6-O2 A1-T3 T3-C3 C3-CZ CZ-C4 C4-T4 T4-A2
    FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2
"""

ELECTRODES: tuple[str, ...] = tuple(_HEAD.split())
"""The electrodes on the head, the two at the eyes last, all against the amplifier's average reference."""

TCP_PAIRS: tuple[tuple[str, ...], ...] = tuple(tuple(pair.split("-")) for pair in _TCP_MONTAGE.split())
"""The 22 derivations of the temporal central parasagittal montage; event rows name positions here."""

_MAINS_HZ = 60.0
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def subject_name(number: int) -> str:
    """Return the eight letters of a subject: 0 is ``aaaaaaaa``, 1 is ``aaaaaaab``."""
    letters = []
    for _ in range(8):
        number, digit = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[digit])
    return "".join(reversed(letters))


def patient_field(name: str, rng: np.random.Generator) -> str:
    """Return the EDF patient field of an anonymised patient: born in the year 0, sex and age kept."""
    return f"{name} {rng.choice(['F', 'M'])} 01-JAN-0000 {name} Age:{rng.integers(18, 90)}"


def head_uv(
    num_samples: int, sfreq: int, rng: np.random.Generator, *, alpha_hz: float = 10.0, alpha_uv: float = 14.0
) -> Signal:
    """Return the resting EEG (C, T) in µV of `ELECTRODES` in a hospital room."""
    resting = resting_uv(ELECTRODES, num_samples, sfreq, rng, alpha_hz=alpha_hz, alpha_uv=alpha_uv)
    return resting + mains_uv(len(ELECTRODES), num_samples, sfreq, _MAINS_HZ, rng)


def write_recording(path: Path, signal_uv: Signal, sfreq: int, patient: str, rng: np.random.Generator) -> None:
    """Write (C, T) in µV of `ELECTRODES` with the hospital's spare channels, in an order of the file's."""
    scalp = [Channel(f"EEG {name}-REF", sfreq, samples) for name, samples in zip(ELECTRODES, signal_uv, strict=True)]
    channels = scalp + _spare_channels(signal_uv.shape[1], sfreq, rng)
    write_edf(path, [channels[position] for position in rng.permutation(len(channels))], patient)


def _spare_channels(num_samples: int, sfreq: int, rng: np.random.Generator) -> list[Channel]:
    num_seconds = num_samples // sfreq
    amplifier_noise = rng.standard_normal((2, num_samples))
    return [
        Channel("EEG EKG1-REF", sfreq, _heart_uv(num_samples, sfreq, rng)),
        Channel("EMG-REF", sfreq, 6.0 * muscle(num_samples, sfreq, rng)),
        Channel("PHOTIC-REF", sfreq, amplifier_noise[0]),
        Channel("EEG 26-REF", sfreq, amplifier_noise[1]),
        Channel("IBI", 1, rng.uniform(0.0, 2.0, num_seconds), "sec"),
        Channel("BURSTS", 1, np.zeros(num_seconds), "brst/min"),
        Channel("SUPPR", 1, np.zeros(num_seconds), "%"),
    ]


def _heart_uv(num_samples: int, sfreq: int, rng: np.random.Generator) -> Signal:
    heart_uv = np.zeros((1, num_samples))
    beats_s = np.cumsum(rng.normal(0.85, 0.04, round(num_samples / sfreq / 0.6) + 1))
    # An R wave is as smooth as a blink, and a seventh as long.
    r_wave_uv = 600.0 * blink(sfreq / 7)
    for beat_s in beats_s:
        stamp(heart_uv, r_wave_uv, round(beat_s * sfreq), np.ones(1))
    return heart_uv[0]
