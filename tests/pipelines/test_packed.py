"""Packed recordings: read as what is in them, from a temporary copy that goes again, and refused in one line."""

import bz2
import gzip
import hashlib
import io
import lzma
import shutil
import tempfile
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from pipelines.formats import packed
from pipelines.formats.arrays import Arrays
from pipelines.formats.readers import read, read_header
from tests.commands import dare, recordings
from tests.pipelines.conftest import assert_refused
from tests.pipelines.own_trees import CLASSES, ELECTRODES, SFREQ, TASKS, labels, made, recipe, table, write, write_as

Pack = Callable[[bytes], bytes]


def zipped(content: bytes, *names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("folder/inside.edf", "__MACOSX/folder/._inside.edf"):
            archive.writestr(name, content)
    return stream.getvalue()


PACKS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zip": zipped}


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, empty."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    packed._unpacked.cache_clear()
    return folder


@pytest.fixture
def edf(tmp_path: Path) -> bytes:
    return write(tmp_path / "a.edf", TASKS, TASKS).read_bytes()


@pytest.mark.parametrize("ending", PACKS)
def test_packed_recording_is_read_as_what_is_in_it(tmp_path: Path, scratch: Path, edf: bytes, ending: str) -> None:
    path = tmp_path / f"a.edf{ending}"
    path.write_bytes(PACKS[ending](edf))
    whole, found = read(tmp_path / "a.edf"), read(path)
    np.testing.assert_array_equal(found.data_uv, whole.data_uv)
    assert (found.events, found.segments, found.electrodes) == (whole.events, whole.segments, whole.electrodes)
    header = read_header(path)
    assert (header.path, header.format, header.files) == (path, "EDF", ())
    np.testing.assert_array_equal(read(path, ["C4"], 2.0, 5.0).data_uv, read(tmp_path / "a.edf", ["C4"], 2, 5).data_uv)
    assert len(list(scratch.iterdir())) == 1
    packed._unpacked.cache_clear()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("suffix", [".edf", ".fif", ".set", ".mat"])
def test_every_format_in_one_file_may_be_packed(tmp_path: Path, scratch: Path, suffix: str) -> None:
    assert scratch.exists()
    path = write_as(suffix, tmp_path / "a", TASKS)
    whole_arrays = Arrays("eeg", "time channel", ELECTRODES, float(SFREQ))
    arrays = whole_arrays if suffix == ".mat" else None
    (tmp_path / f"a{suffix}.gz").write_bytes(gzip.compress(path.read_bytes()))
    found, whole = read(tmp_path / f"a{suffix}.gz", arrays=arrays), read(path, arrays=arrays)
    np.testing.assert_array_equal(found.data_uv, whole.data_uv)
    assert found.events == whole.events


def test_packed_header_whose_samples_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    path = write_as(".vhdr", tmp_path / "a", TASKS)
    (tmp_path / "a.vhdr.gz").write_bytes(gzip.compress(path.read_bytes()))
    said = "is packed, and lacks a part that lies in another file"
    assert_refused(lambda: read(tmp_path / "a.vhdr.gz"), "a.vhdr.gz: ", said, "unpack all files of the recording")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.edf.gz", lambda edf: gzip.compress(edf)[:-100], "cannot be read as gzip"),
        (
            "a.edf.gz",
            lambda edf: gzip.compress(edf)[:500] + bytes(300) + gzip.compress(edf)[800:],
            "cannot be read as gzip",
        ),
        ("a.edf.bz2", lambda edf: bz2.compress(edf)[:-100], "cannot be read as bzip2"),
        ("a.edf.xz", lambda edf: lzma.compress(edf)[:-100], "cannot be read as xz"),
        ("a.zip", lambda edf: zipped(edf)[:-30], "cannot be read as zip"),
        ("a.zip", lambda edf: zipped(edf, "a.edf", "b.edf"), "is a zip archive of 2 files; unpack it first"),
        ("a.edf.gz", lambda edf: gzip.compress(bz2.compress(edf)), "is packed twice; unpack it first"),
        ("a.edf.gz", lambda _: gzip.compress(b""), "is empty (0 bytes)"),
        ("a.edf.gz", lambda _: gzip.compress(b"<html>no"), "is an HTML page"),
        ("a.edf.gz", lambda edf: gzip.compress(edf[:900]), "a.edf.gz: "),
    ],
)
def test_packed_file_that_is_damaged_or_holds_something_else_is_refused(
    tmp_path: Path, scratch: Path, edf: bytes, name: str, content: Pack, said: str
) -> None:
    (tmp_path / name).write_bytes(content(edf))
    assert_refused(lambda: read(tmp_path / name), str(tmp_path / name), said)
    with pytest.raises(ValueError, match=name) as refusal:
        read(tmp_path / name)
    assert str(scratch) not in str(refusal.value)


def test_packed_file_that_would_fill_the_disk_is_refused(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.edf.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(20_000_000))
    assert_refused(lambda: read(tmp_path / "a.edf.gz"), "a.edf.gz: unpacked has more than the 0.0 GB", "TMPDIR")
    assert list(scratch.iterdir()) == []


def test_packed_tree_becomes_the_windows_of_the_unpacked_one(tmp_path: Path, scratch: Path) -> None:
    marks = [(onset_s, duration_s, {"loud": "T1", "soft": "T2"}[what]) for onset_s, duration_s, what in TASKS]
    for subject in ("S1", "S2", "S3"):
        file = write(tmp_path / "raw" / f"{subject}.edf", TASKS, marks)
        (tmp_path / "raw" / f"{subject}.edf.gz").write_bytes(gzip.compress(file.read_bytes()))
        (tmp_path / "raw" / f"{subject}.csv").write_text(table(",", "onset,duration,label", TASKS))
        file.unlink()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "raw").iterdir()}
    layout = 'files = "{subject}.edf.gz"\nlabels = "events"\n'
    folder = made(tmp_path / "raw", tmp_path, layout, CLASSES, "--workers", 2)
    assert labels(folder) == {"loud": 6, "soft": 3}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "raw").iterdir()} == before
    packed._unpacked.cache_clear()  # as the end of the process does
    assert list(scratch.glob("dare-*")) == []
    for path, row in recordings(folder).items():
        assert row["sha256"] == hashlib.sha256((tmp_path / "raw" / path).read_bytes()).hexdigest()


def test_run_that_is_there_packed_and_unpacked_counts_once(tmp_path: Path) -> None:
    for subject in ("S1", "S2"):
        file = write(tmp_path / "raw" / f"{subject}.edf", TASKS)
        (tmp_path / "raw" / f"{subject}.edf.gz").write_bytes(gzip.compress(file.read_bytes()))
    command = ("preprocess", "mine", "--src", tmp_path / "raw", "--out", tmp_path, "--for", "pretrain", "--workers", 1)
    assert dare(*command, "--recipe", recipe(tmp_path, 'files = "{subject}.*"')).status == 0
    rows = recordings(tmp_path / "mine-pretrain")
    assert {path: row["outcome"] for path, row in rows.items()} == {
        "S1.edf": "ok", "S1.edf.gz": "skipped", "S2.edf": "ok", "S2.edf.gz": "skipped"
    }  # fmt: skip
    assert "the run of S1.edf in another format" in rows["S1.edf.gz"]["reason"]


def test_arrays_of_a_packed_mat_file_are_known_by_the_layout(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(0, 20, (4, 3, 200))
    savemat(tmp_path / "a.mat", {"x": data, "y": np.array([3, 1, 3, 2])})
    (tmp_path / "a.mat.xz").write_bytes(lzma.compress((tmp_path / "a.mat").read_bytes()))
    arrays = Arrays("x", "trial channel time", ELECTRODES, 100.0, trial_labels="y")
    recording = read(tmp_path / "a.mat.xz", arrays=arrays)
    np.testing.assert_allclose(recording.data_uv, np.hstack(list(data)), rtol=1e-6)
    assert [(one.onset_s, one.text) for one in recording.events] == [(0, "3"), (2, "1"), (4, "3"), (6, "2")]
