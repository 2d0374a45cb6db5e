"""Config: every choice of a pretraining run, validated, written beside its results, read back as it was."""

import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from manifests.durable import write_bytes
from manifests.errors import DareError

PEAK_LR = {"nano": 2e-3}
"""Peak learning rates of sizes for which trials found a better one than the published `PUBLISHED_LR`."""

PUBLISHED_LR = 5e-4

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


class PretrainConfig(BaseModel):
    """A pretraining run. ``steps`` 0 means ``epochs`` passes over the windows; ``targets`` () all published ones.

    ``start_from`` is a published checkpoint whose weights the network begins with. ``case`` is the published
    ablation: 1 without anchor, 2 raw targets, 3 reconstruct from the prediction alone, 4 without second view, 5 whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shards: str
    out: str
    size: Literal["nano", "light", "small", "base", "deep"] = "base"
    epochs: int = Field(200, ge=1)
    steps: int = Field(0, ge=0)
    global_batch: int = Field(64, ge=1)
    micro_batch: int = Field(16, ge=1)
    lr: float = Field(default_factory=lambda known: PEAK_LR.get(known["size"], PUBLISHED_LR), gt=0)
    weight_decay: float = Field(1e-6, ge=0)
    cycle_beta1: bool = True
    gradient_clipping: float = Field(1.0, ge=0)
    unit_scale: float = Field(0.01, gt=0)
    resampling: Literal["band_limited", "nearest"] = "band_limited"
    init: Literal["fan_in", "published"] = "fan_in"
    start_from: str = ""
    case: int = Field(5, ge=1, le=5)
    train_head: bool = True
    targets: tuple[PositiveInt, NonNegativeInt] | tuple[()] = (36, 12)
    masking: Literal["published", "window", "fixed"] = "published"
    mask_for: Literal["micro_batch", "step"] = "micro_batch"
    second_view: Literal["own_patch", "row_number"] = "own_patch"
    gather_negatives: bool = False
    augment: bool = False
    electrode_drop: float = Field(0.1, ge=0, le=1)
    time_drop: float = Field(0.1, ge=0, le=1)
    noise: float = Field(0.2, ge=0)
    gain: float = Field(0.2, ge=0)
    valid_draws: Literal["fixed", "new"] = "fixed"
    on_resume: Literal["continue", "restart"] = "continue"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 2025
    checkpoint_every: int = Field(0, ge=0)
    exclude: tuple[str, ...] = ()
    deepspeed: str = ""
    log: tuple[Literal["wandb", "mlflow"], ...] = ()

    def save(self, path: Path) -> None:
        """Write the config as TOML that `load` reads back."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.model_dump(mode="json").items()]
        write_bytes(path, ("\n".join(lines) + "\n").encode())


def load(file: Path | None, given: dict[str, Any]) -> PretrainConfig:
    """Return the config of a TOML file, if any, under what was given on the command line.

    Where neither names the run's folder it is ``runs/SET-SIZE``. Of what was given, ``as_published`` stands for all of
    `PUBLISHED`, below what else was given, and ``settings`` are fields as KEY=VALUE. Raises DareError naming the field
    and the reason.
    """
    given = dict(given)
    published, settings = given.pop("as_published", False), given.pop("settings", ())
    given |= dict(setting(text) for text in settings)
    fields: dict[str, Any] = {}
    if file is not None:
        try:
            fields = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
            raise DareError(f"{file}: not a config ({problem}); see the config.toml of a run") from None
    if given.get("steps") and given.get("epochs"):
        raise DareError("--steps and --epochs: each fixes the length of the run; give one")
    if "epochs" in given:
        fields["steps"] = 0
    fields |= (PUBLISHED if published else {}) | given
    if "shards" in fields and "out" not in fields:
        fields["out"] = f"runs/{Path(fields['shards']).resolve().name}-{fields.get('size', 'base')}"
    try:
        return PretrainConfig(**fields)
    except ValidationError as problem:
        first = problem.errors()[0]
        names = ", ".join(PretrainConfig.model_fields)
        place = ".".join(str(part) for part in first["loc"])
        raise DareError(f"{file or 'options'}: {place}: {first['msg']}; fields are {names}") from None


def setting(text: str) -> tuple[str, Any]:
    """Return the field and the value that KEY=VALUE names, the value read as JSON where it is; DareError without =."""
    name, equals, value = text.partition("=")
    if not equals:
        raise DareError(f"--set {text}: give KEY=VALUE, as in second_view=row_number")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
