"""Pretrain: from a shard set to an encoder, in one loop that reads top to bottom."""

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from dare_eeg.data.shards import TrainingSet
from dare_eeg.encoders.weights import ENCODER_FILE, Provenance, save_encoder
from dare_eeg.network import losses
from dare_eeg.network.losses import Losses
from dare_eeg.network.model import SIZES, Network, Outputs
from dare_eeg.running import checkpoint, engine
from dare_eeg.running.checkpoint import RunPlan
from dare_eeg.running.engine import Engine
from dare_eeg.running.log import log, refuse_absent
from dare_eeg.training import schedule
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.loader import SFREQ, Loader, MicroBatch, Rank, valid_batches
from dare_eeg.training.order import Plan, Source
from dare_eeg.training.start import start
from manifests import manifest
from manifests.atomic_io import canonical_json, write_bytes
from manifests.electrodes import VOCABULARY, in_vocabulary
from manifests.errors import DareError

HEALTH = ("target_variance", "effective_rank")
HEALTH_EVERY = 20
"""Steps between two looks at the spread of features: an eigendecomposition a step would cost more than it tells."""

BETA1 = 0.95
"""Adam's beta1 where it is not cycled."""

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
    refuse_absent(config)
    torch.manual_seed(config.seed)
    began = start(config, resume)
    network = began.network
    leave = not dist.is_initialized()  # who has joined the processes parts them
    ds = engine.start(network, config)
    every = config.checkpoint_every or max(1, plan.steps // 20)
    resolved = {"steps": plan.steps, "precision": engine.precision(config), "checkpoint_every": every}
    config = config.model_copy(update=resolved)
    kept = RunPlan.of(config, plan, ds)
    done, best_valid = checkpoint.resume(run, ds, kept) if resume else (0, None)
    if ds.global_rank == 0:
        config.save(run / "config.toml")
        if began.said:
            print(began.said, file=sys.stderr)
    stop_at = min(plan.steps, done + stop_after) if stop_after else plan.steps
    restarted_at = done if config.on_resume == "restart" else 0
    loader = Loader(plan, trained_on, config, done, Rank(ds.global_rank, ds.world_size))
    provenance = _provenance(config, sets, began.before)
    logging = nullcontext(lambda metrics: None) if ds.global_rank else log(config, done)
    with engine.together(leave), _Stop() as stop, closing(loader), logging as write:
        batches = iter(loader)
        for step in range(done, stop_at):
            metrics = train_step(ds, network, config, plan, step, batches, restarted_at)
            stopping = _any_rank(ds, stop.asked) or step + 1 == stop_at
            due = (step + 1) % every == 0 or step + 1 == plan.steps
            valid = validate(ds, network, config, sets, step + 1) if due else None
            write(metrics | ({"valid": valid} if valid else {}))
            if due or stopping:
                # Without a valid loss yet the last step is what there is to give. A stop between two validations
                # has none, so that what a run exports does not depend on where it was stopped.
                is_best = best_valid is None or (valid is not None and valid["loss"] <= best_valid)
                if is_best:
                    best_valid = valid["loss"] if valid else None
                    if ds.global_rank == 0:
                        encoder = network.target_encoder.state_dict()
                        save_encoder(run / ENCODER_FILE, encoder, provenance(step + 1))
                checkpoint.save(run, ds, step + 1, kept, best_valid, is_best)
            if ds.global_rank == 0:
                report(step + 1, plan.steps, metrics)
            if stopping:
                stop_at = step + 1
                break
    return Done(stop_at, plan.steps, run / ENCODER_FILE, best_valid)


def train_step(
    ds: Engine,
    network: Network,
    config: PretrainConfig,
    plan: Plan,
    step: int,
    batches: Iterator[MicroBatch],
    restarted_at: int = 0,
) -> dict[str, Any]:
    """Do one optimizer step and return its metrics; loss parts are means over the global batch.

    Schedules count from ``restarted_at``. What tells of collapse is measured every `HEALTH_EVERY` steps, else None.
    """
    began = time.perf_counter()
    scheduled = step - restarted_at
    lr = schedule.learning_rate(scheduled, plan.steps, config.lr)
    beta1 = schedule.beta1(scheduled, plan.steps) if config.cycle_beta1 else BETA1
    for group in ds.optimizer.param_groups:
        group["lr"], group["betas"] = lr, (beta1, group["betas"][1])
    parts: list[dict[str, Tensor]] = []
    seen: list[MicroBatch] = []
    waited = 0.0
    for _ in range(plan.global_batch // plan.micro_batch // ds.world_size):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        across_ranks = config.gather_negatives and ds.world_size > 1
        outputs, measured = _forward(ds, network, config, batch, across_ranks)
        loss = losses.total(measured, config.case)
        ds.backward(loss)
        ds.step()
        health = _health(outputs, batch) if step % HEALTH_EVERY == 0 else {}
        parts.append({name: one.detach() for name, one in (vars(measured) | {"loss": loss} | health).items()})
        seen.append(batch)
    # One transfer a step: a number read earlier makes the processor wait for the GPU.
    table = torch.stack([torch.stack([value.double() for value in part.values()]) for part in parts]).cpu()
    means = dict(zip(parts[0], _mean_over_ranks(ds, table.mean(dim=0)), strict=True))
    # Every rank sees the mean, so that all stop and none waits for one that did.
    if not math.isfinite(means["loss"]):
        finite = [bool(row.isfinite().all()) for row in table]
        raise _not_finite(ds, Path(config.out), step + 1, list(zip(finite, (one.windows for one in seen), strict=True)))
    momentum = schedule.momentum(scheduled, plan.steps)
    network.update_target(momentum)
    speed = round(plan.global_batch / (time.perf_counter() - began), 3)
    settings = {"lr": lr, "momentum": momentum, "samples_per_s": speed, "data_wait_s": round(waited, 6)}
    return {"step": step + 1} | dict.fromkeys(HEALTH) | means | settings


@torch.no_grad()
def validate(
    ds: Engine, network: Network, config: PretrainConfig, sets: list[TrainingSet], step: int
) -> dict[str, float] | None:
    """Return the loss parts over every valid window once; None where there is none.

    Crops and masks are the same each time, unless the config wants new ones after each ``step``.
    """
    sums: dict[str, float] = {}
    weight, spoiled = 0.0, ""
    for batch in valid_batches(sets, config, step, Rank(ds.global_rank, ds.world_size)):
        outputs, measured = _forward(ds, network, config, batch)
        parts = vars(measured) | {"loss": losses.total(measured, config.case)} | _health(outputs, batch)
        numbers = {name: value.item() for name, value in parts.items()}
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
            rows=one.train.sizes,
            taken=one.train.taken,
            weight=one.weight,
            signature=_signature(one),
        )
        for one in sets
    )
    total = sum(source.total for source in sources)
    steps = config.steps or max(1, config.epochs * total // config.global_batch)
    return Plan(sources, config.seed, config.global_batch, config.micro_batch, steps)


def _forward(
    ds: Engine, network: Network, config: PretrainConfig, batch: MicroBatch, across_ranks: bool = False
) -> tuple[Outputs, Losses]:
    nearest = config.resampling == "nearest"
    x_BCT, ids_C, present_BC, weight_B = batch.tensors(ds.device, config.unit_scale, nearest)
    seen_BCT = None if batch.spoil is None else batch.spoil(x_BCT)
    outputs = ds(x_BCT, ids_C, batch.masks, present_BC, seen_BCT)
    padded = not bool((batch.weight > 0).all())
    temperature = network.loss_mc.temperature
    return outputs, losses.measure(outputs, temperature, weight_B if padded else None, across_ranks)


def _not_finite(ds: Engine, run: Path, step: int, batches: list[tuple[bool, list[str]]]) -> DareError:
    """Leave the windows of a step in not_finite.json, by whether their batch was finite, and say where to look."""
    gathered: list[Any] = [batches]
    if ds.world_size > 1:
        gathered *= ds.world_size
        dist.all_gather_object(gathered, batches)
    every = [batch for of_rank in gathered for batch in of_rank]
    spoiled, whole = ([windows for finite, windows in every if finite == wanted] for wanted in (False, True))
    if ds.global_rank == 0:
        told = {"step": step, "not_finite": spoiled, "finite": whole}
        write_bytes(run / "not_finite.json", canonical_json(told))
    others = "" if whole else "; as no batch is finite, the step before may have spoiled the weights"
    return DareError(
        f"{run}: the loss is not finite at step {step}; look at {(spoiled or whole)[0][0]} and the other windows in "
        f"not_finite.json, or lower --lr{others}; the last checkpoint is whole"
    )


def _health(outputs: Outputs, batch: MicroBatch) -> dict[str, Tensor]:
    """Return what tells an anchor loss that falls by learning from one that falls because features collapse."""
    h_raw = outputs.h_raw[torch.from_numpy(batch.weight > 0)]
    return dict(zip(HEALTH, (losses.target_variance(h_raw), losses.effective_rank(h_raw)), strict=True))


def _any_rank(ds: Engine, asked: bool) -> bool:
    """Return whether any rank was asked to stop: signals reach the ranks in different steps."""
    if ds.world_size == 1:
        return asked
    flag = torch.tensor(float(asked), device=ds.device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag)


def _mean_over_ranks(ds: Engine, means: Tensor) -> list[float]:
    if ds.world_size > 1:
        means = means.float().to(ds.device)
        dist.all_reduce(means)
        means /= ds.world_size
    return [round(float(mean), 8) for mean in means.tolist()]


def _signature(one: TrainingSet) -> str:
    known = [one.train.electrodes[row] for row in in_vocabulary(one.train.electrodes)]
    if not known:
        raise DareError(f"{one.name}: none of its electrodes is among the {len(VOCABULARY)} of the network")
    return f"{','.join(known)} {one.train.sfreq:g} Hz {one.train.shape[1]}"


def _provenance(
    config: PretrainConfig, sets: list[TrainingSet], before: Provenance | None
) -> Callable[[int], Provenance]:
    names = {name for one in sets for name in one.train.electrodes}
    subjects = {name for one in sets for windows in (one.train, one.valid) for name in windows.subject_names}
    sha256 = manifest.sha256(Path(config.shards))
    return lambda step: Provenance(
        **vars(SIZES[config.size]),
        electrodes=tuple(name for name in VOCABULARY if name in names),
        sfreq=SFREQ,
        unit_scale=config.unit_scale,
        manifest_sha256=sha256,
        step=step,
        subjects=tuple(sorted(subjects.union(before.subjects if before else ()))),
        more_subjects=before is not None and (before.more_subjects or not before.subjects),
    )


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
