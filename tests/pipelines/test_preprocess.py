"""From raw tree to shard set: independent counts, what a shard is, what the manifest says, and choosing."""

import csv
import hashlib
import io
import json
import tarfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
import webdataset
from scipy.io import loadmat

from manifests import recipe as recipes
from manifests.plan import RawRecording, ScannedRecording
from pipelines.plan import SetOptions, make
from pipelines.scan import Tree
from tests.commands import contents, dare, manifest, preprocess, recordings
from tests.judges import members, samples, seconds

pytest_plugins = ["tests.corpora_fixtures"]

CORPORA = ["tuab", "tuev", "bcic2b", "physionetmi"]
IMAGINED_HANDS, IMAGINED_FEET = (4, 8, 12), (6, 10, 14)
TUEV_CLASSES = ("spsw", "gped", "pled", "eyem", "artf", "bckg")


# --- independent counts -----------------------------------------------------------------------------------------------


def tuab_labels(path: Path) -> Counter[str]:
    return Counter({path.parts[-3]: int(seconds(path) // 10)})


def tuev_labels(path: Path) -> Counter[str]:
    by_start = defaultdict(set)
    for _, start, _, code in csv.reader(path.with_suffix(".rec").read_text().splitlines()):
        by_start[float(start)].add(TUEV_CLASSES[int(code) - 1])
    end_s, labels = seconds(path), Counter[str]()
    for start_s, kinds in by_start.items():
        events = sorted(kinds - {"bckg"}) or ["bckg"]
        if len(events) == 1 and start_s >= 2 and start_s + 3 <= end_s:
            labels[events[0]] += 1
    return labels


def bcic2b_labels(path: Path) -> Counter[str]:
    truth = loadmat(path.parent / "true_labels" / f"{path.stem}.mat")["classlabel"].ravel()
    return Counter({1: "left", 2: "right"}[int(one)] for one in truth)


def physionetmi_labels(path: Path) -> Counter[str]:
    run = int(path.stem[-2:])
    meaning = {}
    if run in IMAGINED_HANDS + IMAGINED_FEET:
        meaning = dict(
            zip(("T1", "T2"), ("left", "right") if run in IMAGINED_HANDS else ("fists", "feet"), strict=True)
        )
    marks = mne.io.read_raw_edf(path, verbose="error").annotations
    end_s = seconds(path)
    return Counter(
        meaning[one["description"]] for one in marks if one["description"] in meaning and one["onset"] + 4 <= end_s
    )


COUNT = {"tuab": tuab_labels, "tuev": tuev_labels, "bcic2b": bcic2b_labels, "physionetmi": physionetmi_labels}


@pytest.mark.parametrize("corpus", CORPORA)
def test_windows_and_labels_are_those_counted_by_mne(raw: Path, shards: Path, corpus: str) -> None:
    got = defaultdict(Counter)
    for one in samples(shards / corpus).values():
        got[one.fields["recording"]][one.label_name] += 1
    rows = recordings(shards / corpus)
    assert sum(len(labels) for labels in got.values()) > 0
    for path, row in rows.items():
        expected = +COUNT[corpus](raw / corpus / path)
        assert got.get(path, Counter()) == expected
        assert row["windows"] == expected.total()


@pytest.mark.parametrize("corpus", CORPORA)
def test_every_raw_recording_has_a_row_with_the_facts_of_the_file(raw: Path, shards: Path, corpus: str) -> None:
    rows = recordings(shards / corpus)
    suffix = ".gdf" if corpus == "bcic2b" else ".edf"
    files = {path.relative_to(raw / corpus).as_posix() for path in (raw / corpus).rglob(f"*{suffix}")}
    assert set(rows) == files
    fields = "path bytes sha256 subject session split channel_map sfreq duration_s windows outcome notes reason"
    for path, row in rows.items():
        content = (raw / corpus / path).read_bytes()
        assert set(row) == set(fields.split())
        assert row["bytes"] == len(content)
        assert row["outcome"] in ("ok", "skipped", "failed")
        assert row["reason"] or (row["outcome"] == "ok" and row["windows"])
        if row["outcome"] == "ok":
            assert row["sha256"] == hashlib.sha256(content).hexdigest()
            assert row["windows"] > 0


def test_facts_of_a_recording_are_those_of_mne(raw: Path, shards: Path) -> None:
    for path, row in recordings(shards / "tuab").items():
        header = mne.io.read_raw_edf(raw / "tuab" / path, verbose="error")
        assert row["duration_s"] == header.n_times / header.info["sfreq"]
        assert row["sfreq"] == header.info["sfreq"]
        assert set(row["channel_map"]) == set(recipes.load("tuab").electrodes)
        assert set(row["channel_map"].values()) <= set(header.ch_names)
        assert row["channel_map"]["T7"] == "EEG T3-REF"


# --- what a shard is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", CORPORA)
def test_webdataset_reads_what_tarfile_and_index_read(shards: Path, corpus: str) -> None:
    for tar in (shards / corpus).rglob("*.tar"):
        ours = members(tar)
        by_library = list(webdataset.WebDataset(str(tar), shardshuffle=False))
        assert [one["__key__"] for one in by_library] == [info.name.removesuffix(".eeg.npy") for info, _ in ours[::2]]
        content = tar.read_bytes()
        with np.load(tar.with_suffix(".idx.npz"), allow_pickle=False) as index:
            channels, length = index["shape"]
            assert index["offset"][-1] == len(content)
            for row, sample in enumerate(by_library):
                counts = np.load(io.BytesIO(sample["eeg.npy"]), allow_pickle=False)
                fields = json.loads(sample["json"])
                assert (sample["eeg.npy"], sample["json"]) == (ours[2 * row][1], ours[2 * row + 1][1])
                start = index["offset"][row]
                stored = content[start : start + 2 * channels * length]
                assert stored == counts.astype("<i2").tobytes()
                assert zlib.crc32(stored) == index["crc32"][row]
                number = index["recording"][row]
                assert (index["recordings"][number], index["subjects"][number]) == (
                    fields["recording"],
                    fields["subject"],
                )
                assert (index["start_s"][row], index["label"][row]) == (fields["start_s"], fields["label"])
                assert sample["__key__"].endswith(f"-{index['window'][row]:06d}")
                np.testing.assert_array_equal(index["scale"][row], np.array(fields["scale"], np.float32))


@pytest.mark.parametrize("corpus", CORPORA)
def test_sample_holds_what_the_format_promises(shards: Path, corpus: str) -> None:
    whole = manifest(shards / corpus)
    fields = "key recording subject session start_s sfreq channels reference unit scale label label_name annotations"
    rows = recordings(shards / corpus)
    for key, sample in samples(shards / corpus).items():
        assert set(sample.fields) == set(fields.split())
        assert sample.fields["key"] == key
        assert key.startswith(f"{corpus}-")
        assert sample.counts.dtype == np.int16
        assert sample.counts.shape == (len(whole["electrodes"]), whole["window_samples"])
        assert sample.counts.flags.c_contiguous
        assert sample.fields["channels"] == whole["electrodes"]
        assert (sample.fields["sfreq"], sample.fields["unit"]) == (whole["sfreq"], "uV")
        assert sample.label_name == whole["recipe"]["classes"][sample.fields["label"]]
        present = {name for name, scale in zip(whole["electrodes"], sample.fields["scale"], strict=True) if scale}
        assert present == set(rows[sample.fields["recording"]]["channel_map"])
        assert set(sample.fields["scale"]) <= {0.0, 2.0**-5}


def test_references_of_the_hospital_are_kept(shards: Path) -> None:
    assert {one.fields["reference"] for one in samples(shards / "tuab").values()} == {"REF"}
    assert {one.fields["reference"] for one in samples(shards / "bcic2b").values()} == {""}


@pytest.mark.parametrize("corpus", CORPORA)
def test_tar_is_plain_and_tells_nothing_of_time_or_user(shards: Path, corpus: str) -> None:
    for tar in (shards / corpus).rglob("*.tar"):
        assert tar.read_bytes()[257:265] == b"ustar\x0000"
        with tarfile.open(tar, "r:") as archive:
            infos = archive.getmembers()
        assert {(info.mtime, info.uid, info.gid, info.uname, info.gname) for info in infos} == {(0, 0, 0, "", "")}
        assert all(info.isreg() and len(info.name) <= 100 for info in infos)
        assert [info.name.split(".", 1)[1] for info in infos] == ["eeg.npy", "json"] * (len(infos) // 2)


def test_windows_of_a_shard_are_shuffled(shards: Path) -> None:
    (tar,) = (shards / "tuev" / "train").glob("*.tar")
    keys = [info.name for info, _ in members(tar)[::2]]
    assert keys != sorted(keys)


def test_free_text_of_a_recording_never_reaches_the_shards(real: Path, tmp_path: Path) -> None:
    path = tmp_path / "raw" / "S001" / "S001R04.edf"
    path.parent.mkdir(parents=True)
    content = bytearray((real / "eegmmidb" / "S001" / "S001R04.edf").read_bytes())
    secret = b"Jane Doe 01-JAN-1970"
    content[8 : 8 + len(secret)] = secret
    path.write_bytes(content)
    folder = preprocess("physionetmi", tmp_path / "raw", tmp_path / "out")
    assert not [name for name, stored in contents(folder).items() if b"Jane" in stored]


# --- manifest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", CORPORA)
def test_manifest_counts_what_the_shards_hold(shards: Path, corpus: str) -> None:
    whole, rows = manifest(shards / corpus), recordings(shards / corpus)
    held: dict[str, list[Any]] = {split: [] for split in ("train", "valid", "test")}
    for one in samples(shards / corpus).values():
        held[rows[one.fields["recording"]]["split"]].append(one)
    assert set(whole["splits"]) == set(held)
    for split, found in held.items():
        said = whole["splits"][split]
        assert said["samples"] == len(found) == sum(shard["samples"] for shard in said["shards"])
        assert said["subjects"] == sorted({one.fields["subject"] for one in found})
        assert said["labels"] == Counter(one.label_name for one in found)
        assert said["recordings"] == len({one.fields["recording"] for one in found})
        assert said["hours"] == pytest.approx(len(found) * whole["recipe"]["window_s"] / 3600, abs=1e-6)
    for outcome in ("ok", "skipped", "failed"):
        ended = [row for row in rows.values() if row["outcome"] == outcome]
        assert whole["recordings"][outcome] == len(ended)
        kinds = Counter(
            kind for row in ended for kind in {(note["kind"], note["says"]) for note in row["notes"]} or {""}
        )
        assert sorted(whole["outcomes"][outcome].values()) == sorted(kinds.values())


@pytest.mark.parametrize("corpus", CORPORA)
def test_manifest_holds_the_hash_of_every_shard_and_index(shards: Path, corpus: str) -> None:
    folder = shards / corpus
    said = [shard for split in manifest(folder)["splits"].values() for shard in split["shards"]]
    assert {one["path"] for one in said} == {path.relative_to(folder).as_posix() for path in folder.rglob("*.tar")}
    for shard in said:
        tar = folder / shard["path"]
        assert shard["bytes"] == tar.stat().st_size
        assert shard["sha256"] == hashlib.sha256(tar.read_bytes()).hexdigest()
        index = tar.with_suffix(".idx.npz").read_bytes()
        assert shard["index_sha256"] == hashlib.sha256(index).hexdigest()
    plan = (folder / "plan.json").read_bytes()
    assert manifest(folder)["plan_sha256"] == hashlib.sha256(plan).hexdigest()


def test_manifest_statistics_are_those_of_the_windows(shards: Path) -> None:
    whole = manifest(shards / "tuab")
    everything = np.concatenate([one.data_uv for one in samples(shards / "tuab").values()], axis=1)
    for row, name in enumerate(whole["electrodes"]):
        said = whole["signal"][name]
        assert said["samples"] == everything.shape[1]
        assert said["mean_uv"] == pytest.approx(everything[row].mean(), abs=1e-5)
        assert said["sd_uv"] == pytest.approx(everything[row].std(), rel=1e-5)


@pytest.mark.parametrize("corpus", ["tuab", "tuev"])
def test_sides_share_no_subject_and_none_is_empty(shards: Path, corpus: str) -> None:
    sides = [set(split["subjects"]) for split in manifest(shards / corpus)["splits"].values()]
    assert all(sides)
    assert len(set.union(*sides)) == sum(map(len, sides))


def test_official_test_is_kept(shards: Path) -> None:
    for corpus, mark in (("tuab", "/eval/"), ("tuev", "/eval/"), ("bcic2b", "E.gdf")):
        for path, row in recordings(shards / corpus).items():
            assert (row["split"] == "test") == (mark in path)


def sides(numbers: Iterable[int]) -> dict[str, str]:
    """Return the side of each of these subjects, of whom the plan knows nothing but names."""
    found = [
        ScannedRecording(
            raw=RawRecording(path=f"{number}.edf", subject=f"eegmat:{number}", session="1", label="rest"),
            bytes=1,
            fingerprint="",
            sfreq=500.0,
            duration_s=60.0,
        )
        for number in numbers
    ]
    planned = make(Tree(found, "", 0), recipes.load("eegmat", "pretrain"), SetOptions())
    return {one.raw.subject: one.split for one in planned.recordings}


def test_subject_stays_on_its_side_when_others_come() -> None:
    few, many = sides(range(100, 200)), sides(range(300))
    assert few == {subject: many[subject] for subject in few}
    assert 10 < list(many.values()).count("valid") < 60


@pytest.mark.parametrize("number", range(5))
def test_no_side_is_empty_where_there_are_two_subjects(number: int) -> None:
    assert sorted(sides([number, number + 100]).values()) == ["train", "valid"]


def test_only_subject_trains() -> None:
    assert set(sides([7]).values()) == {"train"}


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_chosen_subjects_and_no_others_are_built(raw: Path, tmp_path: Path) -> None:
    folder = preprocess("tuab", raw / "tuab", tmp_path, "--subjects", "aaaaaaaq,aaaaaaar")
    assert {row["subject"] for row in recordings(folder).values()} == {"tuh:aaaaaaaq", "tuh:aaaaaaar"}


def test_limit_takes_the_first_recordings(raw: Path, tmp_path: Path) -> None:
    folder = preprocess("tuab", raw / "tuab", tmp_path, "--limit", 2)
    everything = sorted(path.relative_to(raw / "tuab").as_posix() for path in (raw / "tuab").rglob("*.edf"))
    assert sorted(recordings(folder)) == everything[:2]


def test_dry_run_says_what_a_run_does_and_writes_nothing(raw: Path, shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = contents(raw / "physionetmi")
    answer = dare("preprocess", "physionetmi", "--src", raw / "physionetmi", "--out", out, "--dry-run")
    assert answer.status == 0
    assert not out.exists()
    assert contents(raw / "physionetmi") == before
    for path, row in recordings(shards / "physionetmi").items():
        (line,) = [line for line in answer.out.splitlines() if line.startswith(f"{path}  ")]
        assert line.endswith("ok" if row["outcome"] == "ok" else f"{row['outcome']}: {row['reason']}")
    assert "12 of 28 recordings to 1 shards; nothing was written" in answer.out


def test_dry_run_as_json_has_the_plan_that_a_run_writes(raw: Path, shards: Path) -> None:
    answer = dare("preprocess", "tuev", "--src", raw / "tuev", "--dry-run", "--json")
    assert json.loads(answer.out)["plan"] == json.loads((shards / "tuev" / "plan.json").read_text())
