"""Spans that windows keep, judged by what the raw files and the tables beside them list, read by csv and MNE alone."""

import csv
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import mne
import numpy as np
import pytest

from dare_eeg import open_shards
from dare_eeg.data.shards import training_sets
from manifests import recipe as recipes
from pipelines import cut, synth
from tests.commands import contents, dare, manifest, plan_of, preprocess, preprocess_by_hand
from tests.judges import members, noise_uv, samples, write_edf
from tests.pipelines.own_trees import made, write

pytestmark = pytest.mark.slow

TICKS = 10_000  # a second: the tables have four decimals
TWINS = {"chbmit": (2, 65), "tuar": (4, 45), "tuev": (4, 30), "tusz": (8, 45)}
"""Subjects and seconds of each."""

SMALL = ("--set", "shard_mb=1")
SPLITS = ("train", "valid", "test")
BEFORE = Path(__file__).parents[1] / "data" / "release_0_1_0" / "shards"

Row = tuple[float, float, str]
"""Start and end in seconds, and a class."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    for corpus, (subjects, seconds) in TWINS.items():
        synth.write(corpus, folder / corpus, subjects, seconds, seed=1)
    return folder


@pytest.fixture(scope="module")
def sets(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    for corpus in TWINS:
        preprocess(corpus, raw / corpus, folder, *SMALL, "--format", "both")
    return folder


def listed(recording: Path) -> Iterator[Row]:
    """Yield what is listed of a recording, a row for each channel, but for what is the absence of everything else."""
    if recording.name.startswith("chb"):
        summary = next(recording.parent.glob("*-summary.txt")).read_text()
        entry = summary.split(f"File Name: {recording.name}\n")[1].partition("File Name")[0]
        times = [float(line.split()[-2]) for line in entry.splitlines() if line.endswith("seconds")]
        yield from ((begin, end, "seizure") for begin, end in zip(times[::2], times[1::2], strict=True))
    elif recording.with_suffix(".rec").exists():
        kinds = dict(enumerate(("spsw", "gped", "pled", "eyem", "artf", "bckg"), start=1))
        for _, begin, end, kind in csv.reader(recording.with_suffix(".rec").read_text().splitlines()):
            yield float(begin), float(end), kinds[int(kind)]
    else:
        table = recording.with_suffix(".csv_bi")
        text = (table if table.exists() else recording.with_suffix(".csv")).read_text().splitlines()
        for row in csv.DictReader(line for line in text if not line.startswith("#")):
            for kind in row["label"].replace("elpp", "elec").split("_"):
                if kind != "bckg":
                    yield float(row["start_time"]), float(row["stop_time"]), kind


def united(rows: Iterator[Row]) -> list[Row]:
    """Return the rows by time, those of one class that overlap or abut as one: on a ruler of all moments."""
    ruler = defaultdict[str, np.ndarray](lambda: np.zeros(200 * TICKS, np.int8))
    for begin, end, kind in rows:
        ruler[kind][round(begin * TICKS) : round(end * TICKS)] = 1
    found: list[Row] = []
    for kind, marks in ruler.items():
        borders = np.flatnonzero(np.diff(marks, prepend=0, append=0)) / TICKS
        found += [(begin, end, kind) for begin, end in borders.reshape(-1, 2).tolist()]
    return found


def touched(spans: list[Row], start_s: float, window_s: float) -> list[tuple[float, float, str]]:
    """Return (onset from the window's start, duration, class) of the spans that share time with a window, in order."""
    here = [(begin, end, kind) for begin, end, kind in spans if begin < start_s + window_s and end > start_s]
    return sorted((round(begin - start_s, 6), round(end - begin, 6), kind) for begin, end, kind in here)


def kept(folder: Path) -> dict[tuple[str, float], list[tuple[float, float, str]]]:
    """Return, by recording and start, what the samples of a set say of spans."""
    found = {}
    for one in samples(folder).values():
        for span in one.fields["annotations"]:
            assert set(span) == {"onset_s", "duration_s", "label", "label_name"}
            assert manifest(folder)["recipe"]["classes"][span["label"]] == span["label_name"]
        found[one.fields["recording"], one.start_s] = sorted(
            (span["onset_s"], span["duration_s"], span["label_name"]) for span in one.fields["annotations"]
        )
    return found


def read(folder: Path) -> dict[tuple[str, float], list[tuple[float, float, str]]]:
    """Return the same by `open_shards`, of a set in any format."""
    windows = open_shards(folder, SPLITS)
    found = {}
    for number in range(len(windows)):
        spans = windows.annotations(number)
        assert spans is not None
        assert [windows.classes[span.label] for span in spans] == [span.label_name for span in spans]
        found[str(windows.recordings[number]), float(windows.start_s[number])] = sorted(
            (span.onset_s, span.duration_s, span.label_name) for span in spans
        )
    return found


@pytest.mark.parametrize("corpus", TWINS)
def test_window_keeps_the_spans_that_it_touches(raw: Path, sets: Path, corpus: str) -> None:
    found, window_s = kept(sets / corpus), recipes.load(corpus).window_s
    spans = {path: united(listed(raw / corpus / path)) for path, _ in found}
    assert found == {(path, start_s): touched(spans[path], start_s, window_s) for path, start_s in found}
    assert read(sets / corpus) == found
    assert any(found.values())


def kept_of(corpus: str, table: Path, *options: object) -> dict[float, list[Row]]:
    """Preprocess 20 s of two electrodes beside a table; return the spans of the windows, by their start."""
    write_edf(table.with_suffix(".edf"), noise_uv(["EEG C3-REF", "EEG C4-REF"], 20, 250), 250)
    src = next(folder for folder in table.parents if folder.name == "edf").parent
    return {start_s: spans for (_, start_s), spans in kept(preprocess(corpus, src, src / "out", *options)).items()}


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


ARTIFACTS = """\
# version = csv_v1.0.0
channel,start_time,stop_time,label,confidence
C3-CZ,4.0,7.0,eyem,1.0
CZ-C4,6.5,8.0,eyem_musc,1.0
C3-CZ,8.0,9.25,eyem,1.0
C3-CZ,10.0,10.0,chew,1.0
CZ-C4,13.0,14.0,eyem,1.0
C3-CZ,15.0,16.0,odd,1.0
"""
"""Eyes move from 4 to 9.25 s, on one channel or the other."""


def test_rows_of_one_kind_that_overlap_or_abut_on_any_channels_are_one_span(tmp_path: Path) -> None:
    table = written(tmp_path / "edf" / "01_tcp_ar" / "aaaaaaaa_s001_t000.csv", ARTIFACTS)
    assert kept_of("tuar", table) == {
        0.0: [(4.0, 5.25, "eyem")],
        5.0: [(-1.0, 5.25, "eyem"), (1.5, 1.5, "musc")],
        10.0: [(3.0, 1.0, "eyem")],
        15.0: [],
    }


EVENTS = "3,5.0,6.0,1\n4,5.0,6.0,1\n4,6.0,7.0,1\n3,6.8,7.8,2\n7,8.5,9.5,6\n"


@pytest.mark.parametrize("events", ["rows", "deduplicated", "merged"])
def test_events_are_runs_whatever_is_made_of_them_as_windows(tmp_path: Path, events: str) -> None:
    table = written(tmp_path / "edf" / "train" / "aaaaaaar" / "aaaaaaar_00000001.rec", EVENTS)
    found = kept_of("tuev", table, "--set", f"events={events}")
    runs = [(5.0, 7.0, "spsw"), (6.8, 7.8, "gped"), (8.5, 9.5, "bckg")]
    assert found == {start_s: touched(runs, start_s, 5.0) for start_s in found}
    assert {3.0, 6.5} <= found.keys()


@pytest.mark.parametrize("corpus", ["chbmit", "tusz"])
def test_window_is_a_seizure_where_it_keeps_one(sets: Path, corpus: str) -> None:
    windows = samples(sets / corpus).values()
    labels = {(bool(one.fields["annotations"]), one.label_name) for one in windows}
    assert labels in ({(True, "seizure"), (False, "background")}, {(True, "seiz"), (False, "bckg")})


@pytest.mark.parametrize("corpus", TWINS)
def test_pieces_keep_what_the_whole_keeps(raw: Path, sets: Path, tmp_path: Path, corpus: str) -> None:
    in_pieces = {"piece_samples": 20 * 250 * 11, "piece_grid_s": 10.0}
    preprocess_by_hand(corpus, raw / corpus, tmp_path, ("shard_mb=1",), **in_pieces)
    assert max(row["pieces"] for row in plan_of(tmp_path)["recordings"]) > 1
    assert kept(tmp_path) == kept(sets / corpus)


@pytest.mark.parametrize("corpus", TWINS)
def test_archive_is_cut_again_to_the_same_bytes(raw: Path, sets: Path, tmp_path: Path, corpus: str) -> None:
    again = preprocess(corpus, sets / corpus, tmp_path / "again", *SMALL)
    assert shards(again) == shards(sets / corpus)
    alone = preprocess(corpus, raw / corpus, tmp_path / "alone", *SMALL, "--format", "zarr")
    assert read(alone) == kept(sets / corpus)


def shards(folder: Path) -> dict[str, bytes]:
    """Return tars and indexes."""
    found = {name: content for name, content in contents(folder).items() if name.endswith((".tar", ".npz"))}
    assert found
    return found


@pytest.mark.parametrize("form", ["both", "zarr"])
def test_windows_that_stay_when_a_subject_leaves_keep_theirs(raw: Path, tmp_path: Path, form: str) -> None:
    folder = preprocess("tusz", raw / "tusz", tmp_path, "--format", form)
    before, windows = read(folder), open_shards(folder, SPLITS)
    leaves = next(str(windows.subjects[n]) for n in range(len(windows)) if not windows.annotations(n))
    own = {str(path) for path, who in zip(windows.recordings, windows.subjects, strict=True) if who == leaves}
    assert dare("drop", folder, "--subject", leaves).status == 0
    stay = {key: spans for key, spans in before.items() if key[0] not in own}
    assert any(stay.values())
    assert read(folder) == stay != before
    assert form == "zarr" or kept(folder) == stay
    assert dare("verify", folder).out == f"{folder}: whole\n"


def test_windows_that_rejection_leaves_keep_theirs(raw: Path, sets: Path, tmp_path: Path) -> None:
    every = kept(sets / "tuar")
    loudest = sorted(float(np.abs(one.data_uv).max()) for one in samples(sets / "tuar").values())
    limit = f"reject_uv={loudest[len(loudest) // 2]:.3f}"
    found = kept(preprocess("tuar", raw / "tuar", tmp_path, "--set", limit))
    assert 0 < len(found) < len(every)
    assert found.items() <= every.items()


def test_subjects_that_are_left_out_do_not_shift_the_spans_of_others(sets: Path) -> None:
    every, path = read(sets / "tusz"), sets / "tusz"
    (one,) = training_sets(path, (f"{path}:test",))
    (fewer,) = training_sets(path, ())
    whole = fewer.train
    left_out = type(whole)(path, whole.manifest, ["train"], [str(whole.subjects[0])])
    assert (len(one.train), 0 < len(left_out) < len(whole)) == (len(whole), True)
    for number in range(len(left_out)):
        spans = left_out.annotations(number)
        key = str(left_out.recordings[number]), float(left_out.start_s[number])
        assert sorted((span.onset_s, span.duration_s, span.label_name) for span in spans or ()) == every[key]
    assert left_out.annotations(-1) == left_out.annotations(len(left_out) - 1)
    with pytest.raises(IndexError):
        left_out.annotations(len(left_out))


def test_a_file_that_is_cut_alone_gives_the_same_spans(raw: Path) -> None:
    place = next(path for path in sorted((raw / "tusz").rglob("*_t000.edf")) if "eval" in path.parts)
    rows = united(listed(place))
    windows = [window for part in cut(place, recipes.load("tusz")) for window in part.windows]
    found = [
        (window.start_s, round(span.onset_s, 6), round(span.duration_s, 6))
        for window in windows
        for span in window.spans or ()
    ]
    assert found == [(one.start_s, *span[:2]) for one in windows for span in touched(rows, one.start_s, 10.0)]
    assert found


# --- a corpus of one's own --------------------------------------------------------------------------------------------

LAYOUT = 'files = "{subject}/{session}.edf"\nlabels = "annotations"\nclasses = { T1 = "loud", T2 = "soft" }\n'
MARKS = [(3.0, 9.5, "T1"), (10.0, 8.0, "T2"), (18.0, 6.0, "T2"), (18.0, 6.0, "T2"), (20.0, 4.0, "Jane Doe coughs")]
TWO_SECONDS = 'classes = ["soft", "loud"]\nwindow_s = 2\nstride_s = 2\n'


def test_own_spans_are_the_annotations_of_a_class_as_they_are(tmp_path: Path) -> None:
    file = write(tmp_path / "raw" / "S1" / "day1.edf", marks=[*MARKS, (30.0, 0.0, "T1"), (34.0, 3.0, "T1")])
    folder = made(tmp_path / "raw", tmp_path, LAYOUT + "spans = true", TWO_SECONDS, "--format", "both")
    names = {"T1": "loud", "T2": "soft"}
    marks = {
        (float(one["onset"]), float(one["onset"] + one["duration"]), names[one["description"]])
        for one in mne.read_annotations(file)
        if one["description"] in names and one["duration"]
    }
    found = kept(folder)
    assert found == {key: touched(sorted(marks), key[1], 2.0) for key in found}
    assert max(map(len, found.values())) == 2
    assert read(folder) == found
    again = preprocess("mine", folder, tmp_path / "again", "--recipe", tmp_path / "mine.toml")
    assert shards(again) == shards(folder)
    assert not any(b"Jane" in content for content in contents(folder).values())


def test_own_span_that_began_in_a_piece_before_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "S1" / "day1.edf", marks=[(1.5, 38.0, "T1"), (3.0, 4.0, "T2")])
    expected = kept(made(tmp_path / "raw", tmp_path, LAYOUT + "spans = true", TWO_SECONDS))
    in_pieces = {"piece_samples": 3 * 128 * 11, "piece_grid_s": 10.0, "file": tmp_path / "mine.toml"}
    preprocess_by_hand("mine", tmp_path / "raw", tmp_path / "pieces", **in_pieces)
    assert plan_of(tmp_path / "pieces")["recordings"][0]["pieces"] == 3
    assert kept(tmp_path / "pieces") == expected
    assert expected["S1/day1.edf", 37.5] == [(-36.0, 38.0, "loud")]


def test_own_spans_in_a_table_are_its_rows_of_a_class(tmp_path: Path) -> None:
    write(tmp_path / "raw" / "S1" / "day1.edf")
    (tmp_path / "raw" / "S1" / "day1.csv").write_text("onset,duration,label\n4,3,T1\n6.5,n/a,T1\n7,2.5,T2\n30,4,odd\n")
    layout = LAYOUT.replace('"annotations"', '"events"') + "spans = true"
    found = kept(made(tmp_path / "raw", tmp_path, layout, TWO_SECONDS))
    assert {start_s: spans for (_, start_s), spans in found.items()} == {
        4.0: [(0.0, 3.0, "loud")],
        6.5: [(-2.5, 3.0, "loud"), (0.5, 2.5, "soft")],
        7.0: [(0.0, 2.5, "soft")],
    }


# --- where none are kept ----------------------------------------------------------------------------------------------


def test_corpus_without_spans_keeps_none(raw: Path, tmp_path: Path) -> None:
    write(tmp_path / "raw" / "S1" / "day1.edf", marks=MARKS)
    at_onsets = made(tmp_path / "raw", tmp_path, LAYOUT, TWO_SECONDS)
    unlabelled = preprocess("tusz", raw / "tusz", tmp_path / "shards", "--for", "pretrain")
    for folder in (at_onsets, unlabelled):
        windows = open_shards(folder, SPLITS)
        assert {windows.annotations(number) is None for number in range(len(windows))} == {True}
        for index in folder.rglob("*.npz"):
            with np.load(index) as columns:
                assert not [name for name in columns if name.startswith("span")]
                assert columns["schema_version"] == 1
        assert not any(kept(folder).values())


@pytest.mark.parametrize("name", ["tuab", "bcic2b", "fists"])
def test_set_made_before_says_that_none_were_kept(name: str) -> None:
    windows = open_shards(BEFORE / name, SPLITS)
    assert [windows.annotations(number) for number in range(len(windows))] == [None] * len(windows)


def test_shards_made_before_and_after_lie_in_one_set(sets: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sets / "tusz", tmp_path / "tusz"))
    entry = manifest(folder)["splits"]["test"]["shards"][0]
    index = (folder / entry["path"]).with_suffix(".idx.npz")
    with np.load(index) as columns:
        older = {name: column for name, column in columns.items() if not name.startswith(("span", "schema"))}
    np.savez(index, **older | {"written_by": "0.1.0"})
    before, after = open_shards(folder, "test"), open_shards(folder, "train")
    assert [before.annotations(number) for number in range(entry["samples"])] == [None] * entry["samples"]
    assert all(after.annotations(number) is not None for number in range(len(after)))
    assert any(after.annotations(number) for number in range(len(after)))


def test_index_says_what_the_samples_say(sets: Path) -> None:
    tar = next((sets / "tuev" / "train").glob("*.tar"))
    with np.load(tar.with_suffix(".idx.npz"), allow_pickle=False) as index:
        columns = {name: index[name] for name in index}
    spans = list(zip(*(columns[f"span_{name}"].tolist() for name in ("onset_s", "duration_s", "label")), strict=True))
    in_order = [json.loads(content) for info, content in members(tar) if info.name.endswith(".json")]
    begin = 0
    for sidecar, stop in zip(in_order, columns["span_stop"].tolist(), strict=True):
        told = [(span["onset_s"], span["duration_s"], span["label"]) for span in sidecar["annotations"]]
        assert spans[begin:stop] == told
        begin = stop
    assert begin == len(spans) > len(in_order)
