"""Named encoders: which is meant by a run, a file, ``scratch``, a function of one's own or a name of braindecode's."""

from pathlib import Path

from dare_eeg.encoders import ours
from dare_eeg.encoders.architectures import ARCHITECTURES
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.encoders.ours import PretrainedEncoder, untrained_encoder
from dare_eeg.encoders.own import own_encoder
from dare_eeg.encoders.weights import ENCODER_FILE
from dare_eeg.encoders.zoo import PREFIX, RANDOM, ZooEncoder, zoo_encoder
from dare_eeg.network.model import Size
from manifests.errors import MissingError, UsageError
from manifests.faults import near

SCRATCH = "scratch"
"""The encoder that was not pretrained: the control of a probe."""

_OWN = "py:"


def newest_run(runs: Path) -> str:
    """Return the run whose encoder is newest; MissingError where there is none."""
    found = sorted(runs.glob(f"*/{ENCODER_FILE}"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        remedy = "pretrain one or give --encoder (a file, scratch, py:FILE.py:FUNCTION, or braindecode:NAME)"
        raise MissingError("holds no run with an encoder", path=runs, remedy=remedy)
    return str(found[-1].parent)


def load_encoder(
    path: str | Path, size: str | Size | None = None, unit_scale: float | None = None
) -> PretrainedEncoder | ZooEncoder:
    """Return the encoder of a run's folder or a file, or ``braindecode:NAME[@FOLDER-OR-REPOSITORY[@REVISION]]``.

    It is in eval mode and its parameters take no gradient; ``requires_grad_(True)`` undoes that for fine-tuning. Of
    braindecode's, ``NAME`` is cbramod, labram, biot, eegpt, bendr, sjepa or reve; without a place its public weights
    are fetched from the hub. Of ours a file is a .safetensors, a published .ckpt or a published .pth, ``size`` (nano,
    light, small, base, deep or a `Size`) requires a shape and says the number of heads, which published weights do not
    tell: 8 where the width is 512, else 4, and ``unit_scale`` (network input per µV) replaces what the file says;
    published pretrained files are taken to be in mV, 1e-3, fine-tuned ones in units of 100 µV, as the published code
    feeds them. Raises MissingError where there is no file, DamagedError for one that is not a whole encoder, UsageError
    for one of another size, ValueError for a ``unit_scale`` that is no positive number.
    """
    if not str(path).startswith(PREFIX):
        return ours.load_encoder(path, size, unit_scale)
    if size is not None or unit_scale is not None:
        raise UsageError("has its own size and unit", path=path, remedy="leave out size and unit_scale")
    return zoo_encoder(str(path))


def encoder_named(name: str, size: str) -> EEGEncoder:
    """Return an encoder: ``scratch`` of a size, what ``py:FILE.py:FUNCTION`` returns, or what `load_encoder` does.

    Weights of ``scratch`` are drawn from torch's global generator. Raises DareError where there is no such encoder.
    """
    if name == SCRATCH:
        return untrained_encoder(size)
    if name.startswith(_OWN):
        return own_encoder(name.removeprefix(_OWN))
    if not name.startswith(PREFIX) and not Path(name).exists():
        words = {SCRATCH: SCRATCH} | {one: PREFIX + one for one in ARCHITECTURES}
        beside = {path.name: str(path) for path in Path(name).parent.glob("*")}
        if meant := words.get(name) or words.get(near(name, words)) or beside.get(near(Path(name).name, beside)):
            raise MissingError("not found", path=name, remedy=f"did you mean {meant}?")
    return load_encoder(name)


def is_control(name: str) -> bool:
    """Return whether the weights of an encoder are drawn: what pretraining has bought is the difference from it."""
    return name == SCRATCH or (name.startswith(PREFIX) and name.partition("@")[2] == RANDOM)


def short_name(name: str, size: str) -> str:
    """Return what the folder of a probe's results calls an encoder."""
    if name == SCRATCH:
        return f"{SCRATCH}-{size}"
    if name.startswith(_OWN):
        file, _, function = name.removeprefix(_OWN).rpartition(":")
        return f"{Path(file).stem}-{function}"
    if name.startswith(PREFIX):
        architecture, *places = name.removeprefix(PREFIX).split("@")
        return "-".join([architecture, *(Path(place).name for place in places)])
    path = Path(name).resolve()
    return path.parent.name if path.name == ENCODER_FILE else path.name
