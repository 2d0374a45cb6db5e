"""No signal counts twice, and no subject of the official test part is trained on: what is left out says why."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines.synth.edf_writer import Channel, write_edf_plus
from tests.commands import dare, manifest, preprocess, recordings, unusable
from tests.pipelines.own_trees import ELECTRODES, SFREQ, SHORTEST, write, write_as

TASKS = [(2.0, 10.0, "loud"), (14.0, 10.0, "soft"), (26.0, 10.0, "loud")]
SIDES = [f"train/{who}_1_{what}" for who in "ABCDEF" for what in ("loud", "soft")]


def recipe(folder: Path, files: str, more: str = "", layout: str = "") -> Path:
    """Write a recipe of windows of 4 s and return its file."""
    file = folder / "mine.toml"
    file.write_text(f'{SHORTEST}window_s = 4\nvalid_share = 0.3\n{more}[layout]\nfiles = "{files}"\n{layout}')
    return file


def person(path: Path, seed: int, seconds: int = 40, sd_uv: float = 20) -> Path:
    """Write a recording that no other is like."""
    noise = (
        np.random.default_rng(seed).normal(0, sd_uv, (3, seconds * SFREQ)) if sd_uv else np.zeros((3, seconds * SFREQ))
    )
    write_edf_plus(path, [Channel(name, SFREQ, row) for name, row in zip(ELECTRODES, noise, strict=True)], [])
    return path


def people(raw: Path, count: int) -> list[Path]:
    return [person(raw / f"S{number}.edf", number) for number in range(count)]


def made(folder: Path, file: Path, *options: object) -> Path:
    """Preprocess what lies in raw below a folder, without labels, and return the set."""
    return preprocess("mine", folder / "raw", folder, "--recipe", file, "--for", "pretrain", *options)


def left_out(folder: Path) -> dict[str, str]:
    """Return why recordings were left out, by path."""
    return {path: row["reason"] for path, row in recordings(folder).items() if row["outcome"] != "ok"}


def notes(folder: Path, part: str) -> list[str]:
    return [note for note in manifest(folder)["notes"] if part in note]


# --- copies -----------------------------------------------------------------------------------------------------------


def test_a_copy_under_another_name_is_left_out(tmp_path: Path) -> None:
    first, second, *_ = people(tmp_path / "raw", 4)
    shutil.copy(first, first.with_name("S0 (1).edf"))
    shutil.copy(second, second.with_name("A longer name.edf"))
    out = made(tmp_path, recipe(tmp_path, "{subject}.edf"))
    assert left_out(out) == {"S0 (1).edf": "same bytes as S0.edf", "A longer name.edf": "same bytes as S1.edf"}


def test_copies_do_not_hide_why_the_one_that_stays_is_not_used(tmp_path: Path) -> None:
    first = person(tmp_path / "raw" / "S0.edf", 0)
    for number in (1, 2):
        shutil.copy(first, first.with_name(f"S{number}.edf"))
    file = recipe(tmp_path, "{subject}.edf", more='classes = ["task"]\n', layout='labels = "annotations"\n')
    answer = dare("preprocess", "mine", "--src", tmp_path / "raw", "--out", tmp_path, "--recipe", file, "--workers", 1)
    unusable(answer, "no recording gave a window (1 of 3: gives no window")


def test_of_copies_the_official_test_keeps_its_own(tmp_path: Path) -> None:
    for number in range(3):
        person(tmp_path / "raw" / "train" / f"T{number}.edf", number)
    (tmp_path / "raw" / "eval").mkdir()
    shutil.copy(tmp_path / "raw" / "train" / "T0.edf", tmp_path / "raw" / "eval" / "Elsewhere.edf")
    file = recipe(tmp_path, "{split}/{subject}.edf", layout='test = ["eval"]\n')
    out = made(tmp_path, file)
    assert left_out(out) == {"train/T0.edf": "same bytes as eval/Elsewhere.edf"}


def test_equal_ends_and_size_are_no_copy(tmp_path: Path) -> None:
    people(tmp_path / "raw", 2)
    long = person(tmp_path / "raw" / "long.edf", 5, seconds=400)
    changed = bytearray(long.read_bytes())
    changed[len(changed) // 2] ^= 1
    long.with_name("like.edf").write_bytes(changed)
    out = made(tmp_path, recipe(tmp_path, "{subject}.edf"))
    assert left_out(out) == {}
    assert len(recordings(out)) == 4


def test_a_set_that_grows_takes_no_copy_of_what_it_has(tmp_path: Path) -> None:
    first, *_ = people(tmp_path / "raw", 3)
    file = recipe(tmp_path, "{subject}.edf")
    made(tmp_path, file)
    shutil.copy(first, first.with_name("S.edf"))  # the shortest name, but not the first to be there
    person(tmp_path / "raw" / "S9.edf", 9)
    out = made(tmp_path, file, "--append")
    assert left_out(out) == {"S.edf": "same bytes as S0.edf"}
    assert recordings(out)["S9.edf"]["outcome"] == "ok"
    assert dare("verify", out).status == 0
    assert made(tmp_path, file) == out, "the same command finds it done"


def test_files_that_macos_keeps_beside_others_are_none(tmp_path: Path) -> None:
    first, *_ = people(tmp_path / "raw", 3)
    first.with_name("._S0.edf").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(100))
    out = made(tmp_path, recipe(tmp_path, "{subject}.edf"), "--strict")
    assert left_out(out) == {"._S0.edf": "is what macOS keeps beside a file, no recording"}


def test_a_run_in_several_formats_is_taken_once(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number, suffixes in enumerate([(".edf", ".vhdr", ".set"), (".set", ".vhdr"), (".edf",)], 1):
        tasks = [(onset_s + number, duration_s, what) for onset_s, duration_s, what in TASKS]
        for suffix in suffixes:
            write_as(suffix, raw / f"sub-0{number}" / "eeg" / f"sub-0{number}_task-x_eeg", tasks)
    file = tmp_path / "mine.toml"
    file.write_text(f'{SHORTEST}window_s = 4\n[layout]\nbids = true\nlabels = "none"\n')
    out = made(tmp_path, file)
    one, two = (f"sub-0{number}/eeg/sub-0{number}_task-x_eeg" for number in (1, 2))
    assert left_out(out) == {
        f"{one}.set": f"the run of {one}.edf in another format",
        f"{one}.vhdr": f"the run of {one}.edf in another format",
        f"{two}.set": f"the run of {two}.vhdr in another format",
    }


def test_the_same_signal_under_another_header_is_told(tmp_path: Path) -> None:
    first, *_ = people(tmp_path / "raw", 3)
    renamed = bytearray(first.read_bytes())
    renamed[8:88] = b"Z F X Other_Person".ljust(80)
    first.with_name("Z.edf").write_bytes(renamed)
    out = made(tmp_path, recipe(tmp_path, "{subject}.edf"))
    (note,) = notes(out, "share a signal")
    assert {word for word in note.replace(":", " ").split() if word.endswith(".edf")} == {"S0.edf", "Z.edf"}
    assert "4 windows of" in note


def test_flat_windows_are_nobodys(tmp_path: Path) -> None:
    people(tmp_path / "raw", 3)
    for number in range(10):
        person(tmp_path / "raw" / f"flat{number}.edf", 0, seconds=40 + 4 * number, sd_uv=0)
    out = made(tmp_path, recipe(tmp_path, "{subject}.edf"))
    assert notes(out, "share a signal") == []


def test_one_signal_with_other_labels_is_kept_and_told(tmp_path: Path) -> None:
    for number, onset_s in enumerate((2.0, 3.0, 4.0)):
        path = tmp_path / "raw" / f"sub-0{number}" / "eeg" / f"sub-0{number}_task-x_eeg.edf"
        person(path, seed=1)
        rows = "".join(f"{onset_s + 12 * n}\t8\t{what}\n" for n, what in enumerate(("loud", "soft", "loud")))
        path.with_name(f"sub-0{number}_task-x_events.tsv").write_text(f"onset\tduration\ttrial_type\n{rows}")
    file = tmp_path / "mine.toml"
    layout = '[layout]\nbids = true\nlabels = "events"\nspans = true\n'
    file.write_text(f'{SHORTEST}classes = ["loud", "soft"]\nwindow_s = 1\n{layout}')
    out = preprocess("mine", tmp_path / "raw", tmp_path, "--recipe", file)
    assert left_out(out) == {}
    assert notes(out, "share a signal")


# --- sides ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "kept"), [("subject", False), ("session", True)])
def test_subjects_of_the_official_test_are_not_trained_on(tmp_path: Path, by: str, kept: bool) -> None:
    for number, path in enumerate(["train/A_1", "train/B_1", "train/C_1", "test/A_2"]):
        person(tmp_path / "raw" / f"{path}.edf", number)
    file = recipe(tmp_path, "{split}/{subject}_{session}.edf", f'split_by = "{by}"\n', 'test = ["test"]\n')
    out = made(tmp_path, file)
    assert left_out(out) == ({} if kept else {"train/A_1.edf": "its subject is in the official test part"})
    assert manifest(out)["splits"]["test"]["subjects"] == ["mine:A"]


def test_a_set_does_not_grow_across_its_sides(tmp_path: Path) -> None:
    for number, path in enumerate(["train/A_1", "train/B_1", "test/C_1"]):
        person(tmp_path / "raw" / f"{path}.edf", number)
    file = recipe(tmp_path, "{split}/{subject}_{session}.edf", layout='test = ["test"]\n')
    out = made(tmp_path, file)
    person(tmp_path / "raw" / "test" / "A_2.edf", 9)
    answer = dare("preprocess", "mine", "--src", tmp_path / "raw", "--out", tmp_path, "--recipe", file, "--append")
    assert answer.status == 2
    assert "test/A_2.edf: is for test, and mine:A is in train or valid already" in answer.complaint
    assert manifest(out)["recordings"]["ok"] == 3


@pytest.mark.parametrize(("count", "share", "wanted"), [(4, 0.3, 1), (10, 0.3, 3), (3, 0.1, 1), (2, 0.9, 1), (5, 0, 0)])
def test_few_subjects_are_dealt_as_asked(tmp_path: Path, count: int, share: float, wanted: int) -> None:
    people(tmp_path / "raw", count)
    out = made(tmp_path, recipe(tmp_path, "{subject}.edf"), "--set", f"valid_share={share}")
    splits = manifest(out)["splits"]
    assert (len(splits["valid"]["subjects"]), len(splits["train"]["subjects"])) == (wanted, count - wanted)


def test_a_set_that_grows_keeps_its_subjects_and_its_share(tmp_path: Path) -> None:
    people(tmp_path / "raw", 4)
    file = recipe(tmp_path, "{subject}.edf")
    before = {split: entry["subjects"] for split, entry in manifest(made(tmp_path, file))["splits"].items()}
    people(tmp_path / "raw", 10)
    after = manifest(made(tmp_path, file, "--append"))["splits"]
    assert all(set(subjects) <= set(after[split]["subjects"]) for split, subjects in before.items())
    assert len(after["valid"]["subjects"]) == 3


def test_a_part_that_failures_emptied_is_told(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    tables = {}
    for number in range(1, 7):
        path = raw / f"sub-0{number}" / "eeg" / f"sub-0{number}_task-x_eeg.edf"
        tasks = [(onset_s + number / 4, length_s, what) for onset_s, length_s, what in TASKS]
        rows = "".join(f"{onset_s}\t{length_s}\t{what}\n" for onset_s, length_s, what in tasks)
        tables[f"mine:0{number}"] = write(path, tasks).with_name(f"sub-0{number}_task-x_events.tsv")
        tables[f"mine:0{number}"].write_text(f"onset\tduration\ttrial_type\n{rows}")
    file = tmp_path / "mine.toml"
    classes = 'classes = ["loud", "soft"]\nvalid_share = 0.3\nwindow_s = 4\n'
    file.write_text(f'{SHORTEST}{classes}[layout]\nbids = true\nlabels = "events"\n')
    complete = preprocess("mine", raw, tmp_path / "complete", "--recipe", file)
    assert notes(complete, "valid is empty") == []
    for subject in manifest(complete)["splits"]["valid"]["subjects"]:
        tables[subject].write_text("onset\tduration\ttrial_type\n")
    emptied = preprocess("mine", raw, tmp_path / "emptied", "--recipe", file)
    assert len(notes(emptied, "valid is empty: its recordings, such as those of mine:0")) == 1


# --- probes -----------------------------------------------------------------------------------------------------------


def labelled(folder: Path, by: str, tested: list[str]) -> Path:
    """Preprocess recordings of one class each, by session, with an official test part, and return the set."""
    for number, name in enumerate([*SIDES, *tested]):
        person(folder / "raw" / f"{name}.edf", number)
    more = f'split_by = "{by}"\nclasses = ["loud", "soft"]\nprotocol = "official"\n'
    file = recipe(folder, "{split}/{subject}_{session}_{label}.edf", more, 'labels = "name"\ntest = ["test"]\n')
    return preprocess("mine", folder / "raw", folder, "--recipe", file)


def probed(folder: Path, *options: object) -> list[str]:
    """Probe a set and return the cautions of its results."""
    named = ("--shards", folder, "--encoder", "scratch", "--size", "nano", "--resamples", 2, "--out", folder / "probe")
    answer = dare("probe", "mine", *named, *options)
    assert answer.status == 0, answer.err
    cautions = json.loads((folder / "probe" / "results.json").read_text())["cautions"]
    assert all(caution in answer.out for caution in cautions)
    return cautions


@pytest.mark.slow
def test_official_parts_by_session_are_probed_with_a_caution(tmp_path: Path) -> None:
    out = labelled(tmp_path, "session", ["test/A_2_loud", "test/B_2_soft"])
    assert probed(out) == ["2 of the tested subjects are trained on, too, with other recordings of theirs"]
    assert probed(out, "--protocol", "kfold") == []


@pytest.mark.slow
def test_a_test_of_one_class_is_probed_with_a_caution(tmp_path: Path) -> None:
    out = labelled(tmp_path, "subject", ["test/X_2_loud", "test/Y_2_loud"])
    assert probed(out) == ["the tested windows are all of the class loud: no figure says how classes are told apart"]


@pytest.mark.slow
def test_official_parts_that_share_a_subject_are_refused(tmp_path: Path) -> None:
    out = labelled(tmp_path, "session", ["test/A_2_loud", "test/B_2_soft"])
    stored = json.loads((out / "manifest.json").read_text())
    stored["recipe"]["split_by"] = "subject"
    (out / "manifest.json").write_text(json.dumps(stored))
    answer = dare("probe", "mine", "--shards", out, "--encoder", "scratch", "--size", "nano", "--out", tmp_path / "p")
    unusable(answer, "2 subjects are in its test and in its train or valid (mine:A ...)", "--protocol kfold")
