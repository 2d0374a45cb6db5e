"""Other people's encoders, through braindecode: fed as each wants, probed like ours."""

import copy
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import dare_eeg
from dare_eeg.encoders.architectures import ARCHITECTURES
from dare_eeg.network.resample import resample
from manifests.errors import RefusedError
from tests.commands import dare
from tests.dare_eeg.encoders.zoo import NAMES, PAIRS, features, in_pairs, recorded
from tests.dare_eeg.sets import recorded as recorded_as
from tests.dare_eeg.sets import write_set

UPPER = [name.upper() for name in NAMES]


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


@pytest.mark.slow
def test_the_command_probes_it_and_tells_of_its_corpora(tuab: Path, saved: Any, tmp_path: Path) -> None:
    named = ",".join(f"braindecode:{name}@{saved(name)[1]}" for name in ("cbramod", "biot", "sjepa"))
    asked = ("--shards", tuab, "--encoder", named, "--resamples", 5, "--out", tmp_path)
    answer = dare("probe", "tuab", *asked)
    assert answer.status == 0, answer.err
    told, left = {}, {}
    for name in ("cbramod", "biot", "sjepa"):
        results = json.loads((tmp_path / f"{name}-{name}-linear" / "results.json").read_text())
        told[name] = results["contamination"]["note"]
        assert not results["contamination"]["known"]
        assert results["encoder"]["size"] == name
        assert len(results["encoder"]["sha256"]) == 64
        left[name] = set(results["electrodes_left_out"])
    assert left == {"cbramod": set(), "biot": {"FZ", "CZ", "PZ", "T1", "T2"}, "sjepa": {"A1", "A2", "T1", "T2"}}
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
