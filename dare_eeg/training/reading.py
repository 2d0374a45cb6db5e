"""Reading: what the losses of a run say of it, in one line of plain words."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

from dare_eeg.training.config import PretrainConfig

COLLAPSED = 2.0
"""An effective rank below this is a collapse: the features of all windows lie along one line."""

_LEARNING, _BEGINNING = 0.9, 0.97
"""Below these shares of what reads as nothing learned a run learns, or begins to."""

_QUIET_UNIT, _QUIET = 0.002, 0.85
"""With so small a unit scale the epsilon of layer norm makes nothing learned read so (benchmarks/README.md)."""

_LATE = 20
"""Steps at the end over which training is averaged."""

_FEW = 100
"""Steps after which a run may not have begun to learn yet: nano begins after some 70."""


def reading(run: Path, config: PretrainConfig) -> str:
    """Return what the metrics of a run say: whether it learns, and whether its features collapse; "" without steps."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    if not lines:
        return ""
    validated = [line for line in lines if "valid" in line]
    late = fmean(line["reconstruction"] for line in lines[-_LATE:])
    found = validated[-1]["valid"]["reconstruction"] if validated else late
    ranks = [line["effective_rank"] for line in lines if line["effective_rank"] is not None]
    ranks += [validated[-1]["valid"]["effective_rank"]] if validated else []
    nothing = _QUIET if config.unit_scale <= _QUIET_UNIT else 1.0
    if config.objective.raw_targets:
        told = f"reconstruction {found:.3g} of raw targets, {lines[0]['reconstruction']:.3g} at first"
        verdict = _verdict(found / lines[0]["reconstruction"], ranks[-1], lines[-1]["step"])
    else:
        told = f"reconstruction {found:.2f} of {nothing:g}"
        verdict = _verdict(found / nothing, ranks[-1], lines[-1]["step"])
    said = f"{told}: {verdict}; rank {_rank(ranks[-1])}{_fallen(ranks)}"
    if not validated:
        return f"{said}; all of that on windows it was trained on"
    if late < found - 0.15 * nothing:
        said += f"; {late:.2f} on windows it was trained on, so some is learnt by heart"
    return said + _risen(validated)


def _verdict(share: float, rank: float, steps: int) -> str:
    if rank < COLLAPSED:
        return "collapsing, all windows get nearly the same features: lower --lr"
    if share < _LEARNING:
        return "learning"
    if share < _BEGINNING:
        return "beginning to learn"
    said = "not learning" if share <= 1.02 else "not learning, it is worse than guessing the mean"
    return f"{said}, but {steps} steps are too few to tell" if steps < _FEW else said


def _rank(rank: float) -> str:
    return f"{rank:.0f}" if rank >= COLLAPSED else f"{rank:.1f}, where 1 is collapse"


def _fallen(ranks: list[float]) -> str:
    highest = max(ranks)
    return f", fallen from {highest:.0f}" if COLLAPSED <= ranks[-1] < highest / 2 else ""


def _risen(validated: list[dict[str, Any]]) -> str:
    best = min(validated, key=lambda line: line["valid"]["loss"])
    if validated[-1]["valid"]["loss"] <= 1.05 * best["valid"]["loss"]:
        return ""
    return f"; the valid loss was best at step {best['step']} and has risen since"
