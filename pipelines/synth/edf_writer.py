"""EDF (Kemp et al. 1992) and EDF+C (Kemp & Olivan 2003) files, the same bytes for the same input."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyedflib
from numpy.typing import NDArray

_DIGITAL_MAX = 32767
_PHYSICAL_MAX = 3276.7
_START = datetime(2010, 1, 1)
_PATIENT_FIELD = slice(8, 88)


class Channel(NamedTuple):
    """One signal of a file: its label as the file spells it, its samples in ``unit`` and their rate."""

    label: str
    sfreq: int
    samples: NDArray[np.float64]
    unit: str = "uV"


class Annotation(NamedTuple):
    """One EDF+ annotation."""

    onset_s: float
    duration_s: float
    text: str


def write_edf(path: Path, channels: Sequence[Channel], patient: str) -> None:
    """Write whole seconds of signal as plain EDF, in steps of 0.1 unit, with a free-text patient field."""
    _write(path, channels, pyedflib.FILETYPE_EDF, ())
    with path.open("r+b") as file:
        # The library only writes dates that exist, and anonymised hospital files carry births of the year 0.
        file.seek(_PATIENT_FIELD.start)
        file.write(patient.encode("ascii").ljust(_PATIENT_FIELD.stop - _PATIENT_FIELD.start))


def write_edf_plus(path: Path, channels: Sequence[Channel], annotations: Sequence[Annotation]) -> None:
    """Write whole seconds of signal as EDF+C, in steps of 0.1 unit, with annotations."""
    _write(path, channels, pyedflib.FILETYPE_EDFPLUS, annotations)


def _write(path: Path, channels: Sequence[Channel], file_type: int, annotations: Sequence[Annotation]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pyedflib.EdfWriter(str(path), len(channels), file_type=file_type) as writer:
        writer.setStartdatetime(_START)
        writer.setSignalHeaders([_header(channel) for channel in channels])
        writer.writeSamples([_digital(channel.samples) for channel in channels], digital=True)
        for annotation in annotations:
            writer.writeAnnotation(*annotation)


def _header(channel: Channel) -> dict[str, str | float]:
    return {
        "label": channel.label,
        "dimension": channel.unit,
        "sample_frequency": channel.sfreq,
        "physical_min": -_PHYSICAL_MAX,
        "physical_max": _PHYSICAL_MAX,
        "digital_min": -_DIGITAL_MAX,
        "digital_max": _DIGITAL_MAX,
        "transducer": "",
        "prefilter": "",
    }


def _digital(samples: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.clip(np.rint(samples * (_DIGITAL_MAX / _PHYSICAL_MAX)), -_DIGITAL_MAX, _DIGITAL_MAX).astype(np.int32)
