"""Config: every choice of a pretraining run, validated, written beside its results, read back as it was."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError

from dare_eeg.network.objective import Objective
from dare_eeg.running.engine import EngineSettings
from manifests import records
from manifests.atomic_io import unreadable, write_bytes
from manifests.errors import MissingError, UsageError
from manifests.records import Part, Record

PEAK_LR = {"nano": 2e-3}
"""Peak learning rates of sizes for which trials found a better one than the published `PUBLISHED_LR`."""

PUBLISHED_LR = 5e-4

CONFIG_FILE = "config.toml"
"""The name of the config in a run's folder."""

MICRO_BATCH = 16
"""Windows of one pass, at most, where nobody says how many."""

PUBLISHED: dict[str, Any] = {
    "lr": PUBLISHED_LR,
    "train_head": False,
    "second_view": "row_number",
    "mask_for": "step",
    "targets": (),
    "init": "published",
    "unit_scale": 1e-3,
    "resampling": "nearest",
    "valid_draws": "new",
    "on_resume": "restart",
    "gradient_clipping": 0.0,
    "precision": "fp32",
    "global_batch": 216,
    "micro_batch": 72,
}
"""The published recipe where ours departs from it, slips included; ``--as-published`` takes all of them at once."""


def share(global_batch: int, processes: int = 1) -> int:
    """Return the micro-batch of a global one: its largest divisor up to `MICRO_BATCH`, or the next if that is small.

    If one of two windows and more can be, it is one by which several processes can share the global batch: in a
    micro-batch of one window nothing is contrasted.
    """
    divisors = [size for size in range(1, global_batch + 1) if global_batch % size == 0]
    shared = [size for size in divisors if size > 1 and global_batch % (size * processes) == 0] or divisors
    fitting = max((size for size in shared if size <= MICRO_BATCH), default=shared[0])
    return fitting if 2 * fitting >= min(MICRO_BATCH, shared[-1]) else min(size for size in shared if size > fitting)


class Planned(Part):
    """The choices that a run keeps from its first step to its last; its checkpoint holds them, too.

    ``steps`` 0 means the config's epochs; ``micro_batch`` follows ``global_batch`` where only that is given (`share`);
    ``targets`` () are all published ones. ``case`` is the published ablation:
    1 without anchor, 2 raw targets, 3 reconstruct from the prediction alone, 4 without second view, 5 whole.
    """

    size: Literal["nano", "light", "small", "base", "deep"] = "base"
    steps: Annotated[int, Field(ge=0)] = 0
    global_batch: Annotated[int, Field(ge=1)] = 64
    micro_batch: int = Field(default_factory=lambda known: share(known["global_batch"]), ge=1)
    lr: float = Field(default_factory=lambda known: PEAK_LR.get(known["size"], PUBLISHED_LR), gt=0)
    weight_decay: Annotated[float, Field(ge=0)] = 1e-6
    cycle_beta1: bool = True
    gradient_clipping: Annotated[float, Field(ge=0)] = 1.0
    unit_scale: Annotated[float, Field(gt=0)] = 0.01
    resampling: Literal["band_limited", "nearest"] = "band_limited"
    init: Literal["fan_in", "published"] = "fan_in"
    case: Annotated[int, Field(ge=1, le=5)] = 5
    train_head: bool = True
    targets: tuple[PositiveInt, NonNegativeInt] | tuple[()] = (36, 12)
    masking: Literal["published", "window", "fixed"] = "published"
    mask_for: Literal["micro_batch", "step"] = "micro_batch"
    second_view: Literal["own_patch", "row_number"] = "own_patch"
    gather_negatives: bool = False
    augment: bool = False
    electrode_drop: Annotated[float, Field(ge=0, le=1)] = 0.1
    time_drop: Annotated[float, Field(ge=0, le=1)] = 0.1
    noise: Annotated[float, Field(ge=0)] = 0.2
    gain: Annotated[float, Field(ge=0)] = 0.2
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 2025


class PretrainConfig(Planned, Record):
    """A pretraining run: what it keeps, and what may change when it is resumed or is told by its plan otherwise.

    ``start_from`` is a run, an encoder's file or a published file whose weights the network begins with.
    """

    KIND = "run config"

    shards: str
    out: str
    epochs: Annotated[int, Field(ge=1)] = 200
    start_from: str = ""
    valid_draws: Literal["fixed", "new"] = "fixed"
    on_resume: Literal["continue", "restart"] = "continue"
    checkpoint_every: Annotated[int, Field(ge=0)] = 0
    exclude: tuple[str, ...] = ()
    deepspeed: str = ""
    log: tuple[Literal["wandb", "mlflow"], ...] = ()

    @property
    def objective(self) -> Objective:
        """What ``case`` asks of the network."""
        return Objective.of_case(self.case)

    @property
    def engine(self) -> EngineSettings:
        """What the engine takes of it."""
        return EngineSettings(**{field.name: getattr(self, field.name) for field in fields(EngineSettings)})

    def save(self, path: Path) -> None:
        """Write the config as TOML that `load` reads back."""
        write_bytes(path, tomli_w.dumps(self.as_json()).encode())


def of_run(out: str | None) -> Path:
    """Return the config of the run in a folder that is to go on; DareError where none is named, or it has none."""
    if out is None:
        raise UsageError("names no run", path="--resume", remedy="give the run's folder: --resume --out RUN")
    file = Path(out) / CONFIG_FILE
    if not file.exists():
        raise MissingError("has no checkpoint to resume from", path=out, remedy="give the --out of a run to go on with")
    return file


def load(file: Path | None, given: Mapping[str, Any], processes: int = 1) -> PretrainConfig:
    """Return the config of a TOML file, if any, under what was given on the command line, for so many processes.

    Where neither names the run's folder it is ``runs/SET-SIZE``. Of what was given, ``as_published`` stands for all of
    `PUBLISHED`, below what else was given, and ``settings`` are fields as KEY=VALUE. Raises UsageError naming the
    field and the reason.
    """
    given = dict(given)
    published, settings = given.pop("as_published", False), given.pop("settings", ())
    for text in settings:
        given |= records.option(text, "second_view=row_number")
    chosen = {} if file is None else _fields(file)
    if given.get("steps") and given.get("epochs"):
        raise UsageError("each fixes the length of the run", path="--steps and --epochs", remedy="give one")
    if "epochs" in given:
        chosen["steps"] = 0
    chosen |= (PUBLISHED if published else {}) | given
    if "shards" not in chosen:
        remedy = "give the set to train on, as in dare pretrain --shards shards/merged"
        raise UsageError("names no set", path="--shards", remedy=remedy)
    if not isinstance(chosen["shards"], str):
        raise UsageError(
            f"{chosen['shards']!r} is no folder", path="shards", remedy="give the set to train on: --shards SET"
        )
    if "out" not in chosen:
        chosen["out"] = f"runs/{Path(chosen['shards']).resolve().name}-{chosen.get('size', 'base')}"
    try:
        config = PretrainConfig(**chosen)
    except ValidationError as problem:
        raise UsageError(
            records.fault(problem), path=file or "options", remedy="docs/pretraining.md tells of every field"
        ) from None
    if "micro_batch" in chosen:
        return config
    return config.model_copy(update={"micro_batch": share(config.global_batch, processes)})


def _fields(file: Path) -> dict[str, Any]:
    """Return the fields of a TOML file: all of them where a run wrote it, only those it has where a person did."""
    remedy = "see the config.toml of a run"
    try:
        stored = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise unreadable(file, problem, remedy) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise UsageError(f"not a config ({problem})", path=file, remedy=remedy) from None
    schema = PretrainConfig.schema_of()
    written_by_a_run = "schema_version" in stored or schema.known - schema.absent.keys() <= stored.keys()
    if not written_by_a_run:
        return stored
    return dict(records.read(PretrainConfig, stored, file, "give the config.toml of a run as the run wrote it"))
