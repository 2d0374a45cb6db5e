"""The engine: a user's DeepSpeed settings are merged with the run's, or refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Answer, dare
from tests.dare_eeg.sets import NANO, metrics_of

pytestmark = pytest.mark.slow


def pretrain(shards: Path, run: Path, settings: Any, config: str = "", *options: object) -> Answer:
    files = run.parent / "deepspeed.json", run.parent / "config.toml"
    for file, content in zip(files, (json.dumps(settings), config), strict=True):
        file.write_text(content)
    given = ("--steps", 2, "--checkpoint-every", 2, "--deepspeed", files[0], "--config", files[1])
    return dare("pretrain", "--shards", shards, "--out", run, *NANO, *given, *options)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ([], "holds no object"),
        ({"bf16": {"enabled": True}}, "bf16 is the run's own; set it with --precision"),
        ({"torch_autocast": {"enabled": True}}, "torch_autocast is the run's own; set it with --precision"),
        ({"optimizer": {"type": "Adam"}}, "optimizer is the run's own; set it with --lr"),
        ({"gradient_cliping": 1.0}, "'gradient_cliping' is no key of a DeepSpeed config"),
        ({"zero_optimization": {"stag": 1}}, "DeepSpeed refuses it"),
        ({"zero_optimization": {"stage": 3}}, "ZeRO 3 cannot hold the momentum copy; take stage 0, 1 or 2"),
        ({"gradient_clipping": 2.0}, "gradient_clipping is the run's own; set it with --set gradient_clipping"),
    ],
)
def test_settings_are_refused_in_one_line(four_electrodes: Path, tmp_path: Path, settings: Any, reason: str) -> None:
    answer = pretrain(four_electrodes, tmp_path / "run", settings)
    assert answer.status == 2
    assert answer.complaint.startswith(f"dare: {tmp_path / 'deepspeed.json'}: ")
    assert reason in answer.complaint
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_clipping_changes_what_follows_the_first_step(four_electrodes: Path, tmp_path: Path) -> None:
    losses = {}
    for limit in (0, 0.5):
        run = tmp_path / str(limit) / "run"
        run.parent.mkdir()
        assert pretrain(four_electrodes, run, {}, f"gradient_clipping = {limit}").status == 0
        losses[limit] = [line["loss"] for line in metrics_of(run)]
    assert losses[0][0] == losses[0.5][0]
    assert losses[0][1] != losses[0.5][1]


@pytest.mark.slow
def test_zero_can_keep_the_optimizer_in_the_memory_of_the_cpu(four_electrodes: Path, tmp_path: Path) -> None:
    told = []
    for name, settings in (("free", {}), ("kept", {"stage": 1, "offload_optimizer": {"device": "cpu"}})):
        run = tmp_path / name / "run"
        run.parent.mkdir()
        answer = pretrain(four_electrodes, run, {"zero_optimization": settings})
        assert answer.status == 0, answer.err
        told.append([line["loss"] for line in metrics_of(run)])
    assert told[1] == pytest.approx(told[0], rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "config", "field"),
    [({"zero_optimization": {"stage": 1}}, "", "zero_stage"), ({}, "gradient_clipping = 0.5", "gradient_clipping")],
)
def test_a_run_goes_on_with_the_settings_it_had(
    four_electrodes: Path, tmp_path: Path, settings: Any, config: str, field: str
) -> None:
    assert pretrain(four_electrodes, tmp_path / "run", {}, "", "--stop-after", 1).status == 0
    answer = pretrain(four_electrodes, tmp_path / "run", settings, config, "--resume")
    assert answer.status == 2
    assert f"its {field} is another" in answer.complaint
