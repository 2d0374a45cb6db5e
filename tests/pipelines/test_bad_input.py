"""Whatever is wrong with the input or the disk is one line that names the file and the way out."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from tests.commands import Answer, contents, dare, preprocess, recordings, unusable
from tests.judges import noise_uv, write_edf

pytest_plugins = ["tests.corpora_fixtures"]

LABELS = ["EEG C3-REF", "EEG C4-REF", "EEG CZ-REF"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two short recordings of a hospital, of two patients."""
    for number, label in enumerate(("normal", "abnormal")):
        path = tmp_path / "raw" / "edf" / "train" / label / "01_tcp_ar" / f"aaaaaaa{'ab'[number]}_s001_t000.edf"
        write_edf(path, noise_uv(LABELS, 20, 250, number), 250)
    return tmp_path / "raw"


@pytest.fixture
def odd(tree: Path) -> Path:
    """Where a third recording, of a third patient, would lie."""
    return tree / "edf" / "train" / "normal" / "01_tcp_ar" / "aaaaaaac_s001_t000.edf"


def build(src: Path, *options: object) -> Answer:
    return dare("preprocess", "tuab", "--src", src, "--out", src.parent / "out", "--workers", 1, *options)


def row_of(path: Path) -> dict[str, object]:
    """Return the row of a recording beside two good ones, which must not suffer."""
    src = path.parents[4]
    answer = build(src)
    assert answer.status == 0, answer.err
    rows = recordings(src.parent / "out" / "tuab")
    row = rows.pop(path.relative_to(src).as_posix())
    assert [good["outcome"] for good in rows.values()] == ["ok", "ok"]
    assert row["windows"] == 0
    assert "\n" not in row["reason"]
    return row


# --- the tree ---------------------------------------------------------------------------------------------------------


def test_missing_src_is_named(tmp_path: Path) -> None:
    unusable(build(tmp_path / "nowhere"), tmp_path / "nowhere", "no such folder; name the one that holds the raw")


def test_src_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    unusable(build(tmp_path / "file"), tmp_path / "file")


def test_empty_src_is_named(tmp_path: Path) -> None:
    (tmp_path / "raw" / "empty").mkdir(parents=True)
    unusable(build(tmp_path / "raw"), tmp_path / "raw", "is empty")


def test_tree_of_another_corpus_is_told_which(raw: Path, tmp_path: Path) -> None:
    answer = dare("preprocess", "tuab", "--src", raw / "physionetmi", "--out", tmp_path / "out")
    unusable(answer, raw / "physionetmi", "holds no recording of tuab, but of physionetmi; name that corpus or")
    assert not (tmp_path / "out").exists()


def test_tree_without_any_corpus_says_how_much_it_holds(tmp_path: Path) -> None:
    write_edf(tmp_path / "raw" / "night.edf", noise_uv(LABELS, 2, 250), 250)
    (tmp_path / "raw" / "notes.txt").write_text("")
    unusable(build(tmp_path / "raw"), "no recording of tuab among 2 files (1 of them raw EEG by their ending)")


def test_tree_of_no_usable_recording_says_why(odd: Path, tree: Path) -> None:
    shutil.rmtree(tree)
    write_edf(odd, noise_uv(LABELS, 20, 100), 100)
    unusable(build(tree), "no recording can be used", "sampled at 100 Hz", "; --dry-run says why of each")


# --- recordings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty (0 bytes)"),
        (b"<!DOCTYPE html><html>", "is an HTML page"),
        (bytes(4096), "begins with zeros only"),
        (b"0       " + b" " * 100, "too short for its header"),
        (b"\x1f\x8b" + bytes(500), "gzip"),
    ],
)
def test_recording_that_is_none_fails_and_the_others_go_on(odd: Path, content: bytes, said: str) -> None:
    odd.write_bytes(content)
    row = row_of(odd)
    assert row["outcome"] == "failed"
    assert said in str(row["reason"])


@pytest.mark.parametrize(
    ("name", "said"),
    [("S001R02_is_html", "HTML"), ("S001R02_crlf_truncated", "line-end conversion")],
)
def test_broken_download_fails_by_its_fault(real: Path, tmp_path: Path, name: str, said: str) -> None:
    folder = tmp_path / "raw" / "S001"
    folder.mkdir(parents=True)
    shutil.copy(real / "broken" / f"{name}.edf", folder / "S001R08.edf")
    shutil.copy(real / "eegmmidb" / "S001" / "S001R04.edf", folder)
    rows = recordings(preprocess("physionetmi", tmp_path / "raw", tmp_path / "out"))
    assert rows["S001/S001R04.edf"]["outcome"] == "ok"
    assert rows["S001/S001R08.edf"]["outcome"] == "failed"
    assert said in rows["S001/S001R08.edf"]["reason"]
    assert "download it again" in rows["S001/S001R08.edf"]["reason"]


def test_recording_cut_in_its_last_record_keeps_what_is_whole(real: Path, tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "S001"
    folder.mkdir(parents=True)
    shutil.copy(real / "broken" / "S001R02_truncated_prefix.edf", folder / "S001R02.edf")
    rows = recordings(preprocess("physionetmi", tmp_path / "raw", tmp_path / "out", "--for", "pretrain"))
    assert (rows["S001/S001R02.edf"]["outcome"], rows["S001/S001R02.edf"]["windows"]) == ("ok", 6)
    assert "the last record is cut" in rows["S001/S001R02.edf"]["reason"]


def test_link_to_nowhere_fails(odd: Path) -> None:
    odd.symlink_to(odd.with_name("gone.edf"))
    row = row_of(odd)
    assert row["outcome"] == "failed"
    assert "cannot be opened" in str(row["reason"])


def test_recording_without_a_usable_electrode_is_skipped_by_its_channels(odd: Path) -> None:
    write_edf(odd, noise_uv(["EMG-REF", "PHOTIC-REF"], 20, 250), 250)
    row = row_of(odd)
    assert row["outcome"] == "skipped"
    assert "no usable electrode" in str(row["reason"])
    assert "EMG-REF, PHOTIC-REF" in str(row["reason"])


def test_recording_of_channels_without_a_range_says_so(odd: Path) -> None:
    write_edf(odd, noise_uv(LABELS, 20, 250), 250, range_uv=500)
    head, minima, maxima = 256 + 104 * len(LABELS), b"-500    " * len(LABELS), b"500     " * len(LABELS)
    raw = odd.read_bytes()
    assert raw[head : head + len(minima)] == minima
    odd.write_bytes(raw.replace(maxima, minima, 1))
    row = row_of(odd)
    assert row["outcome"] == "skipped"
    assert "'EEG C3-REF' left out: its physical minimum equals its maximum; and 2 more such notes" in str(row["reason"])


def test_recording_of_too_low_a_rate_is_skipped_with_the_remedy(odd: Path) -> None:
    write_edf(odd, noise_uv(LABELS, 20, 128), 128)
    row = row_of(odd)
    assert row["outcome"] == "skipped"
    assert "--set band_hz=0.1,60" in str(row["reason"])


def test_recording_shorter_than_a_window_is_skipped(odd: Path) -> None:
    write_edf(odd, noise_uv(LABELS, 9, 250), 250)
    row = row_of(odd)
    assert row["outcome"] == "skipped"
    assert "lasts 9 s, shorter than a window of 10 s" in str(row["reason"])


def test_recording_of_flat_channels_alone_fails(odd: Path) -> None:
    write_edf(odd, {label: np.zeros(5000) for label in LABELS}, 250)
    row = row_of(odd)
    assert row["outcome"] in ("skipped", "failed")
    assert "no usable electrode (C3 is flat" in str(row["reason"])


def test_recording_that_must_have_an_electrode_says_which_it_lacks(odd: Path, tree: Path) -> None:
    write_edf(odd, noise_uv(LABELS[:2], 20, 250), 250)
    answer = build(tree, "--set", "missing=require", "--set", "electrodes=C3,C4,CZ")
    assert answer.status == 0
    row = recordings(tree.parent / "out" / "tuab")[odd.relative_to(tree).as_posix()]
    assert (row["outcome"], row["reason"]) == ("skipped", "lacks CZ; take it with --set missing=mask")


def test_path_of_no_encoding_is_built_like_any_other(tree: Path) -> None:
    (tree / "edf").rename(tree / "m\udcfcnster")
    assert build(tree).status == 0


@pytest.mark.parametrize("strict", [False, True])
def test_strict_turns_a_failed_recording_into_status_1(odd: Path, tree: Path, strict: bool) -> None:
    odd.write_bytes(b"")
    answer = build(tree, *["--strict"] * strict)
    assert answer.status == int(strict)
    assert "failed: 1 recordings" in answer.out
    assert "is empty (0 bytes)" in answer.out


def test_strict_does_not_mind_what_is_skipped(odd: Path, tree: Path) -> None:
    write_edf(odd, noise_uv(LABELS, 9, 250), 250)
    assert build(tree, "--strict").status == 0


# --- the output -------------------------------------------------------------------------------------------------------


def test_shards_of_another_recipe_are_refused_and_replaced_when_asked(tree: Path) -> None:
    assert build(tree).status == 0
    before = contents(tree.parent / "out")
    refused = build(tree, "--set", "notch_hz=50")
    unusable(refused, tree.parent / "out" / "tuab", "notch_hz 60.0, now 50.0", "--overwrite")
    assert contents(tree.parent / "out") == before
    assert build(tree, "--set", "notch_hz=50", "--overwrite").status == 0
    assert build(tree, "--set", "notch_hz=50").status == 0


def test_recording_that_came_or_changed_makes_another_plan(odd: Path, tree: Path) -> None:
    assert build(tree).status == 0
    write_edf(odd, noise_uv(LABELS, 20, 250, 7), 250)
    unusable(build(tree), "1 recordings (", odd.name, "new", "--overwrite", "--append")
    assert build(tree, "--overwrite").status == 0
    write_edf(odd, noise_uv(LABELS, 20, 250, 8), 250)
    unusable(build(tree), "1 recordings (", odd.name, "changed")
    odd.unlink()
    unusable(build(tree), "1 recordings (", odd.name, "gone")


def test_folder_of_other_files_is_refused_and_left_alone(tree: Path) -> None:
    folder = tree.parent / "out" / "tuab"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    for options in ((), ("--overwrite",)):
        unusable(build(tree, *options), folder, "no shard set")
        assert contents(folder) == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize("place", ["out", "out/tuab"])
@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_output_that_is_a_file_is_named(tree: Path, place: str, options: tuple[str, ...]) -> None:
    file = tree.parent / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"precious")
    unusable(build(tree, *options), file)
    assert file.read_bytes() == b"precious"


def full(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("suffix", [".tar", ".idx.npz", ".json"])
def test_full_disk_is_one_line_and_what_is_finished_is_kept(
    tree: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    unbroken = contents(preprocess("tuab", tree, tree.parent / "unbroken"))
    replace: Callable[[Path, Path], Path] = Path.replace

    def fails_in_valid(self: Path, target: Path) -> Path:
        return full() if target.parent.name == "valid" and target.name.endswith(suffix) else replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails_in_valid)
        unusable(build(tree), f"000000{suffix}", "no space left on device", "run the same command again")
    left = contents(tree.parent / "out" / "tuab")
    assert "train/000000.tar" in left
    assert not [name for name in left if "partial" in name]
    assert build(tree).status == 0
    assert contents(tree.parent / "out" / "tuab") == unbroken


def test_broken_receipt_is_named(tree: Path) -> None:
    assert build(tree).status == 0
    for content in (b"half a rec", b"{}"):
        receipt = tree.parent / "out" / "tuab" / "train" / "000000.json"
        receipt.write_bytes(content)
        unusable(build(tree), receipt, "run dare preprocess again")


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--subjects", "zzzzzzzz"), "zzzzzzzz"),
        (("--part", "0/2"), "I/N"),
        (("--part", "3/2"), "I/N"),
        (("--part", "two"), "I/N"),
        (("--set", "nope=1"), "nope"),
        (("--set", "nope"), "KEY=VALUE"),
        (("--set", "sfreq_hz=fast"), "sfreq_hz"),
        (("--set", "preset=unheard"), "published"),
        (("--recipe", "nowhere.toml"), "nowhere.toml"),
        (("--workers", "0"), "workers"),
        (("--for", "fun"), "pretrain"),
    ],
)
def test_option_that_makes_no_sense_is_one_line(tree: Path, options: tuple[str, ...], said: str) -> None:
    unusable(build(tree, *options), said)
    assert not (tree.parent / "out").exists()


def test_recipe_of_a_corpus_that_is_not_known_is_refused(tree: Path, tmp_path: Path) -> None:
    own = (Path(__file__).parents[2] / "manifests" / "recipes" / "tuab.toml").read_text()
    (tmp_path / "own.toml").write_text(own.replace('"tuab"', '"clinic"'))
    answer = dare("preprocess", "clinic", "--recipe", tmp_path / "own.toml", "--src", tree, "--out", tmp_path / "out")
    unusable(answer, "clinic")


@pytest.mark.parametrize("verbose", [False, True])
def test_traceback_is_shown_only_when_asked_for(tmp_path: Path, verbose: bool) -> None:
    command = [sys.executable, "-c", "import cli; cli.main()", *["-v"] * verbose]
    run = subprocess.run([*command, "verify", tmp_path / "gone"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert ("Traceback" in run.stderr) == verbose
    assert run.stderr.splitlines()[-1].startswith(f"dare: {tmp_path / 'gone'}")
    assert verbose or len(run.stderr.splitlines()) == 1


def test_pipe_that_is_called_like_a_recording_is_not_waited_on(odd: Path) -> None:
    os.mkfifo(odd)
    assert row_of(odd)["reason"] == "cannot be opened: a pipe would be waited on for ever"


# --- one file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.bin",
            b"\x00\x01" * 50,
            "\\x00\\x01\\x00\\x01'; convert it to one of these",
        ),
        ("a.edf", b"", "is empty (0 bytes); download it again"),
        ("a.edf", b"PK\x03\x04....", "cannot be read as zip (BadZipFile: File is not a zip file); get the file again"),
        ("a.mat", b"MATLAB 5.0 MAT-file", "; get the file again"),
    ],
)
def test_file_that_cannot_be_inspected_is_named_with_the_way_out(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    answer = dare("inspect", tmp_path / name)
    unusable(answer, tmp_path / name)
    assert answer.complaint.endswith(said)


def test_folder_that_cannot_be_inspected_is_told_without_options_of_others(tmp_path: Path) -> None:
    unusable(dare("inspect", tmp_path), f"dare: {tmp_path}: is empty; name the one that holds the raw recordings")


def test_subjects_and_classes_that_are_not_there_are_told_which_are(tree: Path) -> None:
    unusable(
        build(tree, "--subjects", "nobody"), "--subjects nobody: not in this tree; name some of those that are: aaa"
    )
    unusable(
        build(tree, "--set", "classes=a,b"), "classes: are not those of tuab; name normal, abnormal, in this order"
    )


def test_set_without_a_window_says_where_to_look(tree: Path) -> None:
    unusable(
        build(tree, "--set", "reject_uv=0.001"), "no recording gave a window (", "; mend that in the recordings or"
    )
