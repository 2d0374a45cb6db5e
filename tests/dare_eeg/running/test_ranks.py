"""Several processes: whatever starts them and whatever ZeRO shares out, they train what one process trains.

Two processes run all commands of a kind in one job under each launcher in turn: whole runs under torchrun, the parts
of stopped ones under torchrun, the deepspeed launcher and what srun sets.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dare_eeg.training import config as configs
from tests.commands import Answer, dare
from tests.dare_eeg.running import ranks
from tests.dare_eeg.sets import NANO, metrics_of, tensors_of

pytestmark = pytest.mark.slow

PARTS = ("loss", "reconstruction", "anchor", "mask", "activation")
STEPS = 4
SLOW = ("--lr", 5e-4)
"""A rate at which roundings, which grow with it, stay small."""

MATRIX = [(0, "fp32"), (0, "bf16"), (1, "fp32"), (2, "bf16")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


def command(shards: Path, out: Path, stage: int, precision: str, *options: object) -> tuple[object, ...]:
    file = out.parent / f"{out.name}.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": stage}}))
    plan = ["--steps", STEPS, "--checkpoint-every", STEPS, "--precision", precision, "--deepspeed", file]
    if precision == "bf16":  # at nano's own rate two ranks and one are 7e-6 apart
        plan += SLOW
    return ("pretrain", "--shards", shards, "--out", out, *NANO, *plan, *options)


def gathering(shards: Path, out: Path, micro_batch: int) -> tuple[object, ...]:
    """Return the command of a run whose contrast is with the windows of all processes."""
    plan = ["--global-batch", 8, "--micro-batch", micro_batch, "--steps", 3, "--lr", 0.01, "--set", "mask_for=step"]
    return ("pretrain", "--shards", shards, "--out", out, "--size", "nano", *plan, "--gather-negatives")


@pytest.fixture(scope="module")
def alone(four_electrodes: Path, folder: Path) -> dict[str, Path]:
    """Runs of one process without ZeRO, by precision."""
    runs = {precision: folder / f"alone-{precision}" for precision in ("fp32", "bf16")}
    for precision, run in runs.items():
        answer = dare(*command(four_electrodes, run, 0, precision))
        assert answer.status == 0, answer.err
    return runs


@pytest.fixture(scope="module")
def answered(four_electrodes: Path, folder: Path) -> list[list[list[Answer]]]:
    """What two processes said, by launcher, rank and command: of whole runs, and of runs that are stopped twice.

    What the first job stopped is copied to ``halved``, for others to go on with.
    """

    def parts(*options: object) -> list[tuple[object, ...]]:
        return [command(four_electrodes, folder / f"parts-{s}-{p}", s, p, *options) for s, p in MATRIX]

    whole = [command(four_electrodes, folder / f"whole-{s}-{p}", s, p) for s, p in MATRIX]
    whole.append(command(four_electrodes, folder / "clipped", 1, "fp32", "--set", "gradient_clipping=0.5", *SLOW))
    shared = ("--size", "nano", "--global-batch", 8, "--steps", STEPS)
    whole.append(("pretrain", "--shards", four_electrodes, "--out", folder / "shared", *shared))
    whole.append(gathering(four_electrodes, folder / "gathered", 4))
    first = ranks.together("elastic", folder / "elastic", *whole, *parts("--stop-after", 1))
    for stage, precision in MATRIX:
        shutil.copytree(folder / f"parts-{stage}-{precision}", folder / f"halved-{stage}-{precision}")
    return [
        first,
        ranks.together("deepspeed", folder / "deepspeed", *parts("--resume", "--stop-after", 1)),
        ranks.together("srun", folder / "srun", *parts("--resume")),
    ]


def states(run: Path) -> list[Path]:
    """Return the files of the last checkpoint."""
    last = json.loads((run / "checkpoints" / "checkpoints.json").read_text())["last"]
    return sorted((run / "checkpoints" / last).glob("*.pt"))


def leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Return every tensor and number of nested containers by its path."""
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, one in pairs for k, v in leaves(one, f"{name}/{key}").items()}
    return {name: value} if isinstance(value, torch.Tensor | float | int) else {}


def assert_same_losses(run: Path, other: Path) -> None:
    for ours, theirs in zip(metrics_of(run), metrics_of(other), strict=True):
        assert [ours[name] for name in PARTS] == pytest.approx([theirs[name] for name in PARTS], rel=1e-6)
    assert metrics_of(run)[-1]["valid"] == pytest.approx(metrics_of(other)[-1]["valid"], rel=1e-6)


@pytest.mark.parametrize(("stage", "precision"), MATRIX)
@pytest.mark.usefixtures("answered")
def test_two_processes_train_what_one_trains(alone: dict[str, Path], folder: Path, stage: int, precision: str) -> None:
    assert_same_losses(folder / f"whole-{stage}-{precision}", alone[precision])


@pytest.mark.parametrize(("stage", "precision"), MATRIX)
@pytest.mark.usefixtures("answered")
def test_a_run_stopped_twice_ends_as_one_that_was_not(folder: Path, stage: int, precision: str) -> None:
    whole, parts = (folder / f"{kind}-{stage}-{precision}" for kind in ("whole", "parts"))
    assert metrics_of(parts) == metrics_of(whole)
    for ours, theirs in zip(states(parts), states(whole), strict=True):
        assert ours.name == theirs.name
        kept, expected = leaves(tensors_of(ours)), leaves(tensors_of(theirs))
        assert kept.keys() == expected.keys()
        for name, leaf in kept.items():
            same = torch.equal(leaf, expected[name]) if isinstance(leaf, torch.Tensor) else leaf == expected[name]
            assert same, f"{ours.name}{name}"
    encoders = [load_file(run / "encoder.safetensors") for run in (parts, whole)]
    assert all(torch.equal(encoders[0][name], encoders[1][name]) for name in encoders[1])


def test_rank_0_alone_speaks(answered: list[list[list[Answer]]]) -> None:
    for told in answered:
        assert all(answer == Answer(0, "", "") for answer in told[1])
        for answer in told[0]:
            assert answer.status == 0
            assert re.search(r": \d of \d steps", answer.out.splitlines()[0])
            header = [line for line in answer.err.splitlines() if not line.startswith("step ")]
            assert len([line for line in header if not line.startswith("  ")]) == 1, "which is told once"


@pytest.mark.usefixtures("answered")
def test_processes_share_a_batch_of_which_only_the_whole_is_given(folder: Path) -> None:
    assert configs.load(folder / "shared" / "config.toml", {}).micro_batch == 4


@pytest.mark.usefixtures("answered")
def test_clipping_is_the_same_for_two_processes_and_one(four_electrodes: Path, folder: Path) -> None:
    for name, limit in (("clipped-alone", 0.5), ("free", 0)):
        setting = ("--set", f"gradient_clipping={limit}")
        answer = dare(*command(four_electrodes, folder / name, 0, "fp32", *setting, *SLOW))
        assert answer.status == 0, answer.err
    assert_same_losses(folder / "clipped", folder / "clipped-alone")
    clipped, free = ([line["loss"] for line in metrics_of(folder / name)] for name in ("clipped", "free"))
    assert clipped[0] == pytest.approx(free[0], rel=1e-6)
    assert clipped[-1] != pytest.approx(free[-1], rel=1e-4)


@pytest.mark.usefixtures("answered")
def test_negatives_of_all_ranks_make_two_processes_learn_like_one_with_the_whole_batch(
    four_electrodes: Path, folder: Path
) -> None:
    assert dare(*gathering(four_electrodes, folder / "gathered-alone", 8)).status == 0
    for ours, theirs in zip(metrics_of(folder / "gathered-alone"), metrics_of(folder / "gathered"), strict=True):
        assert [theirs[name] for name in PARTS] == pytest.approx([ours[name] for name in PARTS], rel=1e-4)
    answer = dare(*gathering(four_electrodes, folder / "gathered", 4), "--resume")
    assert answer.status == 2
    assert "its world_size is another (2, now 1)" in answer.complaint


@pytest.mark.parametrize(("stage", "precision"), MATRIX)
@pytest.mark.usefixtures("answered")
def test_another_number_of_processes_goes_on_where_nothing_was_shared_out(
    four_electrodes: Path, alone: dict[str, Path], folder: Path, stage: int, precision: str
) -> None:
    run = folder / f"halved-{stage}-{precision}"
    before = metrics_of(run)
    answer = dare(*command(four_electrodes, run, stage, precision, "--resume"))
    if stage:
        assert answer.status == 2
        assert f"was saved by 2 processes, now 1; ZeRO {stage} goes on with as many" in answer.complaint
        assert metrics_of(run) == before
    else:
        assert answer.status == 0, answer.err
        assert_same_losses(run, alone[precision])
