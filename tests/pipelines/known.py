"""Recordings of known content, written by pyedflib into a hospital's tree, and what the doctor says of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyedflib
from numpy.typing import NDArray

from tests.commands import dare

ELECTRODES = ("C3", "CZ", "C4")
SFREQ = 250

Facts = dict[str, Any]


def examined(src: Path, *options: object, corpus: str = "tuab", status: int = 0) -> Facts:
    answer = dare("preprocess", corpus, "--src", src, "--dry-run", "--json", "--workers", 1, *options)
    assert answer.status == status, answer.err
    return json.loads(answer.out)


def row_of(src: Path, *options: object, status: int = 0) -> Facts:
    """Return what is said of the one recording of a tree."""
    (row,) = examined(src, *options, status=status)["recordings"]
    return row


def told(row: Facts, kind: str) -> str:
    """Return the findings of a kind as one text, "" where there is none."""
    return "; ".join(finding["text"] for finding in row["findings"] if finding["kind"] == kind)


def noise_uv(seconds: float, sfreq: int = SFREQ, sd_uv: float = 10.0) -> NDArray[np.float64]:
    return sd_uv * np.random.default_rng(0).standard_normal((len(ELECTRODES), round(seconds * sfreq)))


def line_uv(line_hz: float, amplitude_uv: float, seconds: float, sfreq: int = SFREQ) -> NDArray[np.float64]:
    return amplitude_uv * np.sin(2 * np.pi * line_hz * np.arange(round(seconds * sfreq)) / sfreq)


def recorded(
    src: Path,
    data: NDArray[np.float64],
    sfreq: int = SFREQ,
    unit: str = "uV",
    limit: float = 1000.0,
    name: str = "aaaaaaaa",
) -> Path:
    """Write a normal recording of a patient by pyedflib, its samples in some unit."""
    path = src / "train" / "normal" / "01_tcp_ar" / f"{name}_s001_t000.edf"
    path.parent.mkdir(parents=True, exist_ok=True)
    with pyedflib.EdfWriter(str(path), len(data), pyedflib.FILETYPE_EDF) as writer:
        for place, electrode in enumerate(ELECTRODES):
            writer.setSignalHeader(
                place,
                {
                    "label": f"EEG {electrode}-REF",
                    "dimension": unit,
                    "sample_frequency": sfreq,
                    "physical_max": limit,
                    "physical_min": -limit,
                    "digital_max": 32767,
                    "digital_min": -32768,
                    "transducer": "",
                    "prefilter": "",
                },
            )
        writer.writeSamples(list(data))
    return path
