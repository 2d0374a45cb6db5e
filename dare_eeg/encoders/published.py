"""Published checkpoints: whole networks and classifiers read in, encoders and networks written in the same form."""

import io
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dare_eeg.encoders.weights import (
    OURS,
    WAY_OUT,
    Coverage,
    cover,
    metadata_of,
    read_weights,
    require,
    save_encoder,
    size_of,
)
from dare_eeg.network.heads import Adapter, FinetuneHead
from dare_eeg.network.model import Encoder, Network, Size
from dare_eeg.running.torch_file import read_torch
from manifests.atomic_io import write_bytes
from manifests.errors import DamagedError
from manifests.notes import one_line

_LIGHTNING = "2.6.6"
"""The version whose checkpoint format is written."""


def read_network(path: Path, size: Size | None = None) -> tuple[dict[str, Tensor], Coverage]:
    """Return the state dict of a whole `Network` from a published Lightning checkpoint.

    Raises DamagedError, in one line that lists the tensors that differ, for a file that is not exactly a network, of
    that size where one is given.
    """
    stored = read_torch(path, WAY_OUT)
    if not isinstance(stored.get("state_dict"), dict):
        remedy = "give a published Lightning .ckpt that is whole"
        raise DamagedError("a checkpoint without 'state_dict'", path=path, remedy=remedy)
    state = stored["state_dict"]
    with torch.device("meta"):
        expected = Network(size or size_of(path, state)).state_dict()
    require(path, state, expected, "a whole network")
    return state, cover(state, tuple(expected), tuple(name for name in stored if name != "state_dict"))


def read_classifier(path: Path) -> tuple[Adapter, Encoder, FinetuneHead, Coverage]:
    """Return the three parts of a published fine-tuned classifier (.pth), in eval mode.

    Electrodes go by number, since the file names none. Raises DamagedError as `read_network` does.
    """
    stored = read_torch(path, WAY_OUT)
    model = stored.get("model")
    if not isinstance(model, dict) or "classifier.layer2.weight" not in model:
        remedy = "give a published fine-tuned .pth"
        raise DamagedError("a checkpoint without a classifier in 'model'", path=path, remedy=remedy)
    size = size_of(path, model)
    classes, features = model["classifier.layer2.weight"].shape
    recorded = model["conv_head.conv_layers.0.weight"].shape[1]
    wanted, _, time_kernel = model["conv_head.conv_layers.6.weight"].shape
    names = [str(number) for number in range(max(recorded, wanted))]
    parts = {
        "conv_head": Adapter(names[:recorded], names[:wanted], time_kernel, layers=2),
        "encoder": Encoder(size),
        "classifier": FinetuneHead(features // 16, size.summary_tokens, size.width, classes),
    }
    expected = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    require(path, {name: value for name, value in model.items() if name != _UNREAD}, expected, "a classifier")
    for name, part in parts.items():
        part.load_state_dict({key: model[f"{name}.{key}"] for key in part.state_dict()})
        part.eval()
    return parts["conv_head"], parts["encoder"], parts["classifier"], cover(model, tuple(expected))  # type: ignore[return-value]


_UNREAD = "conv_head.anti_alias.weight"


def write_network(path: Path, state: dict[str, Tensor], step: int) -> None:
    """Write the state dict of a whole `Network` as a Lightning checkpoint, atomically."""
    _write(path, state, step)


def export(source: Path, to: Literal["official", "safetensors"], out: Path) -> list[str]:
    """Write the encoder of a run or a file in another form and return what was checked, in lines.

    ``official`` is a Lightning checkpoint with ``target_encoder.*``, all that the published code reads downstream.
    What was written is read back and must be the source to the bit. Raises DamagedError where it is not.
    """
    state, provenance, notes = read_weights(source)
    if to == "safetensors":
        save_encoder(out, state, provenance)
    else:
        prefixed = {f"target_encoder.{name}": value for name, value in state.items()}
        _write(out, prefixed, provenance.step, {OURS: metadata_of(provenance)})
    again, provenance_again, _ = read_weights(out)
    same = again.keys() == state.keys() and all(torch.equal(again[name], state[name]) for name in state)
    if not same or provenance_again != provenance:
        raise DamagedError(f"reads back otherwise than {source}", path=out, remedy="the disk may be failing")
    numbers = sum(value.numel() for value in state.values())
    return [
        *map(one_line, notes),
        f"{len(state)} tensors, {numbers:,} numbers, equal to the source to the bit",
        f"its input is µV × {provenance.unit_scale:g} at {provenance.sfreq:g} Hz",
    ]


def _write(path: Path, state: dict[str, Tensor], step: int, more: dict[str, dict[str, str]] | None = None) -> None:
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    stored = {"epoch": 0, "global_step": step, "pytorch-lightning_version": _LIGHTNING, "state_dict": tensors}
    content = io.BytesIO()
    torch.save(stored | (more or {}), content)
    write_bytes(path, content.getvalue())
