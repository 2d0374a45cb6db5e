from fractions import Fraction

import pytest
import torch
from safetensors.torch import save_file

from dare_eeg.encoders.weights import ENCODER_FILE, Provenance, read_weights, save_encoder
from dare_eeg.network.blocks import initialise
from dare_eeg.network.model import SIZES, Encoder, Network, Size
from manifests.electrodes import PRETRAIN_58
from manifests.errors import DareError

SIZE = Size("custom", 32, 2, (2, 0, 0), 2)


@pytest.fixture
def state():
    torch.manual_seed(1)
    encoder = Encoder(SIZE)
    initialise(encoder)
    return encoder.state_dict()


@pytest.fixture
def provenance():
    return Provenance(
        **vars(SIZE),
        electrodes=("C3", "CZ", "C4"),
        sfreq=256.0,
        unit_scale=0.02,
        manifest_sha256="ab" * 32,
        step=1234,
        subjects=("tuh:aaaaaaaa", "eegmat:é7"),
    )


def fails(path) -> str:
    """Return the one line with which reading a file fails."""
    with pytest.raises(DareError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert message.endswith("that is whole")
    return message


def test_what_is_saved_is_read_back(tmp_path, state, provenance):
    save_encoder(tmp_path / ENCODER_FILE, state, provenance)
    for path in (tmp_path, tmp_path / ENCODER_FILE):
        read, from_file, notes = read_weights(path)
        assert from_file == provenance
        assert notes == ()
        assert read.keys() == state.keys()
        assert all(torch.equal(read[name], state[name]) for name in state)
    assert [file.name for file in tmp_path.iterdir()] == [ENCODER_FILE]


@pytest.mark.parametrize("name", ["nano.ckpt", "nano_lightning_real.ckpt"])
def test_published_checkpoint_gives_its_momentum_encoder(golden, name):
    read, provenance, notes = read_weights(golden / name)
    stored = torch.load(golden / name, weights_only=True)
    assert {f"target_encoder.{key}" for key in read} == {k for k in stored["state_dict"] if k.startswith("target")}
    assert all(torch.equal(value, stored["state_dict"][f"target_encoder.{key}"]) for key, value in read.items())
    assert provenance == Provenance(
        **vars(SIZES["nano"]), electrodes=PRETRAIN_58, unit_scale=1e-3, step=stored["global_step"]
    )
    assert notes == (
        "left aside: encoder.* (30 tensors): the copy that training moved; its slow mean is what is used",
        "left aside: predictor.* (32 tensors): only pretraining needs it",
        "left aside: reconstructor.* (57 tensors): only pretraining needs it",
        "left aside: loss_mc.* (5 tensors): only pretraining needs it",
    )


@pytest.mark.parametrize("name", ["nano_downstream_tuev.pth", "nano_downstream_tuab.pth"])
def test_published_classifier_gives_its_encoder(golden, name):
    read, provenance, notes = read_weights(golden / name)
    Encoder(provenance.size).load_state_dict(read, strict=True)
    assert (provenance.size.name, provenance.sfreq, provenance.unit_scale) == ("nano", 200.0, 0.01)
    assert notes == (
        "left aside: conv_head.* (18 tensors): the classifier's own",
        "left aside: conv_head.* (1 tensors): the published code never reads it",
        "left aside: classifier.* (10 tensors): the classifier's own",
    )


def test_a_whole_network_written_by_us_reads_as_a_published_checkpoint(tmp_path):
    network = Network(Size("custom", 32, 2, (1, 1, 1), 4))
    torch.save({"state_dict": network.state_dict()}, tmp_path / "ours.ckpt")
    read, provenance, _ = read_weights(tmp_path / "ours.ckpt")
    assert provenance.size == network.size
    assert all(torch.equal(value, network.target_encoder.state_dict()[name]) for name, value in read.items())


def test_missing_empty_and_foreign_files_are_told_apart(tmp_path):
    assert "encoder.safetensors: not found" in fails(tmp_path)
    assert "not found" in fails(tmp_path / "none.ckpt")
    for name in ("empty.ckpt", "empty.safetensors"):
        (tmp_path / name).touch()
        assert "zero bytes" in fails(tmp_path / name)
        (tmp_path / name).write_text("<!DOCTYPE html>\n<title>Not Found</title>\n")
        assert "not a" in fails(tmp_path / name)
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pth")
    assert "neither 'state_dict' nor 'model'" in fails(tmp_path / "other.pth")


def test_files_cut_short_are_refused(tmp_path, state, provenance):
    save_encoder(tmp_path / "whole.safetensors", state, provenance)
    torch.save({"model": {f"encoder.{name}": value for name, value in state.items()}}, tmp_path / "whole.pth")
    for name in ("whole.safetensors", "whole.pth"):
        read_weights(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        for length in (7, len(content) // 2, len(content) - 1):
            (tmp_path / name).write_bytes(content[:length])
            assert "not a" in fails(tmp_path / name)


def test_code_in_a_checkpoint_is_never_run(tmp_path):
    torch.save({"state_dict": {"target_encoder.summary_token": Fraction(1, 2)}}, tmp_path / "code.ckpt")
    assert fails(tmp_path / "code.ckpt").startswith(f"{tmp_path / 'code.ckpt'}: not a checkpoint; give a run, ")
    (tmp_path / "mine.py").write_text("def encoder(): ...\n")
    with pytest.raises(DareError, match=r"mine\.py: not a checkpoint; give py:FILE\.py:FUNCTION to name a function$"):
        read_weights(tmp_path / "mine.py")


def test_values_that_are_no_tensors_are_named(tmp_path):
    torch.save({"state_dict": {"target_encoder.summary_token": [1, 2]}}, tmp_path / "odd.ckpt")
    assert "not tensors: target_encoder.summary_token" in fails(tmp_path / "odd.ckpt")


def test_another_part_alone_is_no_encoder(tmp_path, state):
    torch.save({"state_dict": {"predictor.mask_token": torch.zeros(1)}}, tmp_path / "part.ckpt")
    assert "no target_encoder.* tensors, only predictor" in fails(tmp_path / "part.ckpt")
    del state["summary_token"]
    torch.save({"model": {f"encoder.{name}": value for name, value in state.items()}}, tmp_path / "size.pth")
    assert "no summary_token" in fails(tmp_path / "size.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_every_difference_from_an_encoder_is_listed(tmp_path, state, provenance, suffix):
    del state["blocks.0.norm1.bias"]
    state["blocks.1.mlp.fc1.weight"] = torch.zeros(64, 32)
    state["time_embed"] = torch.zeros(1)
    path = tmp_path / f"altered{suffix}"
    if suffix == ".ckpt":
        torch.save({"state_dict": {f"target_encoder.{name}": value for name, value in state.items()}}, path)
    else:
        save_encoder(path, state, provenance)
    message = fails(path)
    assert "missing: blocks.0.norm1.bias;" in message
    assert "unexpected: time_embed;" in message
    assert "misshapen: blocks.1.mlp.fc1.weight (64, 32) instead of (128, 32);" in message


def test_a_block_that_the_momentum_encoder_lacks_is_missed(tmp_path):
    state = Network(Size("custom", 32, 2, (2, 1, 1), 4)).state_dict()
    kept = {name: value for name, value in state.items() if not name.startswith("target_encoder.blocks.1.")}
    torch.save({"state_dict": kept}, tmp_path / "short.ckpt")
    assert "missing: blocks.1.norm1.weight" in fails(tmp_path / "short.ckpt")


def test_safetensors_of_others_are_refused(tmp_path, state):
    save_file(state, tmp_path / "foreign.safetensors")
    assert "no metadata of an encoder of ours" in fails(tmp_path / "foreign.safetensors")
    save_file(state, tmp_path / "foreign.safetensors", {"width": "thirty-two"})
    assert "no metadata of an encoder of ours" in fails(tmp_path / "foreign.safetensors")
