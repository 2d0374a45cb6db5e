"""Pretrain: from a shard set to an encoder, in one loop that reads top to bottom."""

import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dare_eeg.data.shards import TrainingSet
from dare_eeg.encoders.weights import ENCODER_FILE, Provenance, save_encoder
from dare_eeg.network.constants import SFREQ
from dare_eeg.network.model import SIZES
from dare_eeg.running.engine import resolved, start_engine
from dare_eeg.running.job import has_joined, watch_peers
from dare_eeg.running.log import log, refuse_absent
from dare_eeg.running.one_run import only_run_in
from dare_eeg.running.ranks import Ranks
from dare_eeg.running.stop import Stop
from dare_eeg.training import header
from dare_eeg.training.config import CONFIG_FILE, PretrainConfig
from dare_eeg.training.loader import Loader
from dare_eeg.training.order import OrderPlan, TrainingSource
from dare_eeg.training.reading import reading
from dare_eeg.training.resume import RunPlan, has_checkpoint, resume_run, save_checkpoint
from dare_eeg.training.start import Start, start
from dare_eeg.training.step import Trainer, train_step, validate
from manifests import manifest
from manifests.electrodes import VOCABULARY, in_vocabulary
from manifests.errors import RefusedError
from manifests.subjects import hashed

Report = Callable[[int, int, dict[str, Any]], None]


@dataclass(frozen=True)
class Done:
    """How a run ended: steps done of steps planned, where its encoder is, the best valid loss, if any.

    ``reading`` says in plain words what its losses tell, in the process that writes for all; ``interrupted`` is whether
    Ctrl-C ended it.
    """

    steps: int
    planned: int
    encoder: Path
    best_valid: float | None
    reading: str = ""
    interrupted: bool = False


@dataclass(frozen=True)
class Prepared:
    """A run before its first step: what trains, in which order, what it began with, and where it stands."""

    trainer: Trainer
    order: OrderPlan
    plan: RunPlan
    began: Start
    done: int
    best_valid: float | None
    leave: bool
    """Whether the run parts the processes when it ends: whoever has joined them before parts them."""


def prepare(config: PretrainConfig, sets: list[TrainingSet], resume: bool) -> Prepared:
    """Return a run that is ready for its first step, or its next; nothing is written.

    Raises DareError for sets that cannot be trained on, a run that is there already, and a resume that does not fit.
    """
    run = Path(config.out)
    order = plan_order(config, trained_on(sets))
    if has_checkpoint(run) and not resume:
        raise _holds_a_run(run)
    refuse_absent(config.log)
    torch.manual_seed(config.seed)
    began = start(config, resume)
    leave = not has_joined()
    engine = start_engine(began.network, config.engine)
    ranks = Ranks.of(engine)
    every = config.checkpoint_every or max(1, order.steps // 20)
    settled = {"steps": order.steps, "precision": resolved(config.precision), "checkpoint_every": every}
    config = config.model_copy(update=settled)
    plan = RunPlan.of(config, order, engine)
    done, best_valid = resume_run(config, engine, ranks, plan) if resume else (0, None)
    return Prepared(Trainer(began.network, engine, ranks, config), order, plan, began, done, best_valid, leave)


def pretrain(
    config: PretrainConfig, sets: list[TrainingSet], report: Report, resume: bool = False, stop_after: int = 0
) -> Done:
    """Train a network on the sets of ``config.shards`` and leave a run: config, metrics, checkpoints, encoder.

    ``report`` is called with (step, steps, metrics of the step). ``stop_after`` ends the run that many steps on, its
    schedules unchanged; SIGTERM, SIGUSR1 and Ctrl-C end it after the step they fall in. Raises DareError for sets that
    cannot be trained on, a run that is there already or at work, a resume that does not fit, and a loss that is not
    finite.
    """
    made = prepare(config, sets, resume)
    with only_run_in(Path(config.out), made.trainer.ranks):
        return _train(made, sets, report, resume, stop_after)


def _train(made: Prepared, sets: list[TrainingSet], report: Report, resume: bool, stop_after: int) -> Done:
    trainer, order, best_valid = made.trainer, made.order, made.best_valid
    network, engine, ranks, config = trainer.network, trainer.engine, trainer.ranks, trainer.config
    run, done = Path(config.out), made.done
    if not resume and ranks.first_finds(lambda: has_checkpoint(run)):  # of a run that has ended meanwhile
        raise _holds_a_run(run)
    stop_at = min(order.steps, done + stop_after) if stop_after else order.steps
    if ranks.is_first:
        config.save(run / CONFIG_FILE)
    restarted_at = done if config.on_resume == "restart" else 0
    loader = Loader(order, trained_on(sets), config, done, ranks)
    provenance = _provenance(config, sets, made.began.before)
    logging = log(run, config.log, config.as_json(), done) if ranks.is_first else nullcontext(_nowhere)
    interrupted = False
    with watch_peers(made.leave), Stop(alone=ranks.world == 1) as stop, closing(loader), logging as write:
        if ranks.is_first:
            said = header.lines(header.facts(config, sets, network, ranks), done, stop_at)
            print("\n".join(said + ([f"  {made.began.said}"] if made.began.said else [])), file=sys.stderr, flush=True)
        batches = iter(loader)
        for step in range(done, stop_at):
            metrics = train_step(trainer, step, batches, restarted_at)
            stopping = ranks.any(stop.asked) or step + 1 == stop_at  # signals reach the ranks in different steps
            due = (step + 1) % config.checkpoint_every == 0 or step + 1 == order.steps
            valid = validate(trainer, sets, step + 1) if due else None
            write(metrics | ({"valid": valid} if valid else {}))
            if due or stopping:
                # Without a valid loss yet the last step is what there is to give. A stop between two validations
                # has none, so that what a run exports does not depend on where it was stopped.
                is_best = best_valid is None or (valid is not None and valid["loss"] <= best_valid)
                if is_best:
                    best_valid = valid["loss"] if valid else None
                    if ranks.is_first:
                        save_encoder(run / ENCODER_FILE, network.target_encoder.state_dict(), provenance(step + 1))
                save_checkpoint(run, engine, ranks, step + 1, made.plan, best_valid, is_best)
            if ranks.is_first:
                report(step + 1, order.steps, metrics)
            if stopping:
                stop_at = step + 1
                break
        interrupted = ranks.any(stop.interrupted)
    said_of_losses = reading(run, config) if ranks.is_first else ""
    return Done(stop_at, order.steps, run / ENCODER_FILE, best_valid, said_of_losses, interrupted)


def _holds_a_run(run: Path) -> RefusedError:
    return RefusedError("holds a run", path=run, remedy="go on with --resume, or choose another --out")


def trained_on(sets: list[TrainingSet]) -> list[TrainingSet]:
    """Return the sets that have windows to train on; those that have none may have some to validate on."""
    return [one for one in sets if len(one.train)]


def plan_order(config: PretrainConfig, sets: list[TrainingSet]) -> OrderPlan:
    """Return the order of the windows of some sets; its steps are those asked for, or the epochs'."""
    sources = tuple(
        TrainingSource(
            name=one.name,
            shards=tuple(entry.sha256 for entry in one.train.entries),
            rows=one.train.sizes,
            selection_hash=one.train.selection_hash,
            weight=one.weight,
            signature=_signature(one),
        )
        for one in sets
    )
    total = sum(source.total for source in sources)
    steps = config.steps or max(1, config.epochs * total // config.global_batch)
    return OrderPlan(sources, config.seed, config.global_batch, config.micro_batch, steps)


def _signature(one: TrainingSet) -> str:
    known = [one.train.electrodes[row] for row in in_vocabulary(one.train.electrodes)]
    if not known:
        reason = f"none of its electrodes is among the {len(VOCABULARY)} of the network"
        raise RefusedError(reason, path=one.name, remedy="leave it out, or make it of electrodes by their 10-10 names")
    return f"{','.join(known)} {one.train.sfreq:g} Hz {one.train.shape[1]}"


def _provenance(
    config: PretrainConfig, sets: list[TrainingSet], before: Provenance | None
) -> Callable[[int], Provenance]:
    names = {name for one in sets for name in one.train.electrodes}
    subjects = {hashed(name) for one in sets for windows in (one.train, one.valid) for name in windows.subject_names}
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


def _nowhere(_metrics: dict[str, Any]) -> None:
    """Take the metrics of a rank that logs none."""
