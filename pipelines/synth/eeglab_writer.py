"""EEGLAB datasets (Delorme & Makeig 2004): .set files with their samples inside or in an .fdt beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.synth.mat_writer import write_mat
from pipelines.synth.signals import Signal


class Mark(NamedTuple):
    """An event: its first sample, from 0, and its type."""

    sample: int
    text: str


def write_epochs(path: Path, labels: Sequence[str], epochs_uv: Signal, sfreq: int, text: str) -> list[Path]:
    """Write epochs (N, C, T) in µV inside the .set file, each with an event of this type at its first sample."""
    marks = [Mark(number * epochs_uv.shape[2], text) for number in range(len(epochs_uv))]
    fields = _fields(path, labels, epochs_uv.shape[2], sfreq, marks)
    fields["trials"] = float(len(epochs_uv))
    fields["data"] = epochs_uv.transpose(1, 2, 0).astype(np.float32)
    fields["event"]["epoch"] = np.arange(1.0, len(epochs_uv) + 1)
    fields["epoch"] = np.array(
        [(number, 0.0, text) for number in range(1, len(epochs_uv) + 1)],
        [("event", object), ("eventlatency", object), ("eventtype", object)],
    )
    write_mat(path, {"EEG": fields})
    return [path]


def write_continuous(
    path: Path, labels: Sequence[str], signal_uv: Signal, sfreq: int, marks: Sequence[Mark]
) -> list[Path]:
    """Write a recording (C, T) in µV as a .set file and the .fdt file of its samples; return both."""
    samples = path.with_suffix(".fdt")
    fields = _fields(path, labels, signal_uv.shape[1], sfreq, marks)
    fields["data"] = fields["datfile"] = samples.name
    write_mat(path, {"EEG": fields})
    samples.write_bytes(signal_uv.T.astype("<f4").tobytes())
    return [path, samples]


def _fields(path: Path, labels: Sequence[str], num_samples: int, sfreq: int, marks: Sequence[Mark]) -> dict[str, Any]:
    events = [(mark.text, mark.sample + 1.0, 0.0, 1.0) for mark in marks]
    return {
        "setname": path.stem,
        "filename": path.name,
        "nbchan": float(len(labels)),
        "trials": 1.0,
        "pnts": float(num_samples),
        "srate": float(sfreq),
        "xmin": 0.0,
        "xmax": (num_samples - 1) / sfreq,
        "chanlocs": np.array([(label,) for label in labels], [("labels", object)]),
        "ref": "common",
        "event": np.array(events, [(name, object) for name in ("type", "latency", "duration", "epoch")]),
        "epoch": np.zeros((0, 0)),
        "icawinv": np.zeros((0, 0)),
    }
