"""Labels in files of their own: events that MNE wrote, and tables that lie outside the tree of recordings."""

from pathlib import Path

import mne
import numpy as np
import pytest

from tests.commands import recordings
from tests.pipelines.own_trees import (
    BY_SUBJECT,
    CLASSES,
    ELECTRODES,
    SFREQ,
    TASKS,
    assert_labels_fit_the_signal,
    labels,
    made,
    refused,
    signal_uv,
    starts,
    table,
    write,
)

pytestmark = pytest.mark.slow

SUBJECTS = ("S1", "S2", "S3")
EVENTS = table(",", "onset,duration,label", TASKS)


def save_fif(path: Path, first_s: float) -> None:
    """Write what MNE keeps of a recording that began ``first_s`` before its first sample, and its events beside it."""
    info = mne.create_info(list(ELECTRODES), SFREQ, "eeg")
    info["description"] = str(path)
    cut = mne.io.RawArray(signal_uv(TASKS, 40) / 1e6, info, first_samp=round(first_s * SFREQ), verbose="error")
    cut.save(path, verbose="error")
    codes = {"loud": 11, "soft": 12}
    rows = [[round((first_s + onset_s) * SFREQ), 0, codes[what]] for onset_s, _, what in TASKS]
    events = np.array([*rows, [rows[-1][0] + SFREQ, 0, 99]])
    mne.write_events(path.with_name(path.name.replace("_raw.fif", "-eve.fif")), events, verbose="error")


def test_events_that_mne_wrote_are_labels_by_their_code(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number, subject in enumerate(SUBJECTS):
        save_fif(tmp_path / "raw" / f"{subject}_raw.fif", 2.5 * number)
    layout = 'files = "{subject}_raw.fif"\nlabels = "events"\nevents = {file = "{subject}-eve.fif"}\n'
    folder = made(tmp_path / "raw", tmp_path, layout + 'classes = {11 = "loud", 12 = "soft"}', CLASSES)
    assert starts(folder) == {f"{one}_raw.fif": [(at, what) for at, _, what in TASKS] for one in SUBJECTS}
    assert_labels_fit_the_signal(folder)
    reason = recordings(folder)["S1_raw.fif"]["reason"]
    assert "1 of 4 events stand for no class: not used, codes 99 among them" in reason
    (tmp_path / "again").mkdir()
    archive = made(
        tmp_path / "raw",
        tmp_path / "again",
        layout + 'classes = {11 = "loud", 12 = "soft"}',
        CLASSES,
        "--format",
        "zarr",
    )
    (tmp_path / "cut").mkdir()
    cut = made(archive, tmp_path / "cut", layout + 'classes = {11 = "loud", 12 = "soft"}', CLASSES)
    assert starts(cut) == starts(folder)


def test_events_of_a_file_that_is_no_list_of_them_are_told(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for subject in SUBJECTS:
        save_fif(tmp_path / "raw" / f"{subject}_raw.fif", 0.0)
    (tmp_path / "raw" / "S1-eve.fif").write_bytes(b"onset,label\n")
    layout = 'files = "{subject}_raw.fif"\nlabels = "events"\nevents = {file = "{subject}-eve.fif"}\n'
    folder = made(tmp_path / "raw", tmp_path, layout + 'classes = {11 = "loud", 12 = "soft"}', CLASSES)
    row = recordings(folder)["S1_raw.fif"]
    assert row["outcome"] == "failed"
    assert "S1-eve.fif: cannot be read as events in FIF" in row["reason"]


def test_trials_of_epochs_are_labelled_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number, subject in enumerate(SUBJECTS):
        whats = ["loud", "soft", "loud", "other"]
        trials = np.stack([signal_uv([(0, 4, what)], 4) / 1e6 for what in whats])
        events = np.column_stack([np.arange(4) * 1000 + number, np.zeros(4, int), [1, 2, 1, 3]])
        info = mne.create_info(list(ELECTRODES), SFREQ, "eeg")
        named = {"aloud/very": 1, "soft": 2, "other": 3}
        epochs = mne.EpochsArray(trials, info, events, tmin=-1.0, event_id=named, verbose="error")
        epochs.save(tmp_path / "raw" / f"{subject}-epo.fif", verbose="error")
    layout = 'files = "{subject}-epo.fif"\nlabels = "annotations"\nclasses = {"aloud/*" = "loud", soft = "soft"}'
    folder = made(tmp_path / "raw", tmp_path, layout, CLASSES)
    (tmp_path / "none").mkdir()
    unlike = layout.replace("aloud", "silent").replace("soft =", "hush =")
    assert "4 of 4 events stand for no class" in refused(tmp_path / "raw", tmp_path / "none", unlike, CLASSES)
    assert starts(folder)["S1-epo.fif"] == [(0.0, "loud"), (4.0, "soft"), (8.0, "loud")]
    assert_labels_fit_the_signal(folder)


@pytest.fixture
def src(tmp_path: Path) -> Path:
    for subject in SUBJECTS:
        write(tmp_path / "raw" / subject / "day1.edf", TASKS)
        (tmp_path / "labels" / subject).mkdir(parents=True)
        (tmp_path / "labels" / subject / "day1.csv").write_text(EVENTS)
    return tmp_path / "raw"


@pytest.mark.parametrize("way", ["../labels", "absolute"])
def test_tables_of_events_may_lie_outside_the_tree(src: Path, tmp_path: Path, way: str) -> None:
    place = way if way.startswith("..") else str(tmp_path / "labels")
    layout = f'{BY_SUBJECT}labels = "events"\nevents.file = "{place}/{{path}}.csv"'
    folder = made(src, tmp_path, layout, CLASSES)
    assert labels(folder) == {"loud": 6, "soft": 3}
    assert_labels_fit_the_signal(folder)
    (tmp_path / "cut").mkdir()
    (tmp_path / "kept").mkdir()
    archive = made(src, tmp_path / "kept", layout, CLASSES, "--format", "zarr")
    assert starts(made(archive, tmp_path / "cut", layout, CLASSES)) == starts(folder)


def test_table_outside_the_tree_that_changed_makes_another_set(src: Path, tmp_path: Path) -> None:
    layout = f'{BY_SUBJECT}labels = "events"\nevents.file = "../labels/{{path}}.csv"'
    made(src, tmp_path, layout, CLASSES)
    (tmp_path / "labels" / "S1" / "day1.csv").write_text(EVENTS.replace("14.0", "15.0"))
    assert "S1/day1.edf" in refused(src, tmp_path / "shards", layout, CLASSES)
    (tmp_path / "labels" / "S2" / "day1.csv").unlink()
    (tmp_path / "two").mkdir()
    row = recordings(made(src, tmp_path / "two", layout, CLASSES))["S2/day1.edf"]
    assert "there is no ../labels/S2/day1.csv" in row["reason"]


def test_table_of_recordings_may_lie_outside_the_tree(src: Path, tmp_path: Path) -> None:
    (tmp_path / "labels" / "all.csv").write_text("who,label\nS1,soft\nS2,loud\nS3,soft\n")
    layout = f'{BY_SUBJECT}labels = "recordings"\nrecordings = {{file = "../labels/all.csv", subject = "who"}}'
    assert labels(made(src, tmp_path, layout, CLASSES)) == {"soft": 40, "loud": 20}
