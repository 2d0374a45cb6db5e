"""The pipeline of the webdataset library has the windows that open_shards has, each once, whoever reads them."""

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch.utils.data import DataLoader

import dare_eeg
from manifests.errors import DareError
from tests.commands import dare, preprocess
from tests.dare_eeg.sets import Window, recorded, truncate, write_set

pytestmark = pytest.mark.slow

Sample = tuple[NDArray[np.float32], int, str]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of three shards of train with 4, 3 and 5 windows, and one of valid; no window is like another."""
    a, b, c = (recorded(f"tuh:{name}", number, labels=[0, 1] * 3) for name, number in (("a", 4), ("b", 3), ("c", 5)))
    splits = {"train": [a, b, c], "valid": [recorded("tuh:d", 3)]}
    return write_set(tmp_path_factory.mktemp("sets") / "labelled", splits, classes=("rest", "task"))


@pytest.fixture
def copied(labelled: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return shutil.copytree(labelled, tmp_path / "copied")


def expected(folder: Path, split: str | list[str] = "train") -> list[tuple[bytes, int]]:
    windows = dare_eeg.open_shards(folder, split)
    return [(data_uv.tobytes(), label) for data_uv, label in (windows[number] for number in range(len(windows)))]


def by_content(samples: list[Sample]) -> list[tuple[bytes, int]]:
    return [(data_uv.tobytes(), label) for data_uv, label, _ in samples]


def read_by(num_workers: int, folder: Path, split: str = "train", shuffle: int = 0) -> list[Sample]:
    loader = DataLoader(dare_eeg.webdataset(folder, split, shuffle), batch_size=None, num_workers=num_workers)
    return [(data_uv.numpy(), label, key) for data_uv, label, key in loader]


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_windows_of_a_preprocessed_set_are_those_of_open_shards(tuab: Path, split: str) -> None:
    windows = dare_eeg.open_shards(tuab, split)
    samples = list(dare_eeg.webdataset(tuab, split))
    assert len(samples) == len(windows) > 0
    for number, (data_uv, label, key) in enumerate(samples):
        np.testing.assert_array_equal(data_uv, windows[number][0], strict=True)
        assert label == windows[number][1]
        assert key.startswith("tuab-")
    assert len({key for _, _, key in samples}) == len(samples)


def test_tars_come_in_the_order_of_the_manifest_and_splits_as_they_are_named(labelled: Path) -> None:
    splits = ["valid", "train"]
    assert by_content(list(dare_eeg.webdataset(labelled, splits))) == expected(labelled, splits)


def test_a_pipeline_can_be_read_again(labelled: Path) -> None:
    pipeline = dare_eeg.webdataset(labelled)
    assert by_content(list(pipeline)) == by_content(list(pipeline)) == expected(labelled)


def test_an_absent_electrode_reads_as_zeros(tmp_path: Path) -> None:
    (window,) = recorded("tuh:a", 1)
    folder = write_set(tmp_path / "lacking", {"train": [[Window(window.counts, absent=(2,))]]})
    ((data_uv, _, _),) = dare_eeg.webdataset(folder)
    assert [bool(row.any()) for row in data_uv] == [True, True, False, True]


@pytest.mark.parametrize("split", ["train", "valid"], ids=["three_shards", "one_shard"])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_read_each_window_once(labelled: Path, split: str, num_workers: int) -> None:
    found = by_content(read_by(num_workers, labelled, split))
    assert sorted(found) == sorted(expected(labelled, split))


@pytest.mark.parametrize("shuffle", [0, 5])
def test_readers_beyond_the_tars_share_out_their_windows(
    labelled: Path, monkeypatch: pytest.MonkeyPatch, shuffle: int
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    shares = []
    for rank in range(4):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(by_content(list(dare_eeg.webdataset(labelled, "train", shuffle))))
    assert min(len(share) for share in shares) > 0
    assert sorted(one for share in shares for one in share) == sorted(expected(labelled))


def test_a_loader_makes_batches_of_windows_labels_and_keys(labelled: Path) -> None:
    batches = list(DataLoader(dare_eeg.webdataset(labelled), batch_size=8))
    assert [tuple(data_uv.shape) for data_uv, _, _ in batches] == [(8, 4, 1280), (4, 4, 1280)]
    assert (
        np.concatenate([labels for _, labels, _ in batches]).tolist() == dare_eeg.open_shards(labelled).labels.tolist()
    )
    assert [len(keys) for _, _, keys in batches] == [8, 4]


def test_ranks_share_out_the_tars(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    shares = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(by_content(list(dare_eeg.webdataset(labelled))))
    assert [len(share) for share in shares] == [9, 3]
    assert sorted(shares[0] + shares[1]) == sorted(expected(labelled))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_shuffling_changes_the_order_and_nothing_else(labelled: Path, num_workers: int) -> None:
    orders = [by_content(read_by(num_workers, labelled, shuffle=12)) for _ in range(4)]
    assert all(sorted(order) == sorted(expected(labelled)) for order in orders)
    assert any(order != orders[0] for order in orders[1:])


def test_a_split_without_windows_gives_none(labelled: Path) -> None:
    assert list(dare_eeg.webdataset(labelled, "test")) == []


def test_a_folder_with_signs_of_a_url_is_read(labelled: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(labelled, tmp_path / "day #2? 50%")
    assert by_content(list(dare_eeg.webdataset(folder))) == expected(labelled)


def test_a_set_of_stores_alone_is_refused(tuab_raw: Path, tmp_path: Path) -> None:
    folder = preprocess("tuab", tuab_raw, tmp_path, "--format", "zarr")
    with pytest.raises(
        DareError, match=r"train/000000\.idx\.npz: .* this set has none; .*preprocess --format webdataset"
    ):
        dare_eeg.webdataset(folder)


def test_a_merged_set_is_refused(labelled: Path, tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    assert dare("merge", labelled, "--out", merged).status == 0
    with pytest.raises(DareError, match="is a merged set, one set is needed; name one of its sources"):
        dare_eeg.webdataset(merged)


def test_a_split_that_there_is_not_is_refused(labelled: Path) -> None:
    with pytest.raises(DareError, match="no split 'dev'; name one of train, valid, test"):
        dare_eeg.webdataset(labelled, "dev")


def test_a_missing_tar_is_named_before_anything_is_read(copied: Path) -> None:
    (copied / "train" / "000001.tar").unlink()
    with pytest.raises(DareError, match=r"train/000001\.tar: is missing"):
        dare_eeg.webdataset(copied)


@pytest.mark.parametrize("at", ["samples", "header"])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_tar_cut_short_is_named(copied: Path, at: str, num_workers: int) -> None:
    tar = copied / "train" / "000001.tar"
    with tarfile.open(tar) as archive:
        last = archive.getmembers()[-2]
    truncate(tar, last.offset if at == "header" else last.offset_data + 1000)
    with pytest.raises(DareError, match=r"train/000001\.tar: .*; see dare verify"):
        read_by(num_workers, copied)


def test_what_else_a_tar_holds_is_not_unpickled(copied: Path, tmp_path: Path) -> None:
    makes_a_folder = f"cos\nmkdir\n(V{tmp_path / 'ran'}\ntR.".encode()
    with tarfile.open(copied / "train" / "000001.tar", "a") as archive:
        member = tarfile.TarInfo("tuab-000002.pkl")
        member.size = len(makes_a_folder)
        archive.addfile(member, io.BytesIO(makes_a_folder))
    assert by_content(list(dare_eeg.webdataset(copied))) == expected(copied)
    assert not (tmp_path / "ran").exists()


def test_a_shuffle_of_less_than_nothing_is_refused(labelled: Path) -> None:
    with pytest.raises(ValueError, match="shuffle: -1 windows cannot be held; give 0 or more"):
        dare_eeg.webdataset(labelled, shuffle=-1)
