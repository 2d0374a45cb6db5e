"""Events of a corpus of one's own: what tables say of them, which recording they are of, and labels at one onset."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from manifests.layout import Layout
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines import corpora
from pipelines.recording import Recording, Segment
from tests.commands import dare, manifest, recordings, unusable
from tests.pipelines.own_trees import (
    BY_SUBJECT,
    CLASSES,
    ELECTRODES,
    TASKS,
    assert_labels_fit_the_signal,
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


# --- labels in tables of events ---------------------------------------------------------------------------------------

LINES = [(4.0, 8.0, "loud"), (14.0, 8.0, "soft"), (24.0, 8.0, "loud"), (30.0, 1.0, "")]


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
    facts = {"corpus": "mine", "purpose": "probe", "electrodes": ["C3"], "notch_hz": 0, "classes": ["soft", "loud"]}
    stated = Recipe.model_validate(facts | {"layout": layout})
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
        ("", "S1/day1.csv: is empty"),
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


# --- tables that a BIDS tree inherits ---------------------------------------------------------------------------------

EVENTS = table("\t", "onset,duration,trial_type", TASKS)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of two subjects, the second of whom has events beside the recording."""
    root = tmp_path / "bids"
    for number, suffix in ((1, ".edf"), (2, ".vhdr")):
        stem = root / f"sub-0{number}/ses-pre/eeg/sub-0{number}_ses-pre_task-listen_run-1_eeg"
        write_as(suffix, stem, TASKS)
    stem.with_name(stem.name.replace("_eeg", "_events.tsv")).write_text(EVENTS)
    (root / "derivatives").mkdir()
    return root


@pytest.mark.parametrize(
    ("tables", "onset_s"),
    [
        ({"task-listen_events.tsv": 4.0}, 4.0),
        ({"task-listen_events.tsv": 4.0, "sub-01/sub-01_events.tsv": 6.0}, 6.0),
        ({"sub-01/sub-01_events.tsv": 6.0, "sub-01/ses-pre/sub-01_ses-pre_run-1_events.tsv": 8.0}, 8.0),
        ({"sub-01/ses-pre/eeg/sub-01_ses-pre_events.tsv": 6.0, "task-listen_run-1_events.tsv": 8.0}, 6.0),
        (
            {
                "sub-01/ses-pre/eeg/sub-01_ses-pre_events.tsv": 6.0,
                "sub-01/ses-pre/eeg/sub-01_ses-pre_task-listen_run-1_events.tsv": 8.0,
            },
            8.0,
        ),
        (
            {"task-rest_events.tsv": 4.0, "sub-02/sub-02_events.tsv": 4.0, "derivatives/task-listen_events.tsv": 4.0},
            None,
        ),
        ({"task-listen_run-2_events.tsv": 4.0}, None),
    ],
)
def test_events_are_inherited_from_the_nearest_table(
    tree: Path, tmp_path: Path, tables: dict[str, float], onset_s: float | None
) -> None:
    for path, at_s in tables.items():
        (tree / path).write_text(f"onset\tduration\ttrial_type\n{at_s}\t1\tloud\n")
    folder = made(tree, tmp_path, 'bids = true\nlabels = "events"', CLASSES)
    path = "sub-01/ses-pre/eeg/sub-01_ses-pre_task-listen_run-1_eeg.edf"
    assert starts(folder).get(path, []) == ([] if onset_s is None else [(onset_s, "loud")])
    assert ("labels: there is no " in recordings(folder)[path]["reason"]) == (onset_s is None)
    assert [at for at, _ in starts(folder)["sub-02/ses-pre/eeg/sub-02_ses-pre_task-listen_run-1_eeg.vhdr"]] == [
        4,
        14,
        24,
    ]


def test_inherited_events_are_kept_by_an_archive(tree: Path, tmp_path: Path) -> None:
    for path in tree.rglob("*_events.tsv"):
        path.unlink()
    (tree / "task-listen_events.tsv").write_text(EVENTS)
    layout = 'bids = true\nlabels = "events"'
    from_raw = made(tree, tmp_path, layout, CLASSES)
    for name in ("archive", "cut"):
        (tmp_path / name).mkdir()
    archive = made(tree, tmp_path / "archive", layout, CLASSES, "--format", "zarr")
    shutil.rmtree(tree)
    assert starts(made(archive, tmp_path / "cut", layout, CLASSES)) == starts(from_raw)
    assert len(starts(from_raw)) == 2


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
