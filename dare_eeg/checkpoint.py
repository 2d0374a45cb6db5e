"""Checkpoints: save the engine's state, find the last whole one, go on from it or say why not.

A checkpoint is a folder that ``checkpoints.json`` names together with the sha256 of its files. That file is replaced
only after the folder has reached the disk, so at any instant it names a whole checkpoint or there is none.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist

from manifests.durable import canonical_json, read_json, sha256_file, sync, write_bytes
from manifests.errors import DareError

_POINTER = "checkpoints.json"


def save(run: Path, engine: Any, step: int, plan: dict[str, Any], best_valid: float | None, is_best: bool) -> None:
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
        known = _pointer(run)
        best = name if is_best else known.get("best", name)
        pointer = {"last": name, "best": best, "step": step, "best_valid": best_valid, "plan": plan | _settings(engine)}
        pointer |= {"processes": engine.world_size, "sha256": _hashes(folder / name)}
        write_bytes(folder / _POINTER, canonical_json(pointer))
        for stale in folder.glob("step-*"):
            if stale.name not in (name, best):
                shutil.rmtree(stale)


def exists(run: Path) -> bool:
    """Return whether a run has a whole checkpoint."""
    return (run / "checkpoints" / _POINTER).exists()


def resume(run: Path, engine: Any, plan: dict[str, Any]) -> tuple[int, float | None]:
    """Load the last whole checkpoint and return (steps done, best valid loss so far).

    Raises DareError where there is none, where the plan differs (naming the fields), where ZeRO 1 or 2 meets another
    number of processes, or where a file is damaged.
    """
    pointer = _pointer(run)
    if not pointer:
        raise DareError(f"{run}: has no checkpoint to resume from; leave out --resume")
    others = []
    for field, value in json.loads(canonical_json(plan | _settings(engine))).items():
        theirs = pointer["plan"].get(field)
        if theirs != value:
            said = f" ({theirs}, now {value})" if len(f"{theirs}{value}") < 80 else ""
            others.append(f"its {field} is another{said}")
    if others:
        raise DareError(f"{run}: {', '.join(others)}; give the run's own, or another --out")
    stage, processes = engine.zero_optimization_stage(), pointer["processes"]
    if stage and processes != engine.world_size:
        raise DareError(
            f"{run}: was saved by {processes} processes, now {engine.world_size}; ZeRO {stage} goes on with as many as "
            "it had, ZeRO 0 with any number"
        )
    _refuse_pickle()
    folder = run / "checkpoints"
    if not _rank_0_finds(engine, lambda: pointer["sha256"] == _hashes(folder / pointer["last"])):
        raise DareError(f"{folder / pointer['last']}: is damaged, its bytes changed; start anew with another --out")
    try:
        loaded, state = engine.load_checkpoint(str(folder), tag=pointer["last"])
    except Exception as problem:
        reason = str(problem).strip().splitlines()[:1] or [type(problem).__name__]
        raise DareError(
            f"{folder / pointer['last']}: cannot be loaded ({reason[0][:120]}); if it is damaged, start anew with "
            "another --out"
        ) from problem
    if loaded is None or state.get("step") != pointer["step"]:
        raise DareError(
            f"{folder / pointer['last']}: is not the checkpoint that was saved; remove {run} and start anew"
        )
    return int(pointer["step"]), pointer["best_valid"]


def _settings(engine: Any) -> dict[str, Any]:
    """Return what the engine was told that must be equal to go on, whoever told it."""
    return {"zero_stage": engine.zero_optimization_stage(), "gradient_clipping": engine.gradient_clipping()}


def _meet(engine: Any) -> None:
    if engine.world_size > 1:
        dist.barrier()


def _rank_0_finds(engine: Any, check: Callable[[], bool]) -> bool:
    """Return on every rank what a check says on rank 0: one reads the files for all."""
    found = [engine.global_rank == 0 and check()]
    if engine.world_size > 1:
        dist.broadcast_object_list(found, src=0)
    return found[0]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_file())


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in _files(folder)}


def _pointer(run: Path) -> dict[str, Any]:
    path = run / "checkpoints" / _POINTER
    return read_json(path, f"remove {run} and start anew") if path.exists() else {}


def _refuse_pickle() -> None:
    """Make DeepSpeed load tensors only, and let through the three harmless classes of its own it stores beside them."""
    import torch
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals([LossScaler, ZeroStageEnum, fragment_address])
