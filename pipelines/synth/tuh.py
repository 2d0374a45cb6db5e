"""What the corpora of Temple University Hospital share: labels, spare channels, patients, montages, mains, tables.

Labels and montages as in NEDC's "Electrode Location and Channel Labels" (2022).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.synth.edf_writer import Channel, write_edf
from pipelines.synth.heart import heart_uv
from pipelines.synth.signals import Signal, mains_uv, muscle, resting_uv

_HEAD = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ T1 T2 ROC LOC"
_TCP_MONTAGE = """
    FP1-F7 F7-T3 T3-T5 T5-O1 FP2-F8 F8-T4 T4-T6 T6-O2 A1-T3 T3-C3 C3-CZ CZ-C4 C4-T4 T4-A2
    FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2
"""

ELECTRODES: tuple[str, ...] = tuple(_HEAD.split())
"""The electrodes on the head, the two at the eyes last, all against the amplifier's average reference."""

TCP_PAIRS: tuple[tuple[str, ...], ...] = tuple(tuple(pair.split("-")) for pair in _TCP_MONTAGE.split())
"""The 22 derivations of the temporal central parasagittal montage; event rows name positions here."""

_SCALP = tuple("FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 FZ CZ PZ".split())


class Montage(NamedTuple):
    """A way to record: the name of its folder, the reference that its labels name, and its electrodes."""

    folder: str
    reference: str
    electrodes: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, ...]]:
        """Its derivations, named in tables of annotations: without ears 20 of the 22."""
        return [pair for pair in TCP_PAIRS if set(pair) <= set(self.electrodes)]


AVERAGE = Montage("01_tcp_ar", "REF", ELECTRODES)
MONTAGES = (
    AVERAGE,
    Montage("02_tcp_le", "LE", (*_SCALP, "A1", "A2", "OZ")),
    Montage("03_tcp_ar_a", "REF", _SCALP),
    Montage("04_tcp_le_a", "LE", (*_SCALP, "OZ", "T1", "T2")),
)
"""The hospital's four montages, the commonest first."""

MAINS_HZ = 60.0
_SEEN_FROM = 0.5
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
    num_samples: int,
    sfreq: int,
    rng: np.random.Generator,
    *,
    electrodes: tuple[str, ...] = ELECTRODES,
    alpha_hz: float = 10.0,
    alpha_uv: float = 14.0,
) -> Signal:
    """Return the resting EEG (C, T) in µV of a patient in a hospital room."""
    resting = resting_uv(electrodes, num_samples, sfreq, rng, alpha_hz=alpha_hz, alpha_uv=alpha_uv)
    return resting + mains_uv(len(electrodes), num_samples, sfreq, MAINS_HZ, rng)


def write_recording(
    path: Path,
    signal_uv: Signal,
    sfreq: int,
    patient: str,
    rng: np.random.Generator,
    montage: Montage = AVERAGE,
) -> None:
    """Write (C, T) in µV of a montage's electrodes with the hospital's spare channels, in an order of the file's."""
    scalp = [
        Channel(f"EEG {name}-{montage.reference}", sfreq, samples)
        for name, samples in zip(montage.electrodes, signal_uv, strict=True)
    ]
    channels = scalp + _spare_channels(montage.reference, signal_uv.shape[1], sfreq, rng)
    write_edf(path, [channels[position] for position in rng.permutation(len(channels))], patient)


def write_table(path: Path, num_seconds: int, rows: Sequence[tuple[str, float, float, str]]) -> Path:
    """Write annotations (channel, start in s, stop in s, label) as a .csv or .csv_bi of the hospital's."""
    lines = [
        "# version = csv_v1.0.0",
        f"# bname = {path.stem}",
        f"# duration = {num_seconds:.4f} secs",
        "# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt",
        "#",
        "channel,start_time,stop_time,label,confidence",
        *(f"{channel},{start_s:.4f},{stop_s:.4f},{label},1.0000" for channel, start_s, stop_s, label in rows),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def seen_on(montage: Montage, gains: Signal) -> list[str]:
    """Return the names of the derivations that show a source: one of their electrodes has half of it or more."""
    strength = dict(zip(montage.electrodes, gains, strict=True))
    return ["-".join(pair) for pair in montage.pairs if max(strength[name] for name in pair) >= _SEEN_FROM]


def _spare_channels(reference: str, num_samples: int, sfreq: int, rng: np.random.Generator) -> list[Channel]:
    num_seconds = num_samples // sfreq
    amplifier_noise = rng.standard_normal((2, num_samples))
    if reference == "LE":
        return [
            Channel("EEG EKG-LE", sfreq, heart_uv(num_samples, sfreq, rng)),
            Channel("PHOTIC PH", sfreq, amplifier_noise[0]),
            Channel("EEG 26-LE", sfreq, amplifier_noise[1]),
            Channel("DC1-DC", sfreq, np.zeros(num_samples), "mV"),
        ]
    return [
        Channel("EEG EKG1-REF", sfreq, heart_uv(num_samples, sfreq, rng)),
        Channel("EMG-REF", sfreq, 6.0 * muscle(num_samples, sfreq, rng)),
        Channel("PHOTIC-REF", sfreq, amplifier_noise[0]),
        Channel("EEG 26-REF", sfreq, amplifier_noise[1]),
        Channel("IBI", 1, rng.uniform(0.0, 2.0, num_seconds), "sec"),
        Channel("BURSTS", 1, np.zeros(num_seconds), "brst/min"),
        Channel("SUPPR", 1, np.zeros(num_seconds), "%"),
    ]
