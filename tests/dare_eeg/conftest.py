"""Shard sets and a run, made once a session; tests read them and never change them."""

from pathlib import Path

import pytest

from pipelines import synth
from tests.commands import preprocess
from tests.dare_eeg.sets import pretrained, recorded, write_set


@pytest.fixture(scope="session")
def four_electrodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set to pretrain on: three subjects in two shards of train, one in valid, one in test."""
    a, b, c, d, e = (recorded(f"tuh:{name}", 5) for name in "abcde")
    splits = {"train": [a + b[:2], b[2:] + c], "valid": [d + d[:1]], "test": [e]}
    return write_set(tmp_path_factory.mktemp("sets") / "four", splits)


@pytest.fixture(scope="session")
def tuab_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw tree of ten synthetic patients."""
    folder = tmp_path_factory.mktemp("patients") / "tuab"
    synth.write("tuab", folder, subjects=10, seconds=20.0, seed=0)
    return folder


@pytest.fixture(scope="session")
def tuab(tuab_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their labelled set."""
    return preprocess("tuab", tuab_raw, tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="session")
def tuab_pretrain(tuab_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their unlabelled set."""
    return preprocess("tuab", tuab_raw, tmp_path_factory.mktemp("unlabelled"), "--for", "pretrain")


@pytest.fixture(scope="session")
def bcic2b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labelled set of three synthetic subjects who imagine to move a hand."""
    raw = tmp_path_factory.mktemp("imagery") / "bcic2b"
    synth.write("bcic2b", raw, subjects=3, seconds=10.0, seed=0)
    return preprocess("bcic2b", raw, tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="session")
def nano_run(tuab_pretrain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on the synthetic patients."""
    return pretrained(tuab_pretrain, tmp_path_factory.mktemp("runs") / "nano", "--steps", 4)
