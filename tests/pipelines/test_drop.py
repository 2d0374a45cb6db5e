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

Copy = Callable[..., Path]

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
def copy(made: dict[str, Path], tmp_path: Path) -> Copy:
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
    made: dict[str, Path], copy: Copy, one: str, split: str
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
            assert in_tar(tar) == in_tar(made[one] / tar.relative_to(folder), but=subject)


def in_tar(tar: Path, but: str = "") -> list[tuple[str, bytes]]:
    """Return the members of a tar in order, but for those of a subject, by tarfile."""
    found = [(info.name, content) for info, content in members(tar)]
    pairs = zip(found[::2], found[1::2], strict=True)
    return [part for pair in pairs if json.loads(pair[1][1])["subject"] != but for part in pair]


@pytest.mark.parametrize("one", FORMATS)
def test_set_says_what_one_made_without_the_subject_says(copy: Copy, raw: Path, tmp_path: Path, one: str) -> None:
    folder = copy(one)
    subject = subject_of(folder, "train")
    drop(folder, "--subject", subject)
    anew = preprocess("tuab", without(raw, tmp_path / "raw", subject), tmp_path / "anew", *SMALL, "--format", one)
    mine, theirs = manifest(folder), manifest(anew)
    for split, entry in theirs["splits"].items():
        for field in ("subjects", "recordings", "samples", "hours", "labels"):
            assert mine["splits"][split][field] == entry[field], field
    for electrode, figures in theirs["signal"].items():
        assert mine["signal"][electrode] == pytest.approx(figures, abs=1e-3)
    assert [{**store, "sha256": ""} for store in mine["stores"]] == [
        {**store, "sha256": ""} for store in theirs["stores"]
    ]
    for field in ("recordings", "outcomes", "choices", "electrodes", "format"):
        assert mine[field] == theirs[field], field
    assert recordings(folder) == recordings(anew)
    assert windows(folder) == windows(anew)
    for receipt in receipts(folder):
        assert receipt["samples"] == sum(row["windows"] for row in receipt["recordings"])


def without(raw: Path, copy: Path, subject: str) -> Path:
    """Copy a raw tree without the recordings of a subject."""
    return shutil.copytree(raw, copy, ignore=lambda _, names: [one for one in names if subject[4:] in one])


def test_same_command_finds_the_set_done(copy: Copy, raw: Path, tmp_path: Path) -> None:
    folder = copy()
    subject = subject_of(folder, "train")
    drop(folder, "--subject", subject)
    before = contents(folder)
    command = ("preprocess", "tuab", "--workers", 1, "--out", folder.parent, *SMALL, "--src")
    fewer = dare(*command, without(raw, tmp_path / "fewer", subject))
    assert (fewer.status, "left alone" in fewer.out) == (0, False)
    for more in ((), ("--append",), ("--retry-failed",), ("--overwrite",)):
        answer = dare(*command, raw, *more)
        assert answer.status == 0, answer.err
        assert "dropped: 1 subjects who withdrew consent" in answer.out
        assert f"1 recordings below {raw} are of subjects who withdrew consent: left alone" in answer.out
        assert contents(folder) == before
    assert "consent was withdrawn before" in drop(folder, "--subject", subject.partition(":")[2])
    assert contents(folder) == before
    unusable(
        dare(*command, raw, "--subjects", subject.partition(":")[2]), "every recording is of a subject who withdrew"
    )


def test_what_is_appended_later_does_not_bring_the_subject_back(copy: Copy, raw: Path, tmp_path: Path) -> None:
    folder = copy()
    subject = subject_of(folder, "train")
    drop(folder, "--subject", subject)
    kept = {name: content for name, content in contents(folder).items() if "/" in name}
    grown = shutil.copytree(raw, tmp_path / "grown")
    for path in list(grown.rglob("*_t000.edf")):
        if path.name[:8] == subject[4:]:
            shutil.copy(path, path.with_name(path.name.replace("_s001_", "_s002_")))
    command = ("preprocess", "tuab", "--workers", 1, "--out", folder.parent, *SMALL, "--src", grown, "--append")
    answer = dare(*command)
    assert answer.status == 0, answer.err
    assert f"2 recordings below {grown} are of subjects who withdrew consent: left alone" in answer.out
    assert {name: content for name, content in contents(folder).items() if "/" in name} == kept
    other = next(path for path in sorted(grown.rglob("*_t000.edf")) if path.name[:8] != subject[4:])
    shutil.copy(other, other.with_name(other.name.replace("_s001_", "_s002_")))
    assert dare(*command).status == 0
    assert kept.items() < contents(folder).items()
    assert_whole(folder)
    assert_nowhere(folder, subject)


def test_overwrite_keeps_the_subject_out(copy: Copy, raw: Path) -> None:
    folder = copy()
    subject = subject_of(folder, "train")
    drop(folder, "--subject", subject)
    more = ("--set", "window_s=4", "--set", "stride_s=4", "--overwrite")
    preprocess("tuab", raw, folder.parent, *SMALL, *more)
    assert_whole(folder)
    assert_nowhere(folder, subject)


class Killed(BaseException):
    """What ends a run from outside."""


def killed_after(allowed: int, monkeypatch: pytest.MonkeyPatch, *command: object) -> bool:
    """Run a command that may rename and remove so many files, and none after that; return whether that ended it."""
    left = itertools.count(allowed, -1)

    def dying(change: Callable[..., None]) -> Callable[..., None]:
        def act(*arguments: Any, **options: Any) -> None:
            if next(left) <= 0:
                raise Killed
            change(*arguments, **options)

        return act

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "unlink", "rmdir"):
            patch.setattr(os, name, dying(getattr(os, name)))
        try:
            dare(*command)
        except BaseException:
            return True
    return False


@pytest.mark.parametrize("one", FORMATS)
def test_killed_at_any_change_of_the_folder_the_same_command_ends_it(
    copy: Copy, made: dict[str, Path], raw: Path, monkeypatch: pytest.MonkeyPatch, one: str
) -> None:
    command = ("preprocess", "tuab", "--workers", 1, "--src", raw, *SMALL, "--format", one, "--out")
    folder = copy(one)
    subject = subject_of(folder, "train")
    drop(folder, "--subject", subject)
    whole = contents(folder)
    ended, refused = 0, 0
    for allowed in itertools.count():
        shutil.rmtree(folder)
        shutil.copytree(made[one], folder)
        if not killed_after(allowed, monkeypatch, "drop", folder, "--subject", subject):
            break
        ended += 1
        if one == "both" and (between := dare(*command, folder.parent)).status:
            assert "still holds a subject who is being dropped; run the same dare drop again" in between.complaint
            refused += 1
        drop(folder, "--subject", subject)
        assert contents(folder) == whole
    assert_whole(folder)
    assert ended > 10
    assert (refused > 5) == (one == "both")


def test_another_subject_may_be_dropped_where_the_first_dropping_was_killed(
    copy: Copy, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy()
    shared = next(one for one in receipts(folder) if len({row["subject"] for row in one["recordings"]}) > 1)
    one, other, *_ = sorted({row["subject"] for row in shared["recordings"]})
    for subject in (one, other):
        drop(folder, "--subject", subject)
    both = contents(folder)
    for allowed in range(3, 40, 3):
        shutil.rmtree(folder)
        shutil.copytree(made["webdataset"], folder)
        drop_began = killed_after(allowed, monkeypatch, "drop", folder, "--subject", one)
        for subject in (other, one):
            drop(folder, "--subject", subject)
        assert_whole(folder)
        assert tars(folder) == {name: content for name, content in both.items() if name.endswith(".tar")}
    assert not drop_began


def tars(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name.endswith(".tar")}


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


def test_raw_file_that_changed_before_is_still_noticed(raw: Path, tmp_path: Path) -> None:
    src = shutil.copytree(raw, tmp_path / "raw")
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


def test_unfinished_set_is_finished_without_the_subject(raw: Path, tmp_path: Path) -> None:
    command = ("preprocess", "tuab", "--workers", 1, "--src", raw, "--out", tmp_path, *SMALL, "--format", "both")
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


def test_merged_set_is_refused_and_its_sources_are_named(copy: Copy, raw: Path, tmp_path: Path) -> None:
    folder = copy()
    subject = subject_of(folder, "train")
    other = preprocess("tuab", raw, folder.parent, *SMALL[2:], "--for", "pretrain", "--subjects", subject[4:])
    for out in (folder.parent / "merged", tmp_path / "elsewhere"):
        assert dare("merge", folder, other, "--out", out).status == 0
    before = contents(folder.parent)
    answer = dare("drop", folder.parent / "merged", "--subject", subject[4:])
    unusable(answer, "is merged of other sets", folder.name, other.name, "drop from each of them, then merge again")
    assert contents(folder.parent) == before
    told = drop(folder, "--subject", subject, "--merged", tmp_path / "elsewhere").splitlines()
    assert told[-3:] == [
        f"  {folder.parent / 'merged'}: is merged of it; merge again",
        f"  {other}: holds {subject} too; drop it there as well",
        f"  {tmp_path / 'elsewhere'}: is merged of it; merge again",
    ]
    assert "has changed since it was merged; merge again" in dare("verify", folder.parent / "merged").err


def test_encoders_trained_on_the_subject_are_named(copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy()
    subject = subject_of(folder, "train")
    for name, seen in (("a", [subject, "tuh:x"]), ("b", ["tuh:x"])):
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
        assert told.count("safetensors") == 2
    assert contents(tmp_path / "runs") == before
    unusable(dare("drop", folder, "--subject", subject, "--runs", tmp_path / "none"), "--runs", "no such folder")


def test_notes_do_not_name_the_subject_any_more(raw: Path, tmp_path: Path) -> None:
    folder = preprocess("tuab", raw, tmp_path, *SMALL, "--set", "valid_share=0.0001", "--format", "both")
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
        assert "  shards/merged: is merged of it; merge again\n" in told
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
