"""A set of many shards: few bytes of each window are held in memory, and few of its files are open at once."""

import copy
import pathlib
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from dare_eeg import open_shards
from dare_eeg.data.shards import training_sets
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.pretrain import plan_order
from manifests.electrodes import PRETRAIN_58
from manifests.manifest import dump, load_set
from manifests.shard_format import Index
from tests.conftest import only_on
from tests.dare_eeg.sets import Window, recorded, truncate, write_set


def many(folder: Path, num_shards: int, rows: int) -> Path:
    """Write a set whose shards are one shard under many names: silence of two subjects, 58 electrodes × 8 samples."""
    window = Window(np.zeros((58, 8), np.int16), "tuh:a")
    write_set(folder, {"train": [[window, Window(window.counts, "tuh:b")]]}, PRETRAIN_58)
    train = folder / "train"
    (train / "000000.tar").rename(train / "one.tar")
    truncate(train / "one.tar", 0)
    with (train / "one.tar").open("r+b") as tar:
        tar.truncate(rows * 2048 + window.counts.nbytes)
    half = np.arange(rows) * 2 // rows
    index = Index(
        offset=np.arange(rows + 1) * 2048,
        recording=half.astype(np.int32),
        window=np.arange(rows, dtype=np.int32),
        start_s=np.arange(rows, dtype=np.float64),
        label=np.full(rows, -1, np.int32),
        scale=np.where(half[:, None], np.float32(0.5), np.ones(58, np.float32)),
        crc32=np.full(rows, zlib.crc32(window.counts.tobytes()), np.uint32),
        recordings=np.array(["a.edf", "b.edf"]),
        subjects=np.array(["tuh:a", "tuh:b"]),
        shape=np.array(window.counts.shape),
    )
    (train / "one.idx.npz").write_bytes(index.to_bytes())
    (train / "000000.idx.npz").unlink()
    for number in range(num_shards):
        for suffix in ("tar", "idx.npz"):
            (train / f"{number:06d}.{suffix}").hardlink_to(train / f"one.{suffix}")
    manifest = load_set(folder)
    (entry,) = manifest.splits["train"].shards
    names = [f"train/{number:06d}.tar" for number in range(num_shards)]
    manifest.splits["train"].shards[:] = [entry.model_copy(update={"path": name, "samples": rows}) for name in names]
    (folder / "manifest.json").write_bytes(dump(manifest))
    return folder


def held() -> int:
    """Return how many bytes are held but for pathlib's, whose next name may double Python's table of all names."""
    traces = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, pathlib.__file__)])
    return sum(one.size for one in traces.statistics("filename"))


@pytest.mark.slow
@pytest.mark.parametrize(("excluded", "bound"), [((), 20), (("tuh:b",), 24)])
def test_pretraining_holds_few_bytes_of_each_window(tmp_path: Path, excluded: tuple[str, ...], bound: int) -> None:
    folder = many(tmp_path / "many", num_shards=100, rows=2000)
    other = write_set(tmp_path / "other", {"test": [recorded(subject, 1) for subject in ("tuh:x", *excluded)]})
    config = PretrainConfig(shards="", out="", steps=3, global_batch=8, micro_batch=4)
    counts = np.ones((58, 8), np.int16)
    tracemalloc.start()
    try:
        (one,) = training_sets(folder, (str(other),))
        assert len(one.train) == 200_000 // (1 + len(excluded))
        opened = held()
        for shard in range(100):
            scale = one.train.read(shard, 0, counts)
        assert (counts.any(), scale.tolist()) == (False, [1.0] * 58)
        read = held()
    finally:
        tracemalloc.stop()
    assert one.train.subject_names == {"tuh:a", "tuh:b"}.difference(excluded)
    assert plan_order(config, [one]).sources[0].total == len(one.train)
    assert opened / 200_000 < bound - 16
    assert read / 200_000 < bound


@only_on("Linux, which lists the files that are open", Path("/proc/self/fd").is_dir())
def test_few_files_are_open_at_once_and_none_in_the_end(tmp_path: Path) -> None:
    folder = many(tmp_path / "many", num_shards=40, rows=4)

    def num_open() -> int:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum(str(link.readlink()).startswith(str(folder)) for link in links if link.exists())

    windows = open_shards(folder)
    assert num_open() == 0
    windows.take(np.arange(len(windows)))
    assert 1 <= num_open() <= 16
    another = copy.deepcopy(windows)  # as a worker of a DataLoader gets it
    np.testing.assert_array_equal(another.take(np.arange(8)), windows.take(np.arange(8)))
    del windows, another
    assert num_open() == 0
