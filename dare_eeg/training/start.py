"""Start: the network that a run begins with, drawn anew or with the weights of another run or of a file."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dare_eeg.encoders.published import read_network
from dare_eeg.encoders.weights import ENCODER_FILE, WAY_OUT, Provenance, read_weights, require
from dare_eeg.network.model import SIZES, Network, Size
from dare_eeg.running.torch_file import read_torch
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.resume import network_of_last
from manifests.errors import RefusedError


@dataclass(frozen=True)
class Start:
    """A network to train, what an encoder of it was trained on before, if one was, and what to tell of it."""

    network: Network
    before: Provenance | None = None
    said: str = ""


def start(config: PretrainConfig, resume: bool) -> Start:
    """Return the network of a config, its weights drawn from torch's global generator or those of ``start_from``.

    That is a run's folder, an encoder's file of ours or a published file. All of a network is taken where there is
    one, else the encoder, for the momentum encoder too. A run that is resumed brings its own weights. Raises DareError
    for a file that is not whole or of another size.
    """
    size = SIZES[config.size]
    network = Network(size, config.init, config.objective)
    # Without the second view in its loss the head learns nothing; without gradient no optimizer group holds it.
    network.loss_mc.requires_grad_(config.train_head and config.objective.second_view)
    own, other = Path(config.out), Path(config.start_from)
    if resume:
        return Start(network, read_weights(own)[1] if (own / ENCODER_FILE).exists() else None)
    if not config.start_from:
        return Start(network)
    state, before, _ = read_weights(other)
    _require_size(other, before.size, size)
    network_state = _whole_network(other, size)
    if network_state:
        network.load_state_dict(network_state)
        said = f"begins with all of the network of {other}"
    else:
        for part in (network.encoder, network.target_encoder):
            part.load_state_dict(state)
        said = f"begins with the encoder of {other}, for both copies; predictor, reconstructor and head are drawn anew"
    if before.unit_scale != config.unit_scale:
        said += (
            f"; it was trained on µV × {before.unit_scale:g}, this run feeds µV × {config.unit_scale:g} "
            f"(--set unit_scale={before.unit_scale:g} feeds what it knows)"
        )
    return Start(network, before, said)


def _whole_network(path: Path, size: Size) -> dict[str, Tensor] | None:
    """Return the weights of a whole network, None where there are only those of an encoder."""
    if path.is_dir():
        stored = network_of_last(path)
        if stored:
            with torch.device("meta"):
                require(path, stored, Network(size).state_dict(), "a whole network")
        return stored
    if path.suffix == ".safetensors":
        return None
    names = read_torch(path, WAY_OUT).get("state_dict", {})
    return read_network(path, size)[0] if any(name.startswith("predictor.") for name in names) else None


def _require_size(path: Path, found: Size, wanted: Size) -> None:
    shapes = [(one.width, one.summary_tokens, one.depths[0], one.heads) for one in (found, wanted)]
    if shapes[0] != shapes[1]:
        raise RefusedError(
            f"is of size {found.name}, the run of {wanted.name}", path=path, remedy="give its own by --size"
        )
