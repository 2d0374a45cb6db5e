"""Scripts: the numbers that networks are trained by: each mode's own, and those of the published scripts."""

from collections.abc import Mapping
from typing import Any

_PLAIN: Mapping[str, Any] = {"class_weights": "none", "label_smoothing": 0.0}
_TUH: Mapping[str, Any] = {
    "electrode_ids": "positions",
    "unit_scale": 0.01,
    "resampling": "none",
    "layer_decay": 1.0,  # 0.9 and 0.65 by the scripts' options, which match no parameter
    "choose_on": "test",
    "batch": 400,
    "micro_batch": 100,
    "schedule": "cosine",
    "warm_up_epochs": 5.0,
    "min_lr": 1e-6,
}

_DEEP: Mapping[str, Any] = {"epochs": 50, "batch": 100, "lr": 5e-4, "dropout": 0.5, "weight_decay": 0.05}
_FROM_NOTHING: Mapping[str, Any] = {"epochs": 100, "batch": 16, "micro_batch": 16, "lr": 1e-3, "weight_decay": 0.01}

OWN: Mapping[str, Mapping[str, Any]] = {
    "conv-linear": {"epochs": 100, "batch": 64, "lr": 5e-4, "dropout": 0.5, "weight_decay": 0.01},
    "finetune": _DEEP,
    "lora": _DEEP,
    "eegnet": _FROM_NOTHING,
    "shallow-fbcsp": _FROM_NOTHING,
}
"""By mode the numbers that it takes where nobody says others: published ones, but for those of lora and of networks
from nothing, which have as many epochs as conv-linear, and EEGNet's batch."""

PUBLISHED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "conv-linear": {
        "bcic2b": {
            **_PLAIN,
            "alignment": "euclidean",
            "unit_scale": 0.1,
            "resampling": "nearest",
            "choose_on": "test",
            "micro_batch": 64,
        }
    },
    "finetune": {
        "tuab": {**_TUH, **_PLAIN, "single_logit": True},
        "tuev": {**_TUH, "epochs": 30, "dropout": 0.3, "label_smoothing": 0.1},
    },
}
"""By mode and corpus what the published scripts do instead, slips included; the first of a mode is for all others."""


def script_of(mode: str, corpus: str) -> str:
    """Return the corpus whose published script of a mode a probe of a corpus goes by."""
    return corpus if corpus in PUBLISHED[mode] else next(iter(PUBLISHED[mode]))
