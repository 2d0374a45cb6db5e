"""Other people's weights load strictly, and what cannot be had is said in one line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import dare_eeg
from dare_eeg.encoders.architectures import ARCHITECTURES
from manifests.errors import DamagedError, DareError, MissingError, UsageError
from tests.dare_eeg.encoders.zoo import features, recorded


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_weights_that_were_saved_are_loaded_to_the_bit(name: str, saved: Any) -> None:
    model, folder = saved(name)
    encoder = dare_eeg.load_encoder(f"braindecode:{name}@{folder}")
    theirs, ours = model.state_dict(), encoder.network.state_dict()
    kept = [key for key in theirs if not key.startswith(("final_layer", "chans_id"))]
    assert len(kept) > 10
    assert all(torch.equal(theirs[key], ours[key]) for key in kept)
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_renamed_tensor_is_refused_with_the_list(name: str, saved: Any, tmp_path: Path) -> None:
    folder = tmp_path / "renamed"
    shutil.copytree(saved(name)[1], folder)
    tensors = load_file(folder / "model.safetensors")
    key = next(one for one in reversed(tensors) if "final_layer" not in one and tensors[one].ndim > 1)
    tensors[f"{key}_too"] = tensors.pop(key)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(DamagedError, match=f"missing: {key}; unused: {key}_too") as refused:
        dare_eeg.load_encoder(f"braindecode:{name}@{folder}")
    assert "\n" not in str(refused.value)


def test_more_blocks_than_the_config_tells_of_and_numbers_that_are_none_are_refused(saved: Any, tmp_path: Path) -> None:
    shutil.copytree(saved("cbramod")[1], tmp_path, dirs_exist_ok=True)
    file, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps(told | {"n_layer": 0}))
    with pytest.raises(
        DamagedError, match=r"unused: encoder.layers.0.*; give the folder of its .* and its config.json"
    ):
        dare_eeg.load_encoder(f"braindecode:cbramod@{tmp_path}")
    config.write_text(json.dumps(told))
    tensors = load_file(file)
    save_file(tensors | {"proj_out.0.bias": tensors["proj_out.0.bias"] / 0}, file)
    with pytest.raises(DamagedError, match=r"not finite: proj_out.0.bias; download it again"):
        dare_eeg.load_encoder(f"braindecode:cbramod@{tmp_path}")


def test_weights_come_from_a_file_of_torch_too_and_are_never_unpickled(saved: Any, tmp_path: Path) -> None:
    model, folder = saved("cbramod")
    shutil.copy(folder / "config.json", tmp_path)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "weights.pth")
    encoder = dare_eeg.load_encoder(f"braindecode:cbramod@{tmp_path / 'weights.pth'}")
    from_folder = dare_eeg.load_encoder(f"braindecode:cbramod@{folder}")
    x_uv = recorded(200.0)
    torch.testing.assert_close(features(encoder, x_uv, 200.0), features(from_folder, x_uv, 200.0))
    torch.save(model, tmp_path / "model.pth")
    with pytest.raises(DamagedError, match="not a checkpoint"):
        dare_eeg.load_encoder(f"braindecode:cbramod@{tmp_path / 'model.pth'}")


def test_tensors_of_pretraining_alone_are_left_aside_with_a_note(saved: Any, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    shutil.copytree(saved("eegpt")[1], folder)
    tensors = load_file(folder / "model.safetensors") | {"predictor.mask_token": torch.zeros(3)}
    save_file(tensors, folder / "model.safetensors")
    notes = dare_eeg.load_encoder(f"braindecode:eegpt@{folder}").identity.notes
    assert notes[1:] == ("left aside: predictor.mask_token: not part of the network",)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("braindecode:nobody", UsageError, "no encoder 'nobody'; name one of cbramod, labram"),
        ("braindecode:cbramod@./nowhere", MissingError, "nowhere: not found"),
        ("braindecode:cbramod@{empty}", MissingError, "holds neither model.safetensors nor pytorch_model.bin"),
        ("braindecode:CBraMod", UsageError, "no encoder 'CBraMod'; did you mean cbramod[?]"),
        ("braindecode:cbramod@{empty}@main", UsageError, "has no revision main, as it is none of the hub's"),
        ("braindecode:cbramod@random@main", UsageError, "drawn weights have no revision; leave it out"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(name: str, kind: type[DareError], said: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=said) as refused:
        dare_eeg.load_encoder(name.format(empty=tmp_path))
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="leave out size"):
        dare_eeg.load_encoder("braindecode:cbramod", size="nano")


def in_another_process(code: str, *arguments: object, **environment: str) -> str:
    """Run the command after some code, which must go wrong in one line, and return that."""
    words = ["dare", *map(str, arguments)]
    program = f"import sys; sys.argv = {words!r}\n{code}\nimport cli; cli.main()"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | environment, check=False
    )
    assert run.returncode == 2, run.stderr
    *told, line = run.stderr.splitlines()
    assert all(one.startswith("Downloading data") for one in told), run.stderr
    return line


BLOCKED = """
class Blocked:
    def find_spec(self, name, *_):
        if name.split(".")[0] == {name!r}:
            raise {error}
sys.meta_path.insert(0, Blocked())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("braindecode", "ModuleNotFoundError('no', name='braindecode')", "not installed; pip install 'dare-eeg[zoo]'"),
        ("torchaudio", "OSError('libc10_cuda.so')", "torchaudio, which it imports, does not load beside this torch"),
    ],
)
def test_braindecode_that_cannot_be_imported_is_one_line(tuab: Path, name: str, error: str, said: str) -> None:
    code = BLOCKED.format(name=name, error=error)
    asked = ("probe", "tuab", "--shards", tuab, "--encoder", "braindecode:cbramod@random")
    assert said in in_another_process(code, *asked)


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_one_line_with_the_way_out(tuab: Path, tmp_path: Path) -> None:
    asked = ("probe", "tuab", "--shards", tuab, "--encoder", "braindecode:cbramod")
    line = in_another_process("", *asked, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path))
    assert "braindecode/cbramod-pretrained: cannot be had from the hub" in line
    assert line.endswith("give braindecode:NAME@FOLDER")


@pytest.mark.slow
def test_positions_that_cannot_be_had_are_one_line_with_the_way_out(tuab: Path, tmp_path: Path) -> None:
    asked = ("probe", "tuab", "--shards", tuab, "--encoder", "braindecode:reve@random")
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    line = in_another_process("", *asked, REVE_POSITIONS_PATH=str(tmp_path), **nowhere)
    assert "braindecode:reve: braindecode does not make it" in line
    assert "reve_positions.json" in line
