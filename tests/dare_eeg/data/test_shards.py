"""Opening shards, judged by tarfile and the webdataset library; what is damaged is named."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from torch.utils.data import DataLoader

from dare_eeg import open_shards
from dare_eeg.data.shards import Windows, training_sets
from dare_eeg.training.config import PretrainConfig
from dare_eeg.training.pretrain import plan_order
from manifests.errors import DareError
from tests import judges
from tests.commands import dare, preprocess
from tests.dare_eeg.sets import (
    FOUR,
    QUANTUM_UV,
    flip_byte,
    recorded,
    truncate,
    write_set,
)


@pytest.fixture
def copied(four_electrodes: Path, tmp_path: Path) -> Path:
    """A copy of a small set, to be damaged."""
    return shutil.copytree(four_electrodes, tmp_path / "copied")


def first_window(tar: Path) -> tuple[int, int]:
    """Return where the second window's samples begin in a tar, and how many bytes they take, as tarfile says."""
    with tarfile.open(tar) as archive:
        member = [member for member in archive if member.name.endswith(".npy")][1]
        return member.offset_data + 128, member.size - 128


def by_recording(windows: Windows) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for recording, subject in zip(windows.recordings.tolist(), windows.subjects.tolist(), strict=True):
        found.setdefault(recording, set()).add(subject)
    return found


def test_windows_are_those_that_tarfile_finds(four_electrodes: Path) -> None:
    windows = open_shards(four_electrodes)
    tars = sorted((four_electrodes / "train").glob("*.tar"))
    members = [content for tar in tars for _, content in judges.members(tar)]
    stored = [np.load(io.BytesIO(content)) for content in members[::2]]
    sidecars = [json.loads(content) for content in members[1::2]]
    assert len(windows) == len(stored) == 15
    assert windows.electrodes == FOUR
    assert (windows.shape, windows.sfreq) == ((4, 1280), 256.0)
    assert windows.subjects.tolist() == [sidecar["subject"] for sidecar in sidecars]
    for number, counts in enumerate(stored):
        data_uv, label = windows[number]
        assert (data_uv.dtype, label) == (np.float32, -1)
        np.testing.assert_array_equal(data_uv, counts * np.float32(QUANTUM_UV))
    np.testing.assert_array_equal(windows.take(np.array([9, 2])), np.stack([windows[9][0], windows[2][0]]))


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_windows_of_a_preprocessed_set_are_those_of_webdataset(tuab: Path, split: str) -> None:
    windows = open_shards(tuab, split)
    tars = [str(tar) for tar in sorted((tuab / split).glob("*.tar"))]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode())
    assert len(windows) == len(samples) > 0
    for number, sample in enumerate(samples):
        data_uv, label = windows[number]
        facts = sample["json"]
        np.testing.assert_allclose(data_uv, sample["eeg.npy"] * np.array(facts["scale"])[:, None], rtol=1e-6)
        assert (label, windows.classes[label]) == (facts["label"], facts["label_name"])
        assert windows.labels[number] == label
        assert (windows.subjects[number], windows.recordings[number]) == (facts["subject"], facts["recording"])
        assert windows.start_s[number] == facts["start_s"]
        assert windows.present[number].tolist() == [scale > 0 for scale in facts["scale"]]


def test_windows_follow_the_protocol_of_a_torch_dataset(four_electrodes: Path) -> None:
    windows = open_shards(four_electrodes, ["valid", "test"])
    batches = list(DataLoader(windows, batch_size=4))
    assert [len(labels) for _, labels in batches] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate([data.numpy() for data, _ in batches]), windows.take(np.arange(11)))
    np.testing.assert_array_equal(windows[-1][0], windows[10][0])
    for beyond in (11, -12):
        with pytest.raises(IndexError):
            windows[beyond]


def test_absent_electrodes_are_told_and_read_as_zeros(tmp_path: Path) -> None:
    (window,) = recorded("tuh:a", 1)
    lacking = type(window)(window.counts, window.subject, absent=(2,))
    windows = open_shards(write_set(tmp_path / "lacking", {"train": [[window, lacking]]}))
    assert windows.present.tolist() == [[True] * 4, [True, True, False, True]]
    assert not windows[1][0][2].any()
    assert windows[0][0][2].any()


def test_a_flipped_byte_is_found_and_named(copied: Path) -> None:
    tar = copied / "train" / "000000.tar"
    start, num_bytes = first_window(tar)
    flip_byte(tar, start + num_bytes - 1)
    windows = open_shards(copied)
    windows[0], windows[2]
    with pytest.raises(DareError) as problem:
        windows[1]
    assert str(problem.value).startswith(f"{tar}: window 1 (a.edf at 5 s) its checksum does not hold; ")


def test_a_truncated_tar_is_found_and_named(copied: Path) -> None:
    tar = copied / "train" / "000000.tar"
    start, num_bytes = first_window(tar)
    truncate(tar, start + 100)
    windows = open_shards(copied)
    windows[0]
    with pytest.raises(DareError) as problem:
        windows[1]
    told = f"{tar}: window 1 (a.edf at 5 s) ends after 100 of {num_bytes} bytes; "
    assert str(problem.value).startswith(told)


@pytest.mark.parametrize(("damage", "told"), [("cut", "ends after 100 of"), ("flipped", "its checksum does not hold")])
def test_damage_to_a_window_that_was_read_before_is_found_and_named(copied: Path, damage: str, told: str) -> None:
    tar = copied / "train" / "000000.tar"
    start, num_bytes = first_window(tar)
    windows = open_shards(copied)
    assert windows[1][0].any()
    if damage == "cut":
        truncate(tar, start + 100)
    else:
        flip_byte(tar, start + num_bytes - 1)
    with pytest.raises(DareError) as problem:
        windows[1]
    assert str(problem.value).startswith(f"{tar}: window 1 (a.edf at 5 s) {told}")


def test_an_empty_tar_is_named(copied: Path) -> None:
    tar = copied / "train" / "000000.tar"
    truncate(tar, 0)
    with pytest.raises(DareError, match=str(tar)):
        open_shards(copied)[0]


def test_a_tar_that_goes_after_the_set_was_opened_is_named(copied: Path) -> None:
    tar = copied / "train" / "000000.tar"
    windows = open_shards(copied)
    tar.unlink()
    with pytest.raises(DareError, match=rf"^{tar}: window 1 \(a\.edf at 5 s\) cannot be read"):
        windows[1]


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "another"])
def test_a_damaged_index_is_named(copied: Path, damage: str) -> None:
    index = copied / "train" / "000000.idx.npz"
    match damage:
        case "missing":
            index.unlink()
        case "empty":
            truncate(index, 0)
        case "cut":
            truncate(index, index.stat().st_size // 2)
        case "flipped":
            flip_byte(index, 160)
        case "another":
            shutil.copy(copied / "valid" / "000000.idx.npz", index)
    with pytest.raises(DareError, match=r"train/000000\.(idx\.npz|tar): .*index"):
        open_shards(copied)


def test_a_missing_tar_is_named(copied: Path) -> None:
    (copied / "valid" / "000000.tar").unlink()
    assert len(open_shards(copied)) == 15
    with pytest.raises(DareError, match=r"valid/000000\.tar: is missing"):
        open_shards(copied, "valid")


def test_no_windows_are_an_empty_array(four_electrodes: Path) -> None:
    assert open_shards(four_electrodes).take(np.array([], np.int64)).shape == (0, 4, 1280)


@pytest.mark.parametrize(
    ("path", "split", "reason"),
    [("", "dev", "no split 'dev'; name one of train, valid, test"), ("train", "train", "manifest.json: not found")],
)
def test_what_is_no_set_and_no_split_is_refused(four_electrodes: Path, path: str, split: str, reason: str) -> None:
    with pytest.raises(DareError, match=reason):
        open_shards(four_electrodes / path, split)


def test_exclusions_of_a_merged_set_are_respected(four_electrodes: Path, tmp_path: Path) -> None:
    other = write_set(
        tmp_path / "other",
        {
            "train": [recorded("tuh:b", 3) + recorded("tuh:d", 2) + recorded("tuh:x", 4)],
            "valid": [recorded("tuh:y", 2)],
        },
    )
    evaluated = write_set(tmp_path / "evaluated", {"train": [recorded("tuh:c", 1)], "test": [recorded("tuh:b", 1)]})
    merged = tmp_path / "merged"
    exclude = ("--exclude", f"{evaluated}:test", "--weight", "other=0.5")
    answer = dare("merge", four_electrodes, other, "--out", merged, *exclude)
    assert answer.status == 0, answer.err
    first, second = training_sets(merged)
    assert (first.name, first.weight, second.name, second.weight) == ("four", 1.0, "other", 0.5)
    assert set(first.train.subjects.tolist()) == {"tuh:a", "tuh:c"}
    assert set(second.train.subjects.tolist()) == {"tuh:x"}, "d is held out for valid by the first set"
    assert by_recording(first.train) == {"a.edf": {"tuh:a"}, "c.edf": {"tuh:c"}}
    whole = open_shards(four_electrodes)
    kept = np.flatnonzero(whole.subjects != "tuh:b")
    assert len(first.train) == len(kept) == 10
    np.testing.assert_array_equal(first.train.take(np.arange(10)), whole.take(kept))
    assert first.train.sizes == (5, 5)


def test_exclude_leaves_out_the_subjects_of_another_set(four_electrodes: Path, tmp_path: Path) -> None:
    splits = {"train": [recorded("tuh:c", 1)], "valid": [recorded("tuh:d", 1)], "test": [recorded("tuh:a", 1)]}
    other = write_set(tmp_path / "other", splits)
    (of_test,) = training_sets(four_electrodes, (f"{other}:test",))
    (of_all,) = training_sets(four_electrodes, (str(other),))
    assert set(of_test.train.subjects.tolist()) == {"tuh:b", "tuh:c"}
    assert len(of_test.valid) == 6
    assert set(of_all.train.subjects.tolist()) == {"tuh:b"}
    assert len(of_all.valid) == 0


def test_a_source_that_changed_after_the_merge_is_noticed(copied: Path, tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    assert dare("merge", copied, "--out", merged).status == 0
    assert len(training_sets(merged)) == 1
    splits = {"train": [recorded("tuh:a", 2)], "valid": [recorded("tuh:d", 2)]}
    write_set(copied, splits)
    with pytest.raises(DareError, match="copied: has changed since it was merged"):
        training_sets(merged)


# --- sets of many shards ---------------------------------------------------------------------------------------------


# --- windows of continuous recordings ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def continuous(tuab_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labelled set of the synthetic patients as zarr stores alone."""
    return preprocess("tuab", tuab_raw, tmp_path_factory.mktemp("continuous"), "--format", "zarr")


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_windows_of_stores_are_those_of_tars(tuab: Path, continuous: Path, split: str) -> None:
    expected, found = open_shards(tuab, split), open_shards(continuous, split)
    for name in ("labels", "start_s", "recordings", "subjects", "split", "present", "shard", "row"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)
    everything = np.arange(len(expected))
    np.testing.assert_array_equal(found.take(everything), expected.take(everything), strict=True)


def test_windows_of_stores_can_be_read_by_workers(continuous: Path) -> None:
    windows = open_shards(continuous)
    (alone, _), *_ = DataLoader(windows, batch_size=len(windows))
    (beside, _), *_ = DataLoader(windows, batch_size=len(windows), num_workers=1)
    np.testing.assert_array_equal(beside.numpy(), alone.numpy())


def test_training_meets_the_same_windows_in_stores_as_in_tars(
    tuab_raw: Path, tuab_pretrain: Path, tmp_path: Path
) -> None:
    preprocess("tuab", tuab_raw, tmp_path, "--for", "pretrain", "--format", "zarr")
    config = PretrainConfig(shards="", out="", steps=3, global_batch=8, micro_batch=4)
    told = []
    for folder in (tuab_pretrain, tmp_path / "tuab-pretrain"):
        (one,) = training_sets(folder)
        plan = plan_order(config, [one])
        met = [pair for step in range(3) for pair in zip(plan.slots(step).shard, plan.slots(step).row, strict=True)]
        numbers = [np.flatnonzero(one.train.shard == shard)[row] for shard, row in met]
        told.append((one.train.take(np.array(numbers)), one.train.recordings[numbers], one.valid.take(np.arange(2))))
    for expected, found in zip(*told, strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("damage", ["flipped", "gone", "cut", "missing", "facts"])
def test_a_damaged_store_is_found_and_named(continuous: Path, tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(continuous, tmp_path / "tuab")
    store, *_ = sorted((folder / "zarr" / "train").glob("*.zarr"))
    spoilt = json.loads((store / "zarr.json").read_text())["attributes"]["recording"]
    samples = store / "c" / "0" / "0"
    match damage:
        case "flipped":
            flip_byte(samples, 1000)
        case "gone":
            samples.unlink()
        case "cut":
            truncate(samples, 1000)
        case "missing":
            shutil.rmtree(store)
        case "facts":
            truncate(store / "zarr.json", 100)
    windows = open_shards(folder)
    for number, recording in enumerate(windows.recordings.tolist()):
        if recording != spoilt:
            windows[number]
            continue
        with pytest.raises(DareError) as problem:
            windows[number]
        at = f"({spoilt} at {windows.start_s[number]:g} s)"
        assert str(problem.value).startswith(f"{store}: window {windows.row[number]} {at} ")
