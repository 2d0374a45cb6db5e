"""Networks that a probe trains: by which numbers, in which steps, and what is left of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dare_eeg import open_shards
from dare_eeg.encoders.ours import untrained_encoder
from dare_eeg.probing.modes.finetune import deep
from dare_eeg.probing.networks.micro_batches import cut, gradients
from dare_eeg.probing.networks.schedule import Rates
from dare_eeg.probing.options import ProbeOptions, options_of
from dare_eeg.probing.results import Results
from dare_eeg.running.ranks import ALONE
from manifests import records
from manifests.recipe import load
from manifests.shard_format import Index
from tests.commands import dare
from tests.dare_eeg.sets import recorded, write_set

pytestmark = pytest.mark.slow

README: dict[str, dict[str, Any]] = {
    "tuab": {
        "epochs": 50, "batch": 400, "micro_batch": 100, "lr": 5e-4, "schedule": "cosine", "warm_up_epochs": 5.0,
        "min_lr": 1e-6, "weight_decay": 0.05, "layer_decay": 0.9, "dropout": 0.5, "label_smoothing": 0.0,
        "class_weights": "none", "single_logit": True,
    },
    "tuev": {
        "epochs": 30, "batch": 400, "micro_batch": 100, "lr": 5e-4, "schedule": "cosine", "warm_up_epochs": 5.0,
        "min_lr": 1e-6, "weight_decay": 0.05, "layer_decay": 0.65, "dropout": 0.3, "label_smoothing": 0.1,
        "class_weights": "frequency", "single_logit": False,
    },
}  # fmt: skip
"""The numbers of the published commands and of the scripts that they call, on four GPUs."""


def patients(folder: Path, corpus: str = "tuab", of_each: int = 2) -> Path:
    """Write a set of three subjects, one in each part, with windows of each class of a corpus."""
    recipe = load(corpus)
    labels = list(range(len(recipe.classes))) * of_each
    parts = {
        split: [recorded(f"tuh:{split}", len(labels), 400, len(recipe.electrodes), labels=labels)]
        for split in ("train", "valid", "test")
    }
    return write_set(folder, parts, recipe.electrodes, 200.0, recipe.classes, corpus)


def asked(shards: Path, out: Path, mode: str, *options: object, corpus: str = "tuab") -> tuple[object, ...]:
    named = ("--shards", shards, "--encoder", "scratch", "--size", "nano", "--out", out, "--resamples", 2)
    return ("probe", corpus, *named, "--protocol", "official", "--mode", mode, *options)


def settings(numbers: dict[str, Any]) -> list[object]:
    return [word for name, value in numbers.items() for word in ("--set", f"{name}={json.dumps(value)}")]


@pytest.mark.parametrize("corpus", README)
def test_the_published_commands_can_be_said_and_results_hold_their_numbers(corpus: str, tmp_path: Path) -> None:
    shards = patients(tmp_path / "set", corpus)
    words = asked(shards, tmp_path / "out", "finetune", *settings(README[corpus]), corpus=corpus)
    answer = dare(*words)
    assert answer.status == 0, answer.err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {name: results["practice"][name] for name in README[corpus]} == README[corpus]
    classes = len(load(corpus).classes)
    published = options_of("finetune", True, corpus=corpus).settled("finetune", classes).model_dump()
    # Their layer decay matches no parameter.
    assert {name: published[name] for name in README[corpus]} == README[corpus] | {"layer_decay": 1.0}
    assert "done before" in dare(*words).err


def test_a_corpus_without_a_script_of_its_own_takes_that_of_another_and_says_so(tmp_path: Path) -> None:
    shards = patients(tmp_path / "set", "eegmat")
    words = asked(shards, tmp_path / "out", "finetune", "--as-published", "--epochs", 6, corpus="eegmat")
    answer = dare(*words)
    assert answer.status == 0, answer.err
    assert "no script of finetune for eegmat is published; that for tuab is taken" in answer.err
    practice = json.loads((tmp_path / "out" / "results.json").read_text())["practice"]
    assert (practice["single_logit"], practice["warm_up_epochs"], practice["epochs"]) == (True, 5.0, 6)


@pytest.mark.parametrize("mode", ["conv-linear", "lora", "finetune"])
def test_results_state_every_number_of_a_mode_that_was_not_asked_for(mode: str, tmp_path: Path) -> None:
    shards = patients(tmp_path / "set")
    assert dare(*asked(shards, tmp_path / "out", mode, "--epochs", 1)).status == 0
    practice = json.loads((tmp_path / "out" / "results.json").read_text())["practice"]
    assert [name for name, value in practice.items() if value is None] == ["penalty", "unit_scale"]
    assert practice["micro_batch"] == {64: 16, 100: 25}[practice["batch"]]


def test_one_cycle_goes_as_torch_has_it() -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-4, total_steps=50, pct_start=0.2)
    ours = Rates("one-cycle", 50, 10, 5e-4, 2e-9)
    for step in range(50):
        (group,) = optimizer.param_groups
        assert ours.at(step) == pytest.approx((group["lr"], group["betas"][0]), rel=1e-9)
        optimizer.step()
        if step < 49:
            theirs.step()


def test_a_cosine_rises_from_nothing_and_falls_to_the_least() -> None:
    told = [Rates("cosine", 40, 10, 5e-4, 1e-6).at(step)[0] for step in range(40)]
    assert told[:10] == pytest.approx(np.linspace(0, 5e-4, 10))
    assert told[10:] == pytest.approx(1e-6 + (5e-4 - 1e-6) / 2 * (1 + np.cos(np.pi * np.arange(30) / 30)))


def test_windows_are_cut_into_parts_and_none_stands_alone() -> None:
    numbers = np.arange(9)
    assert [part.tolist() for part in cut(numbers, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7, 8]]
    assert [len(part) for part in cut(numbers, 5)] == [5, 4]
    assert [len(part) for part in cut(numbers, 1)] == [1] * 9
    assert [len(part) for part in cut(numbers, 99)] == [9]


def test_micro_batches_give_the_gradient_of_the_step_and_the_mean_of_what_they_made_of_the_buffers() -> None:
    torch.manual_seed(0)
    x, labels, weights = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 1]), torch.tensor([0.5, 1.0, 2.0])
    network = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    whole = F.cross_entropy(network(x), labels, weights, label_smoothing=0.1)
    whole.backward()
    expected = [one.grad.clone() for one in network.parameters() if one.grad is not None]
    share = weights[labels].sum()

    def loss(part: slice) -> torch.Tensor:
        said = network(x[part])
        return F.cross_entropy(said, labels[part], weights / share, reduction="sum", label_smoothing=0.1)

    parts = [slice(0, 2), slice(2, 5), slice(5, 6)]
    total = gradients(network, [lambda part=part: loss(part) for part in parts], ALONE)
    assert total == pytest.approx(whole.item(), rel=1e-6)
    for parameter, wanted in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted)
    norm = nn.Sequential(nn.BatchNorm1d(3))
    gradients(norm, [lambda part=part: norm(x[part]).square().sum() for part in (slice(0, 3), slice(3, 6))], ALONE)
    means = torch.stack([x[:3].mean(dim=0), x[3:].mean(dim=0)]).mean(dim=0)
    torch.testing.assert_close(norm[0].running_mean, 0.1 * means)
    assert int(norm[0].num_batches_tracked) == 1


def test_a_single_logit_is_learnt_as_by_binary_cross_entropy(tmp_path: Path) -> None:
    windows = open_shards(patients(tmp_path / "set"), "train")
    options = ProbeOptions(single_logit=True).settled("finetune", 2)
    network = deep(untrained_encoder("nano"), windows, options, is_frozen=False).eval()
    x, labels = torch.from_numpy(windows.take(np.arange(4))), torch.tensor([0, 1, 1, 0])
    alone = network.head(network.encoder.encode(replace(prepared(network, x, windows.sfreq)))).squeeze(1)
    found = F.cross_entropy(network(x), labels)
    torch.testing.assert_close(found, F.binary_cross_entropy_with_logits(alone, labels.float()))
    assert not ProbeOptions(single_logit=True).settled("finetune", 6).single_logit


def prepared(network: Any, x: torch.Tensor, sfreq: float) -> Any:
    """Return what the encoder of a network is given."""
    found = network.encoder.prepare(x, load("tuab").electrodes, sfreq)
    return replace(found, x=network.adapter(found.x), electrodes=network.electrodes)


@pytest.mark.parametrize(
    ("mode", "options", "said"),
    [
        ("finetune", ("--set", "warm_up_epochs=3", "--epochs", 2), "warm_up_epochs=3: is more than epochs, 2"),
        ("finetune", ("--set", "batch=8", "--set", "micro_batch=9"), "micro_batch=9: is more than batch, 8"),
        ("conv-linear", ("--set", "min_lr=0.1"), "min_lr=0.1: is more than lr, 0.0005"),
        ("conv-linear", ("--epochs", 2, "--set", "epochs=3"), "--epochs 2: is --set epochs, too"),
        ("conv-linear", ("--set", "layer_decay=0.5"), "layer_decay is no choice of conv-linear"),
        ("finetune", ("--set", "lora_rank=8"), "lora_rank is no choice of finetune"),
        ("finetune", ("--set", "dropout=1"), "dropout"),
        ("finetune", ("--set", "lr=1e30", "--epochs", 3), "is not finite; lower the rate"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_in_one_line(
    mode: str, options: tuple[object, ...], said: str, tmp_path: Path
) -> None:
    answer = dare(*asked(patients(tmp_path / "set"), tmp_path / "out", mode, *options))
    assert answer.status == 2
    assert said in answer.err.splitlines()[-1]
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_any_batch_trains_any_number_of_windows(batch: int, tmp_path: Path) -> None:
    shards = patients(tmp_path / "set")
    answer = dare(*asked(shards, tmp_path / "out", "finetune", "--epochs", 2, "--set", f"batch={batch}"))
    assert answer.status == 0, answer.err


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_window_that_holds_no_numbers_is_named_in_one_line(split: str, tmp_path: Path) -> None:
    shards = patients(tmp_path / "set")
    (path,) = (shards / split).glob("*.idx.npz")
    index = Index.read(path)
    scale = index.scale.copy()
    scale[1, 0] = np.nan
    path.write_bytes(replace(index, scale=scale).to_bytes())
    answer = dare(*asked(shards, tmp_path / "out", "finetune", "--epochs", 1))
    assert answer.status == 2
    complaint = answer.err.splitlines()[-1]
    assert complaint.startswith(f"dare: {shards}: the window at 1.5625 s of {split}.edf holds numbers that")


def test_results_whose_epochs_stood_beside_the_practice_are_read(tmp_path: Path) -> None:
    shards, file = patients(tmp_path / "set"), tmp_path / "out" / "results.json"
    words = asked(shards, tmp_path / "out", "conv-linear", "--epochs", 1)
    assert dare(*words).status == 0
    now = json.loads(file.read_text())
    known = {name: now["practice"][name] for name in ("electrode_ids", "unit_scale", "resampling", "alignment",
                                                      "layer_decay", "choose_on")}  # fmt: skip
    for epochs, meant in ((7, 7), (0, None)):
        file.write_text(json.dumps(now | {"schema_version": 1, "epochs": epochs, "practice": known}))
        practice = records.load(Results, file, "").practice
        assert (practice.epochs, practice.batch, practice.lr) == (meant, None, 5e-4)
    assert "its results are replaced" in dare(*words).err
