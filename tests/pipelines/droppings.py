"""Sets that subjects are dropped from, and what is asked of them afterwards."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dare_eeg.data.shards import open_shards
from pipelines import synth
from tests.commands import contents, dare, manifest, preprocess

Copy = Callable[..., Path]

RELEASE = Path(__file__).parents[1] / "data" / "release_0_1_0"
SMALL = ("--set", "electrodes=C3,CZ,C4", "--set", "sfreq_hz=100", "--set", "band_hz=0.5,40", "--set", "shard_mb=0.02")
FORMATS = ("webdataset", "zarr", "both")


@pytest.fixture(scope="module")
def tuab_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    synth.write("tuab", folder / "tuab", 8, 24.0, seed=3)
    return folder


@pytest.fixture(scope="module")
def tuab_sets(tuab_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A set of several shards in each format."""
    folder = tmp_path_factory.mktemp("made")
    return {one: preprocess("tuab", tuab_raw, folder / one, *SMALL, "--format", one) for one in FORMATS}


@pytest.fixture
def copy(tuab_sets: dict[str, Path], tmp_path: Path) -> Copy:
    """Copy the set of a format into a folder of the test's own."""
    return lambda one="webdataset": shutil.copytree(tuab_sets[one], tmp_path / "shards" / "tuab")


def subject_of(folder: Path, split: str) -> str:
    """Return a subject of a split who shares a shard with another, the first where there is none."""
    for receipt in receipts(folder, split):
        if len(named := sorted({row["subject"] for row in receipt["recordings"]})) > 1:
            return str(named[0])
    return str(manifest(folder)["splits"][split]["subjects"][0])


def receipts(folder: Path, split: str = "*") -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{split}/*.json"))]


def drop(folder: Path, *arguments: object) -> str:
    answer = dare("drop", folder, *arguments)
    assert answer.status == 0, answer.err
    return answer.out


def windows(folder: Path) -> dict[tuple[str, int], tuple[str, bytes]]:
    """Return every window of a set, whatever its format, by recording and start in ms, as its subject and samples."""
    found = {}
    for split in ("train", "valid", "test"):
        held = open_shards(folder, split)
        x_uv = held.take(np.arange(len(held)))
        for number in range(len(held)):
            key = (str(held.recordings[number]), round(1000 * held.start_s[number]))
            found[key] = (str(held.subjects[number]), x_uv[number].tobytes())
    return found


def assert_whole(folder: Path) -> None:
    assert dare("verify", folder).out == f"{folder}: whole\n"


def assert_nowhere(folder: Path, subject: str) -> None:
    """Assert that no name and no byte of a set holds the id of a subject."""
    person = subject.partition(":")[2]
    assert [path for path in folder.rglob("*") if person in path.name] == []
    assert [name for name, content in contents(folder).items() if person.encode() in content] == []


def tars(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name.endswith(".tar")}
