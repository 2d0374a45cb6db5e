"""The last line of a run: its losses in plain words, honest where they tell nothing good."""

import json
from pathlib import Path
from typing import Any

import pytest

from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.reading import reading
from tests.commands import dare
from tests.dare_eeg.sets import NANO

Step = dict[str, Any]


def step(reconstruction: float, rank: float, valid: tuple[float, float, float] | None = None) -> Step:
    """Return what is logged of a step: reconstruction, rank, and those of valid after its loss."""
    names = ("loss", "reconstruction", "effective_rank")
    told = {"valid": dict(zip(names, valid, strict=True))} if valid else {}
    return {"reconstruction": reconstruction, "effective_rank": rank} | told


def read(run: Path, *steps: Step, repeated: int = 200, **choices: Any) -> str:
    """Return the reading of a run whose steps were each repeated."""
    lines = [one for one in steps for _ in range(repeated)]
    text = "".join(json.dumps({"step": number} | line) + "\n" for number, line in enumerate(lines, 1))
    (run / "metrics.jsonl").write_text(text)
    return reading(run, PretrainConfig(shards="set", out=str(run), **choices))


def test_losses_are_read(tmp_path: Path) -> None:
    told = read(tmp_path, step(1.08, 15), step(0.7, 17, (1.2, 0.68, 18.3)))
    assert told == "reconstruction 0.68 of 1: learning; rank 18"
    assert "0.95 of 1: beginning to learn; rank" in read(tmp_path, step(0.95, 9, (1.5, 0.95, 9)))
    assert "1.00 of 1: not learning; rank 9" in read(tmp_path, step(1.0, 9, (1.5, 1.0, 9)))
    assert "not learning, it is worse than guessing the mean" in read(tmp_path, step(1.3, 9, (1.5, 1.3, 9)))
    assert read(tmp_path, step(0.7, 17)) == (
        "reconstruction 0.70 of 1: learning; rank 17; all of that on windows it was trained on"
    )


def test_few_steps_are_no_verdict(tmp_path: Path) -> None:
    told = read(tmp_path, step(1.05, 9, (1.5, 1.0, 9)), repeated=10)
    assert "not learning, but 10 steps are too few to tell" in told


def test_collapse_is_told_though_the_losses_fall(tmp_path: Path) -> None:
    told = read(tmp_path, step(1.0, 15, (1.5, 1.0, 15)), step(0.6, 1.2, (0.4, 0.6, 1.1)))
    assert "collapsing, all windows get nearly the same features: lower --lr; rank 1.1, where 1 is collapse" in told
    assert "learning" not in told
    assert "rank 6, fallen from 15" in read(tmp_path, step(1.0, 15, (1.5, 1.0, 15)), step(0.7, 6, (1.2, 0.7, 6)))


def test_what_is_learnt_by_heart_is_told(tmp_path: Path) -> None:
    told = read(tmp_path, step(0.8, 15, (1.2, 0.8, 15)), step(0.3, 15, (1.5, 0.85, 15)))
    assert "; 0.30 on windows it was trained on, so some is learnt by heart" in told
    assert "; the valid loss was best at step 1 and has risen since" in told


def test_what_reads_below_1_with_nothing_learned_is_no_learning(tmp_path: Path) -> None:
    told = read(tmp_path, step(0.85, 9, (1.5, 0.85, 9)), unit_scale=0.001)
    assert "0.85 of 0.85: not learning" in told
    raw = read(tmp_path, step(4.0, 9, (5.0, 4.0, 9)), case=2)
    assert raw.startswith("reconstruction 4 of raw targets, 4 at first: not learning")


@pytest.mark.slow
def test_a_run_ends_with_its_reading(four_electrodes: Path, tmp_path: Path) -> None:
    words = ("pretrain", "--shards", four_electrodes, *NANO, "--steps", 2)
    *_, told = dare(*words, "--out", tmp_path / "run").out.splitlines()
    assert told.startswith("  reconstruction 1.")
    assert "not learning" in told
    answer = dare(*words, "--out", tmp_path / "other", "--json")
    assert json.loads(answer.out)["reading"] == told.strip()
