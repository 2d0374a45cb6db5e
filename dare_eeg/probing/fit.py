"""Fit: a network on the windows of a fold, its best epoch chosen on valid, test asked once."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.probing.metrics import scores
from dare_eeg.probing.splits import Fold
from manifests import keyed


class Model(Protocol):
    """What a fit leaves: it says of any windows what it would say of them as test windows."""

    def predict(self, windows: AnyWindows, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return probabilities (n, classes) of windows by number."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the numbers it consists of besides those of a frozen encoder, by name, as a file keeps them."""


@dataclass(frozen=True)
class FoldFit:
    """What a classifier says of the test windows, (n, classes), how it got there, and itself, where it can be kept."""

    probabilities: NDArray[np.float64]
    selected: dict[str, int | float]
    curves: list[dict[str, float]] = field(default_factory=list)
    model: Model | None = None


Progress = Callable[[float], None]
"""What is told which share of a fit is done."""

Fitter = Callable[[Fold, int, Progress], FoldFit]
"""What fits a fold with a seed."""

Restorer = Callable[[dict[str, Tensor]], Model | None]
"""What makes of the tensors that a model left the model again, None where they are not all that it consists of."""


@dataclass(frozen=True)
class Training:
    """How a network is fitted: passes over the windows, windows of a step, peak learning rate, weight decay.

    ``layer_decay`` is the factor from one layer's rate to that of the layer below it, ``choose_on`` the part of the
    fold that chooses the best epoch.
    """

    epochs: int
    batch: int
    lr: float
    weight_decay: float
    layer_decay: float = 1.0
    choose_on: Literal["valid", "test"] = "valid"


def device() -> torch.device:
    """Return a GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit_network(
    network: nn.Module,
    layers: list[list[nn.Parameter]],
    windows: Windows,
    fold: Fold,
    training: Training,
    seed: int,
    progress: Progress,
) -> FoldFit:
    """Fit a network, logits (B, classes) of windows (B, C, T) in µV, and return what its best epoch says of test.

    The best epoch is that of the highest balanced accuracy, then likelihood. ``layers`` are those of its encoder from
    the bottom up. Cross entropy with weights sqrt(mean frequency / frequency), smoothed by 0.1 for more than two
    classes; AdamW by a one-cycle schedule.
    """
    network.to(device())
    chosen_on: NDArray[np.int64] = getattr(fold, training.choose_on)
    labels = fold.labels(windows)
    weights = _class_weights(labels[fold.train], len(windows.classes)).to(device())
    smoothing = 0.1 if len(windows.classes) > 2 else 0.0
    optimizer = torch.optim.AdamW(_groups(network, layers, training))
    steps = training.epochs * -(-len(fold.train) // training.batch)
    rise = 0.25 if steps == 5 else 0.2  # a fifth of five steps ends at the first, and torch divides by its length, 0
    peaks = [group["lr"] for group in optimizer.param_groups]
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=steps, pct_start=rise)
    best, best_state, curves = (-1.0, 0.0), copy.deepcopy(network.state_dict()), []
    selected: dict[str, int | float] = {}
    for epoch in range(1, training.epochs + 1):
        network.train()
        order = fold.train[keyed.permutation(keyed.key("probe", seed, epoch), len(fold.train))]
        total = 0.0
        for start in range(0, len(order), training.batch):
            numbers = order[start : start + training.batch]
            if len(numbers) < 2:
                continue  # batch norm has no variance of one window
            logits = network(torch.from_numpy(windows.take(numbers)).to(device()))
            targets = torch.from_numpy(labels[numbers]).to(device())
            loss = F.cross_entropy(logits, targets, weights, label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            cycle.step()
            progress((epoch - 1 + start / len(order)) / training.epochs)
            total += loss.item() * len(numbers)
        probabilities = predict(network, windows, chosen_on, training.batch)
        score = scores(labels[chosen_on], probabilities)["balanced_accuracy"]
        of_truth = probabilities[np.arange(len(probabilities)), labels[chosen_on]]
        log_likelihood = float(np.log(of_truth + 1e-12).mean())
        measured = {f"{training.choose_on}_balanced_accuracy": score}
        curves.append({"epoch": epoch, "train_loss": total / len(order)} | measured)
        if (score, log_likelihood) > best:
            best, best_state = (score, log_likelihood), copy.deepcopy(network.state_dict())
            selected = {"epoch": epoch} | measured
    network.load_state_dict(best_state)
    model = FittedNetwork(network, training.batch)
    return FoldFit(model.predict(windows, fold.test), selected, curves, model)


@dataclass(frozen=True)
class FittedNetwork:
    """A network with the weights of its best epoch; ``batch`` windows are asked of it at once."""

    network: nn.Module
    batch: int

    @classmethod
    @torch.no_grad()
    def of(cls, network: nn.Module, tensors: dict[str, Tensor], batch: int) -> "FittedNetwork":
        """Return a network that was just made with the `tensors` that one like it left.

        Raises ValueError where they are not its own.
        """
        whole = cls(network.to(device()), batch)
        own = whole.tensors()
        if {name: one.shape for name, one in own.items()} != {name: one.shape for name, one in tensors.items()}:
            raise ValueError("tensors of another network")
        for name, one in own.items():
            one.copy_(tensors[name])
        return whole

    def predict(self, windows: AnyWindows, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return probabilities (n, classes) of windows by number."""
        return predict(self.network, windows, numbers, self.batch)

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's parameters that were fitted, and its buffers."""
        fitted = {name: one.detach() for name, one in self.network.named_parameters() if one.requires_grad}
        return fitted | dict(self.network.named_buffers())


@torch.no_grad()
def predict(network: nn.Module, windows: AnyWindows, numbers: NDArray[np.int64], batch: int) -> NDArray[np.float64]:
    """Return probabilities (n, classes) of windows by number."""
    network.eval()
    parts = [
        network(torch.from_numpy(windows.take(numbers[start : start + batch])).to(device())).double().softmax(dim=1)
        for start in range(0, len(numbers), batch)
    ]
    return torch.cat(parts).cpu().numpy()


def _groups(network: nn.Module, layers: list[list[nn.Parameter]], training: Training) -> list[dict[str, Any]]:
    """Return parameter groups: no decay on 1-D tensors, and lower rates for the encoder's lower layers."""
    scales = {
        id(parameter): training.layer_decay ** (len(layers) - number)
        for number, layer in enumerate(layers)
        for parameter in layer
    }
    return [
        {
            "params": [parameter],
            "lr": training.lr * scales.get(id(parameter), 1.0),
            "weight_decay": training.weight_decay if parameter.ndim > 1 else 0.0,
        }
        for parameter in network.parameters()
        if parameter.requires_grad
    ]


def _class_weights(labels: NDArray[np.int64], num_classes: int) -> Tensor:
    counts = np.bincount(labels, minlength=num_classes)
    weights = np.sqrt(counts[counts > 0].mean() / np.maximum(counts, 1)) * (counts > 0)
    return torch.tensor(weights / weights[counts > 0].mean(), dtype=torch.float32)
