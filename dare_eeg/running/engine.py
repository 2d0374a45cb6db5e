"""Engine: a DeepSpeed engine around a network, alone or under a launcher, on what hardware there is."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from dare_eeg.running.job import join
from manifests.atomic_io import read_json
from manifests.errors import UsageError

Precision = Literal["auto", "fp32", "bf16"]

_OURS = {
    "train_batch_size": "--global-batch",
    "train_micro_batch_size_per_gpu": "--micro-batch",
    "gradient_accumulation_steps": "--global-batch and --micro-batch",
    "optimizer": "--lr",
    "scheduler": "--lr",
    "gradient_clipping": "--set gradient_clipping",
    "torch_autocast": "--precision",
    "bf16": "--precision",
    "fp16": "--precision bf16",
}
"""What of a DeepSpeed config the run decides itself, and by which options."""

_BLOCKS = {"zero_optimization", "activation_checkpointing", "flops_profiler", "comms_logger", "aio"}
"""Blocks of a DeepSpeed config that it names outside its list of constants."""


@dataclass(frozen=True)
class EngineSettings:
    """What a run tells its engine: batches in windows, AdamW's rate and decay, and the user's --deepspeed file, if any.

    ``gradient_clipping`` 0 clips nothing; ``precision`` auto is that of the hardware (`resolved`).
    """

    global_batch: int
    micro_batch: int
    lr: float
    weight_decay: float
    gradient_clipping: float
    precision: Precision
    deepspeed: str


class Engine(Protocol):
    """What a run uses of a DeepSpeed engine; calling it calls the network."""

    world_size: int
    global_rank: int
    device: torch.device
    optimizer: torch.optim.Optimizer

    def __call__(self, *inputs: Any) -> Any:
        """Return what the network says."""

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, over all ranks."""

    def step(self) -> None:
        """Move the weights, once the micro-batches of a step are through."""

    def zero_optimization_stage(self) -> int:
        """Return the stage of ZeRO."""

    def save_checkpoint(self, folder: str, tag: str, client_state: dict[str, int], save_latest: bool) -> None:
        """Write this rank's part of the state below ``folder``/``tag``."""

    def load_checkpoint(self, folder: str, tag: str) -> tuple[str | None, dict[str, int]]:
        """Take the state on; return where it was, if anywhere, and what was saved beside it."""


def library() -> Any:
    """Return DeepSpeed, told to be quiet and, where there is no GPU, to look for none."""
    if not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ.setdefault("DS_LOG_LEVEL", "error")
    import deepspeed
    from deepspeed.utils import logger

    logger.setLevel("ERROR")
    # DeepSpeed calls what newer versions of torch have other names for; the user can do nothing about that.
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")
    # The shared-memory op is compiled on first use and brings nothing; gloo needs no compiler.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


def start_engine(network: nn.Module, settings: EngineSettings) -> Engine:
    """Return a DeepSpeed engine with AdamW around a network.

    Under a launcher (RANK and WORLD_SIZE set) the ranks share each global batch; alone no port or network is used.
    Raises DareError for batches the ranks cannot share, for ranks that do not come, and for a --deepspeed file that
    contradicts the run.
    """
    deepspeed = library()
    users = users_config(settings.deepspeed)
    world = join(deepspeed.init_distributed, "nccl" if torch.cuda.is_available() else "gloo")
    if settings.global_batch % (settings.micro_batch * world):
        raise UsageError(
            f"global batch {settings.global_batch} is no multiple of micro-batch {settings.micro_batch} times {world} "
            "processes",
            remedy="change --global-batch or --micro-batch",
        )
    config = {
        "train_batch_size": settings.global_batch,
        "train_micro_batch_size_per_gpu": settings.micro_batch,
        "gradient_accumulation_steps": settings.global_batch // (settings.micro_batch * world),
        "gradient_clipping": settings.gradient_clipping,
        "steps_per_print": 10**9,
        "zero_optimization": {"stage": 0},
        # ZeRO 1 and 2 would else hand on the gradients of these modules in bfloat16.
        "torch_autocast": {
            "enabled": resolved(settings.precision) == "bf16",
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],
        },
        # So that ZeRO can keep the state of an optimizer that is not its own in the CPU's memory.
        "zero_force_ds_cpu_optimizer": False,
    }
    groups = decay_groups(network, settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.95, 0.999))
    try:
        engine: Engine = deepspeed.initialize(model=network, optimizer=optimizer, config=config | users)[0]
    except (ValueError, AssertionError) as problem:  # pydantic's errors, too, are ValueErrors
        if not users:
            raise
        reason = " ".join(str(problem).split())[:200]
        raise UsageError(
            f"DeepSpeed refuses it ({reason})", path=settings.deepspeed, remedy="see deepspeed.ai/docs"
        ) from problem
    return engine


def resolved(precision: Precision) -> Literal["fp32", "bf16"]:
    """Return what was asked for, instead of auto bf16 autocast on a GPU and fp32 elsewhere."""
    if precision != "auto":
        return precision
    return "bf16" if torch.cuda.is_available() else "fp32"


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return two groups of the trained parameters: matrices and tokens decay, biases and 1-D tensors do not."""
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    decayed = [p for name, p in trained if p.ndim >= 2 and "bias" not in name]
    rest = [p for name, p in trained if p.ndim < 2 or "bias" in name]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def users_config(file: str) -> dict[str, Any]:
    """Return what a --deepspeed file, if any, says; UsageError for keys that are unknown, the run's own, or do harm."""
    if not file:
        return {}
    import deepspeed.runtime.constants

    users = read_json(Path(file), "give a DeepSpeed config in JSON")
    if not isinstance(users, dict):
        raise UsageError("holds no object", path=file, remedy="give a DeepSpeed config in JSON")
    if conflicts := [name for name in users if name in _OURS]:
        raise UsageError(f"{conflicts[0]} is the run's own", path=file, remedy=f"set it with {_OURS[conflicts[0]]}")
    known = {str(name) for name in vars(deepspeed.runtime.constants).values() if isinstance(name, str)} | _BLOCKS
    if strange := sorted(users.keys() - known):
        raise UsageError(f"{strange[0]!r} is no key of a DeepSpeed config", path=file, remedy="check its spelling")
    if users.get("zero_optimization", {}).get("stage", 0) == 3:
        raise UsageError("ZeRO 3 cannot hold the momentum copy", path=file, remedy="take stage 0, 1 or 2")
    return users
