"""Pretrain: from a shard set to an encoder, in one loop that reads top to bottom."""

import json
import math
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
import torch.distributed as dist

from dare_eeg import checkpoint, engine, losses, schedule
from dare_eeg.config import PretrainConfig
from dare_eeg.loader import SFREQ, Loader, MicroBatch, valid_batches
from dare_eeg.losses import Losses
from dare_eeg.model import SIZES, Network, Outputs
from dare_eeg.order import Plan, Source
from dare_eeg.shards import TrainingSet
from dare_eeg.weights import ENCODER_FILE, Provenance, save_encoder
from manifests import manifest
from manifests.durable import sha256_bytes
from manifests.electrodes import VOCABULARY, in_vocabulary
from manifests.errors import DareError

Report = Callable[[int, int, dict[str, Any]], None]


@dataclass(frozen=True)
class Done:
    """How a run ended: steps done of steps planned, where its encoder is, and the best valid loss, if any."""

    steps: int
    planned: int
    encoder: Path
    best_valid: float | None


def pretrain(
    config: PretrainConfig, sets: list[TrainingSet], report: Report, resume: bool = False, stop_after: int = 0
) -> Done:
    """Train a network on the sets of ``config.shards`` and leave a run: config, metrics, checkpoints, encoder.

    ``report`` is called with (step, steps, metrics of the step). ``stop_after`` ends the run that many steps on, its
    schedules unchanged; SIGTERM and SIGUSR1 end it after the step they fall in. Raises DareError for sets that cannot
    be trained on, a run that is there already, a resume that does not fit, and a loss that is not finite.
    """
    run = Path(config.out)
    trained_on = [one for one in sets if len(one.train)]
    plan = make_plan(config, trained_on)
    if checkpoint.exists(run) and not resume:
        raise DareError(f"{run}: holds a run; go on with --resume, or choose another --out")
    torch.manual_seed(config.seed)
    network = Network(SIZES[config.size], config.init)
    ds = engine.start(network, config)
    every = config.checkpoint_every or max(1, plan.steps // 20)
    resolved = {"steps": plan.steps, "precision": engine.precision(config), "checkpoint_every": every}
    config = config.model_copy(update=resolved)
    fields = plan_fields(config, plan)
    done, best_valid = checkpoint.resume(run, ds, fields) if resume else (0, None)
    if ds.global_rank == 0:
        config.save(run / "config.toml")
        checkpoint.cut_metrics(run / "metrics.jsonl", done)
    stop_at = min(plan.steps, done + stop_after) if stop_after else plan.steps
    loader = Loader(plan, trained_on, _targets(config), done, ds.global_rank, ds.world_size)
    provenance = _provenance(config, sets, run)
    with closing(loader), _Stop() as stop, _Log(run, ds.global_rank) as log:
        batches = iter(loader)
        for step in range(done, stop_at):
            metrics = train_step(ds, network, config, plan, step, batches)
            stopping = _any_rank(ds, stop.asked)
            due = (step + 1) % every == 0 or step + 1 == stop_at or stopping
            valid = validate(ds, network, config, sets) if due else None
            log(metrics | ({"valid": valid} if valid else {}))
            if due:
                # A run without valid windows has no best step: its last is what it has to give.
                is_best = valid is None or best_valid is None or valid["loss"] <= best_valid
                if is_best:
                    best_valid = valid["loss"] if valid else None
                    if ds.global_rank == 0:
                        encoder = network.target_encoder.state_dict()
                        save_encoder(run / ENCODER_FILE, encoder, provenance(step + 1))
                checkpoint.save(run, ds, step + 1, fields, best_valid, is_best)
            if ds.global_rank == 0:
                report(step + 1, plan.steps, metrics)
            if stopping:
                stop_at = step + 1
                break
    engine.stop()
    return Done(stop_at, plan.steps, run / ENCODER_FILE, best_valid)


def train_step(
    ds: Any, network: Network, config: PretrainConfig, plan: Plan, step: int, batches: Any
) -> dict[str, Any]:
    """Do one optimizer step and return its metrics; loss parts are means over the global batch."""
    began = time.perf_counter()
    lr, beta1 = schedule.learning_rate(step, plan.steps, config.lr), schedule.beta1(step, plan.steps)
    for group in ds.optimizer.param_groups:
        group["lr"], group["betas"] = lr, (beta1, group["betas"][1])
    parts: list[dict[str, float]] = []
    spoiled: MicroBatch | None = None
    waited = 0.0
    for _ in range(plan.global_batch // plan.micro_batch // ds.world_size):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        outputs, measured = _forward(ds, network, config, batch)
        loss = losses.total(measured)
        ds.backward(loss)
        ds.step()
        parts.append(_numbers(measured) | {"loss": loss.item()} | _health(outputs, batch))
        if not math.isfinite(parts[-1]["loss"]):
            spoiled = spoiled or batch
    means = _mean_over_ranks(ds, parts)
    # Every rank sees the mean, so that all stop and none waits for one that did.
    if not math.isfinite(means["loss"]):
        where = f"{spoiled.windows[0]} and the {len(spoiled.windows) - 1} windows of its batch" if spoiled else "a rank"
        raise DareError(
            f"{config.out}: the loss is not finite at step {step + 1}; look at {where}, or lower --lr; the last "
            "checkpoint is whole"
        )
    momentum = schedule.momentum(step, plan.steps)
    network.update_target(momentum)
    speed = round(plan.global_batch / (time.perf_counter() - began), 3)
    settings = {"lr": lr, "momentum": momentum, "samples_per_s": speed, "data_wait_s": round(waited, 6)}
    return {"step": step + 1} | means | settings


@torch.no_grad()
def validate(ds: Any, network: Network, config: PretrainConfig, sets: list[TrainingSet]) -> dict[str, float] | None:
    """Return the loss parts over every valid window once, same crops and masks each time; None where there is none."""
    sums: dict[str, float] = {}
    weight, spoiled = 0.0, ""
    for batch in valid_batches(sets, config.seed, config.micro_batch, _targets(config)):
        if batch.number % ds.world_size != ds.global_rank:
            continue
        outputs, measured = _forward(ds, network, config, batch)
        numbers = _numbers(measured) | {"loss": losses.total(measured).item()} | _health(outputs, batch)
        if not math.isfinite(numbers["loss"]):
            spoiled = spoiled or batch.windows[0]
        counted = float(batch.weight.sum())
        weight += counted
        for name, value in numbers.items():
            sums[name] = sums.get(name, 0.0) + value * counted
    if not any(len(one.valid) for one in sets):
        return None
    if ds.world_size > 1:
        gathered: list[Any] = [None] * ds.world_size
        dist.all_gather_object(gathered, (sums, weight))
        weight = sum(w for _, w in gathered)
        names = next(s for s, _ in gathered if s)
        sums = {name: sum(s.get(name, 0.0) for s, _ in gathered) for name in names}
    means = {name: round(value / weight, 8) for name, value in sums.items()}
    if not math.isfinite(means["loss"]):
        raise DareError(f"{config.out}: the loss is not finite on valid; look at {spoiled or 'a rank'}, or lower --lr")
    return means


def make_plan(config: PretrainConfig, sets: list[TrainingSet]) -> Plan:
    """Return the order of the windows of some sets; its steps are those asked for, or the epochs'."""
    sources = tuple(
        Source(
            name=one.name,
            shards=tuple(entry.sha256 for entry in one.train.entries),
            rows=tuple(len(rows) for rows in one.train.rows),
            taken=sha256_bytes(b"".join(rows.tobytes() for rows in one.train.rows)),
            weight=one.weight,
            signature=_signature(one),
        )
        for one in sets
    )
    total = sum(source.total for source in sources)
    steps = config.steps or max(1, config.epochs * total // config.global_batch)
    return Plan(sources, config.seed, config.global_batch, config.micro_batch, steps)


def plan_fields(config: PretrainConfig, plan: Plan) -> dict[str, Any]:
    """Return all that must be equal to resume: the order, and what shapes the network and its steps."""
    ours = ("size", "lr", "weight_decay", "unit_scale", "init", "targets", "precision")
    return plan.fields() | {name: config.model_dump(mode="json")[name] for name in ours}


def _forward(ds: Any, network: Network, config: PretrainConfig, batch: MicroBatch) -> tuple[Outputs, Losses]:
    x_BCT, ids_C, present_BC, weight_B = batch.tensors(ds.device, config.unit_scale)
    outputs = ds(x_BCT, ids_C, batch.masks, present_BC)
    padded = not bool((batch.weight > 0).all())
    return outputs, losses.measure(outputs, network.loss_mc.temperature, weight_B if padded else None)


def _numbers(measured: Losses) -> dict[str, float]:
    return {name: value.item() for name, value in vars(measured).items()}


def _health(outputs: Outputs, batch: MicroBatch) -> dict[str, float]:
    """Return what tells an anchor loss that falls by learning from one that falls because features collapse."""
    h_raw = outputs.h_raw[torch.from_numpy(batch.weight > 0)]
    return {
        "target_variance": round(losses.target_variance(h_raw).item(), 8),
        "effective_rank": round(losses.effective_rank(h_raw).item(), 8),
    }


def _any_rank(ds: Any, asked: bool) -> bool:
    """Return whether any rank was asked to stop: signals reach the ranks in different steps."""
    if ds.world_size == 1:
        return asked
    flag = torch.tensor(float(asked), device=ds.device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag)


def _mean_over_ranks(ds: Any, parts: list[dict[str, float]]) -> dict[str, float]:
    names = sorted(parts[0])
    means = torch.tensor([[part[name] for name in names] for part in parts], dtype=torch.float64).mean(dim=0)
    if ds.world_size > 1:
        means = means.float().to(ds.device)
        dist.all_reduce(means)
        means /= ds.world_size
    return {name: round(float(mean), 8) for name, mean in zip(names, means, strict=True)}


def _targets(config: PretrainConfig) -> tuple[int, int] | None:
    return config.targets or None


def _signature(one: TrainingSet) -> str:
    known = [one.train.electrodes[row] for row in in_vocabulary(one.train.electrodes)]
    if not known:
        raise DareError(f"{one.name}: none of its electrodes is among the {len(VOCABULARY)} of the network")
    return f"{','.join(known)} {one.train.sfreq:g} Hz {one.train.shape[1]}"


def _provenance(config: PretrainConfig, sets: list[TrainingSet], run: Path) -> Callable[[int], Provenance]:
    names = {name for one in sets for name in one.train.electrodes}
    subjects = {str(subject) for one in sets for windows in (one.train, one.valid) for subject in windows.subjects}
    sha256 = manifest.sha256(Path(config.shards))
    return lambda step: Provenance(
        size=SIZES[config.size],
        electrodes=tuple(name for name in VOCABULARY if name in names),
        sfreq=SFREQ,
        unit_scale=config.unit_scale,
        manifest_sha256=sha256,
        step=step,
        subjects=tuple(sorted(subjects)),
    )


class _Log:
    """Appends metrics to metrics.jsonl and TensorBoard, on rank 0 only."""

    def __init__(self, run: Path, rank: int) -> None:
        self._run, self._rank = run, rank
        self._stream: TextIO | AbstractContextManager[None] = nullcontext()

    def __enter__(self) -> Callable[[dict[str, Any]], None]:
        if self._rank:
            return lambda metrics: None
        from torch.utils.tensorboard import SummaryWriter

        stream = self._stream = (self._run / "metrics.jsonl").open("a")
        board = self._board = SummaryWriter(str(self._run / "tensorboard"))

        def write(metrics: dict[str, Any]) -> None:
            stream.write(json.dumps(metrics) + "\n")
            stream.flush()
            flat = metrics | {f"valid/{name}": value for name, value in metrics.get("valid", {}).items()}
            for name, value in flat.items():
                if isinstance(value, float):
                    board.add_scalar(name, value, metrics["step"])

        return write

    def __exit__(self, *problem: object) -> None:
        if not self._rank:
            self._stream.__exit__(None, None, None)
            self._board.close()


class _Stop:
    """Turns SIGTERM and SIGUSR1, which batch systems send before they kill, into an orderly end."""

    asked = False

    def __enter__(self) -> "_Stop":
        self._old = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGUSR1)}
        return self

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
