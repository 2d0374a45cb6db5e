"""What a run begins with: drawn weights, a run on other data, an encoder's file of ours or a published file."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dare_eeg import load_encoder
from dare_eeg.encoders.published import write_network
from dare_eeg.network.model import SIZES, Network
from dare_eeg.training import config as configs
from manifests.subjects import hashed
from tests.commands import Answer, dare, unusable
from tests.dare_eeg.sets import NANO, flip_byte, recorded, tensors_of, write_set

pytestmark = pytest.mark.slow

STILL = ("--steps", 1, "--lr", 1e-9)
"""One step that moves nothing but the momentum encoder, which goes a little towards the encoder."""


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of other people and electrodes than those that the run before has seen."""
    people = [recorded(f"tuh:{name}", 4, electrodes=2) for name in "xyz"]
    return write_set(tmp_path_factory.mktemp("sets") / "other", {"train": people}, ("O1", "O2"))


def go(shards: Path, run: Path, start: Path, *options: object) -> Answer:
    return dare("pretrain", "--shards", shards, "--out", run, *NANO, *STILL, "--set", f"start_from={start}", *options)


def went(shards: Path, run: Path, start: Path, *options: object) -> str:
    """Train from a start, which must go well, and return what was said of it."""
    answer = go(shards, run, start, *options)
    assert answer.status == 0, answer.err
    (said,) = [line.strip() for line in answer.err.splitlines() if line.startswith("  begins with")]
    return said


def last_state(run: Path) -> dict[str, Tensor]:
    return tensors_of(max((run / "checkpoints").glob("step-*/*model_states.pt")))["module"]


def drawn(run: Path) -> dict[str, Tensor]:
    """Return the weights that a run would have begun with on its own."""
    config = configs.load(run / "config.toml", {})
    torch.manual_seed(config.seed)
    return Network(SIZES[config.size], config.init, config.objective).state_dict()


def assert_near(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=1e-7)


def without_momentum(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith("target_encoder.")}


def test_all_of_another_run_s_network_goes_on_on_other_data(nano_run: Path, other: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert went(other, run, nano_run) == f"begins with all of the network of {nano_run}"
    assert_near(last_state(run), without_momentum(last_state(nano_run)))
    momentum, before = (load_encoder(one).encoder.state_dict() for one in (run, nano_run))
    ours, theirs = (
        torch.cat([(state[name] - before[name]).flatten() for name in before]).norm()
        for state in (momentum, Network(SIZES["nano"]).target_encoder.state_dict())
    )
    assert ours < 0.01 * theirs


@pytest.mark.parametrize("form", ["encoder.safetensors", "official.ckpt"])
def test_an_encoder_alone_is_both_copies_and_the_rest_is_drawn_anew(
    nano_run: Path, other: Path, tmp_path: Path, form: str
) -> None:
    start, run = nano_run / form, tmp_path / "run"
    if form == "official.ckpt":
        start = tmp_path / form
        assert dare("export", "--encoder", nano_run, "--to", "official", "--out", start).status == 0
    said = went(other, run, start)
    assert said.startswith(f"begins with the encoder of {start}, for both copies; predictor, reconstructor and head")
    state, encoder = last_state(run), load_encoder(nano_run).encoder.state_dict()
    for copy in ("encoder", "target_encoder"):
        assert_near(state, {f"{copy}.{name}": value for name, value in encoder.items()})
    rest = {name: value for name, value in drawn(run).items() if "encoder." not in name}
    assert any(name.startswith("predictor.") for name in rest)
    assert_near(state, rest)


def test_a_published_checkpoint_gives_all_and_says_when_its_unit_is_another(other: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = Network(SIZES["nano"])
    write_network(tmp_path / "published.ckpt", network.state_dict(), step=9)
    said = went(other, tmp_path / "run", tmp_path / "published.ckpt")
    assert said.startswith(
        f"begins with all of the network of {tmp_path / 'published.ckpt'}; it was trained on µV × 0.001"
    )
    assert_near(last_state(tmp_path / "run"), without_momentum(network.state_dict()))
    said = went(other, tmp_path / "same", tmp_path / "published.ckpt", "--set", "unit_scale=0.001")
    assert said == f"begins with all of the network of {tmp_path / 'published.ckpt'}"


def test_a_published_classifier_gives_its_encoder(golden: Path, other: Path, tmp_path: Path) -> None:
    start = golden / "nano_downstream_tuev.pth"
    assert went(other, tmp_path / "run", start).startswith(f"begins with the encoder of {start}, ")
    encoder = load_encoder(start).encoder.state_dict()
    assert_near(last_state(tmp_path / "run"), {f"encoder.{name}": value for name, value in encoder.items()})


def test_whom_the_start_has_seen_the_encoder_has_seen(nano_run: Path, other: Path, tuab: Path, tmp_path: Path) -> None:
    run, before = tmp_path / "run", load_encoder(nano_run).provenance.subjects
    went(other, run, nano_run, "--steps", 3, "--checkpoint-every", 1, "--stop-after", 1)
    answer = dare("pretrain", "--shards", other, "--out", run, *NANO, "--steps", 3, "--lr", 1e-9, "--resume")
    assert answer.status == 0, answer.err
    found = load_encoder(run).provenance
    assert found.step == 3
    assert set(found.subjects) == {*before, *(hashed(f"tuh:{name}") for name in "xyz")}
    assert not found.more_subjects
    answer = dare("probe", "tuab", "--shards", tuab, "--encoder", run, "--protocol", "kfold", "--out", tmp_path / "p")
    assert answer.status == 0, answer.err
    contamination = json.loads((tmp_path / "p" / "results.json").read_text())["contamination"]
    assert contamination["known"]
    assert set(map(hashed, contamination["seen_in_pretraining"])) == set(before)


def test_a_start_that_does_not_say_whom_it_has_seen_is_told_of(
    nano_run: Path, other: Path, tuab: Path, tmp_path: Path
) -> None:
    write_network(tmp_path / "published.ckpt", last_state(nano_run), step=9)
    went(other, tmp_path / "first", tmp_path / "published.ckpt")
    went(other, tmp_path / "second", tmp_path / "first")
    answer = dare("probe", "tuab", "--shards", tuab, "--encoder", tmp_path / "second", "--out", tmp_path / "p")
    assert "its pretraining began with weights that do not say whom they had seen" in answer.out
    assert not json.loads((tmp_path / "p" / "results.json").read_text())["contamination"]["known"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("another size", "is of size nano, the run of light; give its own by --size"),
        ("damaged", "mp_rank_00_model_states.pt: is damaged, its bytes changed; start from "),
        ("nothing", "encoder.safetensors: not found; give a run, "),
    ],
)
def test_what_cannot_be_started_from_is_refused_in_one_line(
    nano_run: Path, other: Path, tmp_path: Path, fault: str, said: str
) -> None:
    start = shutil.copytree(nano_run, tmp_path / "start")
    match fault:
        case "damaged":
            flip_byte(max((start / "checkpoints").glob("step-*/*model_states.pt")), 100_000)
        case "nothing":
            shutil.rmtree(start)
            start.mkdir()
    size = ("--size", "light") if fault == "another size" else ()
    unusable(go(other, tmp_path / "run", start, *size), f"dare: {start}", said)
    assert not (tmp_path / "run").exists()
