"""M3CV (Huang 2022): an epoch of 4 s a file, in three folders, with a table for each that names the subjects.

What tells people apart is where their alpha rhythm lies and how strong it is.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np

from pipelines.synth.mat_writer import write_mat
from pipelines.synth.signals import generator, mains_uv, resting_uv

_CAP = """
    FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T7 T8 P7 P8 FZ CZ PZ FC1 FC2 CP1 CP2 FC5 FC6 CP5 CP6 FT9 FT10 TP9 TP10
    F1 F2 C1 C2 P1 P2 AF3 AF4 FC3 FC4 CP3 CP4 PO3 PO4 F5 F6 C5 C6 P5 P6 AF7 AF8 FT7 FT8 TP7 TP8 PO7 PO8 FPZ CPZ POZ OZ
    FCZ
"""
_SITES = tuple(_CAP.split())
_SFREQ, _EPOCH_S, _MAINS_HZ = 250, 4, 50.0
_PARTS = ("Enrollment", "Enrollment", "Calibration", "Testing")
_WITHHELD = "None"


def write(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write epochs that make up ``seconds`` a subject, dealt to the parts in turn; of Testing no subject is told."""
    rows: defaultdict[str, list[str]] = defaultdict(list)
    written: list[Path] = []
    for number in range(1, subjects + 1):
        traits = generator("m3cv", seed, number)
        alpha_hz, alpha_uv = traits.normal(10.0, 0.8), traits.uniform(8.0, 18.0)
        for epoch in range(int(seconds // _EPOCH_S)):
            part = _PARTS[epoch % len(_PARTS)]
            name = f"epoch{len(written) + 1:06d}"
            _write_epoch(out / part / f"{name}.mat", alpha_hz, alpha_uv, generator("m3cv", seed, number, epoch))
            subject = _WITHHELD if part == "Testing" else f"sub{number:03d}"
            rows[part].append(f"{name},{subject},{1 if part == 'Enrollment' else 2},{epoch % 13 + 1},{part}")
            written.append(out / part / f"{name}.mat")
    for part, lines in rows.items():
        table = out / f"{part}_Info.csv"
        table.write_text("\n".join(["EpochID,SubjectID,Session,Task,Usage", *lines]) + "\n")
        written.append(table)
    return written


def _write_epoch(path: Path, alpha_hz: float, alpha_uv: float, rng: np.random.Generator) -> None:
    num_samples = _EPOCH_S * _SFREQ
    signal_uv = resting_uv(_SITES, num_samples, _SFREQ, rng, alpha_hz=alpha_hz, alpha_uv=alpha_uv)
    signal_uv += mains_uv(len(_SITES), num_samples, _SFREQ, _MAINS_HZ, rng)
    marks = np.zeros((1, num_samples))
    marks[0, 0] = 1.0
    write_mat(path, {"epoch_data": np.concatenate([signal_uv, marks])})
