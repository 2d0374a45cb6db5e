"""Small models of braindecode's with random weights, and windows that they read."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import dare_eeg
from dare_eeg.encoders.architectures import ARCHITECTURES

NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
PAIRS = "Fp1-F7 F7-T7 T7-P7 P7-O1 Fp2-F8 F8-T8 T8-P8 P8-O2 Fp1-F3 F3-C3 C3-P3 P3-O1 Fp2-F4 F4-C4 C4-P4 P4-O2".split()
CHANNELS = [{"ch_name": name} for name in NAMES]
SECONDS = 4

SMALL: dict[str, dict[str, Any]] = {
    "cbramod": {"n_layer": 1, "n_chans": 19},
    "labram": {"num_layers": 1, "n_chans": 19},
    "biot": {"num_layers": 1, "n_chans": 18},
    "eegpt": {"depth": 1, "embed_dim": 64, "chs_info": CHANNELS, "chan_proj_type": "none"},
    "bendr": {"transformer_layers": 1, "encoder_h": 64, "contextualizer_hidden": 32, "n_chans": 20},
    "sjepa": {"transformer__num_encoder_layers": 1, "chs_info": CHANNELS, "channel_embedding": "pretrain_aligned"},
    "reve": {"depth": 1, "embed_dim": 64, "heads": 2, "head_dim": 16, "chs_info": CHANNELS},
}
"""Encoders of one block, by how braindecode's classes are told to make them."""


def recorded(sfreq: float, seconds: float = SECONDS) -> Tensor:
    """Return two windows in µV, electrodes in the order of NAMES."""
    return 20 * torch.randn(2, len(NAMES), int(seconds * sfreq), generator=torch.Generator().manual_seed(2))


def in_pairs(x_uv: Tensor) -> Tensor:
    """Return windows in BIOT's pairs."""
    ends = [pair.split("-") for pair in PAIRS]
    return torch.stack([x_uv[:, NAMES.index(plus)] - x_uv[:, NAMES.index(minus)] for plus, minus in ends], dim=1)


def features(encoder: dare_eeg.EEGEncoder, x_uv: Tensor, sfreq: float) -> Tensor:
    places = encoder.known(NAMES)
    with torch.no_grad():
        return encoder.encode(encoder.prepare(x_uv[:, places], [NAMES[place] for place in places], sfreq))


def write_positions(folder: Path) -> None:
    """Write positions for REVE, which are a download otherwise."""
    rows = np.random.default_rng(0).normal(scale=0.1, size=(len(NAMES), 3)).tolist()
    (folder / "reve_positions.json").write_text(json.dumps(dict(zip(NAMES, rows, strict=True))))


def small_model(name: str, folder: Path) -> Any:
    """Return a small model of braindecode's with random weights, which it has saved in a folder."""
    wants = ARCHITECTURES[name]
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import braindecode.models

        shape = {"n_times": int(SECONDS * wants.sfreq), "n_outputs": 3, "sfreq": wants.sfreq}
        model = getattr(braindecode.models, wants.class_name)(**SMALL[name], **shape).eval()
        model.save_pretrained(folder)
    return model
