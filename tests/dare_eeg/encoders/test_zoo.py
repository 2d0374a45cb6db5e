"""Other people's encoders, through braindecode: fed as each wants, loaded strictly, probed like ours."""

import copy
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import dare_eeg
from dare_eeg.encoders.architectures import ARCHITECTURES
from dare_eeg.network.resample import resample
from manifests.errors import DamagedError, DareError, MissingError, RefusedError, UsageError
from tests.commands import dare
from tests.dare_eeg.sets import recorded as recorded_as
from tests.dare_eeg.sets import write_set

NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
UPPER = [name.upper() for name in NAMES]
PAIRS = "Fp1-F7 F7-T7 T7-P7 P7-O1 Fp2-F8 F8-T8 T8-P8 P8-O2 Fp1-F3 F3-C3 C3-P3 P3-O1 Fp2-F4 F4-C4 C4-P4 P4-O2".split()
CHANNELS = [{"ch_name": name} for name in NAMES]
SECONDS = 4

SMALL: dict[str, dict[str, Any]] = {
    "cbramod": {"n_layer": 1, "n_chans": 19},
    "labram": {"num_layers": 1, "n_chans": 19},
    "biot": {"num_layers": 1, "n_chans": 18},
    "eegpt": {"depth": 1, "embed_dim": 64, "chs_info": CHANNELS, "chan_proj_type": "none"},
    "bendr": {"transformer_layers": 1, "encoder_h": 64, "contextualizer_hidden": 32, "n_chans": 20},
    "sjepa": {"transformer__num_encoder_layers": 1, "chs_info": CHANNELS, "channel_embedding": "pretrain_aligned"},
    "reve": {"depth": 1, "embed_dim": 64, "heads": 2, "head_dim": 16, "chs_info": CHANNELS},
}
"""Encoders of one block, by how braindecode's classes are told to make them."""


@pytest.fixture(scope="module")
def positions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Positions for REVE, which are a download otherwise."""
    folder = tmp_path_factory.mktemp("positions")
    rows = np.random.default_rng(0).normal(scale=0.1, size=(len(NAMES), 3)).tolist()
    (folder / "reve_positions.json").write_text(json.dumps(dict(zip(NAMES, rows, strict=True))))
    return folder


@pytest.fixture(autouse=True)
def _with_positions(positions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVE_POSITIONS_PATH", str(positions))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Path]]:
    """Return a small model of braindecode's with random weights, and the folder that it saved itself in."""
    made: dict[str, tuple[Any, Path]] = {}

    def model_of(name: str) -> tuple[Any, Path]:
        if name not in made:
            wants, folder = ARCHITECTURES[name], tmp_path_factory.mktemp("zoo") / name
            torch.manual_seed(1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import braindecode.models

                n_times = int(SECONDS * wants.sfreq)
                shape = {"n_times": n_times, "n_outputs": 3, "sfreq": wants.sfreq}
                model = getattr(braindecode.models, wants.class_name)(**SMALL[name], **shape).eval()
                model.save_pretrained(folder)
            made[name] = (model, folder)
        return made[name]

    return model_of


def recorded(sfreq: float, seconds: float = SECONDS) -> Tensor:
    """Return two windows in µV, electrodes in the order of NAMES."""
    return 20 * torch.randn(2, len(NAMES), int(seconds * sfreq), generator=torch.Generator().manual_seed(2))


def in_pairs(x_uv: Tensor) -> Tensor:
    """Return windows in BIOT's pairs."""
    ends = [pair.split("-") for pair in PAIRS]
    return torch.stack([x_uv[:, NAMES.index(plus)] - x_uv[:, NAMES.index(minus)] for plus, minus in ends], dim=1)


def features(encoder: dare_eeg.EEGEncoder, x_uv: Tensor, sfreq: float) -> Tensor:
    places = encoder.known(NAMES)
    with torch.no_grad():
        return encoder.encode(encoder.prepare(x_uv[:, places], [NAMES[place] for place in places], sfreq))


def by_hand(name: str, model: Any, x_uv: Tensor) -> Tensor:
    """Return what braindecode's model says of windows at its rate, as its authors feed it, flat."""
    more: dict[str, Any] = {}
    if name in ("cbramod", "labram"):
        x = x_uv / 100
        more = {"ch_names": UPPER} if name == "labram" else {}
    elif name == "eegpt":
        x = x_uv / 1000
    elif name == "biot":
        bipolar = in_pairs(x_uv).numpy()
        x = torch.from_numpy(bipolar / (np.quantile(np.abs(bipolar), 0.95, axis=-1, keepdims=True) + 1e-8)).float()
    elif name == "bendr":
        low, high = x_uv.flatten(1).min(1).values, x_uv.flatten(1).max(1).values
        scaled = 2 * (x_uv - low[:, None, None]) / (high - low)[:, None, None] - 1
        x = torch.cat([scaled, torch.zeros_like(scaled[:, :1])], dim=1)
    elif name == "reve":
        x = ((x_uv - x_uv.mean(-1, keepdim=True)) / x_uv.std(-1, keepdim=True, correction=0)).clamp(-15, 15)
    else:
        x = x_uv
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model(x, return_features=True, **more)["features"]


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
def test_features_are_those_of_braindecode_called_by_hand(name: str, saved: Any) -> None:
    model, folder = saved(name)
    encoder = dare_eeg.load_encoder(f"braindecode:{name}@{folder}")
    x_uv = recorded(encoder.sfreq)
    theirs, ours = by_hand(name, model, x_uv), features(encoder, x_uv, encoder.sfreq)
    if name in ("cbramod", "labram", "sjepa", "reve"):  # theirs go by electrode, then by moment
        theirs = theirs.reshape(2, len(NAMES), -1, theirs.shape[-1]).transpose(1, 2)
    assert ours.dim() == 4
    torch.testing.assert_close(ours, theirs.reshape(ours.shape), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_rates_and_lengths_are_brought_to_its_own(name: str, saved: Any) -> None:
    encoder = dare_eeg.load_encoder(f"braindecode:{name}@{saved(name)[1]}")
    x_uv, sfreq = recorded(500.0, 3.3), encoder.sfreq
    at_its_rate = resample(x_uv, 500.0, sfreq)
    torch.testing.assert_close(features(encoder, x_uv, 500.0), features(encoder, at_its_rate, sfreq))
    longer, shorter = features(encoder, x_uv, 500.0), features(encoder, x_uv[..., :1000], 500.0)
    assert longer.shape[2:] == shorter.shape[2:]
    assert longer.shape[1] > shorter.shape[1] or name in ("biot", "bendr")
    with pytest.raises(RefusedError, match="shorter than"):
        features(encoder, x_uv[..., :100], 500.0)


def test_a_patch_that_lacks_a_little_is_filled_and_one_that_lacks_more_is_left(saved: Any) -> None:
    encoder, x_uv = dare_eeg.load_encoder(f"braindecode:cbramod@{saved('cbramod')[1]}"), recorded(200.0)
    filled = torch.nn.functional.pad(x_uv[..., :786], (0, 14))
    torch.testing.assert_close(features(encoder, x_uv[..., :786], 200.0), features(encoder, filled, 200.0))
    torch.testing.assert_close(features(encoder, x_uv[..., :720], 200.0), features(encoder, x_uv[..., :600], 200.0))


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


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_copy_is_the_same_and_trains_in_every_layer(name: str, saved: Any) -> None:
    encoder = dare_eeg.load_encoder(f"braindecode:{name}@{saved(name)[1]}")
    x_uv = recorded(encoder.sfreq)
    before = features(encoder, x_uv, encoder.sfreq)
    twin = copy.deepcopy(encoder).requires_grad_(True)
    torch.testing.assert_close(features(twin, x_uv, encoder.sfreq), before)
    places = twin.known(NAMES)
    named = [NAMES[place] for place in places]
    twin.encode(twin.prepare(x_uv[:, places], named, encoder.sfreq)).square().sum().backward()
    layers = twin.layers()
    assert len(layers) > 1
    for layer in layers:
        assert any(one.grad is not None and one.grad.abs().sum() > 0 for one in layer)
    torch.optim.SGD(twin.parameters(), lr=1.0).step()
    assert not torch.allclose(features(twin, x_uv, encoder.sfreq), before)
    torch.testing.assert_close(features(encoder, x_uv, encoder.sfreq), before)
    torch.testing.assert_close(features(copy.deepcopy(twin), x_uv, 200.0), features(twin, x_uv, 200.0))


def test_electrodes_it_cannot_read_are_left_out_and_told(saved: Any) -> None:
    encoder = dare_eeg.load_encoder(f"braindecode:bendr@{saved('bendr')[1]}")
    x_uv = recorded(256.0)
    more = torch.cat([x_uv, x_uv[:, :2]], dim=1)
    with pytest.warns(UserWarning, match="left out: FPZ, EKG"):
        found = encoder(more, [*NAMES, "FPZ", "EKG"], 256.0)
    torch.testing.assert_close(found, features(encoder, x_uv, 256.0))
    with pytest.raises(ValueError, match="none of EKG is among"):
        encoder(x_uv[:, :1], ["EKG"], 256.0)
    cbramod = dare_eeg.load_encoder(f"braindecode:cbramod@{saved('cbramod')[1]}")
    assert cbramod.known(["EKG", "C3", "FP1-F7", "X7"]) == [1, 2]
    biot = dare_eeg.load_encoder(f"braindecode:biot@{saved('biot')[1]}")
    assert biot.known(["FP1", "F7", "CZ", "T7-P7", "O1"]) == [0, 1, 3]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_absent_electrodes_are_zero_whatever_their_rows_hold(name: str, saved: Any) -> None:
    encoder = dare_eeg.load_encoder(f"braindecode:{name}@{saved(name)[1]}")
    x_uv, present = recorded(encoder.sfreq), torch.ones(2, len(NAMES), dtype=torch.bool)
    present[0, 4] = present[1, 8] = False
    places = encoder.known(NAMES)
    named = [NAMES[place] for place in places]

    def prepared(filler: float) -> dare_eeg.Prepared:
        held = x_uv.masked_fill(~present[..., None], filler)
        return encoder.prepare(held[:, places], named, encoder.sfreq, present[:, places])

    assert torch.equal(prepared(0.0).x, prepared(float("nan")).x)
    flat = {rows.index(name) for rows in [prepared(0.0).electrodes] for name in rows if "C3" in name.split("-")}
    assert flat
    assert all(not prepared(0.0).x[1, row].any() and prepared(0.0).x[0, row].any() for row in flat)


def test_biot_reads_pairs_as_they_were_recorded(saved: Any) -> None:
    encoder, x_uv = dare_eeg.load_encoder(f"braindecode:biot@{saved('biot')[1]}"), recorded(200.0)
    with torch.no_grad():
        found = encoder.encode(encoder.prepare(in_pairs(x_uv), PAIRS, 200.0))
    torch.testing.assert_close(found, features(encoder, x_uv, 200.0))


def test_labram_reads_no_more_seconds_than_it_has_learnt(saved: Any) -> None:
    encoder = dare_eeg.load_encoder(f"braindecode:labram@{saved('labram')[1]}")
    with pytest.raises(RefusedError, match="windows of 5 s are longer than the 4 s"):
        features(encoder, recorded(200.0, 5.0), 200.0)
    with pytest.raises(RefusedError, match=r"window_s=4$"):
        features(encoder, recorded(200.0, 5.0), 200.0)


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


@pytest.mark.slow
def test_the_command_probes_it_and_tells_of_its_corpora(tuab: Path, saved: Any, tmp_path: Path) -> None:
    named = ",".join(f"braindecode:{name}@{saved(name)[1]}" for name in ("cbramod", "biot", "sjepa"))
    asked = ("--shards", tuab, "--encoder", named, "--resamples", 5, "--out", tmp_path)
    answer = dare("probe", "tuab", *asked)
    assert answer.status == 0, answer.err
    told = {}
    for name in ("cbramod", "biot", "sjepa"):
        results = json.loads((tmp_path / f"{name}-{name}-linear" / "results.json").read_text())
        told[name] = results["contamination"]["note"]
        assert not results["contamination"]["known"]
        assert results["encoder"]["size"] == name
        assert len(results["encoder"]["sha256"]) == 64
        assert "EKG" not in dare_eeg.open_shards(tuab).electrodes or "EKG" in results["electrodes_left_out"]
    assert told["cbramod"].endswith("its corpora were tueg; those tested may be among them, by tueg")
    assert told["biot"].endswith("by tuab, tuev")
    assert told["sjepa"].endswith("its corpora were Lee2019; tuab is not among those named")
    assert len(list((tmp_path / "features").glob("*.npy"))) == 3
    assert "kept" in dare("probe", "tuab", *asked).err


@pytest.mark.slow
def test_drawn_weights_are_the_control_of_an_architecture(tuab: Path, saved: Any, tmp_path: Path) -> None:
    places = [f"braindecode:{name}@{saved(name)[1]}" for name in ("biot", "bendr")]
    named = ",".join([*places, "braindecode:biot@random", "scratch"])
    asked = ("--shards", tuab, "--encoder", named, "--size", "nano", "--resamples", 5, "--out", tmp_path)
    answer = dare("probe", "tuab", *asked)
    assert answer.status == 0, answer.err
    rows = {row["name"]: row for row in json.loads((tmp_path / "ladder.json").read_text())["rows"]}
    assert {name: row["kind"] for name, row in rows.items()} == {
        "biot-biot-linear": "frozen encoder",
        "bendr-bendr-linear": "frozen encoder",
        "biot-random-linear": "scratch",
        "scratch-nano-linear": "scratch",
    }
    of_own = {("biot-biot-linear", "biot-random-linear"), ("bendr-bendr-linear", "scratch-nano-linear")}
    encoders = {"biot-biot-linear", "bendr-bendr-linear"}
    told = {(name, one["against"]) for name, row in rows.items() for one in row["comparisons"]}
    assert {pair for pair in told if not encoders.issuperset(pair)} == of_own
    pairs = json.loads(dare("compare", tmp_path, "--json").out)["pairs"]
    together = {(pair["ours"], pair["theirs"]) for pair in pairs}
    assert {pair for pair in together if not encoders.issuperset(pair)} == of_own


def test_windows_that_lack_electrodes_are_counted(saved: Any, tmp_path: Path) -> None:
    people = {name: recorded_as(f"tuh:{name}", 4, labels=[0, 1, 0, 1]) for name in "abcdef"}
    people["b"] = [replace(window, absent=(0,)) for window in people["b"]]
    parts = {"train": "abc", "valid": "d", "test": "ef"}
    splits = {split: [[one for name in names for one in people[name]]] for split, names in parts.items()}
    shards = write_set(tmp_path / "tuab", splits, classes=("normal", "abnormal"))
    out = tmp_path / "out"
    named = ("--shards", shards, "--encoder", f"braindecode:cbramod@{saved('cbramod')[1]}", "--out", out)
    answer = dare("probe", "tuab", *named, "--resamples", 5)
    assert answer.status == 0, answer.err
    assert "4 of 24 windows lack electrodes, which the encoder takes as flat" in answer.out


@pytest.mark.slow
def test_the_command_finetunes_it(tuab: Path, saved: Any, tmp_path: Path) -> None:
    named = ("--encoder", f"braindecode:eegpt@{saved('eegpt')[1]}", "--mode", "finetune", "--epochs", 1)
    answer = dare("probe", "tuab", "--shards", tuab, *named, "--resamples", 5, "--out", tmp_path)
    assert answer.status == 0, answer.err
    assert json.loads((tmp_path / "results.json").read_text())["mode"] == "finetune"


@pytest.mark.slow
def test_braindecodes_classifier_trains_ours_and_theirs(saved: Any, nano_run: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from braindecode import EEGClassifier
    rng = np.random.default_rng(0)
    y = np.arange(16) % 2
    x_uv = (20 * rng.normal(size=(16, len(NAMES), 800)) + 10 * y[:, None, None]).astype(np.float32)
    for place in (nano_run, f"braindecode:cbramod@{saved('cbramod')[1]}"):
        for is_frozen in (True, False):
            torch.manual_seed(0)
            encoder = dare_eeg.load_encoder(place).requires_grad_(not is_frozen)
            module = dare_eeg.braindecode_model(encoder, len(NAMES), 800, 2, 200.0, CHANNELS)
            before = copy.deepcopy(module.state_dict())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                net = EEGClassifier(module, train_split=None, lr=1e-3, batch_size=8, max_epochs=2, classes=[0, 1])
                net.set_params(verbose=0)
                net.fit(x_uv, y)
                assert net.predict(x_uv).shape == (16,)
                assert net.predict_proba(x_uv).shape == (16, 2)
            assert len(net.history) == 2
            moved = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
            assert "final_layer.weight" in moved
            assert any(name.startswith("encoder.") for name in moved) != is_frozen
    with pytest.raises(UsageError, match="can read none of EKG"):
        dare_eeg.braindecode_model(encoder, 1, 800, 2, 200.0, [{"ch_name": "EKG"}])
    with pytest.raises(UsageError, match="of which chs_info names 19"):
        dare_eeg.braindecode_model(encoder, 3, 800, 2, 200.0, CHANNELS)
