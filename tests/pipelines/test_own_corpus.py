"""A corpus of one's own, from its tree and a recipe file to shards: where labels may be, and what is said of faults."""

import json
import unicodedata
from pathlib import Path

import mne
import numpy as np
import pytest

from manifests import recipe as recipes
from manifests.layout import Layout
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines import corpora, synth
from pipelines.recording import Recording, Segment
from tests.commands import dare, manifest, preprocess, recordings, unusable
from tests.judges import samples
from tests.pipelines.own_trees import (
    ELECTRODES,
    SHORTEST,
    assert_labels_fit_the_signal,
    labels,
    made,
    recipe,
    refused,
    starts,
    write,
    write_as,
)

pytestmark = pytest.mark.slow

TASKS = [(4.0, 8.0, "loud"), (14.0, 8.0, "soft"), (24.0, 8.0, "loud")]
CLASSES = 'classes = ["soft", "loud"]\nwindow_s = 2\n'
BY_SUBJECT = 'files = "{subject}/{session}.edf"\n'


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """Four subjects with one recording each, tasks annotated by other names, and papers that are no recordings."""
    folder = tmp_path / "raw"
    for subject in ("S1", "S2", "S3", "S4"):
        marks = [(onset_s, duration_s, {"loud": "T1", "soft": "T2"}[what]) for onset_s, duration_s, what in TASKS]
        write(folder / subject / "day1.edf", TASKS, [*marks, (36.0, 0.0, "Jane Doe coughs")])
    (folder / "README.txt").write_text("papers")
    return folder


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


# --- labels at one onset ----------------------------------------------------------------------------------------------

DOUBLES = [
    (4.0, 8.0, "T1"), (4.0, 8.0, "loud"), (14.0, 8.0, "T2"), (24.0, 8.0, "T1"), (24.003, 8.0, "T2"), (30.0, 0.0, "T1"),
    (30.0, 0.0, "elsewhere"), (36.0, 0.0, "T2"), (36.0, 0.0, "T2"), (36.0, 0.0, "T2"),
]  # fmt: skip
SAID_OF_DOUBLES = (
    "3 of 9 labels repeat one at the same onset: one window for both",
    "2 of 9 labels contradict another at the same onset: dropped",
)


@pytest.mark.parametrize("form", ["annotations", "table"])
def test_labels_at_one_onset_are_one_window_or_none(tmp_path: Path, form: str) -> None:
    for subject in ("S1", "S2"):
        file = write(tmp_path / "raw" / subject / "day1.edf", TASKS, DOUBLES if form == "annotations" else ())
        file.with_suffix(".csv").write_text(table(",", "onset,duration,label", DOUBLES))
    layout = f'labels = "{"annotations" if form == "annotations" else "events"}"'
    layout = f'{BY_SUBJECT}{layout}\nclasses = {{T1 = "loud", loud = "loud", T2 = "soft"}}'
    folder = made(tmp_path / "raw", tmp_path, layout, CLASSES)
    assert starts(folder)["S1/day1.edf"] == [(4.0, "loud"), (14.0, "soft"), (30.0, "loud"), (36.0, "soft")]
    row = recordings(folder)["S1/day1.edf"]
    assert all(said in row["reason"] for said in SAID_OF_DOUBLES)
    assert manifest(folder)["choices"]["events"] == {"recordings": 2, "windows": 10}
    (tmp_path / "rows").mkdir()
    every = made(tmp_path / "raw", tmp_path / "rows", layout, CLASSES + 'events = "rows"\n')
    assert len(starts(every)["S1/day1.edf"]) == 9


def test_spans_that_overlap_lose_the_windows_that_have_two_labels(src: Path, tmp_path: Path) -> None:
    write(src / "S1" / "day1.edf", TASKS, [(4.0, 8.0, "loud"), (10.0, 6.0, "soft"), (4.0, 4.0, "loud")])
    folder = made(src, tmp_path, BY_SUBJECT + 'labels = "annotations"\nspans = true', CLASSES, "--subjects", "S1")
    assert starts(folder)["S1/day1.edf"] == [
        (4.0, "loud"), (6.0, "loud"), (8.0, "loud"), (12.0, "soft"), (14.0, "soft")
    ]  # fmt: skip


def test_events_of_a_layout_are_not_merged(src: Path, tmp_path: Path) -> None:
    layout = BY_SUBJECT + 'labels = "annotations"'
    assert "deduplicated or rows, not merged" in refused(src, tmp_path, layout, CLASSES + 'events = "merged"\n')


def test_set_made_before_keeps_every_row_and_grows_so(tmp_path: Path) -> None:
    src, classes = tmp_path / "raw", 'labels = "annotations"\nclasses = {T1 = "loud", T2 = "soft"}'
    for subject in ("S1", "S2", "S3"):
        write(src / subject / "day1.edf", TASKS, [(4.0, 0.0, "T1"), (4.0, 0.0, "T1"), (14.0, 0.0, "T2")])
    file = recipe(tmp_path, BY_SUBJECT + classes, CLASSES)
    command = ("preprocess", "mine", "--src", src, "--out", tmp_path / "out", "--workers", 1, "--recipe", file)
    assert dare(*command, "--subjects", "S1,S2", "--set", "events=rows").status == 0
    plan = tmp_path / "out" / "mine" / "plan.json"
    old = json.loads(plan.read_text())
    old["recipe"] |= {"schema_version": 2, "events": "deduplicated"}  # which that version did not read
    plan.write_text(json.dumps(old))
    for _ in range(2):
        assert dare(*command, "--subjects", "S1,S2").status == 0
    for _ in range(2):
        answer = dare(*command, "--append")
        assert answer.status == 0, answer.err
    folder = tmp_path / "out" / "mine"
    assert {path: len(windows) for path, windows in starts(folder).items()} == {
        f"S{number}/day1.edf": 3 for number in (1, 2, 3)
    }
    other = dare(*command, "--set", "events=deduplicated")
    unusable(other, "holds shards of another plan (recipe: events rows, now deduplicated)")
    assert dare(*command, "--overwrite").status == 0
    assert len(starts(folder)["S1/day1.edf"]) == 2


# --- labels in tables of events ---------------------------------------------------------------------------------------

LINES = [(4.0, 8.0, "loud"), (14.0, 8.0, "soft"), (24.0, 8.0, "loud"), (30.0, 1.0, "")]


def table(delimiter: str, names: str, lines: list[tuple[object, ...]]) -> str:
    return "\n".join([names.replace(",", delimiter), *(delimiter.join(map(str, line)) for line in lines), ""])


@pytest.mark.parametrize("form", ["csv", "semicolons", "tsv", "samples", "crlf and byte order mark"])
def test_table_of_events_beside_a_recording(src: Path, tmp_path: Path, form: str) -> None:
    content, layout = table(",", "label,onset,note", [(what, at, "a") for at, _, what in LINES]), ""
    if form == "semicolons":
        content = content.replace(",", ";").replace(".", ",")
    if form == "tsv":
        content = content.replace(",", "\t")
    if form == "samples":
        content = table(",", "label,onset", [(what, int(at * 128)) for at, _, what in LINES])
        layout = 'events.unit = "samples"\n'
    if form == "crlf and byte order mark":
        content = "\ufeff" + content.replace("\n", "\r\n\r\n")
    for subject in ("S1", "S2", "S3", "S4"):
        (src / subject / "day1.csv").write_bytes(content.encode())
    folder = made(src, tmp_path, f'{BY_SUBJECT}labels = "events"\n{layout}', CLASSES)
    assert starts(folder)["S2/day1.edf"] == [(4.0, "loud"), (14.0, "soft"), (24.0, "loud")]
    assert_labels_fit_the_signal(folder)
    assert "1 of 4 events stand for no class" in recordings(folder)["S2/day1.edf"]["reason"]


@pytest.mark.parametrize(
    ("encoding", "remark", "line_end"),
    [
        ("cp1252", "wait\u2026 then \u20ac5", "\r\n"),
        ("utf-8", "wait\u2028then\x85go\x0b\x0c\x1c", "\n"),
        ("utf-8", '"says ""go"",\r\nwaits,\n\nand goes"', "\r\n"),
        ("utf-8", "an old Macintosh", "\r"),
        ("utf-16", "gr\u00fc\u00dfe", "\r\n"),
        ("latin-1", "\x81 is nothing in Windows' code page", "\n"),
    ],
)
def test_lines_of_a_table_end_where_csv_says(
    src: Path, tmp_path: Path, encoding: str, remark: str, line_end: str
) -> None:
    lines = ["remark,onset,label", *(f"{remark},{at},{what}" for at, _, what in TASKS)]
    for subject in ("S1", "S2", "S3", "S4"):
        (src / subject / "day1.csv").write_bytes(line_end.join([*lines, ""]).encode(encoding))
    folder = made(src, tmp_path, f'{BY_SUBJECT}labels = "events"', CLASSES)
    assert starts(folder)["S2/day1.edf"] == [(4.0, "loud"), (14.0, "soft"), (24.0, "loud")]
    assert recordings(folder)["S2/day1.edf"]["reason"] == ""


def test_label_with_an_accent_is_read_in_the_code_page_of_windows(src: Path, tmp_path: Path) -> None:
    for subject in ("S1", "S2", "S3", "S4"):
        (src / subject / "day1.csv").write_bytes("onset,label\n4,\u201elaut\u201c\n14,\u017eut\n".encode("cp1252"))
    layout = f'{BY_SUBJECT}labels = "events"\nclasses = {{"\u201elaut\u201c" = "loud", "\u017eut" = "soft"}}'
    assert starts(made(src, tmp_path, layout, CLASSES))["S1/day1.edf"] == [(4.0, "loud"), (14.0, "soft")]


def test_table_of_spans_elsewhere_by_subject_and_session_with_its_own_columns(src: Path, tmp_path: Path) -> None:
    for subject in ("S1", "S2", "S3", "S4"):
        content = table("\t", "begin,length,what", [*LINES[:3], (36.0, "n/a", "soft")])
        (src / f"{subject}_day1.tsv").write_text(content)
    columns = 'events = {file = "{subject}_{session}.tsv", onset = "begin", duration = "length", label = "what"}'
    folder = made(src, tmp_path, f'{BY_SUBJECT}labels = "events"\nspans = true\n{columns}', CLASSES.replace("2", "4"))
    assert starts(folder)["S3/day1.edf"] == [
        (4.0, "loud"), (8.0, "loud"), (14.0, "soft"), (18.0, "soft"), (24.0, "loud"), (28.0, "loud"), (36.0, "soft"),
    ]  # fmt: skip
    assert_labels_fit_the_signal(folder)


@pytest.mark.parametrize("first_sample", [0, 640])
def test_samples_of_a_table_are_counted_in_the_file_and_gaps_are_not(first_sample: int) -> None:
    layout = Layout(files="{subject}.edf", labels="events", events={"unit": "samples", "file": "all.csv"})
    segments = tuple(
        Segment(max(0, start - first_sample), stop - first_sample, at_s + max(0, first_sample - start) / 128)
        for start, stop, at_s in ((0, 1280, 0.0), (1280, 2560, 20.0))
    )
    read = np.zeros((3, 2560 - first_sample), np.float32)
    recording = Recording(ELECTRODES, read, 128.0, (), segments, (), first_sample)
    content = table(",", "onset,label", [(700, "loud"), (1279, "soft"), (1280, "loud"), (1408, "soft")]).encode()
    stated = Recipe(
        corpus="mine", purpose="probe", electrodes=["C3"], notch_hz=0, classes=["soft", "loud"], layout=layout
    )
    cues, notes = corpora.of(stated).cues(
        RawRecording(path="S1.edf", subject="mine:S1", session="", label_file="all.csv"), recording, content, stated
    )
    assert [cue.onset_s for cue in cues] == [700 / 128, 1279 / 128, 20.0, 21.0]
    assert ([cue.label for cue in cues], notes) == ([1, 0, 1, 0], [])


@pytest.mark.parametrize("key", ["path", "name", "subject"])
def test_one_table_of_events_for_all(src: Path, tmp_path: Path, key: str) -> None:
    lines = []
    for number in (1, 2, 3):
        name = {"path": f"S{number}\\day1.edf", "name": f"S{number}/day1", "subject": f"S{number}"}[key]
        lines += [(name, 4.0 + number, "loud"), (name, 14.0 + number, "soft")]
    (src / "all.csv").write_text(table(",", "who,onset,label", lines))
    column = "subject" if key == "subject" else "path"
    folder = made(
        src, tmp_path, f'{BY_SUBJECT}labels = "events"\nevents = {{file = "all.csv", {column} = "who"}}', CLASSES
    )
    assert starts(folder) == {
        f"S{number}/day1.edf": [(4.0 + number, "loud"), (14.0 + number, "soft")] for number in (1, 2, 3)
    }
    assert_labels_fit_the_signal(folder)
    assert recordings(folder)["S4/day1.edf"]["outcome"] == "skipped"


AMBIGUOUS = "its rows in {} fit {} recordings alike: have a column of paths below --src tell these apart"


@pytest.fixture
def twice(src: Path) -> Path:
    """The tree, with a second day of the first subject."""
    write(src / "S1" / "day2.edf", TASKS, TASKS)
    return src


@pytest.mark.parametrize(
    ("name", "columns", "file", "unclear"),
    [
        ("day1.edf", 'path = "who"', "all.csv", ("S1/day1", "S2/day1", "S3/day1", "S4/day1")),
        ("day1", 'path = "who"', "all.csv", ("S1/day1", "S2/day1", "S3/day1", "S4/day1")),
        ("S1", 'subject = "who"', "all.csv", ("S1/day1", "S1/day2")),
        ("S1", 'file = "{subject}.csv"', "S1.csv", ("S1/day1", "S1/day2")),
    ],
)
def test_rows_of_events_that_fit_several_recordings_are_of_none(
    twice: Path, tmp_path: Path, name: str, columns: str, file: str, unclear: tuple[str, ...]
) -> None:
    own = [("S2/day1.edf", 4.0, "loud")] if "day" not in name and "path" in columns else []
    lines = [(name, 4.0, "loud"), (name, 14.0, "soft"), ("S2", 4.0, "loud"), ("day2.edf", 24.0, "loud"), *own]
    for table_file in {file, "S2.csv"}:
        (twice / table_file).write_text(table(",", "who,onset,label", lines))
    events = columns if "file" in columns else f'file = "all.csv", {columns}'
    layout = f'{BY_SUBJECT}labels = "events"\nevents = {{{events}}}'
    rows = recordings(made(twice, tmp_path, layout, CLASSES))
    said = AMBIGUOUS.format(file, len(unclear))
    assert [path for path, row in rows.items() if row["reason"] == said] == [f"{path}.edf" for path in unclear]
    assert all(rows[f"{path}.edf"]["outcome"] == "skipped" for path in unclear)
    assert sum(row["windows"] for row in rows.values()) > 0


def test_row_with_a_whole_path_is_of_one_recording_whatever_others_are_called(twice: Path, tmp_path: Path) -> None:
    lines = [("S1/day1.edf", 4.0, "loud"), ("S2/day1", 14.0, "soft"), ("day2.edf", 24.0, "loud")]
    (twice / "all.csv").write_text(table(",", "file,onset,label", lines))
    folder = made(
        twice, tmp_path, f'{BY_SUBJECT}labels = "events"\nevents = {{file = "all.csv", path = "file"}}', CLASSES
    )
    assert starts(folder) == {
        "S1/day1.edf": [(4.0, "loud")], "S2/day1.edf": [(14.0, "soft")], "S1/day2.edf": [(24.0, "loud")]
    }  # fmt: skip


def test_table_of_one_name_without_a_column_for_recordings_is_meant_for_all(src: Path, tmp_path: Path) -> None:
    (src / "all.csv").write_text(table(",", "onset,label", [(4.0, "loud"), (14.0, "soft")]))
    folder = made(src, tmp_path, f'{BY_SUBJECT}labels = "events"\nevents.file = "all.csv"', CLASSES)
    assert starts(folder) == {f"S{number}/day1.edf": [(4.0, "loud"), (14.0, "soft")] for number in (1, 2, 3, 4)}


def test_missing_table_of_events_fails_its_recording_alone(src: Path, tmp_path: Path) -> None:
    (src / "S1" / "day1.csv").write_text(table(",", "onset,label", [(4.0, "loud"), (14.0, "soft")]))
    folder = made(src, tmp_path, BY_SUBJECT + 'labels = "events"', CLASSES)
    rows = recordings(folder)
    assert (rows["S1/day1.edf"]["outcome"], rows["S1/day1.edf"]["windows"]) == ("ok", 2)
    assert (rows["S2/day1.edf"]["outcome"], rows["S2/day1.edf"]["reason"]) == (
        "failed",
        "labels: there is no S2/day1.csv",
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("onset,class\n4,loud\n", "S1/day1.csv: has no column 'label' but onset, class"),
        ("", "S1/day1.csv: has no column 'label'"),
    ],
)
def test_faulty_table_of_events_fails_its_recording(src: Path, tmp_path: Path, content: str, said: str) -> None:
    for subject in ("S1", "S2", "S3", "S4"):
        (src / subject / "day1.csv").write_text("onset,label\n4,loud\n")
    (src / "S1" / "day1.csv").write_text(content)
    row = recordings(made(src, tmp_path, BY_SUBJECT + 'labels = "events"', CLASSES))["S1/day1.edf"]
    assert row["outcome"] == "failed"
    assert said in row["reason"]


@pytest.mark.parametrize("bad", ["soon", "n/a", "nan", "", "inf", "-inf", "1:30", "4 s"])
def test_row_whose_onset_is_no_number_costs_itself(src: Path, tmp_path: Path, bad: str) -> None:
    for subject in ("S1", "S2", "S3", "S4"):
        (src / subject / "day1.csv").write_text(f"onset,label\n4,loud\n{bad},soft\n14,soft\n")
    folder = made(src, tmp_path, BY_SUBJECT + 'labels = "events"', CLASSES)
    assert starts(folder)["S1/day1.edf"] == [(4.0, "loud"), (14.0, "soft")]
    assert_labels_fit_the_signal(folder)
    said = "1 of 3 rows have no number as onset or duration: not used, the first in line 3"
    assert recordings(folder)["S1/day1.edf"]["reason"] == said


def test_row_whose_duration_is_no_number_costs_itself_and_one_that_is_unknown_nothing(
    src: Path, tmp_path: Path
) -> None:
    lines = [(4.0, 4, "loud"), (8.0, "long", "loud"), (14.0, "NaN", "soft"), (16.0, "N/A", "soft"), (18.0, "", "soft")]
    for subject in ("S1", "S2", "S3", "S4"):
        (src / subject / "day1.csv").write_text(table(",", "onset,duration,label", lines))
    folder = made(src, tmp_path, BY_SUBJECT + 'labels = "events"\nspans = true', CLASSES)
    assert starts(folder)["S1/day1.edf"] == [(float(at), "loud" if at < 14 else "soft") for at in (4, 6, 14, 16, 18)]
    assert "1 of 5 rows have no number" in recordings(folder)["S1/day1.edf"]["reason"]


def test_table_of_nothing_but_bad_rows_leaves_its_recording_without_a_window(src: Path, tmp_path: Path) -> None:
    for subject in ("S1", "S2", "S3", "S4"):
        (src / subject / "day1.csv").write_text("onset,label\n4,loud\n")
    (src / "S1" / "day1.csv").write_text("onset,label\n" + "later,loud\n" * 9)
    row = recordings(made(src, tmp_path, BY_SUBJECT + 'labels = "events"', CLASSES))["S1/day1.edf"]
    assert (row["outcome"], row["windows"]) == ("skipped", 0)
    assert "9 of 9 rows have no number as onset or duration: not used, the first in line 2" in row["reason"]


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
    assert [rows[f"S{number}/day1.edf"]["reason"] for number in (1, 4)] == [AMBIGUOUS.format("days.csv", 4)] * 2


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
