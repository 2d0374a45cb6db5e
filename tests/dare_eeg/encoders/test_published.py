"""Published checkpoints in and out, and the published recipe, slips included, where a switch asks for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dare_eeg import load_encoder
from dare_eeg.encoders.published import export, read_classifier, read_network, write_network
from dare_eeg.network.losses import measure, total
from dare_eeg.network.masks import Masks
from dare_eeg.network.model import SIZES, Network, Outputs, Size, cut_patches
from dare_eeg.network.objective import Objective
from dare_eeg.running import engine
from dare_eeg.training import config as configs
from dare_eeg.training import schedule
from manifests.errors import DareError
from tests.commands import dare
from tests.conftest import relative_error
from tests.dare_eeg.sets import metrics_of, pretrained, tensors_of

pytestmark = pytest.mark.slow

TINY = Size("custom", 32, 2, (1, 1, 1), 4)
SMALL_BATCHES = ("--global-batch", 8, "--micro-batch", 4)


def stored(golden: Path, name: str = "nano.ckpt") -> dict[str, torch.Tensor]:
    return torch.load(golden / name, weights_only=True)["state_dict"]


def run_case(network: Network, case: Any, dtype: torch.dtype = torch.float32) -> Outputs:
    masks = Masks(case["mask_x"], case["mask_x2"], case["mask_y"])
    return network(torch.tensor(case["x"], dtype=dtype), torch.tensor(case["chan_ids"][0]), masks)


def first_state(run: Path) -> dict[str, torch.Tensor]:
    """Return the weights that a run began with."""
    config = configs.load(run / "config.toml", {})
    torch.manual_seed(config.seed)
    return Network(SIZES[config.size], config.init, config.objective).state_dict()


def last_state(run: Path) -> dict[str, torch.Tensor]:
    return tensors_of(max((run / "checkpoints").glob("step-*/*model_states.pt")))["module"]


@pytest.mark.parametrize("case", ["nano", "nano_edge1", "nano_edge16"])
def test_losses_in_double_precision_are_the_reference_s(golden, case):
    network = Network(SIZES["nano"])
    network.load_state_dict(stored(golden))
    with np.load(golden / f"{case}_io.npz") as reference:
        network.double()  # the temperature and the rotary frequencies stay what they are in single precision
        losses = measure(run_case(network, reference, torch.float64), network.loss_mc.temperature)
        names = {"anchor": "loss1", "reconstruction": "loss2", "mask": "loss3", "activation": "act_reg"}
        for part, name in names.items():
            assert relative_error(getattr(losses, part), reference[f"{name}_f64"]) < 1e-10, part
        assert relative_error(total(losses), reference["total_f64"]) < 1e-10


def test_one_step_as_published_leaves_the_reference_s_weights(golden):
    before, after = stored(golden), stored(golden, "nano_after_step.ckpt")
    network = Network(SIZES["nano"])
    network.load_state_dict(before)
    network.loss_mc.requires_grad_(False)
    optimizer = torch.optim.AdamW(engine.decay_groups(network, 1e-6), lr=2.5e-4, betas=(0.95, 0.999))
    with np.load(golden / "nano_io.npz") as reference:
        total(measure(run_case(network, reference), network.loss_mc.temperature)).backward()
    optimizer.step()
    network.update_target(0.996)
    for name, value in network.state_dict().items():
        kept = torch.ones(len(value) if value.dim() else 1, dtype=torch.bool)
        if name.endswith("qkv.bias"):
            # Shifting all keys alike changes no attention: the gradient is 0, and Adam's first step the sign of noise.
            kept[len(value) // 3 : 2 * len(value) // 3] = False
        moved, expected = value.reshape(len(kept), -1)[kept], after[name].reshape(len(kept), -1)[kept]
        assert relative_error(moved, expected) < 1e-5, name
        if name.startswith("loss_mc."):
            assert torch.equal(value, before[name])


@pytest.mark.parametrize("name", ["nano.ckpt", "nano_lightning_real.ckpt"])
def test_a_published_checkpoint_goes_in_and_comes_out_unchanged(golden, tmp_path, name):
    state, coverage = read_network(golden / name)
    network = Network(SIZES["nano"])
    network.load_state_dict(state)
    write_network(tmp_path / "ours.ckpt", network.state_dict(), step=3)
    again = stored(tmp_path, "ours.ckpt")
    assert again.keys() == stored(golden, name).keys()
    assert all(torch.equal(again[key], value) for key, value in stored(golden, name).items())
    assert set(coverage.used) == set(again)
    beside = {"nano.ckpt": (), "nano_lightning_real.ckpt": ("loops", "callbacks", "optimizer_states", "lr_schedulers")}
    assert set(coverage.unused) == {"epoch", "global_step", "pytorch-lightning_version", *beside[name]}


def test_what_is_not_exactly_a_network_is_refused_and_every_difference_named(tmp_path):
    state = Network(TINY).state_dict()
    write_network(tmp_path / "whole.ckpt", state, step=0)
    assert read_network(tmp_path / "whole.ckpt")[0].keys() == state.keys()
    with pytest.raises(DareError, match=r"not a whole network.*missing: encoder.blocks.1.norm1.weight"):
        read_network(tmp_path / "whole.ckpt", SIZES["nano"])
    del state["predictor.predictor_proj.bias"]
    state["reconstructor.extra"] = torch.zeros(1)
    state["loss_mc.projection_head.2.bias"] = torch.zeros(3)
    write_network(tmp_path / "odd.ckpt", state, step=0)
    with pytest.raises(DareError) as caught:
        read_network(tmp_path / "odd.ckpt")
    assert "missing: predictor.predictor_proj.bias; " in str(caught.value)
    assert "unexpected: reconstructor.extra; " in str(caught.value)
    assert "misshapen: loss_mc.projection_head.2.bias (3,) instead of (256,); " in str(caught.value)
    torch.save({"model": {}}, tmp_path / "model.pth")
    with pytest.raises(DareError, match="without 'state_dict'"):
        read_network(tmp_path / "model.pth")


@pytest.mark.parametrize(("corpus", "classes"), [("tuev", 6), ("tuab", 1)])
def test_a_published_classifier_answers_as_published(golden, corpus, classes):
    adapter, encoder, head, coverage = read_classifier(golden / f"nano_downstream_{corpus}.pth")
    with np.load(golden / f"nano_downstream_{corpus}.npz") as reference, torch.no_grad():
        adapted = adapter(torch.tensor(reference["x_uV"]) / 100)
        logits = head(encoder(adapted, torch.arange(58)))
        assert logits.shape == (2, classes)
        assert relative_error(logits, reference["logits"]) < 1e-5
    assert coverage.unused == {"conv_head.anti_alias.weight": "the published code never reads it"}


def test_a_pretraining_checkpoint_is_no_classifier(golden):
    with pytest.raises(DareError, match="without a classifier"):
        read_classifier(golden / "nano.ckpt")


def test_our_encoder_goes_out_in_the_published_form_and_back(nano_run: Path, tmp_path: Path) -> None:
    official, ours = tmp_path / "official.ckpt", tmp_path / "ours.safetensors"
    answer = dare("export", "--encoder", nano_run, "--to", "official", "--out", official)
    assert answer.status == 0, answer.err
    assert "30 tensors, 108,288 numbers, equal to the source to the bit" in answer.out
    assert "its input is µV × 0.01 at 256 Hz" in answer.out
    with torch.device("meta"):
        names = {k: v.shape for k, v in Network(SIZES["nano"]).state_dict().items() if k.startswith("target_encoder.")}
    assert {name: value.shape for name, value in stored(tmp_path, "official.ckpt").items()} == names
    assert dare("export", "--encoder", official, "--to", "safetensors", "--out", ours).status == 0
    first, last = load_file(nano_run / "encoder.safetensors"), load_file(ours)
    assert first.keys() == last.keys()
    assert all(torch.equal(first[name], last[name]) for name in first)
    assert load_encoder(official).provenance == load_encoder(ours).provenance == load_encoder(nano_run).provenance


def test_a_published_encoder_comes_out_in_our_form(golden, tmp_path):
    lines = export(golden / "nano.ckpt", "safetensors", tmp_path / "nano.safetensors")
    assert sum(line.startswith("left aside: ") for line in lines) == 4
    x = torch.randn(1, 58, 1024)
    theirs, ours = (load_encoder(path) for path in (golden / "nano.ckpt", tmp_path / "nano.safetensors"))
    assert ours.unit_scale == 1e-3
    assert torch.equal(theirs(x, theirs.electrodes, 256), ours(x, ours.electrodes, 256))


def test_an_encoder_that_is_not_there_is_not_exported(tmp_path: Path) -> None:
    answer = dare("export", "--encoder", tmp_path / "none", "--to", "official", "--out", tmp_path / "out.ckpt")
    assert answer.status == 2
    assert "none: not found" in answer.complaint
    assert not (tmp_path / "out.ckpt").exists()


def test_as_published_takes_every_correction_back(four_electrodes: Path, tmp_path: Path) -> None:
    given = {"shards": str(four_electrodes), "out": str(tmp_path), "size": "nano", "as_published": True}
    published, ours = configs.load(None, given), configs.load(None, given | {"as_published": False})
    changed = {name for name in configs.PretrainConfig.model_fields if getattr(published, name) != getattr(ours, name)}
    assert (ours.lr, configs.load(None, given | {"size": "base", "as_published": False}).lr) == (2e-3, 5e-4)
    assert changed == configs.PUBLISHED.keys()
    assert {name: getattr(published, name) for name in changed} == configs.PUBLISHED
    again = configs.load(None, given | {"settings": ("second_view=own_patch", "unit_scale=0.01"), "micro_batch": 36})
    assert (again.second_view, again.unit_scale, again.micro_batch, again.train_head) == ("own_patch", 0.01, 36, False)
    with pytest.raises(DareError, match="KEY=VALUE"):
        configs.load(None, given | {"settings": ("second_view",)})
    with pytest.raises(DareError, match="second_view"):
        configs.load(None, given | {"settings": ("second_view=rows",)})


@pytest.mark.slow
def test_a_run_as_published_never_trains_the_head(four_electrodes: Path, tmp_path: Path) -> None:
    ours = pretrained(four_electrodes, tmp_path / "ours", "--steps", 2)
    theirs = pretrained(four_electrodes, tmp_path / "theirs", "--steps", 2, "--as-published", *SMALL_BATCHES)
    assert configs.load(theirs / "config.toml", {}).second_view == "row_number"
    for run, trained in ((ours, True), (theirs, False)):
        first, last = first_state(run), last_state(run)
        for part, moves in (("loss_mc.projection_head", trained), ("encoder", True), ("target_encoder", True)):
            weights = [name for name in first if name.startswith(f"{part}.") and name.endswith("weight")]
            assert weights
            assert all(torch.equal(first[name], last[name]) != moves for name in weights), part


@pytest.mark.slow
def test_schedules_start_anew_on_resume_where_asked(four_electrodes: Path, tmp_path: Path) -> None:
    plan = ("--steps", 4, "--set", "on_resume=restart")
    run = pretrained(four_electrodes, tmp_path / "run", *plan, "--stop-after", 2)
    pretrained(four_electrodes, run, *plan, "--resume")
    lines = metrics_of(run)
    assert [line["lr"] for line in lines] == [schedule.learning_rate(step, 4, 2e-3) for step in (0, 1, 0, 1)]
    assert [line["momentum"] for line in lines] == [schedule.momentum(step, 4) for step in (0, 1, 0, 1)]


@pytest.mark.parametrize("case", [1, 2, 3, 4])
def test_ablations_take_their_part_away(case):
    torch.manual_seed(0)
    objective = Objective.of_case(case)
    whole, ablated = Network(TINY), Network(TINY, objective=objective)
    ablated.load_state_dict(whole.state_dict())
    x, masks = torch.randn(3, 4, 320), Masks(np.array([[0, 1], [9, 8]]), np.array([[2, 1], [9, 10]]), np.array([3, 13]))
    outputs, expected = (network(x, torch.arange(4), masks) for network in (ablated, whole))
    losses = measure(outputs, ablated.loss_mc.temperature)
    parts = {"reconstruction": 1.0, "anchor": 1.0, "mask": 0.1, "activation": 1e-4}
    left_out = {1: ("anchor",), 4: ("mask", "activation")}.get(case, ())
    kept = sum(weight * getattr(losses, name) for name, weight in parts.items() if name not in left_out)
    torch.testing.assert_close(total(losses, objective), kept)
    raw = cut_patches(x).flatten(1, 2)[:, masks.mask_y]
    assert torch.equal(outputs.y, raw if case == 2 else expected.y)
    assert not torch.allclose(raw, expected.y)
    read = expected.pred if case == 3 else expected.comb
    assert torch.equal(outputs.recon, whole.reconstructor(read, torch.arange(4), torch.tensor(masks.mask_y)))
    total(losses, objective).backward()
    assert (ablated.loss_mc.projection_head[0].weight.grad is None) == (case == 4)


def test_an_ablated_run_belongs_to_its_case(four_electrodes: Path, tmp_path: Path) -> None:
    run = pretrained(four_electrodes, tmp_path / "run", "--steps", 2, "--case", 4, "--stop-after", 1)
    line = metrics_of(run)[0]
    assert line["loss"] == pytest.approx(line["reconstruction"] + line["anchor"], rel=1e-5)
    head = [name for name in first_state(run) if "projection_head" in name]
    assert all(torch.equal(first_state(run)[name], last_state(run)[name]) for name in head)
    options = ("--shards", four_electrodes, "--out", run, "--size", "nano", *SMALL_BATCHES, "--steps", 2, "--resume")
    answer = dare("pretrain", *options, "--case", 5)
    assert answer.status == 2
    assert "its case is another (4, now 5)" in answer.complaint
