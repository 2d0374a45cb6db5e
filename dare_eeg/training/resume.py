"""Resume: what a run's checkpoints say of it, and going on from the last of them, or why that cannot be.

``checkpoints.json`` names the last and the best checkpoint, with the plan that the run keeps.
"""

from pathlib import Path

from torch import Tensor

from dare_eeg.encoders.weights import ENCODER_FILE
from dare_eeg.running import checkpoint
from dare_eeg.running.engine import Engine
from dare_eeg.running.ranks import Ranks
from dare_eeg.training.config import CONFIG_FILE, Planned, PretrainConfig, load
from dare_eeg.training.order import Identity, OrderPlan
from manifests import records
from manifests.atomic_io import canonical_json
from manifests.errors import DamagedError, MissingError, RefusedError
from manifests.manifest import ORDER_VERSION
from manifests.records import Record, added


class RunPlan(Planned):
    """All that must be equal to go on: the run's choices, the sources of its order, and how ZeRO shares the state.

    ``world_size`` is the number of processes where they contrast across ranks, else 0. ``windows``, by source, need not
    be stated: they only tell how sources differ.
    """

    order_version: int
    sources: tuple[Identity, ...]
    zero_stage: int
    world_size: int = added(0, absent=0)
    windows: dict[str, int] = added({}, absent={})

    @classmethod
    def of(cls, config: PretrainConfig, order: OrderPlan, engine: Engine) -> "RunPlan":
        """Return the plan of a run whose config says its precision and steps."""
        return cls(
            **{name: getattr(config, name) for name in Planned.model_fields},
            order_version=ORDER_VERSION,
            sources=tuple(one.identity for one in order.sources),
            zero_stage=engine.zero_optimization_stage(),
            world_size=engine.world_size if config.gather_negatives else 0,
            windows={one.name: one.total for one in order.sources},
        )

    def differences(self, other: "RunPlan") -> dict[str, str]:
        """Return each field that is another in ``other``, and in words how."""
        told = {}
        for name in RunPlan.model_fields:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs and name != "windows":
                told[name] = _of_sources(self, other) if name == "sources" else f"{mine}, now {theirs}"
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


def save_checkpoint(
    run: Path, engine: Engine, ranks: Ranks, step: int, plan: RunPlan, best_valid: float | None, is_best: bool
) -> None:
    """Save the state after ``step`` steps; the last and the best are kept, and named only once they are whole."""
    folder, name = run / "checkpoints", f"step-{step:08d}"
    checkpoint.write_state(folder / name, engine, ranks, step)
    if ranks.is_first:
        known = None if is_best else last_checkpoint(run)
        pointer = Checkpoint(
            last=name,
            best=known.best if known else name,
            step=step,
            best_valid=best_valid,
            plan=plan,
            processes=ranks.world,
            sha256=checkpoint.hashes(folder / name),
        )
        checkpoint.point(_pointer(run), canonical_json(pointer.as_json()), kept=(name, pointer.best))


def has_checkpoint(run: Path) -> bool:
    """Return whether a run has a whole checkpoint."""
    return _pointer(run).exists()


def last_checkpoint(run: Path) -> Checkpoint | None:
    """Return what a run says of its last whole checkpoint, None where it has none; DareError where it is damaged."""
    return records.load(Checkpoint, _pointer(run), f"remove {run} and start anew") if has_checkpoint(run) else None


def network_of_last(run: Path) -> dict[str, Tensor] | None:
    """Return the weights of the whole network of a run's last checkpoint, None where it has none.

    Raises DamagedError where the file is damaged.
    """
    pointer = last_checkpoint(run)
    if not pointer:
        return None
    remedy = f"start from {run / ENCODER_FILE} alone"
    return checkpoint.read_network(run / "checkpoints" / pointer.last, pointer.sha256, remedy)


def resume_run(config: PretrainConfig, engine: Engine, ranks: Ranks, plan: RunPlan) -> tuple[int, float | None]:
    """Load the last whole checkpoint and return (steps done, best valid loss so far).

    Raises DareError where there is none, where the plan differs (naming the fields), where ZeRO 1 or 2 meets another
    number of processes, or where a file is damaged.
    """
    run = Path(config.out)
    pointer = last_checkpoint(run)
    if not pointer:
        raise MissingError("has no checkpoint to resume from", path=run, remedy="leave out --resume")
    if others := pointer.plan.differences(plan):
        if "sources" in others:
            others["sources"] += _exclusions(run, config)
        remedy = "give the run's own, or another --out"
        if "steps" in others:
            remedy += f"; {longer(run, plan.steps)}"
        raise RefusedError(
            ", ".join(f"its {name} is another ({said})" for name, said in others.items()), path=run, remedy=remedy
        )
    stage = engine.zero_optimization_stage()
    if stage and pointer.processes != ranks.world:
        raise RefusedError(
            f"was saved by {pointer.processes} processes, now {ranks.world}",
            path=run,
            remedy=f"ZeRO {stage} goes on with as many as it had, ZeRO 0 with any number",
        )
    files = run / "checkpoints" / pointer.last
    beside = checkpoint.load_state(files, engine, ranks, pointer.sha256)
    if beside.get("step") != pointer.step:
        raise DamagedError("is not the checkpoint that was saved", path=files, remedy=f"remove {run} and start anew")
    return pointer.step, pointer.best_valid


def longer(run: Path | str, steps: int | str) -> str:
    """Return how a run is trained longer than it was planned: its schedules were made for its own number of steps."""
    again = f"dare pretrain --config {run}/{CONFIG_FILE} --set start_from={run} --steps {steps} --out OTHER"
    return f"to train longer, begin a new run with its weights: {again}"


def _pointer(run: Path) -> Path:
    return run / "checkpoints" / "checkpoints.json"


def _of_sources(mine: RunPlan, theirs: RunPlan) -> str:
    """Return which of the sources of two plans differ, and in what."""
    before, now = ({one.name: one for one in plan.sources} for plan in (mine, theirs))
    told = [f"{name} is {'gone' if name in before else 'new'}" for name in sorted(before.keys() ^ now.keys())]
    for name in (name for name in before if name in now):
        one, other = before[name], now[name]
        how = [_of_windows(mine.windows.get(name), theirs.windows.get(name))] if one.rows != other.rows else []
        how += [f"weight ({one.weight:g}, now {other.weight:g})"] if one.weight != other.weight else []
        how += [_of_signatures(one.signature, other.signature)] if one.signature != other.signature else []
        told += [f"{name} has other {' and '.join(how)}"] if how else []
    return ", ".join(told) or "in another order"


def _of_windows(before: int | None, now: int | None) -> str:
    if before is None:
        return "windows"
    return (
        f"windows ({before:,}, now {now:,})" if before != now else f"windows ({before:,} as before: the set is another)"
    )


def _of_signatures(before: str, now: str) -> str:
    """Return how two signatures differ: electrodes that are new and gone, rate and samples."""
    (old, *old_shape), (new, *new_shape) = (signature.split() for signature in (before, now))
    gone, more = (sorted(set(one.split(",")) - set(other.split(","))) for one, other in ((old, new), (new, old)))
    told = [f"{word} {' '.join(names)}" for word, names in (("without", gone), ("with", more)) if names]
    if old_shape != new_shape:
        told.append("{} {}, {} samples, now {} {}, {} samples".format(*old_shape, *new_shape))
    return f"electrodes, rate or length ({', '.join(told) or 'in another order'})"


def _exclusions(run: Path, config: PretrainConfig) -> str:
    """Return how --exclude differs from what the run's config says, "" where it does not or there is none."""
    if not (run / CONFIG_FILE).exists():
        return ""
    before, now = (" ".join(one) or "none" for one in (load(run / CONFIG_FILE, {}).exclude, config.exclude))
    return f"; --exclude was {before}, now {now}" if before != now else ""
