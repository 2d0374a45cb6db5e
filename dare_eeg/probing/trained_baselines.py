"""Trained baselines: two small networks of braindecode's that learn from nothing but the training subjects."""

import warnings
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.zoo import models
from dare_eeg.network.resample import resample
from dare_eeg.probing.fit import Fitter, FoldFit, Progress, Restorer
from dare_eeg.probing.networks.training import FittedNetwork, Training, fit_network
from dare_eeg.probing.options import ProbeOptions, TrainedBaseline
from dare_eeg.probing.splits import Fold
from dare_eeg.running.ranks import Ranks
from manifests.errors import RefusedError

_AT_ONCE = 256


@dataclass(frozen=True)
class _Design:
    """A class of braindecode's, the rate in Hz that its filters are made for, and what we choose otherwise."""

    class_name: str
    sfreq: float
    choices: dict[str, float] = field(default_factory=dict)


_DESIGNS: dict[TrainedBaseline, _Design] = {
    # Lawhern et al. 2018: filters of 64 samples, half a second at 128 Hz. Their batch norm, 0.01, takes a hundred steps
    # to follow, which is more than small sets have.
    "eegnet": _Design("EEGNet", 128.0, {"batch_norm_momentum": 0.1}),
    # Schirrmeister et al. 2017: filters of 25 samples, a tenth of a second at 250 Hz.
    "shallow-fbcsp": _Design("ShallowFBCSPNet", 250.0),
}


def fitter(name: TrainedBaseline, windows: Windows, options: ProbeOptions, ranks: Ranks) -> Fitter:
    """Return what fits a fold by a network; its budget is its epochs.

    Raises MissingError where braindecode cannot be imported, RefusedError for windows too short for the network.
    """
    training = Training.of(options.settled(name, len(windows.classes)), ranks)
    design = _DESIGNS[name]
    models()

    def fit(fold: Fold, seed: int, progress: Progress) -> FoldFit:
        network = _Network(design, windows, _deviations(windows, fold.train))
        found = fit_network(network, [], windows, fold, training, seed, progress)
        return replace(found, selected=found.selected | {"candidates": training.epochs})

    return fit


def restorer(name: TrainedBaseline, windows: AnyWindows, settled: ProbeOptions) -> Restorer:
    """Return what makes again the network that a fit left, of windows like these."""

    def restored(tensors: dict[str, Tensor]) -> FittedNetwork:
        network = _Network(_DESIGNS[name], windows, torch.ones(windows.shape[0]))
        return FittedNetwork.of(network, tensors, settled.passes)

    return restored


class _Network(nn.Module):
    """Logits (B, classes) of windows (B, C, T) in µV: at the network's rate, each electrode over its deviation.

    No mean is taken away, as windows have none to speak of, so that an electrode that a window lacks stays zero.
    """

    def __init__(self, design: _Design, windows: AnyWindows, deviations_C: Tensor) -> None:
        super().__init__()
        self.register_buffer("deviations_C", deviations_C)
        self._from_hz, self._to_hz = windows.sfreq, design.sfreq
        samples = resample(torch.zeros(1, windows.shape[1]), self._from_hz, self._to_hz).shape[-1]
        shape = {"n_chans": windows.shape[0], "n_times": samples, "n_outputs": len(windows.classes)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.network = getattr(models(), design.class_name)(**shape, sfreq=design.sfreq, **design.choices)
        except (RuntimeError, ValueError) as problem:
            reason = f"braindecode does not make it for windows of {samples / design.sfreq:g} s"
            raise RefusedError(reason, path=design.class_name, remedy="cut longer ones, or leave it out") from problem

    def forward(self, x_uv: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        x_BCT = x_uv / self.get_buffer("deviations_C")[:, None]
        logits: Tensor = self.network(resample(x_BCT, self._from_hz, self._to_hz))
        return logits


def _deviations(windows: Windows, numbers: NDArray[np.int64]) -> Tensor:
    """Return the deviation of each electrode in windows that have it, 1 where none has, in µV."""
    squares, counts = np.zeros(windows.shape[0]), np.zeros(windows.shape[0])
    for start in range(0, len(numbers), _AT_ONCE):
        some = numbers[start : start + _AT_ONCE]
        squares += np.square(windows.take(some), dtype=np.float64).sum(axis=(0, 2))
        counts += windows.present[some].sum(axis=0) * windows.shape[1]
    deviations = np.sqrt(squares / np.maximum(counts, 1))
    return torch.from_numpy(np.where(deviations > 0, deviations, 1)).float()
