"""What the release before wrote, and today's code: sets are read and grow, a run goes on, a probe says the same."""

import csv
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dare_eeg
from tests.commands import contents, dare, manifest

pytestmark = pytest.mark.slow

RELEASE = Path(__file__).parent / "data" / "release_0_1_0"
NEAR = 1e-6
NEAR_OF_PROBABILITIES = 1e-3
"""A logistic regression ends within a tolerance of its own; where, the rounding of each processor decides."""

PARTS = ("loss", "reconstruction", "anchor", "mask", "activation")


def commands() -> dict[str, list[str]]:
    """Return the words that each set was made with, by its folder, as the README beside the sets has them."""
    text = (RELEASE / "README.md").read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line.startswith("dare preprocess "):
            words = shlex.split(line)[1:]
            name = words[1] + ("-pretrain" if "--for" in words else "")
            found[f"{words[words.index('--out') + 1]}/{name}"] = words
    return found


COMMANDS = commands()
UNFINISHED = "shards/unfinished/tuab"
COMPLETE = sorted(COMMANDS.keys() - {UNFINISHED})


@pytest.fixture(autouse=True)
def _in_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a copy of what the release left, to whose folder its paths are relative."""
    monkeypatch.chdir(shutil.copytree(RELEASE, tmp_path / "release"))


def well(*words: object) -> str:
    """Run a command, which must go well, and return what it prints."""
    answer = dare(*words)
    assert answer.status == 0, answer.err
    return answer.out


def without(words: list[str], *options: str) -> list[str]:
    """Return the words but for some options and their values."""
    left_out = {place + after for place, word in enumerate(words) if word in options for after in (0, 1)}
    return [word for place, word in enumerate(words) if place not in left_out]


def elsewhere(words: list[str], out: str) -> list[str]:
    """Return the words of a command that makes the whole set in another folder."""
    return [*without(words, "--out", "--part"), "--out", out]


def shards(folder: str) -> dict[str, bytes]:
    """Return the files of a set that nothing may change once they are there: tars, indexes, receipts, stores."""
    return {name: content for name, content in contents(Path(folder)).items() if "/" in name}


def tars(folder: str) -> dict[str, bytes]:
    return {name: content for name, content in shards(folder).items() if name.endswith(".tar")}


def losses(metrics: str) -> list[dict[str, float]]:
    """Return the parts of each step's loss, and of each validation's."""
    lines = [json.loads(line) for line in Path(metrics).read_text().splitlines()]
    told = [part for line in lines for part in (line, line.get("valid")) if part]
    return [{name: part[name] for name in PARTS} for part in told]


def assert_near(found: list[dict[str, float]], known: list[dict[str, float]]) -> None:
    assert len(found) == len(known)
    for one, other in zip(found, known, strict=True):
        assert one == pytest.approx(other, rel=0, abs=NEAR)


def test_release_left_seven_sets_and_an_unfinished_one() -> None:
    assert len(COMPLETE) == 7
    assert all((Path(folder) / "manifest.json").exists() for folder in COMPLETE)
    assert not (Path(UNFINISHED) / "manifest.json").exists()
    assert tars(UNFINISHED)


@pytest.mark.parametrize("folder", COMPLETE)
def test_set_is_whole_and_says_what_it_holds(folder: str) -> None:
    assert well("verify", folder) == f"{folder}: whole\n"
    facts, known = json.loads(well("inspect", folder, "--json")), manifest(Path(folder))
    assert facts["corpus"] == known["corpus"]
    for split, entry in known["splits"].items():
        assert facts["splits"][split]["samples"] == entry["samples"]
    assert f"{known['splits']['train']['samples']} windows" in well("inspect", folder)


@pytest.mark.parametrize("folder", COMPLETE)
def test_same_command_finds_the_set_done(folder: str) -> None:
    before = contents(Path(folder))
    well(*COMMANDS[folder])
    assert contents(Path(folder)) == before
    assert well("verify", "shards/merged") == "shards/merged: whole\n"


@pytest.mark.parametrize("folder", COMPLETE)
def test_set_is_made_again_from_raw_byte_for_byte(folder: str) -> None:
    well(*elsewhere(COMMANDS[folder], "anew"))
    assert tars(f"anew/{Path(folder).name}") == tars(folder)


@pytest.mark.parametrize("folder", COMPLETE)
def test_set_grows(folder: str) -> None:
    before, known = shards(folder), manifest(Path(folder))
    well(*without(COMMANDS[folder], "--subjects"), "--append")
    assert before.items() < shards(folder).items()
    assert len(tars(folder)) > len([name for name in before if name.endswith(".tar")])
    assert well("verify", folder) == f"{folder}: whole\n"
    for split, entry in known["splits"].items():
        assert set(entry["subjects"]) <= set(manifest(Path(folder))["splits"][split]["subjects"])


def test_unfinished_set_is_left_to_its_code_or_made_anew_and_grows() -> None:
    before, command = shards(UNFINISHED), COMMANDS[UNFINISHED]
    answer = dare(*without(command, "--part"))
    assert answer.status == 2
    assert "was planned by code version 3" in answer.complaint
    assert shards(UNFINISHED) == before
    well(*without(command, "--part"), "--overwrite")
    assert well("verify", UNFINISHED) == f"{UNFINISHED}: whole\n"
    well(*elsewhere(command, "anew"))
    assert tars(UNFINISHED) == tars("anew/tuab")
    finished = shards(UNFINISHED)
    well(*without(command, "--part", "--subjects"), "--append")
    assert finished.items() < shards(UNFINISHED).items()
    assert well("verify", UNFINISHED) == f"{UNFINISHED}: whole\n"


@pytest.mark.parametrize("settings", [(), ("--set", "window_s=2", "--set", "stride_s=1")], ids=["same", "other"])
def test_archive_is_cut_as_its_raw_recordings_are(settings: tuple[str, ...]) -> None:
    assert manifest(Path("shards/bcic2b"))["format"] == "both"
    unchecked = ("--set", "quality=none")  # as what is measured now was not then
    well("preprocess", "bcic2b", "--src", "shards/bcic2b", "--out", "cut", "--workers", 1, *settings, *unchecked)
    well(*elsewhere(COMMANDS["shards/bcic2b"], "anew"), *settings)
    assert tars("cut/bcic2b") == tars("anew/bcic2b")
    assert (tars("cut/bcic2b") == tars("shards/bcic2b")) == (not settings)


def test_sets_are_merged_as_they_were() -> None:
    well("merge", "shards/tuab-pretrain", "shards/fists-pretrain", "--out", "shards/again")
    again, before = (manifest(Path("shards") / name) for name in ("again", "merged"))
    for one, other in zip(again["sources"], before["sources"], strict=True):
        assert {name: one[name] for name in other} == other
    assert "tuab-pretrain" in well("inspect", "shards/merged")
    well("merge", "shards/tuab-pretrain", "shards/fists-pretrain", "--exclude", "shards/tuab:valid", "--out", "part")
    excluded = {source["name"]: source["exclude"] for source in manifest(Path("part"))["sources"]}
    assert excluded["tuab-pretrain"]["train"] == manifest(Path("shards/tuab"))["splits"]["valid"]["subjects"]


@pytest.mark.parametrize("folder", ["shards/merged", "shards/bcic2b", "shards/tuab"])
def test_network_is_trained_on_the_sets(folder: str) -> None:
    few = ("--size", "nano", "--steps", 2, "--global-batch", 4, "--micro-batch", 4, "--precision", "fp32")
    well("pretrain", "--shards", folder, "--out", "run", *few)
    assert np.isfinite([line["loss"] for line in losses("run/metrics.jsonl")]).all()


def test_run_is_repeated_from_its_config() -> None:
    well("pretrain", "--config", "runs/half/config.toml", "--out", "runs/again")
    assert_near(losses("runs/again/metrics.jsonl"), losses("half_metrics.jsonl"))


def test_run_goes_on_from_its_checkpoint() -> None:
    assert len(losses("runs/half/metrics.jsonl")) < len(losses("half_metrics.jsonl"))
    well("pretrain", "--config", "runs/half/config.toml", "--resume")
    assert_near(losses("runs/half/metrics.jsonl"), losses("half_metrics.jsonl"))
    assert dare_eeg.load_encoder("runs/half").provenance.step == 8


def test_encoder_has_the_same_features_in_every_form() -> None:
    windows = dare_eeg.open_shards("shards/fists-pretrain")
    x_uv = windows.take(np.arange(len(windows)))
    well("export", "--encoder", "encoder.ckpt", "--to", "safetensors", "--out", "again.safetensors")
    forms = [dare_eeg.load_encoder(name) for name in ("runs/half", "encoder.ckpt", "again.safetensors")]
    assert {(form.electrodes, form.sfreq, form.unit_scale) for form in forms} == {
        (forms[0].electrodes, 256.0, forms[0].unit_scale)
    }
    features, *others = (form(x_uv, windows.electrodes, windows.sfreq) for form in forms)
    assert torch.isfinite(features).all()
    for other in others:
        assert torch.equal(features, other)


@pytest.mark.parametrize("encoder", ["runs/half", "encoder.ckpt"])
def test_probe_says_what_it_said(encoder: str) -> None:
    well(
        "probe",
        "tuab",
        "--shards",
        "shards/tuab",
        "--encoder",
        encoder,
        "--out",
        "probes/again",
        "--set",
        "penalty_by=valid",
    )
    found, known = (json.loads(Path(f"probes/{name}/results.json").read_text()) for name in ("again", "half"))
    for level, metrics in known["metrics"].items():
        for name, figures in metrics.items():
            assert found["metrics"][level][name]["mean"] == pytest.approx(figures["mean"], abs=NEAR)
    assert found["contamination"]["seen_in_pretraining"] == known["contamination"]["seen_in_pretraining"]
    for row, other in zip(predictions("probes/again"), predictions("probes/half"), strict=True):
        told = {name: float(value) for name, value in other.items() if name.startswith("p_")}
        assert {name: float(row[name]) for name in told} == pytest.approx(told, rel=0, abs=NEAR_OF_PROBABILITIES)
        assert all(row[name] == other[name] for name in ("recording", "start_s", "subject", "label"))


def predictions(folder: str) -> list[dict[str, Any]]:
    with (Path(folder) / "predictions.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))
