"""Frozen features may be computed in bfloat16: they are those of float32 within its precision, and kept apart."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dare_eeg import open_shards
from dare_eeg.encoders.ours import untrained_encoder
from dare_eeg.probing.classifiers.cache import FeatureCache
from dare_eeg.probing.classifiers.frozen import features
from dare_eeg.probing.options import options_of
from tests.commands import dare
from tests.dare_eeg.sets import recorded, write_set

REFUSING = """
import torch

from tests.dare_eeg.encoders.own_encoder import OwnEncoder


class Refusing(OwnEncoder):
    def encode(self, prepared):
        return torch.from_numpy(super().encode(prepared).numpy())
"""


@pytest.fixture(scope="module")
def loud_and_quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight subjects, each with four quiet windows and four loud ones."""
    labels = [0, 1] * 4
    made = [
        [
            replace(one, counts=one.counts // (1 if one.label else 8))
            for one in recorded(f"tuh:{name}", 8, labels=labels)
        ]
        for name in "abcdefgh"
    ]
    splits = {"train": made[:4], "valid": made[4:6], "test": made[6:]}
    return write_set(tmp_path_factory.mktemp("sets") / "loud", splits, classes=("quiet", "loud"))


def test_features_of_bfloat16_are_those_of_float32_within_its_precision_and_kept_apart(
    loud_and_quiet: Path, tmp_path: Path
) -> None:
    windows, cache = open_shards(loud_and_quiet, "test"), FeatureCache(tmp_path, pytest.fail)
    torch.manual_seed(0)
    encoder = untrained_encoder("nano")
    for pool in ("mean", "flatten"):
        exact, rounded = (
            features(encoder, windows, pool, lambda _share: None, cache, precision) for precision in ("fp32", "bf16")
        )
        assert exact.dtype == rounded.dtype == np.float32
        apart = np.linalg.norm(exact - rounded) / np.linalg.norm(exact)
        assert 0 < apart < 0.02
        np.testing.assert_array_equal(exact, features(encoder, windows, pool, lambda _share: None))
    assert len(list(tmp_path.iterdir())) == 4


def test_classes_that_lie_apart_are_told_apart_as_well_in_bfloat16(loud_and_quiet: Path, tmp_path: Path) -> None:
    found = {}
    for precision in ("fp32", "bf16"):
        out = tmp_path / precision
        named = ("--shards", loud_and_quiet, "--encoder", "scratch", "--size", "nano", "--out", out)
        answer = dare(
            "probe", "tuab", *named, "--resamples", 5, "--protocol", "official", "--set", f"precision={precision}"
        )
        assert answer.status == 0, answer.err
        found[precision] = json.loads((out / "results.json").read_text())
        assert found[precision]["practice"]["precision"] == precision
    figures = [one["metrics"]["window"]["balanced_accuracy"]["mean"] for one in found.values()]
    assert figures[0] == figures[1] > 0.9
    assert options_of("linear", settings=("precision=bf16",)).suffix == "-bf16"
    assert options_of("linear").suffix == ""


def test_an_encoder_that_does_not_compute_in_bfloat16_is_refused_in_one_line(
    loud_and_quiet: Path, tmp_path: Path
) -> None:
    file = tmp_path / "refusing.py"
    file.write_text(REFUSING)
    named = ("--shards", loud_and_quiet, "--encoder", f"py:{file}:Refusing", "--protocol", "official")
    assert dare("probe", "tuab", *named, "--resamples", 5, "--out", tmp_path / "fp32").status == 0
    answer = dare("probe", "tuab", *named, "--out", tmp_path / "bf16", "--set", "precision=bf16")
    assert answer.status == 2
    assert "cannot compute in bf16" in answer.complaint
    assert "leave out --set precision=bf16" in answer.complaint
