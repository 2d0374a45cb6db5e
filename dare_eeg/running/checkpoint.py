"""Checkpoints: save the engine's state, find the last whole one, go on from it or say why not.

A checkpoint is a folder that ``checkpoints.json`` names together with the sha256 of its files. That file is replaced
only after the folder has reached the disk, so at any instant it names a whole checkpoint or there is none.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from dare_eeg.encoders.weights import ENCODER_FILE, read_torch
from dare_eeg.running.engine import Engine, library
from dare_eeg.training.config import Planned, PretrainConfig
from dare_eeg.training.order import Identity, Plan
from manifests import records
from manifests.atomic_io import canonical_json, sha256_file, sync, write_bytes
from manifests.errors import DareError
from manifests.manifest import ORDER_VERSION
from manifests.records import Record, added

_POINTER = "checkpoints.json"

_STATES = "mp_rank_00_model_states.pt"
"""The file of a checkpoint that holds the network, whatever ZeRO shares out."""


class RunPlan(Planned):
    """All that must be equal to go on: the run's choices, the sources of its order, and how ZeRO shares the state.

    ``world_size`` is the number of processes where they contrast across ranks, else 0.
    """

    order_version: int
    sources: tuple[Identity, ...]
    zero_stage: int
    world_size: int = added(0, absent=0)

    @classmethod
    def of(cls, config: PretrainConfig, plan: Plan, engine: Engine) -> "RunPlan":
        """Return the plan of a run whose config says its precision and steps."""
        return cls(
            **{name: getattr(config, name) for name in Planned.model_fields},
            order_version=ORDER_VERSION,
            sources=tuple(one.identity for one in plan.sources),
            zero_stage=engine.zero_optimization_stage(),
            world_size=engine.world_size if config.gather_negatives else 0,
        )

    def differences(self, other: "RunPlan") -> list[str]:
        """Return in words each field that is another in ``other``."""
        told = []
        for name in RunPlan.model_fields:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                said = _of_sources(self, other) if name == "sources" else f"{mine}, now {theirs}"
                told.append(f"its {name} is another ({said})")
        return told


class Checkpoint(Record):
    """The last and the best checkpoint of a run, the step of the last, and the sha256 of its files by name."""

    KIND = "checkpoint"

    last: str
    best: str
    step: int
    best_valid: float | None
    plan: RunPlan
    processes: int
    sha256: dict[str, str]


def save(run: Path, engine: Engine, step: int, plan: RunPlan, best_valid: float | None, is_best: bool) -> None:
    """Save the state after ``step`` steps; the last and the best are kept, and named only once they are whole."""
    folder, name = run / "checkpoints", f"step-{step:08d}"
    if engine.global_rank == 0:
        shutil.rmtree(folder / name, ignore_errors=True)  # what a killed run left half-written, of other ranks perhaps
    _meet(engine)
    engine.save_checkpoint(str(folder), tag=name, client_state={"step": step}, save_latest=False)
    _meet(engine)
    if engine.global_rank == 0:
        for path in (*_files(folder / name), folder / name, folder):
            sync(path)
        known = None if is_best else last(run)
        best = known.best if known else name
        pointer = Checkpoint(
            last=name,
            best=best,
            step=step,
            best_valid=best_valid,
            plan=plan,
            processes=engine.world_size,
            sha256=_hashes(folder / name),
        )
        write_bytes(folder / _POINTER, canonical_json(pointer.as_json()))
        for stale in folder.glob("step-*"):
            if stale.name not in (name, best):
                shutil.rmtree(stale)


def exists(run: Path) -> bool:
    """Return whether a run has a whole checkpoint."""
    return (run / "checkpoints" / _POINTER).exists()


def last(run: Path) -> Checkpoint | None:
    """Return what a run says of its last whole checkpoint, None where it has none; DareError where it is damaged."""
    path = run / "checkpoints" / _POINTER
    return records.load(Checkpoint, path, f"remove {run} and start anew") if path.exists() else None


def read_network(run: Path) -> dict[str, Tensor] | None:
    """Return the weights of the whole network of a run's last checkpoint, None where it has none.

    Raises DareError where the file is damaged.
    """
    pointer = last(run)
    if not pointer:
        return None
    file = run / "checkpoints" / pointer.last / _STATES
    stored: object = None
    if file.exists() and sha256_file(file) == pointer.sha256.get(_STATES):
        with torch.serialization.safe_globals(_harmless()):
            stored = read_torch(file).get("module")
    if not isinstance(stored, dict) or not all(isinstance(value, Tensor) for value in stored.values()):
        raise DareError(f"{file}: is damaged, its bytes changed; start from {run / ENCODER_FILE} alone")
    return stored


def resume(run: Path, engine: Engine, plan: RunPlan) -> tuple[int, float | None]:
    """Load the last whole checkpoint and return (steps done, best valid loss so far).

    Raises DareError where there is none, where the plan differs (naming the fields), where ZeRO 1 or 2 meets another
    number of processes, or where a file is damaged.
    """
    pointer = last(run)
    if not pointer:
        raise DareError(f"{run}: has no checkpoint to resume from; leave out --resume")
    if others := pointer.plan.differences(plan):
        raise DareError(f"{run}: {', '.join(others)}; give the run's own, or another --out")
    stage = engine.zero_optimization_stage()
    if stage and pointer.processes != engine.world_size:
        raise DareError(
            f"{run}: was saved by {pointer.processes} processes, now {engine.world_size}; ZeRO {stage} goes on with as "
            "many as it had, ZeRO 0 with any number"
        )
    _refuse_pickle()
    folder = run / "checkpoints"
    files = folder / pointer.last
    if not _rank_0_finds(engine, lambda: pointer.sha256 == _hashes(files)):
        raise DareError(f"{files}: is damaged, its bytes changed; start anew with another --out")
    try:
        loaded, state = engine.load_checkpoint(str(folder), tag=pointer.last)
    except Exception as problem:
        reason = str(problem).strip().splitlines()[:1] or [type(problem).__name__]
        raise DareError(
            f"{files}: cannot be loaded ({reason[0][:120]}); if it is damaged, start anew with another --out"
        ) from problem
    if loaded is None or state.get("step") != pointer.step:
        raise DareError(f"{files}: is not the checkpoint that was saved; remove {run} and start anew")
    return pointer.step, pointer.best_valid


def _of_sources(mine: RunPlan, theirs: RunPlan) -> str:
    """Return which of the sources of two plans differ, and in what."""
    before, now = ({one.name: one for one in plan.sources} for plan in (mine, theirs))
    told = [f"{name} is {'gone' if name in before else 'new'}" for name in sorted(before.keys() ^ now.keys())]
    words = {"rows": "windows", "weight": "weight", "signature": "electrodes, rate or length"}
    for name in (name for name in before if name in now):
        others = [word for field, word in words.items() if getattr(before[name], field) != getattr(now[name], field)]
        told += [f"{name} has other {' and '.join(others)}"] if others else []
    return ", ".join(told) or "in another order"


def _meet(engine: Engine) -> None:
    if engine.world_size > 1:
        dist.barrier()


def _rank_0_finds(engine: Engine, check: Callable[[], bool]) -> bool:
    """Return on every rank what a check says on rank 0: one reads the files for all."""
    found = [engine.global_rank == 0 and check()]
    if engine.world_size > 1:
        dist.broadcast_object_list(found, src=0)
    return found[0]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_file())


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in _files(folder)}


def _refuse_pickle() -> None:
    """Make DeepSpeed load tensors only, and let through the harmless classes that it stores beside them."""
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals(_harmless())


def _harmless() -> list[Any]:
    """Return the three classes of its own that DeepSpeed stores beside tensors."""
    library()
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [LossScaler, ZeroStageEnum, fragment_address]
