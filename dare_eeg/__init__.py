"""DARE-EEG: an EEG foundation model that takes any electrodes, and the shards it learns from.

Importing this loads no torch; the first use of a name does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dare_eeg.encoder import PretrainedEncoder, load_encoder
    from dare_eeg.heads import Adapter
    from dare_eeg.shards import open_shards
    from dare_eeg.stream import webdataset

_HOMES = {
    "Adapter": "dare_eeg.heads",
    "PretrainedEncoder": "dare_eeg.encoder",
    "load_encoder": "dare_eeg.encoder",
    "open_shards": "dare_eeg.shards",
    "webdataset": "dare_eeg.stream",
}

__all__ = ["Adapter", "PretrainedEncoder", "load_encoder", "open_shards", "webdataset"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dare_eeg' has no attribute {name!r}")
