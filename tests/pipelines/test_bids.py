"""BIDS trees: which files are recordings, and labels in events, in participants and in the task."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pytest

from pipelines.corpora import bids
from tests.commands import contents, dare, recordings, unusable
from tests.judges import Sample, noise_uv, read_raw, samples, write_edf
from tests.pipelines.own_trees import assert_labels_fit_the_signal, labels, made, recipe, refused, starts, write_as

pytestmark = pytest.mark.slow

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


# --- channels.tsv -----------------------------------------------------------------------------------------------------

HEAD = ["Fp1", "Fp2", "F3", "F4", "C3", "Cz", "C4", "P3", "P4", "O1"]
ON_HEAD = ("--for", "pretrain", "--set", f"electrodes={','.join(HEAD).upper()}")
REST = "sub-01/eeg/sub-01_task-rest_eeg.edf"
BESIDE = "sub-01/eeg/sub-01_task-rest_channels.tsv"
BAD_CZ = "name\ttype\tunits\tstatus\nC3\tEEG\tuV\tgood\nCz\tEEG\tuV\tbad\nC4\tEEG\tuV\tn/a\n"
ABSENT_CZ = "Cz is bad by channels.tsv: taken as absent"


@pytest.fixture
def rest(tmp_path: Path) -> Path:
    """A tree of one recording of noise, without tables."""
    write_edf(tmp_path / "rest" / REST, noise_uv(HEAD, 20, 128), 128)
    return tmp_path / "rest"


@pytest.fixture
def shards(tmp_path: Path) -> Callable[..., Path]:
    """Make a set of a tree with all electrodes of the head, each time in another folder."""

    def make(src: Path, *options: object) -> Path:
        folder = tmp_path / f"made {len(list(tmp_path.glob('made *')))}"
        folder.mkdir()
        return made(src, folder, "bids = true", "", *ON_HEAD, *options)

    return make


def without(src: Path, *names: str) -> Path:
    """Return a tree beside that of the recording in which MNE has dropped these channels."""
    raw = read_raw(src / REST).drop_channels(list(names))
    kept = dict(zip(raw.ch_names, raw.get_data() * 1e6, strict=True))
    write_edf(src.with_name("without") / REST, kept, raw.info["sfreq"])
    return src.with_name("without")


def windows(folder: Path) -> list[Sample]:
    found = list(samples(folder).values())
    assert found
    return found


def assert_same_windows(folder: Path, other: Path) -> None:
    for ours, theirs in zip(windows(folder), windows(other), strict=True):
        np.testing.assert_array_equal(ours.counts, theirs.counts)
        assert ours.fields["scale"] == theirs.fields["scale"]


def electrodes(folder: Path) -> set[str]:
    """Return the electrodes that the recording at rest has in a set."""
    return set(recordings(folder)[REST]["channel_map"])


@pytest.mark.parametrize("missing", ["mask", "interpolate"])
@pytest.mark.parametrize("name", ["Cz", " Cz ", "EEG CZ-REF"])
def test_bad_channel_is_as_one_that_is_not_in_the_file(
    rest: Path, shards: Callable[..., Path], name: str, missing: str
) -> None:
    lacking = shards(without(rest, "Cz"), "--set", f"missing={missing}")
    (rest / BESIDE).write_text(BAD_CZ.replace("Cz", name))
    folder = shards(rest, "--set", f"missing={missing}")
    assert_same_windows(folder, lacking)
    row = recordings(folder)[REST]
    assert row["channel_map"] == recordings(lacking)[REST]["channel_map"]
    assert ABSENT_CZ in row["reason"]


def test_bad_channel_is_interpolated_as_mne_does(rest: Path, shards: Callable[..., Path]) -> None:
    before = shards(rest)
    (rest / BESIDE).write_text(BAD_CZ)
    for recorded, ours in zip(windows(before), windows(shards(rest, "--set", "missing=interpolate")), strict=True):
        raw = mne.io.RawArray(recorded.data_uv / 1e6, mne.create_info(HEAD, 256.0, "eeg"), verbose="error")
        raw.set_montage("colin27_1005").info["bads"] = ["Cz"]
        wanted_uv = raw.interpolate_bads(verbose="error").get_data() * 1e6
        assert np.abs(wanted_uv - recorded.data_uv)[HEAD.index("Cz")].max() > 10
        np.testing.assert_allclose(ours.data_uv, wanted_uv, atol=0.1)


@pytest.mark.parametrize(("kind", "is_eeg"), [("eog", False), ("{misc}", False), ("Eeg", True), ("n/a", True)])
def test_channel_of_another_type_is_no_electrode_whatever_its_label(
    tmp_path: Path, shards: Callable[..., Path], kind: str, is_eeg: bool
) -> None:
    src = tmp_path / "eyes"
    write_edf(src / REST, noise_uv(["EEG Fp1", *HEAD], 20, 128), 128)
    other = shards(without(src, "EEG Fp1"))
    if is_eeg:
        write_edf(src / REST, noise_uv(["EEG Fp1", *HEAD[1:]], 20, 128), 128)
        other = shards(without(src))
    (src / BESIDE).write_text(f"name\ttype\tunits\nEEG Fp1\t{kind}\tuV\nFp1\tEEG\tuV\n")
    folder = shards(src)
    assert_same_windows(folder, other)
    told = f"EEG Fp1 is {kind.upper()} by channels.tsv: taken as absent"
    assert (told in recordings(folder)[REST]["reason"]) is not is_eeg


def test_bad_channel_is_absent_in_every_format(src: Path, tmp_path: Path) -> None:
    layout = 'bids = true\nfiles = "**/*_task-listen_*"\nlabels = "events"'
    (tmp_path / "bad").mkdir()
    before = made(src, tmp_path, layout, CLASSES)
    for table in src.rglob("*_channels.tsv"):
        table.write_text(BAD_CZ)
    folder = made(src, tmp_path / "bad", layout, CLASSES)
    assert {Path(path).suffix for path in recordings(folder)} == {".edf", ".vhdr", ".set"}
    assert all("CZ is bad by channels.tsv" in row["reason"] for row in recordings(folder).values())
    for bad, good in zip(windows(folder), windows(before), strict=True):
        assert [scale > 0 for scale in bad.fields["scale"]] == [True, False, True]
        np.testing.assert_array_equal(bad.counts[[0, 2]], good.counts[[0, 2]])
        assert good.counts[1].any()
        assert not bad.counts[1].any()


@pytest.mark.parametrize(
    "table",
    [
        "name\nCz\nC3\n",
        "name\ttype\tunits\nO1\teeg\tmV\nCz\tEEG\tV\nnot there\tEEG\tuV\n",
        "status\tname\ngood\tCz\nn/a\tC3\n\tC4\n",
        "\ufeffname\ttype\tstatus\r\nC3\tn/a\tGood\r\n",
    ],
)
def test_table_that_marks_no_channel_changes_no_byte(rest: Path, shards: Callable[..., Path], table: str) -> None:
    before = contents(shards(rest))
    (rest / BESIDE).write_text(table)
    assert contents(shards(rest)) == before


def test_marked_channel_that_the_file_lacks_changes_no_window(rest: Path, shards: Callable[..., Path]) -> None:
    before = shards(rest)
    (rest / BESIDE).write_text("name\ttype\tstatus\nPz\tEEG\tbad\nVEOG\tVEOG\tgood\n")
    folder = shards(rest)
    assert_same_windows(folder, before)
    assert recordings(folder) == recordings(before)


def test_each_recording_has_marks_of_its_own(rest: Path, shards: Callable[..., Path]) -> None:
    tables = {"play": BAD_CZ.replace("bad", "Bad"), "talk": BAD_CZ.replace("bad", "good"), "walk": ""}
    for task, table in tables.items():
        shutil.copy(rest / REST, rest / REST.replace("rest", task))
        if table:
            (rest / BESIDE.replace("rest", task)).write_text(table)
    rows = recordings(shards(rest))
    assert {path: "CZ" in row["channel_map"] for path, row in rows.items()} == {
        REST.replace("rest", task): task != "play" for task in ("play", "rest", "talk", "walk")
    }
    assert [ABSENT_CZ in row["reason"] for row in rows.values()] == [True, False, False, False]


@pytest.mark.parametrize(
    ("marks", "bad"),
    [
        ({"task-rest_channels.tsv": "Cz"}, {"CZ"}),
        ({"sub-01/sub-01_channels.tsv": "Cz", "task-rest_channels.tsv": "C3"}, {"CZ"}),
        ({BESIDE: "Cz", "sub-01/sub-01_channels.tsv": "C3"}, {"CZ"}),
        ({BESIDE: "Cz", "sub-01/eeg/sub-01_channels.tsv": "C3"}, {"CZ"}),
        ({"sub-01/eeg/sub-01_task-rest_run-2_channels.tsv": "Cz", "task-play_channels.tsv": "C3"}, set()),
        ({"sub-02/sub-02_channels.tsv": "Cz", "derivatives/task-rest_channels.tsv": "C3"}, set()),
    ],
)
def test_nearest_table_holds_for_a_recording(
    rest: Path, shards: Callable[..., Path], marks: dict[str, str], bad: set[str]
) -> None:
    for path, name in marks.items():
        (rest / path).parent.mkdir(parents=True, exist_ok=True)
        (rest / path).write_text(f"name\tstatus\n{name}\tbad\n")
    assert electrodes(shards(rest)) == {name.upper() for name in HEAD} - bad


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"label\ttype\nCz\tEEG\n", "has no column 'name' but label, type; mend it, or remove it"),
        (b"", "is empty; mend it, or remove it"),
        (b'name\tstatus\n"Cz\tbad\nC3\tbad\n', "line 3 is no line of a table (unexpected end of data); mend it"),
        (None, "cannot be read (No such file or directory); mend it, or remove it"),
    ],
)
def test_faulty_table_is_named(rest: Path, tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is None:
        (rest / BESIDE).symlink_to("nowhere")
    else:
        (rest / BESIDE).write_bytes(content)
    assert refused(rest, tmp_path, "bids = true").startswith(f"dare: {rest / BESIDE}: {said}")


def test_marks_that_changed_are_another_plan(rest: Path, tmp_path: Path) -> None:
    command = ("preprocess", "mine", "--src", rest, "--out", tmp_path / "out", "--workers", 1, *ON_HEAD)
    command += ("--recipe", recipe(tmp_path, "bids = true"))
    changed = (tmp_path / "out" / "mine-pretrain", "holds shards of another plan", f"1 recordings ({REST}) changed")
    assert dare(*command).status == 0
    (rest / BESIDE).write_text(BAD_CZ)
    unusable(dare(*command), *changed)
    assert dare(*command, "--overwrite").status == 0
    (rest / BESIDE).write_text(BAD_CZ.replace("good", "n/a"))
    assert dare(*command).status == 0
    (rest / BESIDE).unlink()
    unusable(dare(*command), *changed)


def test_plan_from_before_marks_were_read_holds_where_there_are_none(rest: Path, tmp_path: Path) -> None:
    folder = made(rest, tmp_path, "bids = true", "", *ON_HEAD)
    before = windows(folder)
    old = json.loads((folder / "plan.json").read_text())
    assert [row["scanned"]["raw"].pop("unused") for row in old["recordings"]] == [{}]
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps(old))
    again = made(rest, tmp_path, "bids = true", "", *ON_HEAD)
    assert json.loads((again / "plan.json").read_text()) == old
    for ours, theirs in zip(windows(again), before, strict=True):
        np.testing.assert_array_equal(ours.counts, theirs.counts)


def test_archive_from_before_marks_were_read_is_as_good(rest: Path, shards: Callable[..., Path]) -> None:
    archive = shards(rest, "--format", "zarr")
    plan = json.loads((archive / "plan.json").read_text())
    assert [row["scanned"]["raw"].pop("unused") for row in plan["recordings"]] == [{}]
    (archive / "plan.json").write_text(json.dumps(plan))
    assert contents(shards(archive)) == contents(shards(rest))


@pytest.mark.parametrize("missing", ["mask", "interpolate"])
def test_set_cut_from_an_archive_is_the_one_cut_from_raw(rest: Path, shards: Callable[..., Path], missing: str) -> None:
    (rest / BESIDE).write_text(BAD_CZ)
    from_raw = shards(rest, "--set", f"missing={missing}")
    archive = shards(rest, "--set", f"missing={missing}", "--format", "zarr")
    shutil.rmtree(rest)
    assert contents(shards(archive, "--set", f"missing={missing}")) == contents(from_raw)
    assert ABSENT_CZ in recordings(from_raw)[REST]["reason"]


def test_dry_run_tells_of_bad_channels(rest: Path, tmp_path: Path) -> None:
    (rest / BESIDE).write_text(BAD_CZ)
    command = ("preprocess", "mine", "--src", rest, "--dry-run", "--json", *ON_HEAD)
    command += ("--recipe", recipe(tmp_path, "bids = true"))
    (row,) = json.loads(dare(*command).out)["recordings"]
    assert (row["outcome"], row["missing"]) == ("ok", ["CZ"])
    assert {"kind": "unused channel", "text": ABSENT_CZ} in row["findings"]
    (row,) = json.loads(dare(*command, "--set", "missing=require").out)["recordings"]
    assert (row["outcome"], row["reason"]) == ("skipped", f"lacks CZ; take it with --set missing=mask; {ABSENT_CZ}")
