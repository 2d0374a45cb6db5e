"""Engine: a DeepSpeed engine around a network, alone or under a launcher, on what hardware there is."""

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dare_eeg.running.heartbeat import Pulse
from dare_eeg.training.config import PretrainConfig
from manifests.atomic_io import read_json, sha256_bytes
from manifests.errors import DareError

PATIENCE = timedelta(minutes=5)
"""How long a process waits for another that is alive and does not come: a disk may be slow."""

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

_LOST = ("connection", "connect", "peer", "timed out", "timeout", "nccl", "socket")
"""What torch's errors speak of when a process has gone; they have no class of their own."""

_GONE = "another process of the job has died or does not answer; see what it said, then go on with --resume"


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


def start(network: nn.Module, config: PretrainConfig) -> Engine:
    """Return a DeepSpeed engine with AdamW around a network.

    Under a launcher (RANK and WORLD_SIZE set) the ranks share each global batch; alone no port or network is used.
    Raises DareError for batches the ranks cannot share, for ranks that do not come, and for a --deepspeed file that
    contradicts the run.
    """
    deepspeed = library()
    os.environ.setdefault("LOCAL_RANK", "0")
    users = users_settings(config)
    world = _join(deepspeed, "nccl" if torch.cuda.is_available() else "gloo")
    if config.global_batch % (config.micro_batch * world):
        raise DareError(
            f"global batch {config.global_batch} is no multiple of micro-batch {config.micro_batch} times {world} "
            "processes; change --global-batch or --micro-batch"
        )
    settings = {
        "train_batch_size": config.global_batch,
        "train_micro_batch_size_per_gpu": config.micro_batch,
        "gradient_accumulation_steps": config.global_batch // (config.micro_batch * world),
        "gradient_clipping": config.gradient_clipping,
        "steps_per_print": 10**9,
        "zero_optimization": {"stage": 0},
        # ZeRO 1 and 2 would else hand on the gradients of these modules in bfloat16.
        "torch_autocast": {
            "enabled": precision(config) == "bf16",
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],
        },
        # So that ZeRO can keep the state of an optimizer that is not its own in the CPU's memory.
        "zero_force_ds_cpu_optimizer": False,
    }
    optimizer = torch.optim.AdamW(decay_groups(network, config.weight_decay), lr=config.lr, betas=(0.95, 0.999))
    try:
        return deepspeed.initialize(model=network, optimizer=optimizer, config=settings | users)[0]
    except (ValueError, AssertionError) as problem:  # pydantic's errors, too, are ValueErrors
        if not users:
            raise
        reason = " ".join(str(problem).split())[:200]
        raise DareError(f"{config.deepspeed}: DeepSpeed refuses it ({reason}); see deepspeed.ai/docs") from problem


@contextmanager
def together(leave: bool) -> Iterator[None]:
    """Let the processes of a job watch each other's pulse until all have come to the end; then, if told so, `stop`."""
    if not _several():
        yield
        return
    dist.barrier()  # who is late is not silent
    pulse = Pulse(dist.get_rank(), dist.get_world_size(), _speak)
    try:
        yield
        if leave:
            stop()
        else:
            dist.barrier()
    finally:
        pulse.end()


def stop() -> None:
    """Leave the process group once all ranks are here; without the wait some abort on their way out."""
    dist.barrier()
    dist.destroy_process_group()


@contextmanager
def one_voice() -> Iterator[None]:
    """Let one process of a job tell the user of an error that several meet; the others end without a word.

    What torch raises when another process has died becomes a DareError.
    """
    try:
        yield
    except (DareError, RuntimeError) as problem:
        lost = isinstance(problem, RuntimeError) and _several() and any(word in str(problem).lower() for word in _LOST)
        if not lost and not isinstance(problem, DareError):
            raise
        if lost:
            # The launcher ends the survivors, too, and must not cut them short.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not _first_to_say(_GONE if lost else str(problem)):
            raise SystemExit(2) from problem
        if lost:
            raise DareError(_GONE) from problem
        raise


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


def users_settings(config: PretrainConfig) -> dict[str, Any]:
    """Return what the --deepspeed file says; DareError for keys that are unknown, the run's own, or do harm."""
    if not config.deepspeed:
        return {}
    import deepspeed.runtime.constants

    users = read_json(Path(config.deepspeed), "give a DeepSpeed config in JSON")
    if not isinstance(users, dict):
        raise DareError(f"{config.deepspeed}: holds no object; give a DeepSpeed config in JSON")
    if conflicts := [name for name in users if name in _OURS]:
        raise DareError(f"{config.deepspeed}: {conflicts[0]} is the run's own; set it with {_OURS[conflicts[0]]}")
    known = {str(name) for name in vars(deepspeed.runtime.constants).values() if isinstance(name, str)} | _BLOCKS
    if strange := sorted(users.keys() - known):
        raise DareError(f"{config.deepspeed}: {strange[0]!r} is no key of a DeepSpeed config; check its spelling")
    if users.get("zero_optimization", {}).get("stage", 0) == 3:
        raise DareError(f"{config.deepspeed}: ZeRO 3 cannot hold the momentum copy; take stage 0, 1 or 2")
    return users


def num_processes() -> int:
    """Return how many processes the job has, by what a launcher or ``srun`` has set."""
    _from_slurm()
    return int(os.environ.get("WORLD_SIZE", "1"))


def _join(deepspeed: Any, backend: str) -> int:
    world = num_processes()
    if world == 1 and not dist.is_initialized():
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False, timeout=PATIENCE)
    except (RuntimeError, ValueError) as problem:
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise DareError(
            f"rank {os.environ.get('RANK')}: the {world} processes did not find each other at {place} "
            f"({str(problem).splitlines()[0][:120]}); check that all were started, and MASTER_ADDR and MASTER_PORT"
        ) from problem
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


def _several() -> bool:
    return dist.is_initialized() and dist.get_world_size() > 1


def _speak(store_answers: bool) -> None:
    """Say, where no other process does, that one is lost."""
    if _first_to_say(_GONE) if store_answers else _first_survivor():
        print(f"dare: {_GONE}", file=sys.stderr, flush=True)


def _first_to_say(message: str) -> bool:
    """Return whether no other process has said this; before they have met, whether this one is its node's first.

    That another is gone is said only where it said nothing itself.
    """
    if not _several():
        return _first_of_node()
    me = str(dist.get_rank())
    try:
        store = dist.distributed_c10d._get_default_store()
        anything, this = (
            store.compare_set(f"said {key}", "", me).decode() == me
            for key in ("anything", sha256_bytes(message.encode()))
        )
        return anything if message == _GONE else this
    except RuntimeError:  # the store died with the process that held it
        return _first_survivor()


def _first_survivor() -> bool:
    """Return whether this process is to speak where the store, and rank 0 that holds it, are gone."""
    return dist.get_rank() == 1 or _first_of_node()


def _first_of_node() -> bool:
    return os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")) == "0"
