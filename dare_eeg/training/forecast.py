"""Forecast: what a run would take in time, memory and disk, from steps that are timed here; nothing is written."""

import resource
import shutil
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from dare_eeg.data.shards import TrainingSet
from dare_eeg.network.model import Network
from dare_eeg.running.job import watch_peers
from dare_eeg.running.ranks import Ranks
from dare_eeg.training import header
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.loader import Loader
from dare_eeg.training.pretrain import Prepared, prepare, trained_on
from dare_eeg.training.step import train_step

_STEPS, _LONG_S = 10, 20.0
"""Steps that are done, at most; no more once they have taken so long. The first is not counted if there are others."""

_FORWARD = 1 / 3
"""What a window costs to validate on, as a share of a window to train on: there is no way back."""

_CHECKPOINTS = 3
"""Checkpoints that are there at once: the last, the best and the one that is being written."""

_METRICS_BYTES = 1500
"""What a step leaves in metrics.jsonl and TensorBoard."""


def forecast(config: PretrainConfig, sets: list[TrainingSet], resume: bool = False) -> dict[str, Any]:
    """Return the facts of a run's header, and what it would take: bytes of disk and memory, seconds.

    Raises DareError where the run itself would not begin.
    """
    made = prepare(config, sets, resume)
    trainer, order = made.trainer, made.order
    took_s, waited_s = _timed(made, sets)
    config, left = trainer.config, order.steps - made.done
    validations = left // config.checkpoint_every + bool(order.steps % config.checkpoint_every)
    valid = sum(len(one.valid) for one in sets)
    step_s = fmean(took_s[1:] or took_s or [0.0])  # sets of several montages take turns, and their steps differ
    checkpoint, encoder = _state_bytes(trainer.network), _bytes(trainer.network.encoder)
    there = next(
        folder for folder in (Path(config.out).absolute(), *Path(config.out).absolute().parents) if folder.exists()
    )
    return header.facts(config, sets, trainer.network, trainer.ranks) | {
        "done": made.done,
        "begins": made.began.said,
        "timed_steps": len(took_s),
        "step_s": round(step_s, 4),
        "waited": round(sum(waited_s) / (sum(took_s) or 1), 4),
        "validations": validations if valid else 0,
        "hours": round((left * step_s + validations * valid / config.global_batch * step_s * _FORWARD) / 3600, 4),
        "memory_bytes": _peak_memory(trainer.ranks),
        "checkpoint_bytes": checkpoint,
        "encoder_bytes": encoder,
        "disk_bytes": _CHECKPOINTS * checkpoint + encoder + _METRICS_BYTES * order.steps,
        "free_bytes": shutil.disk_usage(there).free,
    }


def text(told: dict[str, Any]) -> str:
    """Return a forecast as lines a person reads."""
    said = header.lines(told, told["done"], told["steps"])
    said += [f"  {told['begins']}"] if told["begins"] else []
    lacking = "" if told["disk_bytes"] < told["free_bytes"] else ": too few"
    duration = timedelta(seconds=round(3600 * told["hours"]))
    return "\n".join(
        [
            *said,
            f"  disk: {_megabytes(told['disk_bytes'])}: at most {_CHECKPOINTS} checkpoints of "
            f"{_megabytes(told['checkpoint_bytes'])}, an encoder of {_megabytes(told['encoder_bytes'])}, metrics; "
            f"{_megabytes(told['free_bytes'])} are free{lacking}",
            f"  memory: {_megabytes(told['memory_bytes'])} at the peak of the timed steps, by each process",
            f"  time: {told['hours']:,.2f} h ({duration}): {told['step_s']:.3g} s a step, the mean of "
            f"{told['timed_steps']} timed here, {told['waited']:.0%} of it waiting for data, and "
            f"{told['validations']} validations",
            "nothing was written",
        ]
    )


def _timed(made: Prepared, sets: list[TrainingSet]) -> tuple[list[float], list[float]]:
    """Do some steps and return the seconds of each, and how long each waited for data."""
    took_s: list[float] = []
    waited_s: list[float] = []
    ranks = made.trainer.ranks
    with tempfile.TemporaryDirectory() as scratch:
        trainer = replace(made.trainer, config=made.trainer.config.model_copy(update={"out": scratch}))
        loader = Loader(made.order, trained_on(sets), trainer.config, made.done, ranks)
        with watch_peers(made.leave), closing(loader):
            batches = iter(loader)
            for step in range(made.done, min(made.done + _STEPS, made.order.steps)):
                began = time.perf_counter()
                waited_s.append(train_step(trainer, step, batches)["data_wait_s"])
                took_s.append(time.perf_counter() - began)
                if ranks.any(sum(took_s) > _LONG_S):
                    break
    return took_s, waited_s


def _state_bytes(network: Network) -> int:
    """Return the bytes of a checkpoint: the network, and of what is trained the two moments of Adam."""
    trained = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)
    return _bytes(network) + 2 * trained


def _bytes(module: nn.Module) -> int:
    tensors: list[Tensor] = list(module.state_dict().values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _peak_memory(ranks: Ranks) -> int:
    """Return the most bytes that were in use: of the GPU's memory, or of this process's."""
    if ranks.device.type == "cuda":
        return torch.cuda.max_memory_allocated(ranks.device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1 << 10)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
