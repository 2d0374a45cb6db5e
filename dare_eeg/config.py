"""Config: every choice of a pretraining run, validated, written beside its results, read back as it was."""

import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from manifests.durable import write_bytes
from manifests.errors import DareError


class PretrainConfig(BaseModel):
    """A pretraining run. ``steps`` 0 means ``epochs`` passes over the windows; ``targets`` () all published ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shards: str
    out: str
    size: Literal["nano", "light", "small", "base", "deep"] = "base"
    epochs: int = Field(200, ge=1)
    steps: int = Field(0, ge=0)
    global_batch: int = Field(64, ge=1)
    micro_batch: int = Field(16, ge=1)
    lr: float = Field(5e-4, gt=0)
    weight_decay: float = Field(1e-6, ge=0)
    unit_scale: float = Field(0.01, gt=0)
    init: Literal["fan_in", "published"] = "fan_in"
    targets: tuple[int, int] | tuple[()] = (36, 12)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = 2025
    checkpoint_every: int = Field(0, ge=0)
    exclude: tuple[str, ...] = ()
    deepspeed: str = ""

    def save(self, path: Path) -> None:
        """Write the config as TOML that `load` reads back."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.model_dump(mode="json").items()]
        write_bytes(path, ("\n".join(lines) + "\n").encode())


def load(file: Path | None, given: dict[str, Any]) -> PretrainConfig:
    """Return the config of a TOML file, if any, under what was given on the command line.

    Where neither names the run's folder it is ``runs/SET-SIZE``. Raises DareError naming the field and the reason.
    """
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
    fields |= given
    if "shards" in fields and "out" not in fields:
        fields["out"] = f"runs/{Path(fields['shards']).resolve().name}-{fields.get('size', 'base')}"
    try:
        return PretrainConfig(**fields)
    except ValidationError as problem:
        first = problem.errors()[0]
        names = ", ".join(PretrainConfig.model_fields)
        place = ".".join(str(part) for part in first["loc"])
        raise DareError(f"{file or 'options'}: {place}: {first['msg']}; fields are {names}") from None
