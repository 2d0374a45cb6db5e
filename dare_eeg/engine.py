"""Engine: a DeepSpeed engine around a network, alone or under a launcher, on what hardware there is."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dare_eeg.config import PretrainConfig
from manifests.durable import read_json
from manifests.errors import DareError

_OURS = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "optimizer", "scheduler")


def start(network: nn.Module, config: PretrainConfig) -> Any:
    """Return a DeepSpeed engine with AdamW around a network.

    Under a launcher (RANK and WORLD_SIZE set) the ranks share each global batch; alone no port or network is used.
    Raises DareError for batches the ranks cannot share and for a --deepspeed file that contradicts the run.
    """
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ.setdefault("DS_LOG_LEVEL", "error")
    import deepspeed
    from deepspeed.utils import logger

    logger.setLevel("ERROR")
    # The shared-memory op is compiled on first use and brings nothing; gloo needs no compiler.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    os.environ.setdefault("LOCAL_RANK", "0")
    world = _join(deepspeed, "nccl" if on_gpu else "gloo")
    if config.global_batch % (config.micro_batch * world):
        raise DareError(
            f"global batch {config.global_batch} is no multiple of micro-batch {config.micro_batch} times {world} "
            "processes; change --global-batch or --micro-batch"
        )
    settings = {
        "train_batch_size": config.global_batch,
        "train_micro_batch_size_per_gpu": config.micro_batch,
        "gradient_accumulation_steps": config.global_batch // (config.micro_batch * world),
        "steps_per_print": 10**9,
        "zero_optimization": {"stage": 0},
        "torch_autocast": {"enabled": precision(config) == "bf16", "dtype": "bfloat16"},
    }
    optimizer = torch.optim.AdamW(decay_groups(network, config.weight_decay), lr=config.lr, betas=(0.95, 0.999))
    return deepspeed.initialize(model=network, optimizer=optimizer, config=settings | _users(config))[0]


def stop() -> None:
    """Leave the process group once all ranks are here; without the wait some abort on their way out."""
    import torch.distributed as dist

    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.barrier()
        dist.destroy_process_group()


def precision(config: PretrainConfig) -> str:
    """Return fp32 or bf16: what was asked for, else bf16 autocast on a GPU and fp32 elsewhere."""
    if config.precision != "auto":
        return config.precision
    return "bf16" if torch.cuda.is_available() else "fp32"


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return two groups of the trained parameters: matrices and tokens decay, biases and 1-D tensors do not."""
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    decayed = [p for name, p in trained if p.ndim >= 2 and "bias" not in name]
    rest = [p for name, p in trained if p.ndim < 2 or "bias" in name]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def _join(deepspeed: Any, backend: str) -> int:
    import torch.distributed as dist

    _from_slurm()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)
    elif not dist.is_initialized():
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
        deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)
    return dist.get_world_size()


def _from_slurm() -> None:
    """Take ranks from what ``srun`` sets, where no launcher has set them."""
    if "WORLD_SIZE" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) == 1 or "SLURM_PROCID" not in os.environ:
        return
    if "MASTER_ADDR" not in os.environ:
        raise DareError("srun: MASTER_ADDR is not set; export it in the job script (the first node of the job)")
    names = {"WORLD_SIZE": "SLURM_NTASKS", "RANK": "SLURM_PROCID", "LOCAL_RANK": "SLURM_LOCALID"}
    os.environ |= {ours: os.environ[theirs] for ours, theirs in names.items()}
    os.environ.setdefault("MASTER_PORT", "29500")


def _users(config: PretrainConfig) -> dict[str, Any]:
    if not config.deepspeed:
        return {}
    import deepspeed.runtime.constants

    users = read_json(Path(config.deepspeed), "give a DeepSpeed config in JSON")

    known = {str(name) for name in vars(deepspeed.runtime.constants).values() if isinstance(name, str)}
    if strange := sorted(users.keys() - known - {"zero_optimization", "torch_autocast"}):
        raise DareError(f"{config.deepspeed}: {strange[0]!r} is no key of a DeepSpeed config; check its spelling")
    if conflicts := [name for name in users if name in _OURS]:
        raise DareError(f"{config.deepspeed}: {conflicts[0]} is the run's own; set it with dare pretrain's options")
    if users.get("zero_optimization", {}).get("stage", 0) == 3:
        raise DareError(f"{config.deepspeed}: ZeRO 3 cannot hold the momentum copy; take stage 0, 1 or 2")
    return users
