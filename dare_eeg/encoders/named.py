"""Named encoders: which encoder a command means by a run, a file, ``scratch`` or a function of one's own."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.encoders.ours import load_encoder, untrained_encoder
from dare_eeg.encoders.weights import ENCODER_FILE
from manifests.errors import MissingError, RefusedError, UsageError

SCRATCH = "scratch"
"""The encoder that was not pretrained: the control of a probe."""

_OWN = "py:"


def newest_run(runs: Path) -> str:
    """Return the run whose encoder is newest; MissingError where there is none."""
    found = sorted(runs.glob(f"*/{ENCODER_FILE}"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        remedy = "pretrain one or give --encoder (a file, or scratch)"
        raise MissingError("holds no run with an encoder", path=runs, remedy=remedy)
    return str(found[-1].parent)


def encoder_named(name: str, size: str) -> EEGEncoder:
    """Return an encoder: ``scratch`` of a size, what ``py:FILE.py:FUNCTION`` returns, or that of a run or a file.

    Weights of ``scratch`` are drawn from torch's global generator. Raises DareError where there is no such encoder.
    """
    if name == SCRATCH:
        return untrained_encoder(size)
    return _own(name) if name.startswith(_OWN) else load_encoder(name)


def short_name(name: str, size: str) -> str:
    """Return what the folder of a probe's results calls an encoder."""
    if name == SCRATCH:
        return f"{SCRATCH}-{size}"
    if name.startswith(_OWN):
        return name.rpartition(":")[2]
    path = Path(name).resolve()
    return path.parent.name if path.name == ENCODER_FILE else path.name


def _own(name: str) -> EEGEncoder:
    """Return what a function of the user's own returns; its file is run, as the user asked."""
    file, _, function = name.removeprefix(_OWN).rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not function:
        raise UsageError("names no function", path=f"--encoder {name}", remedy="give py:FILE.py:FUNCTION")
    if not path.is_file():
        raise MissingError("not found", path=path, remedy="give py:FILE.py:FUNCTION")
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        encoder = getattr(module, function)()
    except Exception as problem:
        reason = f"{function} cannot be had ({type(problem).__name__}: {problem})"
        raise RefusedError(" ".join(reason.split()), path=path, remedy="-v shows where") from problem
    if not isinstance(encoder, EEGEncoder):
        reason = f"{function} returns {type(encoder).__name__}, no dare_eeg.EEGEncoder"
        raise RefusedError(reason, path=path, remedy="docs/probing.md shows one")
    return encoder
