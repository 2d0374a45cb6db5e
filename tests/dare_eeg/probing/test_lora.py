"""Low-rank matrices beside an encoder's attention: what they stand beside, what is trained, and what is kept."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dare_eeg import open_shards
from dare_eeg.encoders.base import EEGEncoder
from dare_eeg.encoders.ours import untrained_encoder
from dare_eeg.probing.modes.lora import attention_layers, fitter
from dare_eeg.probing.networks.training import FittedNetwork
from dare_eeg.probing.options import ProbeOptions
from dare_eeg.probing.splits import folds
from dare_eeg.running.ranks import ALONE
from manifests.manifest import SPLITS
from tests.commands import dare, unusable
from tests.dare_eeg.encoders.own_encoder import OwnEncoder
from tests.dare_eeg.probing.test_trained import asked, patients

pytestmark = pytest.mark.slow

FEW = ProbeOptions(epochs=2, batch=4, lr=1e-2)


class Attentive(OwnEncoder):
    """One whose vectors attend to each other by torch's own layer."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def encode(self, prepared: Any) -> Tensor:
        return self.block(super().encode(prepared)[:, :, 0])[:, :, None]


class Spelled(OwnEncoder):
    """One with a class that is called attention, its layers by names of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = SelfAttention()

    def encode(self, prepared: Any) -> Tensor:
        return self.mix(super().encode(prepared))


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.asked, self.told = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.told(self.asked(x).softmax(dim=-1) * x)


class Reading(OwnEncoder):
    """One whose attention reads the weights of its layers and calls none, as LaBraM's does with its queries."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = ReadingAttention()

    def encode(self, prepared: Any) -> Tensor:
        return self.mix(super().encode(prepared))


class ReadingAttention(SelfAttention):
    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.asked.weight.T).softmax(dim=-1) * x @ self.told.weight.T


def fitted(encoder: EEGEncoder, folder: Path) -> tuple[FittedNetwork, float]:
    """Return what is fitted on a small set, and by how much its features of it are moved by the matrices alone."""
    windows = open_shards(patients(folder), SPLITS)
    torch.manual_seed(0)
    fold = folds(windows, "official")[0]
    model = fitter(encoder, windows, FEW, None, ALONE)(fold, 0, lambda _: None).model
    assert isinstance(model, FittedNetwork)
    before = model.predict(windows, fold.test)
    np.testing.assert_array_equal(model.predict(windows, fold.test), before)
    with torch.no_grad():
        for name, one in model.network.named_parameters():
            if "lora_B" in name:
                one.zero_()
    return model, float(np.abs(model.predict(windows, fold.test) - before).max())


@pytest.mark.parametrize(
    ("kind", "beside"),
    [
        (None, ["encoder.blocks.0.attn.qkv", "encoder.blocks.0.attn.proj",
                "encoder.blocks.1.attn.qkv", "encoder.blocks.1.attn.proj"]),
        (Attentive, ["block.self_attn"]),
        (Spelled, ["mix.asked", "mix.told"]),
        (Reading, ["mix.asked", "mix.told"]),
    ],
)  # fmt: skip
def test_matrices_of_rank_4_stand_beside_attention_and_nothing_else_of_the_encoder_moves(
    kind: type[EEGEncoder] | None, beside: list[str], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    encoder = untrained_encoder("nano") if kind is None else kind()
    assert sorted(attention_layers(encoder)) == sorted(beside)
    model, moved = fitted(encoder, tmp_path / "set")
    assert moved > 1e-6
    kept = model.tensors()
    matrices = {name: one for name, one in kept.items() if name.startswith("encoder.")}
    assert all("lora_" in name and 4 in one.shape for name, one in matrices.items())
    assert {name.removeprefix("encoder.").partition(".lora_")[0].removesuffix(".base_layer") for name in matrices} == {
        *beside,
        *(f"{name}.base_layer.out_proj" for name in beside if kind is Attentive),
    } - {f"{name}.base_layer" for name in beside}
    assert {name.partition(".")[0] for name in kept} == {"encoder", "adapter", "head"}
    after = dict(model.network.named_parameters())
    for name, one in encoder.named_parameters():
        found = [after[other] for other in after if other.replace(".base_layer", "") == f"encoder.{name}"]
        assert len(found) == 1, name
        assert torch.equal(found[0], one)


def test_an_encoder_without_attention_is_refused_in_one_line(tmp_path: Path) -> None:
    file = Path(__file__).parents[1] / "encoders" / "own_encoder.py"
    words = asked(patients(tmp_path / "set"), tmp_path / "out", "lora")
    named = [f"py:{file}:OwnEncoder" if word == "scratch" else word for word in words if word not in ("--size", "nano")]
    unusable(dare(*named), "no attention is found in own", "finetune")


def test_without_peft_the_way_to_install_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    answer = dare(*asked(patients(tmp_path / "set"), tmp_path / "out", "lora"))
    unusable(answer, "peft is not installed", "pip install 'dare-eeg[lora]'")
