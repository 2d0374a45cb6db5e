"""BCI Competition IV data sets 2a and 2b as BNCI Horizon 2020 gives them out: .mat files, a cell array of structs each.

A01T.mat holds a struct a run, B01T.mat and B01E.mat a struct a session; nothing in them names the channels.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.synth.bcic import REJECTED, SET_2A, SET_2B, SFREQ, TRIAL, Run, recorded
from pipelines.synth.mat_writer import write_mat

_CLASSES = ("left hand", "right hand", "feet", "tongue")


def write_2a(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write the sessions of `pipelines.synth.bcic.write_2a`, one in a file."""
    written = []
    for number in range(1, subjects + 1):
        for session in recorded(SET_2A, number, seconds, seed):
            classes = iter(session.classes)
            structs = [_struct([run], classes, _CLASSES) for run in session.runs]
            written.append(_write(out / f"{session.name}.mat", structs))
    return written


def write_2b(out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write the sessions of `pipelines.synth.bcic.write_2b`, one file a subject for training and one for evaluation."""
    written = []
    for number in range(1, subjects + 1):
        structs: dict[str, list[dict[str, Any]]] = {"T": [], "E": []}
        for session in recorded(SET_2B, number, seconds, seed):
            structs[session.name[-1]].append(_struct(session.runs, iter(session.classes), _CLASSES[:2]))
        written += [_write(out / f"B{number:02d}{kind}.mat", found) for kind, found in structs.items()]
    return written


def _write(path: Path, structs: list[dict[str, Any]]) -> Path:
    write_mat(path, {"data": structs})
    return path


def _struct(runs: list[Run], classes: Iterator[int], names: tuple[str, ...]) -> dict[str, Any]:
    """Return runs put end to end; their trials count samples from 1, and ``artifacts`` marks the rejected ones."""
    offsets = np.cumsum([0, *(run_uv.shape[1] for run_uv, _ in runs)]).tolist()
    found = [
        (offset + event.sample, event.code)
        for offset, (_, events) in zip(offsets, runs, strict=False)
        for event in events
    ]
    trials = [sample for sample, code in found if code == TRIAL]
    rejected = {sample for sample, code in found if code == REJECTED}
    return {
        "X": np.concatenate([run_uv for run_uv, _ in runs], axis=1).T,
        "trial": np.array(trials, float)[:, None] + 1,
        "y": np.array([next(classes) for _ in trials], float)[:, None],
        "fs": float(SFREQ),
        "classes": np.array(names, object),
        "artifacts": np.array([sample in rejected for sample in trials], float)[:, None],
        "gender": "female",
        "age": 24.0,
    }
