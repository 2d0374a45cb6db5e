"""The events of TUEV: rows of channel, start, stop and label, and the windows that are made of them."""

import csv
import shutil
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import recipe as recipes
from manifests.plan import RawRecording
from pipelines.corpora import CORPORA
from pipelines.recording import Recording, Segment
from tests.commands import preprocess, recordings
from tests.judges import conditioned_uv, noise_uv, samples, write_edf

pytest_plugins = ["tests.corpora_fixtures"]

CODES = {"spsw": 1, "gped": 2, "pled": 3, "eyem": 4, "artf": 5, "bckg": 6}


def tuev(folder: Path, rec: str | None, options: tuple[str, ...] = (), seconds: int = 20) -> Path:
    """Preprocess one recording of 250 Hz with these rows."""
    stem = folder / "raw" / "edf" / "train" / "aaaaaaar" / "aaaaaaar_00000001"
    write_edf(stem.with_suffix(".edf"), noise_uv(["EEG C3-REF", "EEG C4-REF"], seconds, 250), 250)
    if rec is not None:
        stem.with_suffix(".rec").write_text(rec)
    return preprocess("tuev", folder / "raw", folder / "out", *options)


def told(folder: Path) -> list[tuple[float, str]]:
    """Return the start of every event, two seconds into its window, and its class."""
    return [(round(one.start_s + 2, 6), one.label_name) for one in samples(folder).values()]


ROWS = """\
3,5.0,6.0,1
4,5.0,6.0,1
5,5.0,6.0,6
3,5.1,6.1,2
7,8.0,9.0,3
9,8.0,9.0,5
1,10.0,11.0,6
"""


def test_moment_listed_for_many_channels_is_one_window_and_background_yields(tmp_path: Path) -> None:
    folder = tuev(tmp_path, ROWS)
    assert told(folder) == [(5.0, "spsw"), (5.1, "gped"), (10.0, "bckg")]
    (row,) = recordings(folder).values()
    assert "1 moments carry contradicting events: dropped" in row["reason"]
    assert "3 rows repeat a moment on another channel" in row["reason"]


MERGING = """\
3,5.0,6.0,2
4,5.1,6.1,2
4,6.0,7.0,2
9,7.1,8.1,2
5,5.5,6.5,6
3,10.0,11.0,1
3,10.1,11.1,1
7,12.0,13.0,6
8,12.3,13.3,6
8,13.3,14.3,6
3,15.0,16.0,1
4,15.5,16.5,3
"""


def test_rows_that_overlap_or_abut_are_one_event_with_a_window_a_second(tmp_path: Path) -> None:
    folder = tuev(tmp_path, MERGING, ("--set", "events=merged"))
    # 5.0 to 7.0 and, a tenth later, 7.1 to 8.1 are periodic; the spike lasts 1.1 s; background 2.3 s. Of the two
    # that contradict each other half a second of each is left, too little for a window.
    assert told(folder) == [(5.0, "gped"), (6.0, "gped"), (7.1, "gped"), (10.0, "spsw"), (12.0, "bckg"), (13.0, "bckg")]
    (row,) = recordings(folder).values()
    assert "5 tenths of a second carry contradicting events: dropped" in row["reason"]
    assert "14 tenths of a second follow the last whole second of their event: dropped" in row["reason"]
    assert "repeat a moment" not in row["reason"]


@given(st.lists(st.tuples(st.integers(0, 150), st.sampled_from(sorted(CODES)), st.integers(0, 21)), min_size=1))
def test_merged_windows_share_no_time_and_hold_nothing_but_their_class(rows: list[tuple[int, str, int]]) -> None:
    table = "".join(f"{channel},{t / 10:.1f},{t / 10 + 1:.1f},{CODES[name]}\n" for t, name, channel in rows)
    recipe = recipes.load("tuev", settings=("events=merged",))
    source = RawRecording(path="a.edf", subject="tuh:aaaaaaaa", session="1", label_file="a.rec")
    still = Recording(("CZ",), np.zeros((1, 2000), np.float32), 100, (), (Segment(0, 2000, 0.0),), ())
    cues, _ = CORPORA["tuev"].cues(source, still, table.encode(), recipe)
    kinds = np.zeros((170, len(recipe.classes)), bool)
    for tenth, name, _ in rows:
        kinds[tenth : tenth + 10, recipe.classes.index(name)] = True
    events = kinds.copy()
    events[kinds[:, :5].any(axis=1), 5] = False
    taken = np.zeros(170, bool)
    for cue in cues:
        core = slice(round(cue.onset_s * 10), round(cue.onset_s * 10) + 10)
        assert events[core, cue.label].all()
        assert (events[core].sum(axis=1) == 1).all()
        assert not taken[core].any()
        taken[core] = True
    # What is left of an event is shorter than a second.
    left = np.where((events.sum(axis=1) == 1) & ~taken, events.argmax(axis=1), -1)
    assert all(label == -1 or len(list(run)) < 10 for label, run in groupby(left))


@pytest.mark.parametrize("events", ["rows", "deduplicated", "merged"])
def test_file_of_one_row_that_ends_with_the_recording(tmp_path: Path, events: str) -> None:
    settings = ("--set", f"events={events}", "--set", "edges=wrap")
    assert told(tuev(tmp_path, "11,19.0,20.0,5\n", settings)) == [(19.0, "artf")]


@pytest.mark.parametrize("events", ["rows", "deduplicated", "merged"])
def test_recording_whose_every_row_lies_past_its_end_is_skipped_with_the_count(tmp_path: Path, events: str) -> None:
    stem = tmp_path / "raw" / "edf" / "train" / "aaaaaaar" / "aaaaaaar_00000002"
    write_edf(stem.with_suffix(".edf"), noise_uv(["EEG C3-REF"], 20, 250), 250)
    stem.with_suffix(".rec").write_text("3,20.0,21.0,1\n4,25.0,26.0,1\n")
    folder = tuev(tmp_path, "3,5.0,6.0,1\n", ("--set", f"events={events}"))
    row = recordings(folder)["edf/train/aaaaaaar/aaaaaaar_00000002.edf"]
    assert (row["outcome"], row["windows"]) == ("skipped", 0)
    assert "2 of 2 events lie outside the signal or in a gap: dropped" in row["reason"]


def test_rows_are_windows_as_published(tmp_path: Path) -> None:
    folder = tuev(tmp_path, ROWS, ("--set", "events=rows"))
    names = {code: name for name, code in CODES.items()}
    expected = [(float(row[1]), names[int(row[3])]) for row in csv.reader(ROWS.splitlines())]
    assert sorted(told(folder)) == sorted(expected)


ENDS = "3,0.0,1.0,1\n3,1.9,2.9,2\n3,2.0,3.0,3\n3,17.0,18.0,4\n3,17.1,18.1,5\n3,19.0,20.0,6\n3,25.0,26.0,6\n"
WHOLE = [(2.0, "pled"), (17.0, "eyem")]
ALL = [(0.0, "spsw"), (1.9, "gped"), *WHOLE, (17.1, "artf"), (19.0, "bckg")]


@pytest.mark.parametrize(("edges", "kept"), [("drop", WHOLE), ("pad", ALL), ("wrap", ALL)])
def test_window_beyond_an_end_is_dropped_padded_or_wrapped(
    tmp_path: Path, edges: str, kept: list[tuple[float, str]]
) -> None:
    folder = tuev(tmp_path, ENDS, ("--set", f"edges={edges}"))
    assert told(folder) == kept
    (row,) = recordings(folder).values()
    assert "1 of 7 events lie outside the signal or in a gap: dropped" in row["reason"]
    signal_uv = conditioned_uv(tmp_path / "raw" / row["path"], ["C3", "C4"], (0.1, 75), 60, 200)
    around = {
        "drop": np.full((2, 4000), np.nan),
        "pad": np.zeros((2, 4000)),
        "wrap": signal_uv,
    }[edges]
    padded = np.concatenate([around, signal_uv, around], axis=1)
    for one in samples(folder).values():
        start = 4000 + round(one.start_s * 200)
        expected_uv = padded[:, start : start + 1000]
        present = [one.fields["channels"].index(name) for name in ("C3", "C4")]
        np.testing.assert_allclose(one.data_uv[present], expected_uv, atol=2**-6 + 0.1)


def test_file_of_a_single_row_is_read(tmp_path: Path) -> None:
    assert told(tuev(tmp_path, "11,4.0,5.0,5\n")) == [(4.0, "artf")]


@pytest.mark.parametrize(
    ("rec", "said"),
    [
        ("", "holds no event"),
        ("3,5.0,6.0\n", "line 1 is not channel,start,stop,label"),
        ("3,5.0,6.0,1\n3,five,6.0,1\n", "line 2 is not channel,start,stop,label"),
        ("3,5.0,6.0,7\n", "line 1 has label 7"),
        ("3,nan,6.0,1\n", "line 1 starts at nan s"),
    ],
)
def test_rows_that_make_no_sense_fail_the_recording_by_line(tmp_path: Path, rec: str, said: str) -> None:
    stem = tmp_path / "raw" / "edf" / "train" / "aaaaaaar" / "aaaaaaar_0000000"
    write_edf(Path(f"{stem}2.edf"), noise_uv(["EEG C3-REF"], 20, 250), 250)
    Path(f"{stem}2.rec").write_text("3,5.0,6.0,1\n")
    folder = tuev(tmp_path, rec)
    row = recordings(folder)["edf/train/aaaaaaar/aaaaaaar_00000001.edf"]
    assert (row["outcome"], row["windows"]) == ("failed", 0)
    assert said in row["reason"]
    assert "aaaaaaar_00000001.rec" in row["reason"]


def test_recording_without_rows_fails_and_the_others_go_on(raw: Path, tmp_path: Path) -> None:
    tree = shutil.copytree(raw / "tuev", tmp_path / "raw")
    lost, *_ = sorted(tree.rglob("train/*/*.rec"))
    lost.unlink()
    rows = recordings(preprocess("tuev", tree, tmp_path / "out"))
    failed = {path: row["reason"] for path, row in rows.items() if row["outcome"] == "failed"}
    name = lost.relative_to(tree).as_posix()
    assert failed == {name.replace(".rec", ".edf"): f"labels: there is no {name}"}
