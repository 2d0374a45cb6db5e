"""Lora: small matrices beside the attention layers of a frozen encoder, adapter and head as finetune has them."""

import re
from typing import Any

import torch
from torch import Tensor, nn

from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.probing.modes.finetune import deep
from dare_eeg.probing.modes.trained import fitter_of, restorer_of
from dare_eeg.probing.networks.network import ProbeNetwork
from dare_eeg.probing.options import ProbeOptions
from manifests.errors import MissingError, RefusedError

_ATTENTION = re.compile("attn|attention", re.IGNORECASE)


def network(encoder: EEGEncoder, windows: AnyWindows, settled: ProbeOptions) -> ProbeNetwork:
    """Return the network of a probe, not fitted, with matrices beside attention (Hu et al. 2022, "LoRA").

    Raises MissingError without peft, RefusedError for an encoder in which no attention is found.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        remedy = "install it: pip install 'dare-eeg[lora]'"
        raise MissingError("peft is not installed", path="--mode lora", remedy=remedy) from None
    layers = attention_layers(encoder)
    if not layers:
        reason = f"no attention is found in {encoder.identity.name} for lora to stand beside"
        raise RefusedError(reason, path="--mode lora", remedy="probe it with finetune or conv-linear")
    # torch's fused way through its own transformer layers would pass the matrices by.
    torch.backends.mha.set_fastpath_enabled(False)
    made = deep(encoder, windows, settled, is_frozen=True)
    matrices = LoraConfig(r=settled.lora_rank, lora_alpha=settled.lora_rank, target_modules=layers)
    inject_adapter_in_model(matrices, made.encoder)
    whole = _whole_attentions(encoder)
    for name in layers:
        layer = made.encoder.get_submodule(name)
        if name in whole:
            _keep_weights(layer)
        else:
            layer.__class__ = _with_matrices(type(layer))
    return made


fitter, restorer = fitter_of("lora", network), restorer_of(network)


def attention_layers(encoder: nn.Module) -> list[str]:
    """Return the names of the linear layers within what is called attention, by its name or class.

    torch's own attention is one, whole.
    """
    whole = _whole_attentions(encoder)
    found = list(whole)
    for name, module in encoder.named_modules():
        if not isinstance(module, nn.Linear) or any(name.startswith(f"{one}.") for one in whole):
            continue
        around = name.rpartition(".")[0]
        if around and (_ATTENTION.search(around) or _ATTENTION.search(type(encoder.get_submodule(around)).__name__)):
            found.append(name)
    return found


def _whole_attentions(encoder: nn.Module) -> list[str]:
    """Return the names of torch's own attention layers."""
    return [name for name, module in encoder.named_modules() if isinstance(module, nn.MultiheadAttention)]


def _with_matrices(kind: type) -> type:
    """Return peft's kind of linear layer with the matrices in its ``weight``, too.

    LaBraM's attention reads that and does not call the layer, which would pass the matrices by.
    """

    def weight(layer: Any) -> Tensor:
        found: Tensor = layer.get_base_layer().weight
        for name in layer.active_adapters:
            found = found + layer.get_delta_weight(name)
        return found

    return type(kind.__name__, (kind,), {"weight": property(weight)})


def _keep_weights(attention: Any) -> None:
    """Put the weights of one of torch's attention layers back after each pass of what peft makes of it.

    It adds the matrices to the weights before and takes them away behind, each time with a rounding.
    """

    def weights() -> list[Tensor]:
        inner = attention.get_base_layer()
        return [inner.in_proj_weight.data, inner.out_proj.get_base_layer().weight.data]

    before = [one.clone() for one in weights()]

    def put_back(*_: object) -> None:
        for weight, old in zip(weights(), before, strict=True):
            weight.copy_(old)

    attention.register_forward_hook(put_back)
