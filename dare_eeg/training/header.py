"""Header: what a run is about to do, on what and with what, as facts and in lines, before its first step."""

from typing import Any

import torch

from dare_eeg.data.shards import TrainingSet, Windows
from dare_eeg.network.model import Network
from dare_eeg.running.ranks import Ranks
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.left_out import READ, kept, reasons
from dare_eeg.training.loader import outside_vocabulary
from dare_eeg.training.resume import longer
from manifests.electrodes import VOCABULARY

_LISTED = 24
"""Electrodes that are named one by one; of more only the number is told."""


def facts(config: PretrainConfig, sets: list[TrainingSet], network: Network, ranks: Ranks) -> dict[str, Any]:
    """Return what a run has to train on, what it trains, where, and its plan; its config has steps."""
    names = {name for one in sets for name in one.train.electrodes}
    trained = [p for p in network.parameters() if p.requires_grad]
    windows = sum(len(one.train) for one in sets)
    return {
        "run": config.out,
        "shards": config.shards,
        "sets": [one.name for one in sets],
        **{split: _part(sets, split) for split in READ},
        "left_out": reasons(sets, config.exclude),
        "electrodes": [name for name in VOCABULARY if name in names],
        "electrodes_left_out": outside_vocabulary(sets),
        "size": config.size,
        "parameters": sum(p.numel() for p in trained),
        "encoder_parameters": sum(p.numel() for p in network.encoder.parameters()),
        "device": _device(ranks.device),
        "precision": config.precision,
        "steps": config.steps,
        "epochs": round(config.steps * config.global_batch / windows, 2),
        "global_batch": config.global_batch,
        "micro_batch": config.micro_batch,
        "processes": ranks.world,
        "checkpoint_every": config.checkpoint_every,
    }


def lines(told: dict[str, Any], done: int, stop_at: int) -> list[str]:
    """Return the facts of a run as lines a person reads, for a call that goes from ``done`` steps to ``stop_at``."""
    electrodes = told["electrodes"]
    listed = f": {', '.join(electrodes)}" if len(electrodes) <= _LISTED else ""
    every, processes = told["checkpoint_every"], told["processes"]
    said = [
        f"{told['run']}: {told['size']} on {told['shards']}{_of_sets(told['sets'])}",
        *(_of_part(split, told[split]) for split in READ),
    ]
    said += told["left_out"]
    said.append(f"electrodes: {len(electrodes)} of the network's {len(VOCABULARY)}{listed}")
    if strange := told["electrodes_left_out"]:
        said.append(f"left out, the network has no embedding for them: {', '.join(strange)}")
    said += [
        f"network: {told['parameters']:,} parameters to train, {told['encoder_parameters']:,} of them the encoder's; "
        f"{told['precision']} on {told['device']}",
        f"plan: {told['steps']:,} steps of {told['global_batch']} windows ({told['epochs']:,.1f} passes over train) in "
        f"micro-batches of {told['micro_batch']}, by {processes} process{'es' * (processes > 1)}; "
        f"a checkpoint{' and a validation' * bool(told['valid']['windows'])} every {every:,} steps",
    ]
    if not told["valid"]["windows"]:
        said.append("no window to validate on: the encoder will be that of the last step")
    if done == told["steps"]:
        said.append(f"no step is left to do; {longer(told['run'], 'N')}")
    elif done or stop_at < told["steps"]:
        said.append(f"this call: from step {done + 1:,} to {stop_at:,}")
    return [said[0], *(f"  {line}" for line in said[1:])]


def _part(sets: list[TrainingSet], split: str) -> dict[str, Any]:
    parts: list[Windows] = [getattr(one, split) for one in sets]
    hours = sum(len(part) * part.shape[1] / part.sfreq / 3600 for part in parts)
    windows = sum(len(part) for part in parts)
    return {"windows": windows, "hours": round(hours, 4), "subjects": len(kept(sets, split))}


def _of_part(split: str, part: dict[str, Any]) -> str:
    return f"{split:5} {part['windows']:7} windows  {part['subjects']:4} subjects  {part['hours']:8.2f} h"


def _of_sets(names: list[str]) -> str:
    return f" ({', '.join(names)})" if len(names) > 1 else ""


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' * (threads > 1)}"
