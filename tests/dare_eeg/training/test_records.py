"""Records of training and probing: what was written before is read, and what is newer is refused by its writer."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dare_eeg import load_encoder
from dare_eeg.encoders.weights import OURS
from dare_eeg.network.model import SIZES, Encoder
from dare_eeg.probing.results import Results
from dare_eeg.training import config as configs
from dare_eeg.training.resume import last_checkpoint
from manifests import __version__, records
from manifests.errors import DareError
from manifests.subjects import hashed
from tests.commands import dare, unusable
from tests.dare_eeg.sets import NANO, metrics_of, pretrained

pytestmark = pytest.mark.slow

HOUSE = Path(__file__).parents[3]
BEFORE = Path(__file__).with_name("written_by_0_1_0")
PLAN = ("--steps", 4, "--checkpoint-every", 2)


@pytest.fixture(scope="module")
def unbroken(four_electrodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrained(four_electrodes, tmp_path_factory.mktemp("runs") / "unbroken", *PLAN)


@pytest.fixture(scope="module")
def stopped(four_electrodes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after two steps, its records as 0.1.0 wrote them: they do not say their schema."""
    run = pretrained(four_electrodes, tmp_path_factory.mktemp("runs") / "stopped", *PLAN, "--stop-after", 2)
    rewrite_config(run / "config.toml", without_head)
    rewrite_json(run / "checkpoints" / "checkpoints.json", without_head)
    rewrite_metadata(run / "encoder.safetensors", without_head)
    return run


Change = Callable[[dict[str, Any]], dict[str, Any]]


def without_head(fields: dict[str, Any]) -> dict[str, Any]:
    return without(fields, "schema_version", "written_by")


def without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def rewrite_json(path: Path, change: Change) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def rewrite_config(path: Path, change: Change) -> None:
    fields = change(tomllib.loads(path.read_text()))
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items()))


def rewrite_metadata(path: Path, change: Change) -> None:
    with safe_open(path, framework="pt") as stored:
        fields = change({name: json.loads(value) for name, value in stored.metadata().items()})
    save_file(load_file(path), path, {name: json.dumps(value) for name, value in fields.items()})


def test_a_config_of_the_release_before_means_what_it_did() -> None:
    stored = tomllib.loads((BEFORE / "config.toml").read_text())
    fields = dict(configs.load(BEFORE / "config.toml", {}))
    absent = configs.PretrainConfig.schema_of().absent
    assert json.loads(json.dumps(fields)) == {**absent, **stored}


def test_a_checkpoint_of_the_release_before_is_read(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(BEFORE / "checkpoints.json", tmp_path / "checkpoints")
    found = last_checkpoint(tmp_path)
    assert found is not None
    assert without_head(found.as_json()) == json.loads((BEFORE / "checkpoints.json").read_text())
    assert found.plan.world_size == 0


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_metadata_of_the_release_before_are_read(tmp_path: Path, suffix: str) -> None:
    stored = json.loads((BEFORE / "metadata.json").read_text())
    state, file = Encoder(SIZES["nano"]).state_dict(), tmp_path / f"encoder{suffix}"
    if suffix == ".ckpt":
        prefixed = {f"target_encoder.{name}": value for name, value in state.items()}
        torch.save({"state_dict": prefixed, OURS: stored}, file)
    else:
        save_file(state, file, stored)
    fields = without_head(load_encoder(file).provenance.as_json())
    known = {name: json.loads(value) for name, value in stored.items()}
    assert known["subjects"], "which it has in clear"
    assert fields == known | {"subjects": sorted(map(hashed, known["subjects"]))}


def test_results_of_the_release_before_are_read() -> None:
    found = records.load(Results, BEFORE / "results.json", "probe again")
    assert without_head(found.as_json()) == json.loads((BEFORE / "results.json").read_text())


def test_a_config_by_hand_takes_what_it_does_not_say_from_today(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('shards = "shards/tuab-pretrain"\nnoise = 0.5\n')
    assert configs.load(file, {}) == configs.PretrainConfig(
        shards="shards/tuab-pretrain", out="runs/tuab-pretrain-base", noise=0.5
    )
    file.write_text('shards = "a"\nnoises = 0.5\n')
    unusable(dare("pretrain", "--config", file), f"dare: {file}: noises: is no field; ")


def test_what_a_record_must_have_is_missed(stopped: Path, tmp_path: Path) -> None:
    run = shutil.copytree(stopped, tmp_path / "run")
    rewrite_config(run / "config.toml", lambda fields: {"schema_version": 1} | without(fields, "seed"))
    answer = dare("pretrain", "--config", run / "config.toml", "--resume")
    unusable(answer, f"dare: {run / 'config.toml'}: lacks the field 'seed'; it was written by dare-eeg 0.1.0; ")
    rewrite_metadata(run / "encoder.safetensors", lambda fields: without(fields, "heads"))
    answer = dare("export", "--encoder", run, "--to", "official", "--out", tmp_path / "out.ckpt")
    unusable(answer, f"dare: {run / 'encoder.safetensors'}: lacks the field 'heads'", "give a run, ")


def refusal(kind: str, run: Path, shards: Path, change: Change) -> str:
    """Return what is said where one of a run's records, or of a probe's, is another."""
    match kind:
        case "run config":
            rewrite_config(run / "config.toml", change)
            return dare("pretrain", "--config", run / "config.toml", "--resume").complaint
        case "checkpoint":
            rewrite_json(run / "checkpoints" / "checkpoints.json", change)
            return dare("pretrain", "--shards", shards, "--out", run, *NANO, *PLAN, "--resume").complaint
        case "encoder's metadata":
            rewrite_metadata(run / "encoder.safetensors", change)
            return dare("export", "--encoder", run, "--to", "official", "--out", run / "out.ckpt").complaint
    shutil.copy(BEFORE / "results.json", run)
    rewrite_json(run / "results.json", change)
    with pytest.raises(DareError) as caught:
        records.load(Results, run / "results.json", "probe again")
    return str(caught.value)


@pytest.mark.parametrize("kind", ["run config", "checkpoint", "encoder's metadata", "results"])
def test_a_newer_record_is_refused_by_the_version_that_wrote_it(
    stopped: Path, four_electrodes: Path, tmp_path: Path, kind: str
) -> None:
    head, today = {"schema_version": 1, "written_by": "9.9.9"}, __version__
    for number, (fields, said) in enumerate(
        [
            (
                {"schema_version": 9},
                f"{kind} of schema 9, written by dare-eeg 9.9.9; this one, {today}, reads up to",
            ),
            ({"flux": 1}, f"has the field 'flux', written by dare-eeg 9.9.9, which this one, {today}, does not know; "),
        ]
    ):
        run = shutil.copytree(stopped, tmp_path / f"run {number}")
        told = refusal(kind, run, four_electrodes, lambda known, fields=fields: head | known | fields)  # type: ignore[misc]
        assert said in told
        assert told.endswith("upgrade dare-eeg")
        assert "\n" not in told


def test_a_choice_that_today_does_not_know_is_refused_by_the_version_that_wrote_it(
    stopped: Path, four_electrodes: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(stopped, tmp_path / "run")

    def grown_plan(fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "schema_version": 1, "written_by": "9.9.9", "plan": {**fields["plan"], "patience": 3}}

    told = refusal("checkpoint", run, four_electrodes, grown_plan)
    assert "checkpoints.json: plan: has the field 'patience', written by dare-eeg 9.9.9, which this one, " in told
    assert len(metrics_of(run)) == 2


GROWN = {
    "dare_eeg/training/config.py": (
        "    seed: int = 2025\n",
        "    seed: int = 2025\n    patience: int = added(7, absent=3)\n",
    ),
    "dare_eeg/encoders/weights.py": (
        "    subjects: tuple[str, ...] = ()\n",
        "    subjects: tuple[str, ...] = ()\n    montage: str = added('10-05', absent='10-20')\n",
    ),
    "manifests/__init__.py": (f'__version__ = "{__version__}"', '__version__ = "9.9.9"'),
}
"""What another version of this code may have: two more fields, each with what its absence means."""


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python with arguments in a copy of the code that has grown."""
    tree = tmp_path_factory.mktemp("grown")
    for room in ("manifests", "dare_eeg"):
        shutil.copytree(HOUSE / room, tree / room)
    shutil.copy(HOUSE / "cli.py", tree)
    for name, (old, new) in GROWN.items():
        source = (tree / name).read_text()
        assert source.count(old) == 1, name
        source = source.replace("from manifests.records import ", "from manifests.records import added, ")
        (tree / name).write_text(source.replace(old, new))

    def run(code: str, *words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *map(str, words)]
        environment = os.environ | {"PYTHONPATH": str(tree)}
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tree, env=environment)

    return run


COMMAND = "import cli; cli.main()"


def test_a_run_goes_on_when_the_code_has_grown_a_choice(
    grown: Callable[..., subprocess.CompletedProcess[str]],
    stopped: Path,
    unbroken: Path,
    tmp_path: Path,
    four_electrodes: Path,
) -> None:
    run = shutil.copytree(stopped, tmp_path / "run")
    told = grown(COMMAND, "pretrain", "--shards", four_electrodes, "--out", run, *NANO, *PLAN, "--resume")
    assert told.returncode == 2
    assert told.stderr == f"dare: {run}: its patience is another (3, now 7); give the run's own, or another --out\n"
    told = grown(COMMAND, "pretrain", "--config", stopped / "config.toml", "--out", run, "--resume")
    assert told.returncode == 0, told.stderr
    assert metrics_of(run) == metrics_of(unbroken)
    assert tomllib.loads((run / "config.toml").read_text())["patience"] == 3
    unusable(dare("pretrain", "--config", run / "config.toml", "--resume"), "'patience', written by dare-eeg 9.9.9")


def test_an_encoder_is_of_use_when_the_code_has_grown_its_metadata(
    grown: Callable[..., subprocess.CompletedProcess[str]], stopped: Path, tmp_path: Path
) -> None:
    code = "import sys, dare_eeg; print(dare_eeg.load_encoder(sys.argv[1]).provenance.montage)"
    assert grown(code, stopped).stdout == "10-20\n"
    again = tmp_path / "again.safetensors"
    told = grown(COMMAND, "export", "--encoder", stopped, "--to", "safetensors", "--out", again)
    assert told.returncode == 0, told.stderr
    with safe_open(again, framework="pt") as stored:
        assert "montage" not in stored.metadata(), "its writer did not know it, and nobody has found out"
    load_encoder(again)
