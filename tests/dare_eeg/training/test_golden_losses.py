"""A short run's losses and its encoder are, but for rounding, those on record.

    python -m tests.dare_eeg.training.test_golden_losses

stores them anew, where others are meant.
"""

import json
import platform
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.dare_eeg.sets import metrics_of, pretrained, recorded, write_set

pytestmark = pytest.mark.slow

RECORD = Path(__file__).parents[2] / "data" / "losses.json"
STORE = "where that is meant, store them anew with python -m tests.dare_eeg.training.test_golden_losses"

PARTS = ("loss", "reconstruction", "anchor", "mask", "activation")
NEAR = 1e-6
NEAR_OF_BIASES = 1e-3
"""Biases begin at zero and are all movement; an element with next to no gradient Adam moves as rounding has it."""


def run(folder: Path) -> Path:
    """Train for six steps on six windows each of three subjects, a fourth for validation, and return the run."""
    a, b, c, d = (recorded(f"tuh:{name}", 6) for name in "abcd")
    shards = write_set(folder / "set", {"train": [a + b, c], "valid": [d]})
    lasting = ("--steps", 6, "--checkpoint-every", 6)
    return pretrained(shards, folder / "run", *lasting, "--precision", "fp32", "--lr", 5e-4, "--seed", 2025)


def measured(folder: Path) -> dict[str, Any]:
    """Return the parts of each step's loss and, of each tensor of the encoder, its norm and one product."""
    lines = metrics_of(run(folder))
    encoder = load_file(folder / "run" / "encoder.safetensors")
    return {
        "losses": [{name: line[name] for name in PARTS} for line in lines],
        "valid": {name: lines[-1]["valid"][name] for name in PARTS},
        "encoder": {name: projected(name, tensor) for name, tensor in sorted(encoder.items())},
    }


def projected(name: str, tensor: NDArray[np.float32]) -> dict[str, float]:
    """Return the norm of a tensor and its product with a random vector that is the name's own.

    The key third of an attention's bias is left out: softmax does not see it, and noise alone moves it.
    """
    values = tensor.astype(np.float64).ravel()
    if name.endswith("qkv.bias"):
        values = np.delete(values, np.s_[len(values) // 3 : 2 * len(values) // 3])
    direction = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(len(values))
    return {"norm": float(np.linalg.norm(values)), "product": float(values @ direction)}


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Sum in one order, however many threads the other tests have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="rounding is of one processor family")
@pytest.mark.usefixtures("_one_thread")
def test_losses_and_encoder_are_those_on_record(tmp_path: Path) -> None:
    found, known = measured(tmp_path), json.loads(RECORD.read_text())
    assert len(found["losses"]) == len(known["losses"])
    for one, other in zip([*found["losses"], found["valid"]], [*known["losses"], known["valid"]], strict=True):
        assert one == pytest.approx(other, rel=0, abs=NEAR), STORE
    assert found["encoder"].keys() == known["encoder"].keys()
    for name, other in known["encoder"].items():
        near = (NEAR_OF_BIASES if name.endswith("bias") else NEAR) * other["norm"]
        assert found["encoder"][name] == pytest.approx(other, rel=0, abs=near), f"{name}: {STORE}"


def main() -> None:
    """Train, and store what was measured."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        RECORD.write_text(json.dumps(measured(Path(scratch)), indent=1) + "\n")


if __name__ == "__main__":
    main()
