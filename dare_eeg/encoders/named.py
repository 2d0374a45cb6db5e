"""Named encoders: which encoder a command means by a run, a file, ``scratch`` or a function of one's own."""

from pathlib import Path

from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.encoders.ours import load_encoder, untrained_encoder
from dare_eeg.encoders.own import own_encoder
from dare_eeg.encoders.weights import ENCODER_FILE
from manifests.errors import MissingError

SCRATCH = "scratch"
"""The encoder that was not pretrained: the control of a probe."""

_OWN = "py:"


def newest_run(runs: Path) -> str:
    """Return the run whose encoder is newest; MissingError where there is none."""
    found = sorted(runs.glob(f"*/{ENCODER_FILE}"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        remedy = "pretrain one or give --encoder (a file, scratch, or py:FILE.py:FUNCTION)"
        raise MissingError("holds no run with an encoder", path=runs, remedy=remedy)
    return str(found[-1].parent)


def encoder_named(name: str, size: str) -> EEGEncoder:
    """Return an encoder: ``scratch`` of a size, what ``py:FILE.py:FUNCTION`` returns, or that of a run or a file.

    Weights of ``scratch`` are drawn from torch's global generator. Raises DareError where there is no such encoder.
    """
    if name == SCRATCH:
        return untrained_encoder(size)
    return own_encoder(name.removeprefix(_OWN)) if name.startswith(_OWN) else load_encoder(name)


def short_name(name: str, size: str) -> str:
    """Return what the folder of a probe's results calls an encoder."""
    if name == SCRATCH:
        return f"{SCRATCH}-{size}"
    if name.startswith(_OWN):
        file, _, function = name.removeprefix(_OWN).rpartition(":")
        return f"{Path(file).stem}-{function}"
    path = Path(name).resolve()
    return path.parent.name if path.name == ENCODER_FILE else path.name
