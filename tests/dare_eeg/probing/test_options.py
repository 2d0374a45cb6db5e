"""Options of a probe: ours by default, and the published scripts' ways to the figure where they are asked for."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import fractional_matrix_power

from dare_eeg import open_shards
from dare_eeg.encoders.as_published import AsPublished
from dare_eeg.encoders.ours import PretrainedEncoder, load_encoder
from dare_eeg.encoders.weights import Provenance
from dare_eeg.network.heads import Adapter, FinetuneHead
from dare_eeg.probing.networks.network import ProbeNetwork
from dare_eeg.probing.options import options_of
from dare_eeg.probing.views.alignment import AlignedWindows
from manifests import manifest
from manifests.electrodes import PRETRAIN_58
from manifests.manifest import SPLITS
from manifests.recipe import load
from tests.conftest import relative_error
from tests.dare_eeg.probing.test_probe import ask, probed
from tests.dare_eeg.sets import recorded, write_set

pytestmark = pytest.mark.slow


def classifier(golden: Path, folder: Path, as_published: bool) -> ProbeNetwork:
    """Return the published fine-tuned classifier of TUEV in a probe of ours, on an encoder that expects mV."""
    recipe = load("tuev")
    labels = list(range(6))
    windows = recorded("tuh:a", 6, 1000, len(recipe.electrodes), labels=labels)
    write_set(folder, {"train": [windows]}, recipe.electrodes, 200.0, recipe.classes)
    stored = torch.load(golden / "nano_downstream_tuev.pth", weights_only=True)["model"]
    whole = load_encoder(golden / "nano_downstream_tuev.pth")
    provenance = Provenance(**vars(whole.size), electrodes=PRETRAIN_58, unit_scale=1e-3)
    encoder = PretrainedEncoder(whole.encoder, provenance)
    if as_published:
        options = options_of("finetune", as_published, corpus="tuev")
        encoder = AsPublished(encoder, options.resampling, options.unit_scale, options.electrode_ids == "positions")
    adapter = partial(Adapter, time_kernel=15, layers=2)
    network = ProbeNetwork(encoder, open_shards(folder), adapter, FinetuneHead, is_frozen=False)
    if as_published:
        parts = {"conv_head": network.adapter, "classifier": network.head}
        for name, part in parts.items():
            part.load_state_dict({key: stored[f"{name}.{key}"] for key in part.state_dict()})
    return network.eval()


def test_published_options_give_the_published_logits(golden: Path, tmp_path: Path) -> None:
    with np.load(golden / "nano_downstream_tuev.npz") as reference, torch.no_grad():
        logits = classifier(golden, tmp_path, as_published=True)(torch.tensor(reference["x_uV"]))
        assert relative_error(logits, reference["logits"]) < 1e-5


def test_our_options_give_the_encoder_its_own_unit_rate_and_electrodes(golden: Path, tmp_path: Path) -> None:
    ours = classifier(golden, tmp_path / "ours", as_published=False)
    theirs = classifier(golden, tmp_path / "theirs", as_published=True)
    seen: dict[str, Any] = {}
    for name, network in (("ours", ours), ("theirs", theirs)):
        network.adapter.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0]}))
        read = network.encoder.encoder
        read.register_forward_pre_hook(lambda _, given, name=name: seen.update({f"{name} ids": given[1].tolist()}))
        network(torch.full((1, 23, 1000), 50.0))
    assert (seen["ours"].shape[-1], seen["theirs"].shape[-1]) == (1280, 1000)
    torch.testing.assert_close(seen["ours"], torch.full((1, 23, 1280), 0.05))
    torch.testing.assert_close(seen["theirs"], torch.full((1, 23, 1000), 0.5))
    assert seen["theirs ids"] == list(range(58)) != seen["ours ids"]


def test_alignment_whitens_each_session_part_as_scipy_does(bcic2b: Path) -> None:
    aligned = AlignedWindows(bcic2b, manifest.load_set(bcic2b), SPLITS)
    plain = open_shards(bcic2b, SPLITS)
    x_uv = plain.take(np.arange(len(plain))).astype(np.float64)
    found = aligned.take(np.arange(len(aligned)))
    parts = sorted(set(zip(plain.subjects.tolist(), (plain.split == "test").tolist(), strict=True)))
    assert len(parts) > 2
    for subject, is_test in parts:
        mine = (plain.subjects == subject) & ((plain.split == "test") == is_test)
        root = fractional_matrix_power(np.mean([trial @ trial.T for trial in x_uv[mine]], axis=0), -0.5)
        whitened = root @ x_uv[mine]
        expected = whitened - whitened.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(found[mine], expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_probe_as_published_says_that_its_figures_flatter(bcic2b: Path, nano_run: Path, tmp_path: Path) -> None:
    options = ("--mode", "conv-linear", "--epochs", 1, "--as-published", "--set", "unit_scale=0.2")
    answer = ask("bcic2b", bcic2b, nano_run, tmp_path / "out", *options)
    assert answer.status == 0, answer.err
    assert "best epochs were chosen on test, so the figures flatter" in answer.out
    assert "tested windows took part, without labels, in the alignment" in answer.out
    assert "figures flatter" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_results_hold_the_options(bcic2b: Path, nano_run: Path, tmp_path: Path) -> None:
    options = ("--mode", "conv-linear", "--epochs", 1, "--as-published", "--set", "alignment=none")
    results = probed("bcic2b", bcic2b, nano_run, tmp_path / "out", *options)
    assert results["practice"] == {
        "electrode_ids": "own",
        "unit_scale": 0.1,
        "resampling": "nearest",
        "alignment": "none",
        "layer_decay": 0.9,
        "choose_on": "test",
        "pool": "mean",
        "precision": "fp32",
        "penalty_by": "inner folds",
        "centre": "none",
        "classifier": "logistic",
        "clip": 0.0,
        "penalty": None,
        "epochs": 1,
        "batch": 64,
        "micro_batch": 64,
        "lr": 5e-4,
        "schedule": "one-cycle",
        "warm_up_epochs": 0.2,
        "min_lr": 2e-9,
        "weight_decay": 0.01,
        "dropout": 0.5,
        "label_smoothing": 0.0,
        "class_weights": "none",
        "single_logit": False,
        "lora_rank": 4,
    }
    assert "test_balanced_accuracy" in results["folds"][0]["selected"][0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mode", "linear", "--as-published"), "--mode linear"),
        (("--mode", "linear", "--set", "unit_scale=1"), "unit_scale is no choice of linear"),
        (("--mode", "finetune", "--set", "pool=flatten"), "pool is no choice of finetune"),
        (("--mode", "linear", "--set", "pool=max"), "pool"),
        (("--mode", "finetune", "--set", "unit_scale=-1"), "unit_scale"),
        (("--mode", "finetune", "--set", "flatter=yes"), "flatter"),
        (("--mode", "finetune", "--set", "flatter"), "KEY=VALUE"),
    ],
)
def test_options_that_make_no_sense_is_refused_in_one_line(
    bcic2b: Path, nano_run: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    answer = ask("bcic2b", bcic2b, nano_run, tmp_path / "out", *options)
    assert answer.status == 2
    assert said in answer.complaint
