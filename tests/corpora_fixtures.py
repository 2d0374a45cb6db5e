"""Raw corpora and the shard sets made of them, written once a session; tests read them and never change them."""

from pathlib import Path

import pytest

from pipelines import synth
from tests.commands import preprocess

SIZES = {"tuab": (4, 24.0), "tuev": (4, 30.0), "bcic2b": (1, 10.0), "physionetmi": (2, 20.0)}
"""Subjects and seconds of each synthetic corpus."""

EEGMAT_SUBJECTS = ("Subject00", "Subject01", "Subject04")


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthetic corpora, each in a folder of its name."""
    folder = tmp_path_factory.mktemp("raw")
    for corpus, (subjects, seconds) in SIZES.items():
        synth.write(corpus, folder / corpus, subjects, seconds, seed=0)
    return folder


@pytest.fixture(scope="session")
def shards(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shard sets of the synthetic corpora."""
    folder = tmp_path_factory.mktemp("shards")
    for corpus in SIZES:
        preprocess(corpus, raw / corpus, folder)
    return folder


@pytest.fixture(scope="session")
def eegmat_raw(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects at rest and doing arithmetic, linked."""
    folder = tmp_path_factory.mktemp("eegmat")
    for subject in EEGMAT_SUBJECTS:
        for task in (1, 2):
            (folder / f"{subject}_{task}.edf").symlink_to(real / "eegmat" / f"{subject}_{task}.edf")
    return folder


@pytest.fixture(scope="session")
def eegmat(eegmat_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shard set of the three."""
    return preprocess("eegmat", eegmat_raw, tmp_path_factory.mktemp("shards"))
