"""Frozen features are computed once, and taken from disk only where they are those that are asked for."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dare_eeg import Identity, Prepared, open_shards
from dare_eeg.encoders.ours import load_encoder, untrained_encoder
from dare_eeg.encoders.own import own_encoder
from dare_eeg.probing.classifiers.cache import FeatureCache
from dare_eeg.probing.classifiers.frozen import features
from dare_eeg.probing.classifiers.projection import MOST
from tests.commands import Answer, dare
from tests.dare_eeg.encoders.own_encoder import OwnEncoder
from tests.dare_eeg.sets import flip_byte, truncate

COUNTING = """
from pathlib import Path

from tests.dare_eeg.encoders.own_encoder import OwnEncoder


class Counting(OwnEncoder):
    def encode(self, prepared):
        with Path(__file__).with_name("passes").open("a") as stream:
            stream.write("x")
        return super().encode(prepared)
"""


def none(_share: float) -> None:
    """Take no notice of progress."""


class Counted:
    """Probes by an encoder that counts its batches."""

    def __init__(self, shards: Path, folder: Path) -> None:
        self.shards, self.folder, self.file = shards, folder, folder / "counting.py"
        self.file.write_text(COUNTING)

    def __call__(self, *options: object) -> tuple[Answer, int]:
        """Return (the answer, batches encoded)."""
        told = self.folder / "passes"
        told.write_text("")
        named = ("--shards", self.shards, "--encoder", f"py:{self.file}:Counting")
        answer = dare("probe", "bcic2b", *named, "--out", self.folder / "out", "--resamples", 5, *options)
        assert answer.status == 0, answer.err
        return answer, len(told.read_text())


@pytest.fixture
def counted(bcic2b: Path, tmp_path: Path) -> Counted:
    return Counted(bcic2b, tmp_path)


@pytest.mark.slow
def test_one_pass_serves_repeats_protocols_centring_and_classifiers(counted: Counted) -> None:
    _, passes = counted("--repeats", 2, "--protocol", "kfold")
    assert passes == -(-len(open_shards(counted.shards, ("train", "valid", "test"))) // 32)
    results = (counted.folder / "out" / "results.json").read_bytes()
    others = (("--protocol", "loso"), ("--repeats", 3), ("--set", "centre=subject"), ("--protocol", "official"))
    assert [counted(*options)[1] for options in others] == [0, 0, 0, 0]
    assert counted("--set", "pool=flatten")[1] == passes
    assert counted("--repeats", 2, "--protocol", "kfold")[1] == 0
    assert (counted.folder / "out" / "results.json").read_bytes() == results


@pytest.mark.slow
def test_cleared_and_changed_encoders_are_asked_again(counted: Counted) -> None:
    _, passes = counted("--protocol", "kfold")
    answer, again = counted("--clear-cache", "--protocol", "loso")
    assert again == passes > 0
    assert "MB of features removed" in answer.err
    counted.file.write_text(COUNTING + "\n# another file\n")
    assert counted("--protocol", "kfold")[1] == passes


@pytest.mark.parametrize("harm", ["flip", "cut", "foreign", "text", "empty"])
def test_a_damaged_or_foreign_file_is_told_and_computed_anew(bcic2b: Path, tmp_path: Path, harm: str) -> None:
    windows, told = open_shards(bcic2b, "test"), list[str]()
    cache = FeatureCache(tmp_path, told.append)
    encoder = own(1)
    expected = np.array(features(encoder, windows, "mean", none, cache))
    (file,) = tmp_path.iterdir()
    if harm == "flip":
        flip_byte(file, 200)
    elif harm == "cut":
        truncate(file, file.stat().st_size - 40)
    elif harm == "foreign":
        features(own(2), windows, "mean", none, cache)
        (other,) = (path for path in tmp_path.iterdir() if path != file)
        shutil.copy(other, file)
    else:
        file.write_bytes(b"no features" if harm == "text" else b"")
    assert told == []
    np.testing.assert_array_equal(features(encoder, windows, "mean", none, cache), expected)
    assert [str(file) in line and "computed anew" in line for line in told] == [True]
    np.testing.assert_array_equal(features(silenced(encoder), windows, "mean", none, cache), expected)
    assert len(told) == 1


def own(seed: int) -> Any:
    """Return somebody's encoder with weights of their own."""
    torch.manual_seed(seed)
    return own_encoder(f"{Path(__file__).parents[1] / 'encoders' / 'own_encoder.py'}:OwnEncoder")


def silenced(encoder: Any) -> Any:
    """Return an encoder that is the same and cannot encode."""

    def encode(_prepared: object) -> None:
        raise AssertionError("asked though its features are kept")

    encoder.encoder.encode = encode
    return encoder


def test_features_are_kept_by_encoder_weights_set_part_and_pool(bcic2b: Path, nano_run: Path, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, pytest.fail)
    test, train = open_shards(bcic2b, "test"), open_shards(bcic2b, "train")
    torch.manual_seed(0)
    scratch = [untrained_encoder("nano") for _ in range(2)]
    asked = [(encoder, test, "mean") for encoder in (load_encoder(nano_run), *scratch, own(1), own(2))]
    asked += [
        (scratch[0], test, "mean+std"),
        (scratch[0], train, "mean"),
        (load_encoder(nano_run, unit_scale=0.5), test, "mean"),
    ]
    for count, (encoder, windows, pool) in enumerate(asked, start=1):
        table = features(encoder, windows, pool, none, cache)
        np.testing.assert_array_equal(table, features(encoder, windows, pool, none))
        assert len(list(tmp_path.iterdir())) == count
    for encoder, windows, pool in asked:
        features(encoder, windows, pool, none, cache)
    assert len(list(tmp_path.iterdir())) == len(asked)


def test_an_encoder_that_does_not_say_who_it_is_keeps_nothing(bcic2b: Path, tmp_path: Path) -> None:
    class Nameless(OwnEncoder):  # type: ignore[misc]
        identity = Identity("nameless")

    features(Nameless(), open_shards(bcic2b, "test"), "mean", none, FeatureCache(tmp_path, pytest.fail))
    assert list(tmp_path.iterdir()) == []


def tables(*shapes: tuple[int, int]) -> list[NDArray[np.float32]]:
    return [np.full(shape, number, np.float32) for number, shape in enumerate(shapes)]


def test_those_asked_for_longest_ago_go_first_and_the_newest_stays(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, pytest.fail, limit_bytes=10_000)
    keys = [f"{number:032x}" for number in range(4)]
    for age, key in enumerate(keys[:3]):
        cache.table(key, 250, iter(tables((250, 3))))
        os.utime(tmp_path / f"{key}.npy", (age, age))
    cache.table(keys[0], 250, iter(()))
    (tmp_path / "mine.npy").write_bytes(b"mine")
    cache.table(keys[3], 250, iter(tables((250, 3))))
    assert {path.stem for path in tmp_path.iterdir()} == {keys[0], keys[2], keys[3], "mine"}
    big = cache.table("f" * 32, 5000, iter(tables((2500, 3), (2500, 3))))
    assert (big.shape, {path.stem for path in tmp_path.iterdir()}) == ((5000, 3), {"f" * 32, "mine"})
    np.testing.assert_array_equal(big[:, 0], np.repeat([0, 1], 2500))
    (tmp_path / f"{'e' * 32}.npy.partial-host-1-abc").write_bytes(b"killed")
    assert cache.clear() > 60_000
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npy"]


class Wide(OwnEncoder):  # type: ignore[misc]
    """Features of as many numbers as there are samples at 100 Hz, twenty times."""

    def encode(self, prepared: Prepared) -> torch.Tensor:
        return prepared.x.mean(dim=1).repeat(1, 20)[:, None, None]


def test_rows_of_very_many_numbers_are_projected_and_keep_their_distances(bcic2b: Path) -> None:
    windows, encoder = open_shards(bcic2b, "train"), Wide()
    found = features(encoder, windows, "flatten", none)
    known = encoder.known(windows.electrodes)
    x_uv = windows.take(np.arange(len(windows)))[:, known]
    prepared = encoder.prepare(x_uv, [windows.electrodes[place] for place in known], windows.sfreq)
    plain = encoder.encode(prepared).flatten(1).numpy().astype(np.float64)
    assert plain.shape[1] > MOST
    assert found.shape == (len(windows), MOST)
    ratios = [
        np.linalg.norm(found[0] - one) / np.linalg.norm(plain[0] - other)
        for one, other in zip(found[1:], plain[1:], strict=True)
    ]
    np.testing.assert_allclose(ratios, 1, atol=0.05)
    np.testing.assert_array_equal(features(encoder, windows, "flatten", none), found)
