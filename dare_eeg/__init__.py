"""DARE-EEG: an EEG foundation model that takes any electrodes, and the shards it learns from.

Importing this loads no torch; the first use of a name does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dare_eeg.data.filtering import clean
    from dare_eeg.data.shards import open_shards
    from dare_eeg.data.stream import webdataset
    from dare_eeg.encoders.base import EEGEncoder, Identity, Prepared
    from dare_eeg.encoders.braindecode_model import braindecode_model
    from dare_eeg.encoders.named import load_encoder
    from dare_eeg.encoders.ours import PretrainedEncoder
    from dare_eeg.network.heads import Adapter

_HOMES = {
    "Adapter": "dare_eeg.network.heads",
    "EEGEncoder": "dare_eeg.encoders.base",
    "Identity": "dare_eeg.encoders.base",
    "Prepared": "dare_eeg.encoders.base",
    "PretrainedEncoder": "dare_eeg.encoders.ours",
    "clean": "dare_eeg.data.filtering",
    "braindecode_model": "dare_eeg.encoders.braindecode_model",
    "load_encoder": "dare_eeg.encoders.named",
    "open_shards": "dare_eeg.data.shards",
    "webdataset": "dare_eeg.data.stream",
}

__all__ = [
    "Adapter",
    "EEGEncoder",
    "Identity",
    "Prepared",
    "PretrainedEncoder",
    "braindecode_model",
    "clean",
    "load_encoder",
    "open_shards",
    "webdataset",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dare_eeg' has no attribute {name!r}")
