"""EEG During Mental Arithmetic Tasks of PhysioNet (Zyma et al. 2019): rest, then mental subtraction, in EDF+.

The corpus is filtered from 0.5 to 45 Hz with a notch at 50, so there is no mains in it.
"""

from pathlib import Path

import numpy as np

from pipelines.synth.edf_writer import Annotation, Channel, write_edf_plus
from pipelines.synth.heart import heart_uv
from pipelines.synth.mental import State, mental_uv
from pipelines.synth.signals import generator

_SITES = tuple("Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz".split())
_SFREQ = 500
_TASKS = {1: (3, State(16.0, 1.5, 1.5)), 2: (1, State(8.0, 6.0, 2.5))}
"""By the last digit of the name: how many times the seconds asked for, as in the corpus, and the state."""


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write arithmetic of these seconds and three times as much rest a subject, and the table of subjects."""
    rows, written = [], []
    for number in range(subjects):
        traits = generator("eegmat", seed, number)
        alpha_hz, subtractions = traits.normal(10.0, 0.6), traits.uniform(1.0, 35.0)
        age, gender = traits.integers(16, 27), traits.choice(["F", "M"])
        rows.append(f"Subject{number:02d},{age},{gender},2011,{subtractions:.2f},{int(subtractions > 10)}")
        for task, (times, state) in _TASKS.items():
            rng = generator("eegmat", seed, number, task)
            path = out / f"Subject{number:02d}_{task}.edf"
            _write_recording(path, times * int(seconds), state.of(alpha_hz, rng), rng)
            written.append(path)
    table = out / "subject-info.csv"
    header = "Subject,Age,Gender,Recording year,Number of subtractions,Count quality"
    table.write_text("\n".join([header, *rows]) + "\n")
    return [*written, table]


def _write_recording(path: Path, num_seconds: int, state: State, rng: np.random.Generator) -> None:
    num_samples = num_seconds * _SFREQ
    signal_uv = mental_uv((*_SITES, "A1", "A2"), num_samples, _SFREQ, state, rng)
    channels = [Channel(f"EEG {site}", _SFREQ, samples) for site, samples in zip(_SITES, signal_uv, strict=False)]
    channels.append(Channel("EEG A2-A1", _SFREQ, signal_uv[-1] - signal_uv[-2]))
    channels.append(Channel("ECG ECG", _SFREQ, 1e-3 * heart_uv(num_samples, _SFREQ, rng), "mV"))
    write_edf_plus(path, channels, [Annotation(0.0, -1, f"[Total time]+{num_seconds}.000")])
