"""BIDS trees: which files are recordings, and labels in events, in participants and in the task."""

import json
from pathlib import Path

import pytest

from pipelines.corpora import bids
from tests.commands import recordings
from tests.pipelines.own_trees import assert_labels_fit_the_signal, labels, made, refused, starts, write_as

TASKS = [(4.0, 8.0, "loud"), (14.0, 8.0, "soft"), (24.0, 8.0, "loud")]
EVENTS = "onset\tduration\ttrial_type\tvalue\n" + "".join(f"{at}\t{s}\t{what}\tx\n" for at, s, what in TASKS)
CLASSES = 'classes = ["soft", "loud"]\nwindow_s = 2\n'


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """A tree of three subjects, two sessions each, by turns in another format, and what else such a tree holds."""
    root = tmp_path / "bids"
    for number, suffix in ((1, ".edf"), (2, ".vhdr"), (3, ".set")):
        for session in ("pre", "post"):
            folder = root / f"sub-0{number}" / f"ses-{session}" / "eeg"
            stem = f"sub-0{number}_ses-{session}_task-listen_run-1"
            write_as(suffix, folder / f"{stem}_eeg", TASKS)
            (folder / f"{stem}_events.tsv").write_text(EVENTS + "36.0\tn/a\tn/a\tn/a\n")
            (folder / f"{stem}_channels.tsv").write_text("name\ttype\tunits\nC3\tEEG\tuV\nCz\tEEG\tuV\nC4\tEEG\tuV\n")
    write_as(".edf", root / "sub-01" / "ses-pre" / "eeg" / "sub-01_ses-pre_task-rest_eeg", TASKS)
    write_as(".edf", root / "sub-01" / "ses-pre" / "meg" / "sub-01_ses-pre_task-listen_meg", TASKS)
    write_as(".edf", root / "derivatives" / "clean" / "sub-01" / "eeg" / "sub-01_task-listen_eeg", TASKS)
    write_as(".edf", root / "sourcedata" / "sub-01" / "eeg" / "sub-01_task-listen_eeg", TASKS)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "listening", "BIDSVersion": "1.9.0"}))
    groups = (
        "participant_id\tage\tgroup\tset\nsub-01\t30\tloud\ttrain\nsub-02\t40\tsoft\ttrain\nsub-03\t50\tn/a\teval\n"
    )
    (root / "participants.tsv").write_text(groups)
    return root


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("sub-01/eeg/sub-01_task-rest_eeg.edf", ("01", "", "rest")),
        ("sub-01/eeg/sub-01_task-rest_eeg.BDF", ("01", "", "rest")),
        ("sub-A/ses-2/eeg/sub-A_ses-2_task-rest_acq-x_run-01_eeg.vhdr", ("A", "2", "rest")),
        ("sub-A/ses-2/eeg/sub-A_ses-2_task-rest_split-01_eeg.fif", ("A", "2", "rest")),
        ("sub-01/eeg/sub-02_task-rest_eeg.edf", None),
        ("sub-01/ses-1/eeg/sub-01_ses-2_task-rest_eeg.edf", None),
        ("sub-01/ses-1/eeg/sub-01_task-rest_eeg.edf", None),
        ("sub-01/eeg/sub-01_ses-1_task-rest_eeg.edf", None),
        ("sub-01/eeg/sub-01_task-rest_eeg.eeg", None),
        ("sub-01/eeg/sub-01_task-rest_eeg.json", None),
        ("sub-01/eeg/sub-01_task-rest_events.tsv", None),
        ("sub-01/ieeg/sub-01_task-rest_ieeg.edf", None),
        ("derivatives/sub-01/eeg/sub-01_task-rest_eeg.edf", None),
    ],
)
def test_recording_is_known_by_its_entities(path: str, found: tuple[str, str, str] | None) -> None:
    wanted = None if found is None else dict(zip(("subject", "session", "label"), found, strict=True))
    assert bids.match(path) == wanted


def test_events_beside_every_recording_of_every_format(src: Path, tmp_path: Path) -> None:
    folder = made(src, tmp_path, 'bids = true\nlabels = "events"\nspans = true', CLASSES.replace("2", "4"))
    cut = [(4.0, "loud"), (8.0, "loud"), (14.0, "soft"), (18.0, "soft"), (24.0, "loud"), (28.0, "loud")]
    assert list(starts(folder).values()) == [cut] * 6
    assert_labels_fit_the_signal(folder)
    rows = recordings(folder)
    assert {row["subject"] for row in rows.values()} == {"mine:01", "mine:02", "mine:03"}
    assert {row["session"] for row in rows.values()} == {"pre", "post"}
    assert all("1 of 4 events stand for no class" in row["reason"] for row in rows.values() if row["windows"])


def test_recording_without_events_is_skipped_and_raw_signal_elsewhere_is_none(src: Path, tmp_path: Path) -> None:
    rows = recordings(made(src, tmp_path, 'bids = true\nlabels = "events"', CLASSES))
    assert len(rows) == 7
    rest = rows["sub-01/ses-pre/eeg/sub-01_ses-pre_task-rest_eeg.edf"]
    assert rest["outcome"] == "skipped"
    assert rest["reason"] == "labels: there is no sub-01/ses-pre/eeg/sub-01_ses-pre_task-rest_events.tsv"


def test_group_of_a_participant_is_the_label_of_all_recordings(src: Path, tmp_path: Path) -> None:
    folder = made(src, tmp_path, 'bids = true\nlabels = "recordings"\nrecordings.label = "group"', CLASSES)
    told = {(path[:6], label) for path, windows in starts(folder).items() for _, label in windows}
    assert told == {("sub-01", "loud"), ("sub-02", "soft")}
    unused = [row for row in recordings(folder).values() if row["subject"] == "mine:03"]
    assert [(row["outcome"], row["reason"]) for row in unused] == [
        ("skipped", "its label 'n/a' stands for none of soft, loud")
    ] * 2


def test_column_of_participants_tells_the_test_part_beside_labels_in_events(src: Path, tmp_path: Path) -> None:
    layout = 'bids = true\nlabels = "events"\ntest = ["eval"]\nrecordings.split = "set"'
    rows = recordings(made(src, tmp_path, layout, CLASSES)).values()
    assert {row["subject"] for row in rows if row["split"] == "test"} == {"mine:03"}


def test_task_is_the_label_in_the_name(src: Path, tmp_path: Path) -> None:
    folder = made(src, tmp_path, 'bids = true\nlabels = "name"\nclasses = {listen = "loud", rest = "soft"}', CLASSES)
    told = {("task-rest" in path, label) for path, windows in starts(folder).items() for _, label in windows}
    assert told == {(True, "soft"), (False, "loud")}


def test_pattern_narrows_a_tree_down(src: Path, tmp_path: Path) -> None:
    layout = 'bids = true\nfiles = "**/*_task-rest_*"'
    folder = made(src, tmp_path, layout, "", "--for", "pretrain")
    assert list(recordings(folder)) == ["sub-01/ses-pre/eeg/sub-01_ses-pre_task-rest_eeg.edf"]
    assert labels(folder) == {"": 4}


def test_folder_that_is_no_tree_is_told_what_is_missing(src: Path, tmp_path: Path) -> None:
    assert "sub-*/eeg/*_eeg.*" in refused(src / "sub-01", tmp_path, "bids = true")
