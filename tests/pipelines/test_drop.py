"""Consent is withdrawn: a subject leaves a set, the rest keeps its bytes, and no later run brings the subject back."""

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from dare_eeg.data.shards import open_shards
from pipelines import synth
from pipelines.run_marker import BUILDING
from tests.commands import contents, dare, manifest, preprocess, preprocess_by_hand, recordings, unusable
from tests.judges import members, samples

pytestmark = pytest.mark.slow

RELEASE = Path(__file__).parents[1] / "data" / "release_0_1_0"
SMALL = ("--set", "electrodes=C3,CZ,C4", "--set", "sfreq_hz=100", "--set", "band_hz=0.5,40", "--set", "shard_mb=0.02")
FORMATS = ("webdataset", "zarr", "both")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    synth.write("tuab", folder / "tuab", 8, 24.0, seed=3)
    return folder


@pytest.fixture(scope="module")
def made(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A set of several shards in each format."""
    folder = tmp_path_factory.mktemp("made")
    return {one: preprocess("tuab", raw, folder / one, *SMALL, "--format", one) for one in FORMATS}


@pytest.fixture
def copy(made: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Copy the set of a format into a folder of the test's own."""
    return lambda one="webdataset": shutil.copytree(made[one], tmp_path / "shards" / "tuab")


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


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize("one", FORMATS)
def test_subject_leaves_and_the_others_keep_their_bytes(
    copy: Callable[[str], Path], raw: Path, one: str, split: str
) -> None:
    folder = copy(one)
    subject = subject_of(folder, split)
    before, held, tables = contents(folder), windows(folder), receipts(folder)
    told = drop(folder, "--subject", subject)
    assert f"{folder}: {subject} left" in told
    assert_whole(folder)
    assert_nowhere(folder, subject)
    assert windows(folder) == {key: window for key, window in held.items() if window[0] != subject} != held
    after = contents(folder)
    untouched = [receipt["shard"] for receipt in tables if subject not in {r["subject"] for r in receipt["recordings"]}]
    assert len(untouched) < len(tables)
    for shard in untouched:
        assert {n: c for n, c in after.items() if n.startswith(shard)} == {
            n: c for n, c in before.items() if n.startswith(shard)
        }
    stores = {name for name in after if name.startswith("zarr/")}
    assert all(after[name] == before[name] for name in stores)
    assert bool(stores) == (one != "webdataset")
    if one != "zarr":
        for tar in folder.rglob("*.tar"):
            kept = [content for _, content in members(tar)]
            assert b"".join(kept) in b"".join(kept) and kept == _without(before[tar.relative_to(folder).as_posix()], subject)


def _without(tar: bytes, subject: str) -> list[bytes]:
    """Return the members of a tar but for those of a subject, by tarfile."""
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        found = [archive.extractfile(info).read() for info in archive]  # type: ignore[union-attr]
    pairs = zip(found[::2], found[1::2], strict=True)
    return [part for pair in pairs if json.loads(pair[1])["subject"] != subject for part in pair]
