"""A corpus of one's own, from its tree and a recipe file to shards: where labels may be, and what is said of faults."""

import unicodedata
from pathlib import Path

import mne
import numpy as np
import pytest

from manifests import recipe as recipes
from pipelines import synth
from tests.commands import dare, manifest, preprocess, recordings
from tests.judges import samples
from tests.pipelines.own_trees import (
    BY_SUBJECT,
    CLASSES,
    SHORTEST,
    TASKS,
    assert_labels_fit_the_signal,
    labels,
    made,
    recipe,
    refused,
    starts,
    table,
    write,
    write_as,
    write_subjects,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def src(tmp_path: Path) -> Path:
    return write_subjects(tmp_path / "raw")


# --- labels in annotations --------------------------------------------------------------------------------------------


def test_annotation_gives_a_window_at_its_onset(src: Path, tmp_path: Path) -> None:
    folder = made(src, tmp_path, BY_SUBJECT + 'labels = "annotations"\nclasses = {T1 = "loud", T2 = "soft"}', CLASSES)
    marks = mne.io.read_raw_edf(src / "S1" / "day1.edf", verbose="error").annotations
    wanted = [(float(one["onset"]), {"T1": "loud", "T2": "soft"}[one["description"]]) for one in marks[:3]]
    assert starts(folder) == {f"S{number}/day1.edf": wanted for number in (1, 2, 3, 4)}
    assert_labels_fit_the_signal(folder)
    assert {row["subject"] for row in recordings(folder).values()} == {"mine:S1", "mine:S2", "mine:S3", "mine:S4"}
    assert manifest(folder)["recipe"]["classes"] == ["soft", "loud"]


def test_annotation_that_stands_for_no_class_is_counted_and_its_text_kept_private(src: Path, tmp_path: Path) -> None:
    folder = made(src, tmp_path, BY_SUBJECT + 'labels = "annotations"\nclasses = {T1 = "loud", T2 = "soft"}', CLASSES)
    assert "1 of 4 events stand for no class: not used" in recordings(folder)["S1/day1.edf"]["reason"]
    assert not any(b"Jane" in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_span_gives_as_many_windows_as_fit(src: Path, tmp_path: Path) -> None:
    layout = BY_SUBJECT + 'labels = "annotations"\nspans = true\nclasses = {T1 = "loud", T2 = "soft"}'
    folder = made(src, tmp_path, layout, CLASSES.replace("2", "3"))
    assert starts(folder)["S1/day1.edf"] == [
        (4.0, "loud"), (7.0, "loud"), (14.0, "soft"), (17.0, "soft"), (24.0, "loud"), (27.0, "loud"),
    ]  # fmt: skip
    assert_labels_fit_the_signal(folder)


def test_span_too_short_for_a_window_is_counted(src: Path, tmp_path: Path) -> None:
    write(src / "S1" / "day1.edf", TASKS, [(4.0, 8.0, "loud"), (14.0, 1.0, "soft"), (24.0, 0.0, "loud")])
    folder = made(src, tmp_path, BY_SUBJECT + 'labels = "annotations"\nspans = true', CLASSES, "--subjects", "S1")
    assert starts(folder)["S1/day1.edf"] == [(float(at), "loud") for at in (4, 6, 8, 10, 24)]
    assert recordings(folder)["S1/day1.edf"]["reason"] == "1 of 3 events are shorter than a window of 2 s: not used"


def test_recording_without_an_event_of_a_class_is_skipped_with_the_reason(src: Path, tmp_path: Path) -> None:
    write(src / "S1" / "day1.edf", TASKS, [(4.0, 0.0, "elsewhere")])
    folder = made(src, tmp_path, BY_SUBJECT + 'labels = "annotations"\nclasses = {T1 = "loud", T2 = "soft"}', CLASSES)
    row = recordings(folder)["S1/day1.edf"]
    assert (row["outcome"], row["windows"]) == ("skipped", 0)
    assert "1 of 1 events stand for no class" in row["reason"]


@pytest.mark.slow
def test_corpus_we_know_gives_the_same_windows_through_a_layout(tmp_path: Path) -> None:
    synth.write("physionetmi", tmp_path / "raw", 2, 20.0, seed=0)
    known = preprocess("physionetmi", tmp_path / "raw", tmp_path, "--set", "runs=4")
    own, electrodes = tmp_path / "fists.toml", list(recipes.load("physionetmi").electrodes)
    own.write_text(
        f'corpus = "fists"\nelectrodes = {electrodes}\nnotch_hz = 60\nsfreq_hz = 160\nwindow_s = 4\nvalid_share = 0\n'
        'classes = ["left", "right"]\n[layout]\nfiles = "{subject}/{subject}R04.edf"\nlabels = "annotations"\n'
        'classes = {T1 = "left", T2 = "right"}\n'
    )
    folder = preprocess("fists", tmp_path / "raw", tmp_path, "--recipe", own)
    ours, theirs = samples(folder), samples(known)
    assert [key.partition("-")[2] for key in ours] == [key.partition("-")[2] for key in theirs]
    assert len(ours) > 2
    for one, other in zip(ours.values(), theirs.values(), strict=True):
        assert (one.start_s, one.label_name) == (other.start_s, other.label_name)
        np.testing.assert_array_equal(one.counts, other.counts)


# --- one label a recording --------------------------------------------------------------------------------------------


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    """Four subjects with a loud and a soft recording each, which names tell, and one of a third kind."""
    folder = tmp_path / "parted"
    for number in (1, 2, 3, 4):
        for kind, task in (("hi", "loud"), ("lo", "soft")):
            write(folder / f"S{number}_{kind}.edf", [(0.0, 20.0, task)], seconds=20)
    write(folder / "S4_mid.edf", seconds=20)
    return folder


def test_label_in_the_name(parted: Path, tmp_path: Path) -> None:
    layout = 'files = "{subject}_{label}.edf"\nlabels = "name"\nclasses = {hi = "loud", lo = "soft"}'
    folder = made(parted, tmp_path, layout, CLASSES)
    assert_labels_fit_the_signal(folder)
    assert labels(folder) == {"loud": 40, "soft": 40}
    assert recordings(folder)["S4_mid.edf"]["outcome"] == "skipped"
    assert recordings(folder)["S4_mid.edf"]["reason"] == "its label 'mid' stands for none of soft, loud"


def test_labels_of_recordings_can_be_balanced_within_each_subject(parted: Path, tmp_path: Path) -> None:
    (parted / "S4_mid.edf").unlink()
    write(parted / "S1_hi.edf", [(0.0, 30.0, "loud")], seconds=30)
    layout = 'files = "{subject}_{label}.edf"\nlabels = "name"\nclasses = {hi = "loud", lo = "soft"}'
    assert labels(made(parted, tmp_path, layout, CLASSES + "balance = true\n")) == {"loud": 40, "soft": 40}


def test_label_subject_and_split_in_a_table_of_recordings(parted: Path, tmp_path: Path) -> None:
    lines = [
        (f"S{number}_{kind}.edf", f"patient {number}", kind, "held out" if number > 2 else "train")
        for number in (1, 2, 3, 4)
        for kind in ("hi", "lo")
    ]
    (parted / "list.csv").write_text(table(",", "file,patient,level,part", lines))
    layout = """files = "*.edf"\nlabels = "recordings"\nclasses = {hi = "loud", lo = "soft"}\ntest = ["held out"]
        recordings = {file = "list.csv", path = "file", subject = "patient", label = "level", split = "part"}"""
    folder = made(parted, tmp_path, layout, CLASSES)
    assert_labels_fit_the_signal(folder)
    rows = recordings(folder)
    assert {row["subject"] for row in rows.values() if row["split"] == "test"} == {"mine:patient 3", "mine:patient 4"}
    assert sum(split["samples"] for split in manifest(folder)["splits"].values()) == 80
    assert rows["S4_mid.edf"]["reason"] == "there is no row of it in list.csv"


def test_label_of_a_subject_and_split_in_a_folder(parted: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3, 4):
        to = parted / ("eval" if number == 4 else "dev") / f"S{number}"
        to.mkdir(parents=True)
        (parted / f"S{number}_{'hi' if number % 2 else 'lo'}.edf").rename(to / "rest.EDF")
    (parted / "groups.tsv").write_text(
        "id\tgroup\n" + "".join(f"S{n}\t{'loud' if n % 2 else 'soft'}\n" for n in range(1, 5))
    )
    layout = """files = "{split}/{subject}/*.edf"\nlabels = "recordings"\ntest = ["eval"]
        recordings = {file = "groups.tsv", subject = "id", label = "group"}"""
    folder = made(parted, tmp_path, layout, CLASSES)
    assert_labels_fit_the_signal(folder)
    assert {path: row["split"] for path, row in recordings(folder).items()}["eval/S4/rest.EDF"] == "test"
    assert set(recordings(folder)) == {"dev/S1/rest.EDF", "dev/S2/rest.EDF", "dev/S3/rest.EDF", "eval/S4/rest.EDF"}


def test_label_of_a_session(parted: Path, tmp_path: Path) -> None:
    lines = [
        (f"S{n}", session, "loud" if session == "hi" else "soft") for n in (1, 2, 3, 4) for session in ("hi", "lo")
    ]
    (parted / "sessions.csv").write_text(table(",", "subject,session,label", lines))
    layout = """files = "{subject}_{session}.edf"\nlabels = "recordings"
        recordings = {file = "sessions.csv", subject = "subject", session = "session"}"""
    assert_labels_fit_the_signal(made(parted, tmp_path, layout, CLASSES))


def test_row_of_recordings_that_fits_several_is_of_none(src: Path, tmp_path: Path) -> None:
    lines = [("day1.edf", "loud"), ("S2/day1.edf", "soft"), ("S3/day1", "loud")]
    (src / "days.csv").write_text(table(",", "file,label", lines))
    layout = f'{BY_SUBJECT}labels = "recordings"\nrecordings = {{file = "days.csv", path = "file"}}'
    folder = made(src, tmp_path, layout, CLASSES)
    told = {path: {label for _, label in windows} for path, windows in starts(folder).items()}
    assert told == {"S2/day1.edf": {"soft"}, "S3/day1.edf": {"loud"}}
    rows = recordings(folder)
    assert all("rows in days.csv fit 4 recordings alike" in rows[f"S{number}/day1.edf"]["reason"] for number in (1, 4))


@pytest.mark.parametrize("of_files", ["NFC", "NFD"])
@pytest.mark.parametrize("of_tables", ["NFC", "NFD"])
@pytest.mark.parametrize("labels_in", ["subjects", "paths", "events of all", "events of each"])
def test_accents_are_the_same_however_they_are_composed(
    tmp_path: Path, of_files: str, of_tables: str, labels_in: str
) -> None:
    names = {"Jos\u00e9": "loud", "Zo\u00eb": "soft", "\u00c5sa": "loud", "Ann": "soft"}
    src, lines = tmp_path / "raw", []
    for name, what in names.items():
        on_disk, told = (unicodedata.normalize(form, name) for form in (of_files, of_tables))
        write(src / on_disk / "rest.edf", [(0.0, 40.0, what)])
        lines.append((told if labels_in == "subjects" else f"{told}/rest.edf", what, 4.0))
        (src / f"{told}.csv").write_text(table(",", "label,onset", [(what, 4.0)]))
    listed = unicodedata.normalize(of_tables, "\u00dcbersicht.csv")
    (src / unicodedata.normalize(of_files, listed)).write_text(table(",", "who,label,onset", lines))
    if labels_in.startswith("events"):
        where = f'file = "{listed}", path = "who"' if labels_in == "events of all" else 'file = "{subject}.csv"'
        layout = f'files = "{{subject}}/*.edf"\nlabels = "events"\nevents = {{{where}}}'
    else:
        column = "subject" if labels_in == "subjects" else "path"
        layout = f"""files = "{{subject}}/*.edf"\nlabels = "recordings"
            recordings = {{file = "{listed}", {column} = "who"}}"""
    folder = made(src, tmp_path, layout, CLASSES)
    assert len(starts(folder)) == 4
    assert_labels_fit_the_signal(folder)


RECORDINGS = 'files = "{subject}_*.edf"\nlabels = "recordings"\nrecordings = {file = "list.csv", subject = "who"}'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("who,label\nS1,loud\nS1,soft\n", "list.csv: lines 2 and 3 say two things of S1_hi.edf"),
        ("name,label\nS1,loud\n", "has no column 'who' but name, label"),
        ("who\nS1\n", "has no column 'label'"),
        (None, "list.csv: cannot be read"),
    ],
)
def test_faulty_table_of_recordings_stops_in_one_line(
    parted: Path, tmp_path: Path, content: str | None, said: str
) -> None:
    if content:
        (parted / "list.csv").write_text(content)
    assert said in refused(parted, tmp_path, RECORDINGS, CLASSES)


def test_table_of_recordings_is_not_asked_where_nothing_in_it_is_wanted(parted: Path, tmp_path: Path) -> None:
    folder = made(parted, tmp_path, RECORDINGS, CLASSES + "valid_share = 0.3\n", "--for", "pretrain")
    assert len(recordings(folder)) == 9
    assert labels(folder) == {"": 18}


# --- no labels, other formats, faults ---------------------------------------------------------------------------------


def test_corpus_without_labels_gives_windows_for_pretraining(parted: Path, tmp_path: Path) -> None:
    folder = made(parted, tmp_path, 'files = "{subject}_*.edf"', "", "--for", "pretrain")
    assert folder.name == "mine-pretrain"
    assert labels(folder) == {"": 18}
    assert {row["subject"] for row in recordings(folder).values()} == {f"mine:S{number}" for number in (1, 2, 3, 4)}


@pytest.mark.parametrize("suffix", [".fif", ".vhdr", ".set"])
def test_other_formats_tell_their_annotations_as_well(tmp_path: Path, suffix: str) -> None:
    for subject in ("S1", "S2"):
        write_as(suffix, tmp_path / "raw" / subject, TASKS)
    texts = 'classes = {"*loud" = "loud", "*soft" = "soft"}'
    layout = f'files = "{{subject}}{suffix}"\nlabels = "annotations"\nspans = true\n{texts}'
    folder = made(tmp_path / "raw", tmp_path, layout, CLASSES)
    assert labels(folder) == {"loud": 16, "soft": 8}
    assert_labels_fit_the_signal(folder)


def test_bare_arrays_are_read_as_the_layout_says(tmp_path: Path) -> None:
    for subject in ("S1", "S2"):
        write_as(".mat", tmp_path / "raw" / subject, TASKS)
        (tmp_path / "raw" / f"{subject}.csv").write_text(
            table(",", "onset,label", [(at, what) for at, _, what in TASKS])
        )
    arrays = 'arrays = {variables = "eeg", axes = "time channel", channels = ["C3", "Cz", "C4"], sfreq_hz = 128}'
    folder = made(tmp_path / "raw", tmp_path, f'files = "{{subject}}.mat"\nlabels = "events"\n{arrays}', CLASSES)
    assert starts(folder)["S1.mat"] == [(4.0, "loud"), (14.0, "soft"), (24.0, "loud")]
    assert_labels_fit_the_signal(folder)


def test_layout_that_matches_nothing_shows_what_lies_there(src: Path, tmp_path: Path) -> None:
    said = refused(src, tmp_path, 'files = "{subject}.bdf"')
    assert f"{src}: none of its 5 files" in said
    assert "{subject}.bdf" in said


def test_corpus_without_module_or_layout_is_told_of_layouts(src: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(SHORTEST)
    answer = dare("preprocess", "mine", "--src", src, "--out", tmp_path, "--recipe", file)
    assert answer.status == 2
    assert "[layout]" in answer.complaint


def test_dry_run_tells_each_recording_its_verdict(parted: Path, tmp_path: Path) -> None:
    file = recipe(
        tmp_path, 'files = "{subject}_{label}.edf"\nlabels = "name"\nclasses = {hi = "loud", lo = "soft"}', CLASSES
    )
    answer = dare("preprocess", "mine", "--src", parted, "--recipe", file, "--dry-run")
    assert answer.status == 0
    assert all(f"S{number}_{kind}.edf" in answer.out for number in (1, 2, 3, 4) for kind in ("hi", "lo"))
    assert "its label 'mid' stands for none of soft, loud" in answer.out
