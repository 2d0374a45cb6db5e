"""CHB-MIT of PhysioNet: bipolar recordings of children with epilepsy, a summary of seizures by case (Shoeb 2009)."""

from pathlib import Path

import numpy as np

from pipelines.synth.edf_writer import Channel, write_edf_plus
from pipelines.synth.seizures import add_seizure
from pipelines.synth.signals import Signal, generator, mains_uv, resting_uv

_DERIVATIONS = tuple(
    """FP1-F7 F7-T7 T7-P7 P7-O1 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2 FP2-F8 F8-T8 T8-P8 P8-O2 FZ-CZ CZ-PZ
    P7-T7 T7-FT9 FT9-FT10 FT10-T8 T8-P8""".split()
)
"""As in the files, where one derivation is there twice."""

_ELECTRODES = tuple(dict.fromkeys(name for pair in _DERIVATIONS for name in pair.split("-")))
_DUMMY_AFTER = (4, 8, 12, 17)
"""From some case on, channels without a name and a signal stand between the chains."""

_SFREQ, _MAINS_HZ = 256, 60.0

_CASES = {1: ("01", "21"), 21: ("22",), 22: ("23",), 23: ("24",)}
"""Of the others, a child has the case of its number; the first came again after a year and a half."""

_NAMES = {"02": ("02_01", "02_16", "02_16+"), "17": ("17a_03", "17a_04", "17b_63")}
_UNTIMED_CASE = "24"
_SEIZURES = ((), ((0.25, 0.5),), ((0.1, 0.3), (0.6, 0.8)))
"""Of the recordings of a case, as shares of their length."""


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write three recordings a case, of these seconds each, without a seizure, with one and with two."""
    written = []
    for number in range(1, subjects + 1):
        alpha_hz = generator("chbmit", seed, number).uniform(7.5, 9.5)
        for case in _CASES.get(number, (f"{number:02d}",)):
            written += _write_case(out / f"chb{case}", case, int(seconds), alpha_hz, seed)
    return written


def _write_case(folder: Path, case: str, num_seconds: int, alpha_hz: float, seed: int) -> list[Path]:
    names = _NAMES.get(case, tuple(f"{case}_{number:02d}" for number in (1, 2, 3)))
    paths = [folder / f"chb{name}.edf" for name in names]
    entries = []
    for number, (path, shares) in enumerate(zip(paths, _SEIZURES, strict=True)):
        spans = [(round(start * num_seconds), round(stop * num_seconds)) for start, stop in shares]
        signal_uv = _signal_uv(spans, num_seconds, alpha_hz, generator("chbmit", seed, path.stem))
        channels = [Channel(label, _SFREQ, row) for label, row in zip(_DERIVATIONS, signal_uv, strict=True)]
        if int(case) % 2 == 0:
            for position in reversed(_DUMMY_AFTER):
                channels.insert(position, Channel("-", _SFREQ, np.zeros(num_seconds * _SFREQ)))
        write_edf_plus(path, channels, ())
        times = (
            "" if case == _UNTIMED_CASE else f"File Start Time: {number:02d}:00:00\nFile End Time: {1 + number}:00:00\n"
        )
        entries.append(f"File Name: {path.name}\n{times}{_listed(spans)}")
    summary = folder / f"chb{case}-summary.txt"
    summary.write_text("\n".join([_preamble(), *entries]))
    return [*paths, summary]


def _signal_uv(spans: list[tuple[int, int]], num_seconds: int, alpha_hz: float, rng: np.random.Generator) -> Signal:
    """Return the derivations (C, T) of a child's EEG with seizures in these spans, in seconds."""
    num_samples = num_seconds * _SFREQ
    scalp_uv = resting_uv(_ELECTRODES, num_samples, _SFREQ, rng, alpha_hz=alpha_hz)
    for start_s, stop_s in spans:
        add_seizure(scalp_uv, _ELECTRODES, start_s * _SFREQ, (stop_s - start_s) * _SFREQ, _SFREQ, rng)
    rows = dict(zip(_ELECTRODES, scalp_uv, strict=True))
    pairs = [pair.split("-") for pair in _DERIVATIONS]
    derived_uv = np.stack([rows[plus] - rows[minus] for plus, minus in pairs])
    derived_uv += mains_uv(len(pairs), num_samples, _SFREQ, _MAINS_HZ, rng)
    return derived_uv[[_DERIVATIONS.index(name) for name in _DERIVATIONS]]


def _preamble() -> str:
    channels = "\n".join(f"Channel {number}: {label}" for number, label in enumerate(_DERIVATIONS, start=1))
    return f"Data Sampling Rate: {_SFREQ} Hz\n{'*' * 25}\n\nChannels in EDF Files:\n{'*' * 22}\n{channels}\n"


def _listed(spans: list[tuple[int, int]]) -> str:
    """Return the seizures of a recording as summaries list them: numbered, and spaced, where there are several."""
    lines = [f"Number of Seizures in File: {len(spans)}"]
    for number, (start_s, stop_s) in enumerate(spans, start=1):
        counted, space = (f" {number}", "               ") if len(spans) > 1 else ("", " ")
        lines += [
            f"Seizure{counted} Start Time:{space}{start_s} seconds",
            f"Seizure{counted} End Time:{space}{stop_s} seconds",
        ]
    return "\n".join(lines) + "\n"
