"""Sets that are odd to drop from: pieces, emptied shards, damage, other runs, merged sets, old releases."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from manifests.subjects import hashed
from pipelines import synth
from pipelines.run_marker import BUILDING
from tests.commands import contents, dare, manifest, preprocess, preprocess_by_hand, unusable
from tests.judges import samples
from tests.pipelines.droppings import (
    FORMATS,
    RELEASE,
    SMALL,
    Copy,
    assert_nowhere,
    assert_whole,
    drop,
    receipts,
    subject_of,
    windows,
)

pytestmark = pytest.mark.slow
pytest_plugins = ["tests.pipelines.droppings"]


@pytest.mark.parametrize("one", FORMATS)
def test_recording_in_pieces_leaves_with_all_of_them(tmp_path: Path, one: str) -> None:
    folder, settings = tmp_path / "tuab", SMALL[1::2]
    long = tmp_path / "raw"
    synth.write("tuab", long, 4, 60.0, seed=1)
    preprocess_by_hand("tuab", long, folder, settings, format=one, piece_samples=12_000, piece_grid_s=10.0)
    subject = subject_of(folder, "train")
    pieces = [row["pieces"] for row in json.loads((folder / "plan.json").read_text())["recordings"]]
    assert min(pieces) > 2
    held = windows(folder)
    drop(folder, "--subject", subject)
    assert_whole(folder)
    assert_nowhere(folder, subject)
    assert windows(folder) == {key: window for key, window in held.items() if window[0] != subject} != held


def test_shard_left_without_windows_keeps_a_receipt_alone(copy: Copy) -> None:
    folder = copy()
    alone = next(one for one in receipts(folder) if len({row["subject"] for row in one["recordings"]}) == 1)
    drop(folder, "--subject", alone["recordings"][0]["subject"])
    now = json.loads((folder / f"{alone['shard']}.json").read_text())
    assert (now["samples"], now["bytes"], now["sha256"], now["recordings"], now["signal"]) == (0, 0, "", [], {})
    assert now["identity"] != alone["identity"]
    assert [path.name for path in folder.glob(f"{alone['shard']}*")] == [Path(alone["shard"]).name + ".json"]
    assert_whole(folder)


def test_split_left_without_windows_is_told(copy: Copy) -> None:
    folder = copy()
    everybody = manifest(folder)["splits"]["valid"]["subjects"]
    told = drop(folder, *(word for subject in everybody for word in ("--subject", subject)))
    assert "  valid is left without windows" in told
    assert manifest(folder)["splits"]["valid"]["subjects"] == []
    assert_whole(folder)


def test_dry_run_says_what_would_leave_and_changes_nothing(copy: Copy) -> None:
    folder = copy("both")
    before, subject = contents(folder), subject_of(folder, "train")
    dry = drop(folder, "--subject", subject, "--dry-run")
    assert contents(folder) == before
    assert drop(folder, "--subject", subject) == dry.replace("would leave", "left")
    assert "1 recordings, windows: train 2" in dry
    assert "1 stores removed" in dry


def test_unknown_subject_is_refused_and_near_ones_are_named(copy: Copy) -> None:
    folder = copy()
    before, subject = contents(folder), subject_of(folder, "train")
    near = subject[:-1] + "_"
    for name in (near, near.partition(":")[2]):
        unusable(
            dare("drop", folder, "--subject", name), f"--subject {name}", "is not in the set; did you mean", "tuh:"
        )
    unusable(dare("drop", folder, "--subject", subject, "--subject", "x"), "--subject x", "there are tuh:")
    unusable(dare("drop", folder / "train", "--subject", subject), folder / "train")
    unusable(dare("drop", folder.parent / "none", "--subject", subject), "no such folder")
    assert not (folder.parent / "none").exists()
    assert contents(folder) == before


def test_last_subject_is_not_dropped_but_the_folder_named(copy: Copy) -> None:
    folder = copy()
    before = contents(folder)
    everybody = [one for split in manifest(folder)["splits"].values() for one in split["subjects"]]
    words = [word for subject in everybody for word in ("--subject", subject)]
    unusable(dare("drop", folder, *words), "remove")
    assert contents(folder) == before


def test_raw_file_that_changed_before_is_still_noticed(tuab_raw: Path, tmp_path: Path) -> None:
    src = shutil.copytree(tuab_raw, tmp_path / "raw")
    folder = preprocess("tuab", src, tmp_path, *SMALL)
    shared = next(one for one in receipts(folder) if len({row["subject"] for row in one["recordings"]}) > 1)
    first, *_, last = shared["recordings"]
    with (src / last["path"]).open("r+b") as stream:
        stream.seek(last["bytes"] // 2)  # between its ends, of which the plan knows
        stream.write(b"other")
    drop(folder, "--subject", first["subject"])
    answer = dare("preprocess", "tuab", "--workers", 1, "--src", src, "--out", tmp_path, *SMALL)
    unusable(answer, src / last["path"], "has changed since")


@pytest.mark.parametrize(("one", "damaged"), [("webdataset", ".tar"), ("both", ".idx.npz"), ("zarr", "/c/0/0")])
def test_damaged_shard_is_refused_before_anything_changes(copy: Copy, one: str, damaged: str) -> None:
    folder = copy(one)
    subject = subject_of(folder, "train")
    shared = next(r for r in receipts(folder, "train") if subject in {row["subject"] for row in r["recordings"]})
    path = folder / f"{shared['shard']}{damaged}"
    if one == "zarr":
        other = next(row["path"] for row in shared["recordings"] if row["subject"] != subject)
        path = folder / (next(s["path"] for s in shared["stores"] if s["recording"] == other) + damaged)
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(content)
    before = contents(folder)
    unusable(dare("drop", folder, "--subject", subject), "not what was written")
    assert contents(folder) == before


def test_run_at_work_is_waited_for(copy: Copy) -> None:
    folder = copy()
    mark = folder / f"{BUILDING}.partial-node-17.cluster-77-0123abcd"
    mark.touch()
    before = contents(folder)
    answer = dare("drop", folder, "--subject", subject_of(folder, "train"))
    unusable(answer, folder, "another run is at work in it (process 77 on node-17.cluster)")
    assert contents(folder) == before


def test_unfinished_set_is_finished_without_the_subject(tuab_raw: Path, tmp_path: Path) -> None:
    command = ("preprocess", "tuab", "--workers", 1, "--src", tuab_raw, "--out", tmp_path, *SMALL, "--format", "both")
    assert dare(*command, "--part", "1/2").status == 0
    folder = tmp_path / "tuab"
    plan = json.loads((folder / "plan.json").read_text())
    there = {receipt["shard"] for receipt in receipts(folder)}
    subjects = {one["scanned"]["raw"]["path"]: one["scanned"]["raw"]["subject"] for one in plan["recordings"]}
    to_come = next(name for name in plan["shards"] if name not in there)
    for shard in (to_come, min(there)):
        (folder / f"{to_come}.tar").write_bytes(b"half")
        subject = subjects[plan["shards"][shard]["pieces"][0][0]]
        assert "the set is not finished: dare preprocess goes on with it" in drop(folder, "--subject", subject)
        assert not (folder / f"{to_come}.tar").exists()
        assert not (folder / "manifest.json").exists()
        assert_nowhere(folder, subject)
    assert dare(*command).status == 0
    assert_whole(folder)
    assert_nowhere(folder, subject)


def test_archive_is_cut_without_the_subject(copy: Copy, tmp_path: Path) -> None:
    folder = copy("zarr")
    subject = subject_of(folder, "train")
    drop(folder, "--subject", subject)
    cut = preprocess("tuab", folder, tmp_path / "cut", *SMALL, "--set", "window_s=4", "--set", "stride_s=4")
    assert_whole(cut)
    assert_nowhere(cut, subject)
    assert samples(cut)


def test_merged_set_is_refused_and_its_sources_are_named(copy: Copy, tuab_raw: Path, tmp_path: Path) -> None:
    folder = copy()
    subject = subject_of(folder, "train")
    other = preprocess("tuab", tuab_raw, folder.parent, *SMALL[2:], "--for", "pretrain", "--subjects", subject[4:])
    for out in (folder.parent / "merged", tmp_path / "elsewhere"):
        assert dare("merge", folder, other, "--out", out).status == 0
    before = contents(folder.parent)
    answer = dare("drop", folder.parent / "merged", "--subject", subject[4:])
    unusable(answer, "is merged of other sets", folder.name, other.name, "drop from each of them, then merge again")
    assert contents(folder.parent) == before
    told = drop(folder, "--subject", subject, "--merged", tmp_path / "elsewhere").splitlines()
    assert told[-3:] == [
        f"  {folder.parent / 'merged'}: is merged of it; run dare merge again, with --overwrite",
        f"  {other}: holds {subject} too; drop it there as well",
        f"  {tmp_path / 'elsewhere'}: is merged of it; run dare merge again, with --overwrite",
    ]
    assert (
        "has changed since it was merged; run dare merge again, with --overwrite"
        in dare("verify", folder.parent / "merged").err
    )


def test_encoders_trained_on_the_subject_are_named(copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy()
    subject = subject_of(folder, "train")
    for name, seen in (("a", [subject, "tuh:x"]), ("b", ["tuh:x"]), ("c", [hashed(subject), hashed("tuh:x")])):
        (tmp_path / "runs" / name).mkdir(parents=True)
        metadata = {"subjects": json.dumps(seen)}
        save_file({"one": np.ones(2)}, tmp_path / "runs" / name / "encoder.safetensors", metadata)
    save_file({"one": np.ones(2)}, tmp_path / "runs" / "bare.safetensors")
    (tmp_path / "runs" / "damaged.safetensors").write_bytes(b"\xff" * 20)
    before = contents(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    for options in ((), ("--runs", tmp_path / "runs")):
        told = drop(folder, "--subject", subject, *options)
        runs = Path(options[1] if options else "runs")
        assert f"  {runs / 'a' / 'encoder.safetensors'}: was trained on {subject}\n" in told
        assert f"  {runs / 'damaged.safetensors'}: was not looked into (" in told
        assert f"  {runs / 'c' / 'encoder.safetensors'}: was trained on {subject}\n" in told
        assert told.count("safetensors") == 3
    assert contents(tmp_path / "runs") == before
    unusable(dare("drop", folder, "--subject", subject, "--runs", tmp_path / "none"), "--runs", "no such folder")


def test_notes_do_not_name_the_subject_any_more(tuab_raw: Path, tmp_path: Path) -> None:
    folder = preprocess("tuab", tuab_raw, tmp_path, *SMALL, "--set", "valid_share=0.0001", "--format", "both")
    plan = json.loads((folder / "plan.json").read_text())
    (subject,) = manifest(folder)["splits"]["valid"]["subjects"]
    assert plan["notes"] == [f"the hash left valid empty: it took {subject}, the smallest"]
    mine = next(one["scanned"]["raw"]["path"] for one in plan["recordings"] if one["split"] == "valid")
    # As a version may write that finds two recordings of the same bytes.
    same = {"kind": "same", "says": "same bytes as {names}", "figures": {}, "names": [mine]}
    other = next(one for one in plan["recordings"] if one["split"] == "train")
    other["scanned"]["notes"] = [same, same | {"says": f"same bytes as {mine}", "names": []}]
    (folder / "plan.json").write_text(json.dumps(plan))
    drop(folder, "--subject", subject)
    assert_nowhere(folder, subject)
    assert manifest(folder)["notes"][0] == "the hash left valid empty: it took a dropped subject, the smallest"
    assert_whole(folder)


@pytest.mark.parametrize(
    ("name", "person"), [("tuab", "tuh:aaaaaaaq"), ("tuab-pretrain", "aaaaaaar"), ("unfinished/tuab", "aaaaaaaq")]
)
def test_set_of_the_first_release_is_dropped_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, person: str
) -> None:
    monkeypatch.chdir(shutil.copytree(RELEASE, tmp_path / "release"))
    folder, subject = Path("shards") / name, f"tuh:{person[-8:]}"
    told = drop(folder, "--subject", person)
    assert f"  runs/half/encoder.safetensors: was trained on {subject}\n" in told
    assert_nowhere(folder, subject)
    if name == "tuab-pretrain":
        assert "  shards/merged: is merged of it; run dare merge again, with --overwrite\n" in told
        assert f"  shards/tuab: holds {subject} too; drop it there as well\n" in told
        before = contents(folder)
        people = ("--subjects", "aaaaaaaq,aaaaaaar,aaaaaaas")
        words = ("preprocess", "tuab", "--src", "raw/tuab", "--out", "shards", "--workers", 1, "--for", "pretrain")
        assert "1 recordings below raw/tuab are of subjects who withdrew consent" in dare(*words, *people).out
        assert contents(folder) == before
        assert dare(*words, "--append").status == 0
        assert before.keys() < contents(folder).keys()
        assert_nowhere(folder, subject)
    if name != "unfinished/tuab":
        assert_whole(folder)
