"""Any encoder that answers what it is asked is probed, in every mode, by the command and by name."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from dare_eeg import open_shards
from dare_eeg.network.heads import Adapter, FinetuneHead, ProbeHead
from dare_eeg.probing.classifiers.frozen import features
from dare_eeg.probing.networks.network import ProbeNetwork
from dare_eeg.probing.networks.training import Training, fit_network
from dare_eeg.probing.options import MODES, ON_FEATURES, ProbeOptions
from dare_eeg.probing.splits import folds
from dare_eeg.running.ranks import ALONE
from manifests.manifest import SPLITS
from tests.commands import dare, unusable
from tests.dare_eeg.encoders.own_encoder import OwnEncoder

FILE = Path(__file__).with_name("own_encoder.py")

WAYS = [mode for mode in MODES if mode != "lora"]
"""Modes that ask for no attention."""

NUMBERS = ProbeOptions(epochs=2, batch=4, lr=1e-2, weight_decay=0.0)
NAME = f"py:{FILE}:OwnEncoder"


@pytest.mark.slow
def test_every_mode_probes_it_and_says_who_it_is(tuab: Path, tmp_path: Path) -> None:
    named = ("--shards", tuab, "--encoder", NAME, "--out", tmp_path, "--resamples", 5)
    answer = dare("probe", "tuab", *named, "--epochs", 1, "--mode", ",".join(WAYS))
    assert answer.status == 0, answer.err
    for mode in WAYS:
        results = json.loads((tmp_path / f"own_encoder-OwnEncoder-{mode}" / "results.json").read_text())
        encoder = results["encoder"]
        assert (encoder["path"], encoder["size"], encoder["sha256"]) == (NAME, "own", "0123")
        assert (encoder["pretrained_on"], encoder["notes"]) == ("4567", ["a note"])
        assert results["contamination"]["note"].startswith("0 of ")
        left_out = set(open_shards(tuab, "train").electrodes) - {"FP1", "C3", "CZ"}
        assert set(results["electrodes_left_out"]) == (left_out if mode in ON_FEATURES else set())


def test_features_are_of_the_electrodes_it_knows(tuab: Path) -> None:
    torch.manual_seed(0)
    encoder, windows = OwnEncoder().eval(), open_shards(tuab, "test")
    places = [windows.electrodes.index(name) for name in windows.electrodes if name in encoder.electrodes]
    x_uv = torch.from_numpy(windows.take(np.arange(len(windows))))[:, places]
    with torch.no_grad():
        expected = encoder.encode(encoder.prepare(x_uv, encoder.electrodes, windows.sfreq)).mean(dim=1)
    np.testing.assert_allclose(
        features(encoder, windows, "mean", lambda _: None), expected.flatten(1).numpy(), atol=1e-5
    )


def test_layer_decay_asks_for_layers(tuab: Path) -> None:
    windows, adapter = open_shards(tuab, SPLITS), partial(Adapter, time_kernel=15, layers=2)
    ratios = []
    for decay in (1.0, 0.01):
        torch.manual_seed(0)
        encoder = OwnEncoder()
        network = ProbeNetwork(encoder, windows, adapter, FinetuneHead, is_frozen=False)
        training = Training.of(NUMBERS.model_copy(update={"layer_decay": decay}).settled("finetune", 2), ALONE)
        fit_network(
            network,
            network.encoder.layers(),
            windows,
            folds(windows, "official")[0],
            training,
            seed=0,
            progress=lambda _: None,
        )
        pairs = zip(encoder.layers(), network.encoder.layers(), strict=True)
        bottom, top = (float((after[0] - before[0]).detach().abs().max()) for before, after in pairs)
        assert bottom > 0
        ratios.append(top / bottom)
    assert ratios[1] > 20 * ratios[0]


def test_a_frozen_one_keeps_its_weights_and_its_mode(tuab: Path) -> None:
    torch.manual_seed(0)
    encoder, windows = OwnEncoder(), open_shards(tuab, SPLITS)
    network = ProbeNetwork(encoder, windows, Adapter, ProbeHead, is_frozen=True)
    training = Training.of(NUMBERS.settled("conv-linear", 2), ALONE)
    fit_network(network, [], windows, folds(windows, "official")[0], training, seed=0, progress=lambda _: None)
    for before, after in zip(encoder.parameters(), network.encoder.parameters(), strict=True):
        assert torch.equal(before, after)
    assert not network.train().encoder.training
    assert network.adapter.training


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("py:nowhere.py:make", "nowhere.py: not found"),
        ("py:own.txt:make", "names no function"),
        (f"py:{FILE}:Nobody", "has no Nobody"),
        (f"py:{FILE}:OwnEncode", "did you mean OwnEncoder?"),
        (f"py:{FILE}:Identity", "Identity cannot be had (TypeError"),
        (f"py:{FILE}:as_tensor", "as_tensor cannot be had"),
        (f"py:{FILE}:dict", "has no dict"),
    ],
)
def test_what_is_none_is_refused_in_one_line(tuab: Path, tmp_path: Path, name: str, said: str) -> None:
    unusable(dare("probe", "tuab", "--shards", tuab, "--encoder", name, "--out", tmp_path / "out"), said)


def test_what_is_no_encoder_is_refused_in_one_line(tuab: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("def make():\n    return 3\n")
    answer = dare("probe", "tuab", "--shards", tuab, "--encoder", f"py:{file}:make", "--out", tmp_path / "out")
    unusable(answer, file, "make returns int, no dare_eeg.EEGEncoder")


def test_only_ours_is_fed_as_published(tuab: Path, tmp_path: Path) -> None:
    options = ("--mode", "finetune", "--set", "resampling=nearest", "--out", tmp_path / "out")
    unusable(dare("probe", "tuab", "--shards", tuab, "--encoder", NAME, *options), "prepares its input itself")


WHOLE = """
import torch
from torch import nn
from tests.dare_eeg.encoders.own_encoder import OwnEncoder
from dare_eeg import Identity, Prepared

class Slip(OwnEncoder):
    {slip}
"""


@pytest.mark.parametrize(
    ("slip", "mode", "said"),
    [
        ("def encode(self, prepared): return super().encode(prepared)[:, :, 0]", "linear", "not (B, N, S, D)"),
        ("def encode(self, prepared): return super().encode(prepared).mean(1)", "conv-linear", "not (B, N, S, D)"),
        ("def encode(self, prepared): return super().encode(prepared)[:1]", "linear", "(1, 20, 1, 8) for 22 windows"),
        ("def encode(self, prepared): return super().encode(prepared) / 0", "linear", "not finite"),
        ("def encode(self, prepared): return super().encode(prepared)[:, :0]", "conv-linear", "not (B, N, S, D)"),
        ("def encode(self, prepared): return None", "linear", "encode returns NoneType, no Tensor"),
        ("def encode(self, prepared): raise KeyError('mine')", "linear", "encode raises KeyError: 'mine'"),
        ("def prepare(self, x_uv, *more): return x_uv", "linear", "prepare returns a tensor"),
        (
            "def prepare(self, x_uv, electrodes, *more): return Prepared(x_uv, electrodes[:1])",
            "conv-linear",
            "for 1 electrodes",
        ),
        ("def known(self, electrodes): return list(electrodes)", "linear", "no place among 23 electrodes"),
        ("def known(self, electrodes): return [99]", "linear", "known returns 99"),
        ("identity = 'mine'", "linear", "identity returns str, no Identity"),
        ("electrodes = ()", "linear", "electrodes are no names"),
        ("def layers(self): return [[self.top]]", "finetune", "layers are no lists of parameters"),
        ("def __deepcopy__(self, memo): raise TypeError('a lock')", "conv-linear", "a copy of it raises TypeError"),
        ("def __init__(self): raise SystemExit(3)", "linear", "Slip cannot be had (SystemExit: 3)"),
    ],
)
def test_an_answer_of_another_form_ends_in_one_line(
    tuab: Path, tmp_path: Path, slip: str, mode: str, said: str
) -> None:
    file = tmp_path / "slip.py"
    file.write_text(WHOLE.format(slip=slip))
    named = ("--shards", tuab, "--encoder", f"py:{file}:Slip", "--out", tmp_path / "out")
    epochs = () if mode in ON_FEATURES else ("--epochs", 1)
    answer = dare("probe", "tuab", *named, "--mode", mode, *epochs, "--resamples", 2)
    assert answer.status == 2
    assert said in answer.complaint
    assert "slip.py" in answer.complaint


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        "def __init__(self): super().__init__(); self.double()",
        "def __init__(self): super().__init__(); self.bfloat16()",
        "def encode(self, prepared): return torch.relu(prepared.x.mean(1).unfold(-1, 50, 50))[:, :, None]",
        "def encode(self, prepared): return super().encode(Prepared(prepared.x / prepared.x.std(), ()))",
        "def layers(self): return []",
    ],
)
def test_any_precision_and_any_way_within_are_its_own_affair(tuab: Path, tmp_path: Path, more: str) -> None:
    file = tmp_path / "slip.py"
    file.write_text(WHOLE.format(slip=more))
    named = ("--shards", tuab, "--encoder", f"py:{file}:Slip", "--out", tmp_path / "out", "--resamples", 2)
    answer = dare("probe", "tuab", *named, "--epochs", 1, "--mode", ",".join(WAYS))
    assert answer.status == 0, answer.err


def test_frozen_features_know_no_dropout(tuab: Path, tmp_path: Path) -> None:
    def table(folder: Path, more: str) -> str:
        file = tmp_path / "slip.py"
        file.write_text(WHOLE.format(slip=more))
        named = ("--shards", tuab, "--encoder", f"py:{file}:Slip", "--out", folder, "--resamples", 2)
        assert dare("probe", "tuab", *named).status == 0
        return (folder / "predictions.csv").read_text()

    fixed = "torch.manual_seed(1)"
    with_dropout = (
        f"def __init__(self): {fixed}; super().__init__(); self.top = nn.Sequential(self.top, nn.Dropout(0.9))"
    )
    without = f"def __init__(self): {fixed}; super().__init__()"
    assert table(tmp_path / "with", with_dropout) == table(tmp_path / "without", without)


def test_its_file_is_a_module_like_others(tuab: Path, tmp_path: Path) -> None:
    (tmp_path / "beside_own.py").write_text("from tests.dare_eeg.encoders.own_encoder import OwnEncoder\n")
    file = tmp_path / "mine.py"
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom beside_own import OwnEncoder\n"
        "print('hello')\n@dataclass\nclass Size:\n    width: int = 8\n\ndef make():\n    return OwnEncoder()\n"
    )
    named = ("--shards", tuab, "--encoder", f"py:{file}:make", "--out", tmp_path / "out", "--resamples", 2)
    answer = dare("probe", "tuab", *named, "--json")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["encoder"]["size"] == "own"
    assert "hello" in answer.err


def test_results_of_other_weights_by_the_same_code_are_replaced(tuab: Path, tmp_path: Path) -> None:
    file, weights = tmp_path / "mine.py", tmp_path / "weights.pt"
    file.write_text(
        "import torch\nfrom tests.dare_eeg.encoders.own_encoder import OwnEncoder\n\n"
        f"class Mine(OwnEncoder):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.load_state_dict(torch.load({str(weights)!r}, weights_only=True))\n"
    )
    named = ("--shards", tuab, "--encoder", f"py:{file}:Mine", "--out", tmp_path / "out", "--resamples", 2)
    told = []
    for draw in (1, 1, 2):
        torch.manual_seed(draw)
        torch.save({name: torch.randn_like(one) for name, one in OwnEncoder().state_dict().items()}, weights)
        answer = dare("probe", "tuab", *named)
        assert answer.status == 0, answer.err
        told.append(((tmp_path / "out" / "predictions.csv").read_bytes(), "kept" in answer.err))
    assert [is_kept for _, is_kept in told] == [False, True, False]
    assert told[2][0] != told[1][0]


def test_results_of_another_encoder_of_that_name_stay(
    tuab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own_encoder.py").write_text(FILE.read_text())
    asked = ("probe", "tuab", "--shards", tuab, "--resamples", 2, "--encoder")
    first = "py:one/own_encoder.py:OwnEncoder"
    assert dare(*asked, first).status == dare(*asked, first).status == 0
    refused = dare(*asked, "py:two/own_encoder.py:OwnEncoder")
    unusable(refused, f"holds the results of {first} on tuab by linear; choose another --out")
