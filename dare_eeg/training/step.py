"""Step: one optimizer step of a run with its metrics, and validation, by all ranks at once."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dare_eeg.data.shards import TrainingSet
from dare_eeg.network import losses
from dare_eeg.network.losses import Losses
from dare_eeg.network.model import Network, Outputs
from dare_eeg.running.engine import Engine
from dare_eeg.running.ranks import Ranks
from dare_eeg.training import schedule
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.loader import valid_batches
from dare_eeg.training.micro_batch import MicroBatch
from manifests.atomic_io import canonical_json, write_bytes
from manifests.errors import DivergedError

HEALTH = ("target_variance", "effective_rank")
HEALTH_EVERY = 20
"""Steps between two looks at the spread of features: an eigendecomposition a step would cost more than it tells."""

BETA1 = 0.95
"""Adam's beta1 where it is not cycled."""


@dataclass(frozen=True)
class Trainer:
    """What a run trains with: the network, the engine around it, the ranks that share it, and a config with steps."""

    network: Network
    engine: Engine
    ranks: Ranks
    config: PretrainConfig


def train_step(trainer: Trainer, step: int, batches: Iterator[MicroBatch], restarted_at: int = 0) -> dict[str, Any]:
    """Do one optimizer step and return its metrics; loss parts are means over the global batch.

    Schedules count from ``restarted_at``. What tells of collapse is measured every `HEALTH_EVERY` steps, else None.
    """
    engine, ranks, config = trainer.engine, trainer.ranks, trainer.config
    began = time.perf_counter()
    scheduled = step - restarted_at
    lr = schedule.learning_rate(scheduled, config.steps, config.lr)
    beta1 = schedule.beta1(scheduled, config.steps) if config.cycle_beta1 else BETA1
    for group in engine.optimizer.param_groups:
        group["lr"], group["betas"] = lr, (beta1, group["betas"][1])
    parts: list[dict[str, Tensor]] = []
    seen: list[MicroBatch] = []
    waited = 0.0
    for _ in ranks.share(config.global_batch // config.micro_batch):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        outputs, measured = _forward(trainer, batch, config.gather_negatives and ranks.world > 1)
        loss = losses.total(measured, config.objective)
        engine.backward(loss)
        engine.step()
        health = _health(outputs, batch) if step % HEALTH_EVERY == 0 else {}
        parts.append({name: one.detach() for name, one in (vars(measured) | {"loss": loss} | health).items()})
        seen.append(batch)
    # One transfer a step: a number read earlier makes the processor wait for the GPU.
    table = torch.stack([torch.stack([value.double() for value in part.values()]) for part in parts]).cpu()
    means = dict(zip(parts[0], (round(mean, 8) for mean in ranks.mean(table.mean(dim=0))), strict=True))
    # Every rank sees the mean, so that all stop and none waits for one that did.
    if not math.isfinite(means["loss"]):
        finite = [bool(row.isfinite().all()) for row in table]
        raise _not_finite(trainer, step + 1, list(zip(finite, (one.windows for one in seen), strict=True)))
    momentum = schedule.momentum(scheduled, config.steps)
    trainer.network.update_target(momentum)
    speed = round(config.global_batch / (time.perf_counter() - began), 3)
    settings = {"lr": lr, "momentum": momentum, "samples_per_s": speed, "data_wait_s": round(waited, 6)}
    return {"step": step + 1} | dict.fromkeys(HEALTH) | means | settings


@torch.no_grad()
def validate(trainer: Trainer, sets: list[TrainingSet], step: int) -> dict[str, float] | None:
    """Return the loss parts over every valid window once; None where there is none.

    Crops and masks are the same each time, unless the config wants new ones after each ``step``.
    """
    config, ranks = trainer.config, trainer.ranks
    sums: dict[str, float] = {}
    weight, first_not_finite = 0.0, ""
    for batch in valid_batches(sets, config, step, ranks):
        outputs, measured = _forward(trainer, batch)
        parts = vars(measured) | {"loss": losses.total(measured, config.objective)} | _health(outputs, batch)
        numbers = {name: value.item() for name, value in parts.items()}
        if not math.isfinite(numbers["loss"]):
            first_not_finite = first_not_finite or batch.windows[0]
        num_windows = float(batch.weight.sum())
        weight += num_windows
        for name, value in numbers.items():
            sums[name] = sums.get(name, 0.0) + value * num_windows
    if not any(len(one.valid) for one in sets):
        return None
    of_ranks = ranks.gather((sums, weight))
    weight = sum(of_rank for _, of_rank in of_ranks)
    names = next(of_rank for of_rank, _ in of_ranks if of_rank)
    means = {name: round(sum(of_rank.get(name, 0.0) for of_rank, _ in of_ranks) / weight, 8) for name in names}
    if not math.isfinite(means["loss"]):
        raise DivergedError(
            "the loss is not finite on valid",
            path=config.out,
            remedy=f"look at {first_not_finite or 'a rank'}, or lower --lr",
        )
    return means


def _forward(trainer: Trainer, batch: MicroBatch, across_ranks: bool = False) -> tuple[Outputs, Losses]:
    config = trainer.config
    nearest = config.resampling == "nearest"
    x_BCT, ids_C, present_BC, weight_B = batch.tensors(trainer.ranks.device, config.unit_scale, nearest)
    seen_BCT = None if batch.augmentation is None else batch.augmentation(x_BCT)
    outputs = trainer.engine(x_BCT, ids_C, batch.masks, present_BC, seen_BCT)
    padded = not bool((batch.weight > 0).all())
    temperature = trainer.network.loss_mc.temperature
    return outputs, losses.measure(outputs, temperature, weight_B if padded else None, across_ranks)


def _not_finite(trainer: Trainer, step: int, batches: list[tuple[bool, list[str]]]) -> DivergedError:
    """Leave the windows of a step in not_finite.json, by whether their batch was finite, and say where to look."""
    run = Path(trainer.config.out)
    every = [batch for of_rank in trainer.ranks.gather(batches) for batch in of_rank]
    not_finite, finite = ([windows for is_finite, windows in every if is_finite == wanted] for wanted in (False, True))
    if trainer.ranks.is_first:
        told = {"step": step, "not_finite": not_finite, "finite": finite}
        write_bytes(run / "not_finite.json", canonical_json(told))
    others = "" if finite else "; as no batch is finite, the step before may have spoiled the weights"
    return DivergedError(
        f"the loss is not finite at step {step}",
        path=run,
        remedy=f"look at {(not_finite or finite)[0][0]} and the other windows in not_finite.json, or lower --lr{others}"
        "; the last checkpoint is whole",
    )


def _health(outputs: Outputs, batch: MicroBatch) -> dict[str, Tensor]:
    """Return what tells an anchor loss that falls by learning from one that falls because features collapse."""
    h_raw = outputs.h_raw[torch.from_numpy(batch.weight > 0)]
    return dict(zip(HEALTH, (losses.target_variance(h_raw), losses.effective_rank(h_raw)), strict=True))
