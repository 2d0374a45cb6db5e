"""Classifiers: what a probe fits on top of an encoder. Each is chosen on valid and asked for test once."""

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from dare_eeg.data.shards import Windows
from dare_eeg.encoders.ours import PretrainedEncoder
from dare_eeg.network.heads import Adapter, FinetuneHead, ProbeHead
from dare_eeg.network.resample import resample
from dare_eeg.probing.metrics import scores
from dare_eeg.probing.options import Practice
from dare_eeg.probing.splits import Fold
from manifests import keyed
from manifests.electrodes import ids, in_vocabulary

_TIME_KERNEL = 15
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True)
class Fit:
    """What a classifier says of the test windows, (n, classes), and how it got there."""

    probabilities: NDArray[np.float64]
    selected: dict[str, int | float]
    curves: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Training:
    """How a network is fitted: passes over the windows, windows of a step, peak learning rate, weight decay."""

    epochs: int
    batch: int
    lr: float
    weight_decay: float


def features(encoder: PretrainedEncoder, windows: Windows, batch: int) -> NDArray[np.float32]:
    """Return frozen features of all windows, averaged over time patches: windows × (S × D).

    They are computed on a GPU where there is one. Electrodes that the network has no embedding for are left out.
    """
    encoder = encoder.to(_device())
    known = in_vocabulary(windows.electrodes)
    electrodes = [windows.electrodes[row] for row in known]
    parts = []
    with torch.inference_mode():
        for start in range(0, len(windows), batch):
            numbers = np.arange(start, min(start + batch, len(windows)))
            present = windows.present[numbers][:, known]
            found = encoder(windows.take(numbers)[:, known], electrodes, windows.sfreq, present)
            parts.append(found.mean(dim=1).flatten(1).float().cpu().numpy())
    return np.concatenate(parts)


def linear(table: NDArray[np.float32], labels: NDArray[np.int64], fold: Fold, num_classes: int) -> Fit:
    """Fit a logistic regression on features; its penalty is the one that does best on valid."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    best: tuple[float, float, Any] | None = None
    for penalty in _PENALTIES:
        regression = LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000)
        model = make_pipeline(StandardScaler(), regression).fit(table[fold.train], labels[fold.train])
        known = _all_classes(model.predict_proba(table[fold.valid]), regression.classes_, num_classes)
        score = scores(labels[fold.valid], known)["balanced_accuracy"]
        if best is None or score > best[0]:
            best = score, penalty, model
    assert best is not None
    score, penalty, model = best
    told = _all_classes(model.predict_proba(table[fold.test]), model[-1].classes_, num_classes)
    return Fit(told, {"C": penalty, "valid_balanced_accuracy": score})


class ProbeNetwork(nn.Module):
    """Adapter, encoder and head: logits (B, classes) of windows (B, C, T) in µV.

    Unless the practice is another, the adapter works at the encoder's rate and in its units, and its outputs carry the
    ids of ``electrodes``. Frozen, the encoder keeps its weights and only passes gradients on to the adapter.
    """

    def __init__(
        self,
        encoder: PretrainedEncoder,
        windows: Windows,
        electrodes: tuple[str, ...],
        finetune: bool,
        practice: Practice,
    ) -> None:
        super().__init__()
        self.pretrained = copy.deepcopy(encoder).requires_grad_(finetune)
        self.sfreq, self.finetune, self.practice = windows.sfreq, finetune, practice
        numbers = ids(electrodes) if practice.electrode_ids == "own" else list(range(len(electrodes)))
        self.register_buffer("ids", torch.tensor(numbers), persistent=False)
        size, classes = encoder.size, len(windows.classes)
        samples = self._at_its_rate(torch.empty(1, 1, windows.shape[1])).shape[-1]
        self.head: nn.Module
        if finetune:
            self.adapter = Adapter(windows.electrodes, electrodes, time_kernel=_TIME_KERNEL, layers=2)
            patches = (samples - _TIME_KERNEL + 1) // encoder.patch
            self.head = FinetuneHead(patches, size.summary_tokens, size.width, classes)
        else:
            self.adapter = Adapter(windows.electrodes, electrodes)
            self.head = ProbeHead(samples // encoder.patch, size.summary_tokens, size.width, classes)

    ids: Tensor

    def forward(self, x_uv: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        unit_scale = self.practice.unit_scale or self.pretrained.unit_scale
        return self.head(self.pretrained.encoder(self.adapter(self._at_its_rate(x_uv) * unit_scale), self.ids))

    def _at_its_rate(self, x_BCT: Tensor) -> Tensor:
        if self.practice.resampling == "band_limited":
            return resample(x_BCT, self.sfreq, self.pretrained.sfreq)
        if self.practice.resampling == "none":
            return x_BCT
        return F.interpolate(x_BCT, int(x_BCT.shape[-1] * self.pretrained.sfreq / self.sfreq), mode="nearest")

    def train(self, mode: bool = True) -> "ProbeNetwork":
        """Set training mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if not self.finetune:
            self.pretrained.eval()
        return self

    def groups(self, training: Training) -> list[dict[str, Any]]:
        """Return parameter groups: no decay on 1-D tensors, and lower rates for the encoder's lower blocks."""
        depth = self.pretrained.size.depths[0]
        grouped = []
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                scale = self.practice.layer_decay ** (depth + 1 - _layer(name, depth))
                decay = training.weight_decay if parameter.ndim > 1 else 0.0
                grouped.append({"params": [parameter], "lr": training.lr * scale, "weight_decay": decay})
        return grouped


def trained(network: ProbeNetwork, windows: Windows, fold: Fold, training: Training, seed: int) -> Fit:
    """Fit a network, keep its best epoch by balanced accuracy on valid, and return its word on test.

    (A published practice chooses the epoch on test.)
    Cross entropy with weights sqrt(mean frequency / frequency), smoothed by 0.1 for more than two classes.
    """
    device = _device()
    network.to(device)
    chosen_on = getattr(fold, network.practice.choose_on)
    labels = windows.labels.astype(np.int64)
    weights = _class_weights(labels[fold.train], len(windows.classes)).to(device)
    smoothing = 0.1 if len(windows.classes) > 2 else 0.0
    optimizer = torch.optim.AdamW(network.groups(training))
    steps = -(-len(fold.train) // training.batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["lr"] for group in optimizer.param_groups], total_steps=training.epochs * steps, pct_start=0.2
    )
    best, best_state, curves = (-1.0, 0.0), copy.deepcopy(network.state_dict()), []
    for epoch in range(1, training.epochs + 1):
        network.train()
        order = fold.train[keyed.permutation(keyed.key("probe", seed, epoch), len(fold.train))]
        total = 0.0
        for start in range(0, len(order), training.batch):
            numbers = order[start : start + training.batch]
            if len(numbers) < 2:
                continue  # batch norm has no variance of one window
            logits = network(torch.from_numpy(windows.take(numbers)).to(device))
            targets = torch.from_numpy(labels[numbers]).to(device)
            loss = F.cross_entropy(logits, targets, weights, label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
            total += loss.item() * len(numbers)
        told = predict(network, windows, chosen_on, training.batch)
        score = scores(labels[chosen_on], told)["balanced_accuracy"]
        log_likelihood = float(np.log(told[np.arange(len(told)), labels[chosen_on]] + 1e-12).mean())
        measured = {f"{network.practice.choose_on}_balanced_accuracy": score}
        curves.append({"epoch": epoch, "train_loss": total / len(order)} | measured)
        if (score, log_likelihood) > best:
            best, best_state = (score, log_likelihood), copy.deepcopy(network.state_dict())
            selected = {"epoch": epoch} | measured
    network.load_state_dict(best_state)
    return Fit(predict(network, windows, fold.test, training.batch), selected, curves)


@torch.no_grad()
def predict(network: nn.Module, windows: Windows, numbers: NDArray[np.int64], batch: int) -> NDArray[np.float64]:
    """Return probabilities (n, classes) of windows by number."""
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(torch.from_numpy(windows.take(numbers[start : start + batch])).to(device)).double().softmax(dim=1)
        for start in range(0, len(numbers), batch)
    ]
    return torch.cat(parts).cpu().numpy()


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _layer(name: str, depth: int) -> int:
    """Return how far up a parameter lies: 0 the encoder's embeddings, depth + 1 its norm, the adapter and the head."""
    if not name.startswith("pretrained.encoder."):
        return depth + 1
    part, _, rest = name.removeprefix("pretrained.encoder.").partition(".")
    if part == "blocks":
        return 1 + int(rest.partition(".")[0])
    return depth + 1 if part == "norm" else 0


def _class_weights(labels: NDArray[np.int64], num_classes: int) -> Tensor:
    counts = np.bincount(labels, minlength=num_classes)
    weights = np.sqrt(counts[counts > 0].mean() / np.maximum(counts, 1)) * (counts > 0)
    return torch.tensor(weights / weights[counts > 0].mean(), dtype=torch.float32)


def _all_classes(probabilities: NDArray[np.float64], known: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """Return probabilities with a zero column for every class that the training part lacks."""
    whole = np.zeros((len(probabilities), num_classes))
    whole[:, known] = probabilities
    return whole
