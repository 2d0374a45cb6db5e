"""Pretraining: what a run leaves, that it learns, and what it refuses."""

import json
import math
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from dare_eeg import load_encoder
from dare_eeg.data.shards import open_shards, training_sets
from dare_eeg.network import losses
from dare_eeg.network.model import SIZES, Network
from dare_eeg.training import config as configs
from dare_eeg.training import pretrain as training
from dare_eeg.training import schedule
from dare_eeg.training.loader import valid_batches
from manifests.atomic_io import sha256_file
from manifests.errors import DamagedError
from manifests.subjects import hashed
from tests.commands import dare
from tests.dare_eeg.sets import FOUR, NANO, Window, metrics_of, pretrained, recorded, tensors_of, write_set

pytestmark = pytest.mark.slow

PARTS = ("loss", "reconstruction", "anchor", "mask", "activation")
HEALTH = ("target_variance", "effective_rank")
STEPS = 6


@pytest.fixture(scope="module")
def run(four_electrodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps with two validations."""
    folder = tmp_path_factory.mktemp("runs") / "few"
    return pretrained(four_electrodes, folder, "--steps", STEPS, "--checkpoint-every", 3)


def test_every_step_leaves_its_metrics(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    expected = {"step", *PARTS, *HEALTH, "lr", "momentum", "samples_per_s", "data_wait_s"}
    assert all(set(line) - {"valid"} == expected for line in lines)
    assert all(math.isfinite(line[name]) for line in lines for name in expected - set(HEALTH))
    # What tells of collapse is looked at now and then: in the first step of twenty, and wherever there is validation.
    assert [line["effective_rank"] is None for line in lines] == [False] + 5 * [True]
    for line in (lines[0], *(line["valid"] for line in lines if "valid" in line)):
        assert line["target_variance"] > 0
        assert 1 < line["effective_rank"] <= 64
    assert [line["step"] for line in lines if "valid" in line] == [3, 6]
    assert all(set(line["valid"]) == {*PARTS, *HEALTH} for line in lines if "valid" in line)


def test_losses_add_up_and_schedules_are_followed(run: Path) -> None:
    for number, line in enumerate(metrics_of(run)):
        for of in (line, line.get("valid", line)):
            whole = of["reconstruction"] + of["anchor"] + 0.1 * of["mask"] + 1e-4 * of["activation"]
            assert of["loss"] == pytest.approx(whole, rel=1e-5)
        assert line["lr"] == schedule.learning_rate(number, STEPS, 2e-3)
        assert line["momentum"] == schedule.momentum(number, STEPS)


def test_encoder_says_what_it_was_trained_on(run: Path, four_electrodes: Path) -> None:
    encoder = load_encoder(run)
    assert (encoder.size.name, encoder.electrodes, encoder.sfreq, encoder.patch) == ("nano", FOUR, 256.0, 64)
    assert encoder.unit_scale == 0.01
    assert encoder.provenance.step == STEPS
    assert set(encoder.provenance.subjects) == {hashed(f"tuh:{name}") for name in "abcd"}
    assert b"tuh:a" in (four_electrodes / "manifest.json").read_bytes()
    assert not re.search(rb"tuh:[abcd]\W", (run / "encoder.safetensors").read_bytes()), "names nobody in clear"
    with safe_open(run / "encoder.safetensors", framework="pt") as stored:
        metadata = {name: json.loads(value) for name, value in stored.metadata().items()}
    assert metadata["manifest_sha256"] == sha256_file(four_electrodes / "manifest.json")
    windows = open_shards(four_electrodes)
    assert encoder(windows.take(np.arange(2)), windows.electrodes, windows.sfreq).shape == (2, 20, 1, 64)


def test_encoder_is_the_momentum_encoder_of_the_checkpoint(run: Path) -> None:
    (states,) = (run / "checkpoints").glob(f"step-{STEPS:08d}/*model_states.pt")
    module = tensors_of(states)["module"]
    encoder = load_encoder(run).encoder.state_dict()
    for name, tensor in encoder.items():
        torch.testing.assert_close(tensor, module[f"target_encoder.{name}"], rtol=0, atol=0)
    assert any(not torch.equal(tensor, module[f"encoder.{name}"]) for name, tensor in encoder.items())


@pytest.mark.slow
def test_encoder_is_that_of_the_best_valid_loss(four_electrodes: Path, tmp_path: Path) -> None:
    plan = ("--steps", 8, "--checkpoint-every", 1, "--lr", 0.02)  # at which the valid loss falls and rises again
    run = pretrained(four_electrodes, tmp_path / "run", *plan)
    valid = {line["step"]: line["valid"]["loss"] for line in metrics_of(run)}
    best = min(valid, key=lambda step: valid[step])
    assert 1 < best < 8
    assert load_encoder(run).provenance.step == best
    assert sorted(path.name for path in (run / "checkpoints").glob("step-*")) == [f"step-{best:08d}", "step-00000008"]


def test_without_valid_windows_the_encoder_is_the_last(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "unheld", {"train": [recorded("tuh:a", 4)]})
    run = pretrained(folder, tmp_path / "run", "--steps", 2, "--checkpoint-every", 1)
    assert load_encoder(run).provenance.step == 2
    assert all("valid" not in line for line in metrics_of(run))


def test_validation_is_the_mean_over_every_valid_window(run: Path, four_electrodes: Path) -> None:
    (states,) = (run / "checkpoints").glob(f"step-{STEPS:08d}/*model_states.pt")
    network = Network(SIZES["nano"])
    network.load_state_dict(tensors_of(states)["module"])
    weighted, counted = 0.0, 0
    for batch in valid_batches(training_sets(four_electrodes), configs.load(run / "config.toml", {})):
        x_BCT, ids_C, _, weight_B = batch.tensors(torch.device("cpu"), 0.01)
        kept = int(weight_B.sum())
        with torch.no_grad():
            parts = losses.measure(network(x_BCT[:kept], ids_C, batch.masks), network.loss_mc.temperature)
        weighted, counted = weighted + float(losses.total(parts)) * kept, counted + kept
    assert counted == len(open_shards(four_electrodes, "valid"))
    assert metrics_of(run)[-1]["valid"]["loss"] == pytest.approx(weighted / counted, rel=1e-5)


@pytest.mark.slow
def test_config_reads_back_and_repeats_the_run(run: Path, four_electrodes: Path, tmp_path: Path) -> None:
    config = configs.load(run / "config.toml", {})
    assert (config.size, config.steps, config.global_batch, config.micro_batch) == ("nano", STEPS, 8, 4)
    config.save(tmp_path / "again.toml")
    assert configs.load(tmp_path / "again.toml", {}) == config
    answer = dare(
        "pretrain", "--config", run / "config.toml", "--shards", four_electrodes, "--out", tmp_path / "repeated"
    )
    assert answer.status == 0, answer.err
    assert metrics_of(tmp_path / "repeated") == metrics_of(run)


def test_a_seed_of_zero_is_a_seed(four_electrodes: Path, run: Path, tmp_path: Path) -> None:
    zero = pretrained(four_electrodes, tmp_path / "zero", "--steps", 1, "--seed", 0)
    assert configs.load(zero / "config.toml", {}).seed == 0
    assert metrics_of(zero)[0]["loss"] != metrics_of(run)[0]["loss"]


@pytest.mark.slow
def test_epochs_are_passes_over_the_windows(four_electrodes: Path, tmp_path: Path) -> None:
    run = pretrained(four_electrodes, tmp_path / "run", "--epochs", 2)
    assert len(metrics_of(run)) == 2 * 15 // 8


@pytest.mark.slow
def test_sets_of_two_montages_train_together(tuab_pretrain: Path, four_electrodes: Path, tmp_path: Path) -> None:
    assert dare("merge", tuab_pretrain, four_electrodes, "--out", tmp_path / "merged").status == 0
    run = pretrained(tmp_path / "merged", tmp_path / "run", "--steps", 3)
    assert all(math.isfinite(line["loss"]) for line in metrics_of(run))
    subjects = load_encoder(run).provenance.subjects
    assert {hashed("tuh:a"), hashed("tuh:d")} < set(subjects)
    assert set(map(hashed, open_shards(tuab_pretrain).subjects.tolist())) < set(subjects)
    assert len(load_encoder(run).electrodes) == 19


def test_excluded_subjects_are_not_trained_on(four_electrodes: Path, tmp_path: Path) -> None:
    other = write_set(tmp_path / "other", {"train": [recorded("tuh:c", 1)], "test": [recorded("tuh:b", 1)]})
    run = pretrained(four_electrodes, tmp_path / "run", "--steps", 1, "--exclude", f"{other}:test")
    assert set(load_encoder(run).provenance.subjects) == {hashed(f"tuh:{name}") for name in "acd"}


@pytest.mark.slow
def test_a_few_windows_are_learnt_by_heart(tmp_path: Path) -> None:
    windows = [Window(np.repeat(one.counts[:1], 4, axis=0)) for one in recorded("tuh:a", 4, samples=1024)]
    folder = write_set(tmp_path / "few", {"train": [windows]})
    options = ("--global-batch", 4, "--steps", 200, "--lr", 2e-3, "--checkpoint-every", 200)
    lines = metrics_of(pretrained(folder, tmp_path / "run", *options))
    start, end = (np.mean([line["reconstruction"] for line in part]) for part in (lines[:5], lines[-20:]))
    assert end < 0.5 * start


class Overflowing(Window):
    """A window whose samples no float32 holds."""

    @property
    def scale(self) -> NDArray[np.float32]:
        return np.full(len(self.counts), 3e38, np.float32)


@pytest.mark.parametrize("part", ["train", "valid"])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_what_to_look_at(tmp_path: Path, part: str) -> None:
    spoiled = Overflowing(recorded("tuh:b", 1)[0].counts, "tuh:b", "b.edf", 35.0)
    shards = {"train": [recorded("tuh:a", 15)], "valid": [recorded("tuh:c", 7)]}
    shards[part][0].append(spoiled)
    folder = write_set(tmp_path / "spoiled", shards)
    plan = ("--steps", 5, "--checkpoint-every", 5)
    answer = dare("pretrain", "--shards", folder, "--out", tmp_path / "run", *NANO, *plan)
    assert answer.status == 2
    complaint = answer.err.splitlines()[-1]
    if part == "valid":
        second = "spoiled: c.edf at 20 s"  # of two batches
        assert f"{tmp_path / 'run'}: the loss is not finite on valid; look at {second}, or lower --lr" in complaint
        return
    told = json.loads((tmp_path / "run" / "not_finite.json").read_text())
    (batch,) = told["not_finite"]
    assert "spoiled: b.edf at 35 s" in batch
    assert f"{tmp_path / 'run'}: the loss is not finite at step {told['step']}; look at {batch[0]} and " in complaint
    assert [len(batch) for batch in told["finite"]] == [4]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_saves_and_ends_the_run_after_the_step_that_it_falls_in(
    run: Path, four_electrodes: Path, tmp_path: Path, number: int
) -> None:
    def report(step: int, _steps: int, _metrics: dict[str, Any]) -> None:
        if step == 2:
            os.kill(os.getpid(), number)

    stopped = tmp_path / "run"
    given = {"shards": str(four_electrodes), "out": str(stopped), "size": "nano", "steps": STEPS, "checkpoint_every": 6}
    config = configs.load(None, given | {"global_batch": 8, "micro_batch": 4})
    done = training.pretrain(config, training_sets(four_electrodes), report)
    assert (done.steps, done.planned, done.interrupted) == (3, STEPS, number == signal.SIGINT)
    assert dare("pretrain", "--out", stopped, "--resume").status == 0
    assert [line["loss"] for line in metrics_of(stopped)] == [line["loss"] for line in metrics_of(run)]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--global-batch", 6), "global batch 6 is no multiple of micro-batch 4"),
        (("--lr", -1), "lr: must be above 0"),
        (("--lr", 0), "lr: must be above 0"),
        (("--config", "absent.toml"), "dare: absent.toml: not found; see the config.toml of a run"),
        (("--exclude", "nowhere"), "nowhere/manifest.json: not found"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(
    four_electrodes: Path, tmp_path: Path, options: tuple[object, ...], reason: str
) -> None:
    answer = dare("pretrain", "--shards", four_electrodes, "--out", tmp_path / "run", *NANO, "--steps", 1, *options)
    assert answer.status == 2
    assert reason in answer.complaint
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_without_a_set_the_way_out_is_named(tmp_path: Path) -> None:
    said = "dare: --shards: names no set; give the set to train on, as in dare pretrain --shards shards/merged"
    assert dare("pretrain").complaint == said
    (tmp_path / "config.toml").write_text('size = "nano"\n')
    assert dare("pretrain", "--config", tmp_path / "config.toml").complaint == said


def test_the_micro_batch_follows_where_only_the_global_batch_is_given(four_electrodes: Path, tmp_path: Path) -> None:
    options = ("--shards", four_electrodes, "--out", tmp_path / "run", "--size", "nano", "--global-batch", 6)
    assert dare("pretrain", *options, "--steps", 1).status == 0
    assert configs.load(tmp_path / "run" / "config.toml", {}).micro_batch == 6


@pytest.mark.parametrize(
    ("global_batch", "processes", "micro_batch"),
    [
        (64, 1, 16),
        (8, 1, 8),
        (24, 1, 12),
        (17, 1, 17),
        (34, 1, 17),
        (216, 1, 12),
        (64, 4, 16),
        (64, 8, 8),
        (24, 4, 6),
        (24, 5, 12),
        (2, 2, 2),
    ],
)
def test_the_micro_batch_is_the_largest_that_the_processes_can_share(
    global_batch: int, processes: int, micro_batch: int
) -> None:
    given = {"shards": "shards/merged", "global_batch": global_batch}
    assert configs.load(None, given, processes).micro_batch == micro_batch
    assert configs.load(None, given | {"micro_batch": 3}, processes).micro_batch == 3


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"zero_optimization": {"stage": 3}}, "ZeRO 3"),
        ({"train_batch_size": 4}, "train_batch_size is the run's own"),
        ({"zero_optimisation": {"stage": 1}}, "zero_optimisation"),
    ],
)
def test_deepspeed_settings_that_would_do_harm_are_refused(
    four_electrodes: Path, tmp_path: Path, settings: dict[str, Any], reason: str
) -> None:
    file = tmp_path / "deepspeed.json"
    file.write_text(json.dumps(settings))
    options = ("--steps", 1, "--deepspeed", file)
    answer = dare("pretrain", "--shards", four_electrodes, "--out", tmp_path / "run", *NANO, *options)
    assert answer.status == 2
    assert reason in answer.complaint


def test_a_set_with_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "held", {"valid": [recorded("tuh:a", 4)]})
    answer = dare("pretrain", "--shards", folder, "--out", tmp_path / "run", *NANO, "--steps", 1)
    assert answer.status == 2
    assert "no window to train on" in answer.complaint


def test_electrodes_without_an_embedding_are_named_once(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "ears", {"train": [recorded("tuh:a", 4)]}, ("A1", "C3", "T1", "PZ"))
    answer = dare("pretrain", "--shards", folder, "--out", tmp_path / "run", *NANO, "--steps", 1)
    assert answer.status == 0
    assert answer.err.count("left out, the network has no embedding for them: A1, T1") == 1
    assert load_encoder(tmp_path / "run").electrodes == ("C3", "PZ")


def test_a_config_with_a_byte_order_mark_is_read_and_a_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('shards = "set"\nsize = "nano"\n', encoding="utf-8-sig")
    assert configs.load(tmp_path / "config.toml", {}).size == "nano"
    with pytest.raises(DamagedError) as refused:
        configs.load(tmp_path, {})
    assert (refused.value.path, refused.value.reason) == (str(tmp_path), "unreadable (is a directory)")
