"""Training: a network fitted on the windows of a fold, its best epoch chosen on valid, test asked once."""

import copy
import math
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.probing.figures.metrics import scores
from dare_eeg.probing.fit import FoldFit, Progress
from dare_eeg.probing.networks.micro_batches import cut, gradients
from dare_eeg.probing.networks.schedule import Rates
from dare_eeg.probing.options import ClassWeights, ProbeOptions, Schedule
from dare_eeg.probing.splits import Fold
from dare_eeg.running.ranks import ALONE, Ranks
from manifests import keyed
from manifests.errors import RefusedError


@dataclass(frozen=True)
class Training:
    """How a network is fitted, in the terms of `ProbeOptions`, and by which processes together."""

    epochs: int
    batch: int
    micro_batch: int
    lr: float
    min_lr: float
    warm_up_epochs: float
    schedule: Schedule
    weight_decay: float
    label_smoothing: float
    class_weights: ClassWeights
    layer_decay: float
    choose_on: Literal["valid", "test"]
    ranks: Ranks

    @classmethod
    def of(cls, settled: ProbeOptions, ranks: Ranks) -> "Training":
        """Return what settled options ask for."""
        asked = {one.name: getattr(settled, one.name) for one in fields(cls) if one.name != "ranks"}
        return cls(**asked, ranks=ranks)


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
    the bottom up. The loss is cross entropy, the optimizer AdamW. Orders and dropout are keyed by (seed, epoch, step,
    micro-batch), so that any number of ranks makes of it the same. Raises RefusedError for a loss, or predictions, that
    are not finite.
    """
    network.to(device())
    chosen_on: NDArray[np.int64] = getattr(fold, training.choose_on)
    labels = fold.labels(windows)
    weights = _class_weights(labels[fold.train], len(windows.classes), training.class_weights)
    optimizer = torch.optim.AdamW(_groups(network, layers, training))
    of_epoch = len(cut(fold.train, training.batch))
    rates = Rates(training.schedule, training.epochs * of_epoch, training.warm_up_epochs * of_epoch, training.lr,
                  training.min_lr)  # fmt: skip
    best, best_state, curves = (-1.0, 0.0), copy.deepcopy(network.state_dict()), []
    selected: dict[str, int | float] = {}
    for epoch in range(1, training.epochs + 1):
        network.train()
        order = fold.train[keyed.permutation(keyed.key("probe", seed, epoch), len(fold.train))]
        total = 0.0
        for step, numbers in enumerate(cut(order, training.batch)):
            _set_rate(optimizer, *rates.at((epoch - 1) * of_epoch + step))
            share = float(weights[labels[numbers]].sum())
            loss_of = _StepLoss(network, windows, labels, weights / share, training.label_smoothing)
            losses = [
                partial(loss_of, part, keyed.key("dropout", seed, epoch, step, number))
                for number, part in enumerate(cut(numbers, training.micro_batch))
            ]
            loss = gradients(network, losses, training.ranks)
            if not math.isfinite(loss):
                raise _not_finite(f"the loss of epoch {epoch}", windows, numbers)
            optimizer.step()
            progress((epoch - 1 + step / of_epoch) / training.epochs)
            total += loss * len(numbers)
        probabilities = predict(network, windows, chosen_on, training.micro_batch, training.ranks)
        score = scores(labels[chosen_on], probabilities)["balanced_accuracy"]
        of_truth = probabilities[np.arange(len(probabilities)), labels[chosen_on]]
        log_likelihood = float(np.log(of_truth + 1e-12).mean())
        measured = {f"{training.choose_on}_balanced_accuracy": score}
        curves.append({"epoch": epoch, "train_loss": total / len(order)} | measured)
        if (score, log_likelihood) > best:
            best, best_state = (score, log_likelihood), copy.deepcopy(network.state_dict())
            selected = {"epoch": epoch} | measured
    network.load_state_dict(best_state)
    probabilities = predict(network, windows, fold.test, training.micro_batch, training.ranks)
    trained = sum(one.numel() for one in network.parameters() if one.requires_grad)
    return FoldFit(probabilities, selected, curves, FittedNetwork(network, training.micro_batch), trained)


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
        """Return probabilities (n, classes) of windows by number; this process computes all of them."""
        return predict(self.network, windows, numbers, self.batch)

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's parameters that were fitted, and the buffers beside them; none of a frozen encoder."""
        frozen = "encoder." if getattr(self.network, "is_frozen", False) else ()
        fitted = {name: one.detach() for name, one in self.network.named_parameters() if one.requires_grad}
        return fitted | {name: one for name, one in self.network.named_buffers() if not name.startswith(frozen)}


@torch.no_grad()
def predict(
    network: nn.Module, windows: AnyWindows, numbers: NDArray[np.int64], batch: int, ranks: Ranks = ALONE
) -> NDArray[np.float64]:
    """Return probabilities (n, classes) of windows by number, which ranks compute in turn, ``batch`` at once.

    Raises RefusedError where they are not finite.
    """
    network.eval()
    parts = [numbers[start : start + batch] for start in range(0, len(numbers), batch)]
    mine = [
        network(torch.from_numpy(windows.take(parts[number])).to(device())).double().softmax(dim=1).cpu().numpy()
        for number in ranks.share(len(parts))
    ]
    of_ranks = ranks.gather(mine)
    found = np.concatenate([of_ranks[number % ranks.world][number // ranks.world] for number in range(len(parts))])
    if not np.isfinite(found).all():
        raise _not_finite("what the network says", windows, numbers)
    return found


@dataclass(frozen=True)
class _StepLoss:
    """What windows add to the loss of a step: ``weights`` are by class, over those of all windows of the step."""

    network: nn.Module
    windows: Windows
    labels: NDArray[np.int64]
    weights: Tensor
    smoothing: float

    def __call__(self, numbers: NDArray[np.int64], key: int) -> Tensor:
        """Return what a micro-batch adds, with dropout drawn by a key."""
        torch.manual_seed(key >> 1)
        logits = self.network(torch.from_numpy(self.windows.take(numbers)).to(device()))
        targets, weights = torch.from_numpy(self.labels[numbers]).to(device()), self.weights.to(device())
        return F.cross_entropy(logits, targets, weights, reduction="sum", label_smoothing=self.smoothing)


def _set_rate(optimizer: torch.optim.Optimizer, lr: float, beta1: float) -> None:
    for group in optimizer.param_groups:
        group["lr"], group["betas"] = lr * group["scale"], (beta1, 0.999)


def _not_finite(what: str, windows: AnyWindows, numbers: NDArray[np.int64]) -> RefusedError:
    """Return the refusal of something that is not finite, with the window that is to blame, if one is."""
    for number in numbers:
        if not np.isfinite(windows.take(number[None])).all():
            which = f"the window at {windows.start_s[number]:g} s of {windows.recordings[number]}"
            reason = f"{which} holds numbers that are not finite"
            return RefusedError(reason, path=windows.folder, remedy="make the set anew")
    remedy = "lower the rate (--set lr=1e-4), or look at the signal by dare inspect"
    return RefusedError(f"{what} is not finite", path=windows.folder, remedy=remedy)


def _groups(network: nn.Module, layers: list[list[nn.Parameter]], training: Training) -> list[dict[str, Any]]:
    """Return parameter groups: no decay on 1-D tensors, and lower rates, by their ``scale``, for lower layers."""
    scales = {
        id(parameter): training.layer_decay ** (len(layers) - number)
        for number, layer in enumerate(layers)
        for parameter in layer
    }
    return [
        {
            "params": [parameter],
            "scale": scales.get(id(parameter), 1.0),
            "weight_decay": training.weight_decay if parameter.ndim > 1 else 0.0,
        }
        for parameter in network.parameters()
        if parameter.requires_grad
    ]


def _class_weights(labels: NDArray[np.int64], num_classes: int, kind: ClassWeights) -> Tensor:
    """Return what a window of each class counts, of classes that are there 1 on average."""
    counts = np.bincount(labels, minlength=num_classes)
    weights = np.sqrt(counts[counts > 0].mean() / np.maximum(counts, 1)) * (counts > 0)
    even = (counts > 0).astype(np.float64)
    return torch.tensor(even if kind == "none" else weights / weights[counts > 0].mean(), dtype=torch.float32)
