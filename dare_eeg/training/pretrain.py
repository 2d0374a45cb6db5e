"""Pretrain: from a shard set to an encoder, in one loop that reads top to bottom."""

import signal
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
from dare_eeg.running.ranks import Ranks
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.loader import Loader
from dare_eeg.training.order import OrderPlan, TrainingSource
from dare_eeg.training.resume import RunPlan, has_checkpoint, resume_run, save_checkpoint
from dare_eeg.training.start import start
from dare_eeg.training.step import Trainer, train_step, validate
from manifests import manifest
from manifests.electrodes import VOCABULARY, in_vocabulary
from manifests.errors import RefusedError
from manifests.subjects import hashed

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
    order = plan_order(config, trained_on)
    if has_checkpoint(run) and not resume:
        raise RefusedError("holds a run", path=run, remedy="go on with --resume, or choose another --out")
    refuse_absent(config.log)
    torch.manual_seed(config.seed)
    began = start(config, resume)
    network = began.network
    leave = not has_joined()  # whoever has joined the processes parts them
    engine = start_engine(network, config.engine)
    ranks = Ranks.of(engine)
    every = config.checkpoint_every or max(1, order.steps // 20)
    settled = {"steps": order.steps, "precision": resolved(config.precision), "checkpoint_every": every}
    config = config.model_copy(update=settled)
    plan = RunPlan.of(config, order, engine)
    done, best_valid = resume_run(run, engine, ranks, plan) if resume else (0, None)
    if ranks.is_first:
        config.save(run / "config.toml")
        if began.said:
            print(began.said, file=sys.stderr)
    stop_at = min(order.steps, done + stop_after) if stop_after else order.steps
    restarted_at = done if config.on_resume == "restart" else 0
    trainer = Trainer(network, engine, ranks, config)
    loader = Loader(order, trained_on, config, done, ranks)
    provenance = _provenance(config, sets, began.before)
    logging = log(run, config.log, config.as_json(), done) if ranks.is_first else nullcontext(_nowhere)
    with watch_peers(leave), _Stop() as stop, closing(loader), logging as write:
        batches = iter(loader)
        for step in range(done, stop_at):
            metrics = train_step(trainer, step, batches, restarted_at)
            stopping = ranks.any(stop.asked) or step + 1 == stop_at  # signals reach the ranks in different steps
            due = (step + 1) % every == 0 or step + 1 == order.steps
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
                save_checkpoint(run, engine, ranks, step + 1, plan, best_valid, is_best)
            if ranks.is_first:
                report(step + 1, order.steps, metrics)
            if stopping:
                stop_at = step + 1
                break
    return Done(stop_at, order.steps, run / ENCODER_FILE, best_valid)


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


class _Stop:
    """Turns SIGTERM and SIGUSR1, which batch systems send before they kill, into an orderly end."""

    asked = False

    def __enter__(self) -> "_Stop":
        self._old = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGUSR1)}
        return self

    def _ask(self, _number: int, _frame: object) -> None:
        self.asked = True

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
