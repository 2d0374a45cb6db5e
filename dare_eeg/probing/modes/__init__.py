"""Modes: what is fitted on top of an encoder, a file each; a mode makes of encoder and windows what fits a fold.

What a fit of it left, ``restorer`` makes again.
"""

from importlib import import_module
from typing import Protocol, cast

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.probing.classifiers.cache import FeatureCache
from dare_eeg.probing.fit import Fitter, Restorer
from dare_eeg.probing.options import Mode, ProbeOptions
from dare_eeg.running.ranks import Ranks


class MakeFitter(Protocol):
    """What a mode's file has under the name ``fitter``."""

    def __call__(
        self, encoder: EEGEncoder, windows: Windows, options: ProbeOptions, cache: FeatureCache | None, ranks: Ranks, /
    ) -> Fitter:
        """Return what fits a fold with a seed; ``cache`` is for frozen features, ``ranks`` train a network together."""


def fitter(mode: Mode) -> MakeFitter:
    """Return what makes the fitter of a mode."""
    module = import_module(f"dare_eeg.probing.modes.{mode.replace('-', '_')}")
    return cast(MakeFitter, module.fitter)


def restorer(mode: Mode, encoder: EEGEncoder, windows: AnyWindows, options: ProbeOptions) -> Restorer:
    """Return what makes again what a fit of a mode left, to be asked of windows like these."""
    module = import_module(f"dare_eeg.probing.modes.{mode.replace('-', '_')}")
    return cast(Restorer, module.restorer(encoder, windows, options))
