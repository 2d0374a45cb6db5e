"""The corpora of Temple University Hospital: which tree is whose, and what their tables of annotations say."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import recipe as recipes
from manifests.notes import counted, text
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora import CORPORA
from pipelines.recording import Recording, Segment
from tests.commands import dare, plan, preprocess, recordings, unusable
from tests.judges import TEN_TWENTY_19, noise_uv, samples, write_edf

pytestmark = pytest.mark.slow

TREES = {
    "tuab": [
        "edf/train/normal/01_tcp_ar/aaaaaaaq_s004_t000.edf",
        "edf/eval/abnormal/01_tcp_ar/101/00010194/s001_2013_01_09/00010194_s001_t001.edf",
    ],
    "tuev": [
        "edf/train/aaaaaaar/aaaaaaar_00000001.edf",
        "edf/eval/000/bckg_000_a_.edf",
        "edf/train/00002275/00002275_00000001.edf",
    ],
    "tusz": [
        "edf/train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000.edf",
        "edf/dev/aaaaadkj/s002_2007_10_22/02_tcp_le/aaaaadkj_s002_t001.edf",
        "edf/eval/aaaaaqvx/s003_2015_08_24/03_tcp_ar_a/aaaaaqvx_s003_t000.edf",
        "edf/dev/01_tcp_ar/002/00000258/s002_2003_07_21/00000258_s002_t000.edf",
    ],
    "tuar": [
        "edf/01_tcp_ar/aaaaaaju_s005_t000.edf",
        "edf/03_tcp_ar_a/aaaaamdu_s001_t002.edf",
    ],
    "tusl": ["edf/aaaaaaju/s005_2010/01_tcp_ar/aaaaaaju_s005_t000.edf"],
    "tueg": [
        "edf/000/aaaaaaaa/s001_2015_12_30/01_tcp_ar/aaaaaaaa_s001_t000.edf",
        "edf/000/aaaaaaaa/s001_2003/04_tcp_le_a/x_aaaaaaaa_s001_t001.edf",
        "edf/01_tcp_ar/099/00009932/s004_2014_09_30/00009932_s004_t013.edf",
        "edf/02_tcp_le/027/00002729/s001_2003/00002729_s001.edf",
    ],
}
MISLEADING = st.lists(
    st.sampled_from(["train", "dev", "eval", "edf", "000", "abnormal", "aaaaaaac", "s001_2002", "01_tcp_ar"]),
    max_size=5,
)
TABLES = {"tusz": (".csv_bi", ".tse_bi"), "tuar": (".csv",), "tusl": (".csv", ".tse_agg")}


def find(corpus: str, paths: list[str]) -> list[RawRecording]:
    return CORPORA[corpus].find(sorted(paths), recipes.load(corpus))


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", TREES)
def test_corpus_finds_its_own_tree_and_no_other(corpus: str) -> None:
    everything = [path for paths in TREES.values() for path in paths]
    assert [one.path for one in find(corpus, everything)] == sorted(TREES[corpus])


@pytest.mark.parametrize("corpus", TREES)
@given(parents=MISLEADING)
def test_folders_above_the_tree_change_nothing(corpus: str, parents: list[str]) -> None:
    above = "".join(f"{parent}/" for parent in parents)
    facts = {one.path: (one.subject, one.session, one.test, one.label) for one in find(corpus, TREES[corpus])}
    lower = {one.path: (one.subject, one.session, one.test, one.label)
             for one in find(corpus, [above + path for path in TREES[corpus]])}  # fmt: skip
    assert lower == {above + path: fact for path, fact in facts.items()}


def test_eval_of_the_seizure_corpus_is_test_and_dev_is_not() -> None:
    found = find("tusz", TREES["tusz"])
    assert {one.path.split("/")[1] for one in found if one.test} == {"eval"}
    assert {one.path.split("/")[1] for one in found if not one.test} == {"train", "dev"}
    assert {one.subject for one in found} == {"tuh:aaaaaaac", "tuh:aaaaadkj", "tuh:aaaaaqvx", "tuh:00000258"}


def test_patient_of_a_file_with_a_prefix_is_that_of_its_folder() -> None:
    assert [(one.subject, one.session) for one in find("tueg", TREES["tueg"])] == [
        ("tuh:aaaaaaaa", "s001"),
        ("tuh:aaaaaaaa", "s001"),
        ("tuh:00009932", "s004"),
        ("tuh:00002729", "s001"),
    ]
    assert find("tueg", [TREES["tueg"][0].replace("aaaaaaaa_s001", "aaaaaaab_s001")]) == []


@pytest.mark.parametrize(("corpus", "ending"), [(corpus, one) for corpus, endings in TABLES.items() for one in endings])
def test_labels_lie_beside_the_recording(corpus: str, ending: str) -> None:
    path = TREES[corpus][0]
    table = path.removesuffix(".edf") + ending
    assert [(one.label_file, one.lacks) for one in find(corpus, [path, table])] == [(table, None)]
    (bare,) = find(corpus, [path])
    assert bare.lacks is not None
    assert bare.lacks.text == f"labels: there is no {path.removesuffix('.edf')}{TABLES[corpus][0]}"


def test_recordings_without_a_table_are_one_line_of_a_summary() -> None:
    path = TREES["tusz"][0]
    found = find("tusz", [path.replace("t000", f"t{number:03d}") for number in range(500)])
    ((line, count),) = counted([one.lacks] for one in found if one.lacks).items()
    stem = path.removesuffix("t000.edf")
    shown = ", ".join(f"{stem}t{number:03d}.csv_bi" for number in range(4))
    assert (line, count) == (f"labels: there is no {shown} and 496 more", 500)


def test_table_of_the_newer_release_is_preferred() -> None:
    stem = TREES["tusz"][0].removesuffix(".edf")
    (found,) = find("tusz", [f"{stem}.edf", f"{stem}.tse_bi", f"{stem}.csv_bi"])
    assert found.label_file == f"{stem}.csv_bi"


@pytest.mark.parametrize("corpus", TREES)
def test_release_is_the_one_that_the_corpus_itself_lies_in(corpus: str) -> None:
    version = CORPORA[corpus].version
    other = next(name for name in TREES if name != corpus)
    mixed = [f"one/v9.9.9/{path}" for path in TREES[other]] + [f"two/v2.0.1/{path}" for path in TREES[corpus]]
    assert version(mixed) == "2.0.1"
    assert version(TREES[other]) == ""
    for release in CORPORA[corpus].TOTALS:
        named = f"v{release}" if release.count(".") == 2 else f"v{release}.0.0"
        assert version([f"{named}/{TREES[corpus][0]}"]).startswith(release)


@pytest.mark.parametrize(
    ("corpus", "lettered", "numbered"), [("tuab", "3", "2"), ("tuev", "2", "1"), ("tusz", "2", "1"), ("tueg", "2", "1")]
)
def test_release_without_a_name_is_told_by_the_ids(corpus: str, lettered: str, numbered: str) -> None:
    old = [path for path in TREES[corpus] if any(part.isdigit() and len(part) == 8 for part in path.split("/"))]
    new = [path for path in TREES[corpus] if path not in old]
    assert (CORPORA[corpus].version(new), CORPORA[corpus].version(old)) == (lettered, numbered)


# --- recipes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", ["tuab", "tuev", "tusz", "tuar", "tusl", "tueg"])
def test_recipe_for_pretraining_has_the_nineteen_electrodes(corpus: str) -> None:
    recipe = recipes.load(corpus, "pretrain")
    assert recipe.electrodes == TEN_TWENTY_19
    assert (recipe.sfreq_hz, recipe.window_s, recipe.stride_s, recipe.notch_hz) == (256, 10, 10, 60)
    assert (recipe.classes, recipe.namespace, recipe.valid_share) == ((), "tuh", 0.1)


def test_corpus_without_labels_is_for_pretraining_unasked() -> None:
    assert recipes.load("tueg") == recipes.load("tueg", "pretrain")


PUBLISHED = {"notch_hz": 50, "missing": "published-strict"}
CHANGES = {
    ("tuab", "published"): PUBLISHED,
    ("tuab", "published-strict"): {"missing": "published-strict"},
    ("tuab", "tcp"): {"reference": "bipolar tcp"},
    ("tuev", "published"): PUBLISHED | {"edges": "wrap", "events": "rows", "valid_share": 0.1},
    ("tuev", "published-strict"): {"missing": "published-strict"},
    ("tuev", "tcp"): {"reference": "bipolar tcp"},
    ("tusz", "tcp"): {"reference": "bipolar tcp"},
    ("tuar", "tcp"): {"reference": "bipolar tcp"},
    ("tusl", "tcp"): {"reference": "bipolar tcp"},
    ("tueg", "cbramod"): {
        "missing": "require", "sfreq_hz": 200, "band_hz": (0.3, 75), "window_s": 30, "stride_s": 30, "reject_uv": 100,
    },
}  # fmt: skip


@pytest.mark.parametrize(("corpus", "preset"), CHANGES)
def test_preset_changes_what_it_says(corpus: str, preset: str) -> None:
    ours, theirs = recipes.load(corpus), recipes.load(corpus, settings=(f"preset={preset}",))
    fields = {name for name in Recipe.model_fields if getattr(ours, name) != getattr(theirs, name)}
    assert {name: getattr(theirs, name) for name in fields - {"electrodes"}} == CHANGES[corpus, preset]
    assert ("electrodes" in fields) == (preset == "tcp")
    if preset == "tcp":
        assert (theirs.electrodes[0], theirs.electrodes[8], len(theirs.electrodes)) == ("FP1-F7", "A1-T7", 22)


# --- tables -----------------------------------------------------------------------------------------------------------

LENGTH_S = 60


def told(corpus: str, table: str, name: str = "a.csv", *settings: str) -> tuple[list[tuple[float, str]], str]:
    """Return (onset and class of every cue, the note) for a table and a recording of a minute."""
    recipe = recipes.load(corpus, settings=settings)
    source = RawRecording(path="a.edf", subject="tuh:aaaaaaaa", session="s001", label_file=name)
    still = Recording(("CZ",), np.zeros((1, LENGTH_S * 10), np.float32), 10, (), (Segment(0, LENGTH_S * 10, 0.0),), ())
    cues, notes = CORPORA[corpus].cues(source, still, table.encode(), recipe)
    return [(cue.onset_s, recipe.classes[cue.label]) for cue in cues], text(notes)


def csv_of(rows: list[tuple[str, float, float, str]]) -> str:
    lines = [f"{channel},{start:.4f},{stop:.4f},{label},1.0000" for channel, start, stop, label in rows]
    return "\n".join(["# version = csv_v1.0.0", "#", "channel,start_time,stop_time,label,confidence", *lines])


PLAIN = "channel,start_time,stop_time,label,confidence\nTERM,0,25,bckg,1\nTERM,25,31.5,seiz,1\nTERM,31.5,60,bckg,1\n"
OLD = "version = tse_v1.0.0\n\n0.0 25.0 bckg 1.0\n25.0000 31.5000 seiz 0.3000\n31.5 60 bckg 1.0\n"
SEIZURE = [(0.0, "bckg"), (10.0, "bckg"), (20.0, "seiz"), (30.0, "seiz"), (40.0, "bckg"), (50.0, "bckg")]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("a.csv_bi", PLAIN),
        ("a.csv_bi", "# version = csv_v1.0.0\n# duration = 60.0000 secs\n#\n\n" + PLAIN),
        ("a.csv_bi", "\ufeff" + PLAIN.replace("\n", "\r\n")),
        ("a.csv_bi", PLAIN.replace(",", ", ").replace("TERM", " TERM")),
        ("a.csv_bi", PLAIN + "# the end\n\n"),
        ("a.csv_bi", "label,stop_time,start_time\nbckg,25,0\nSEIZ,31.5,25\nbckg,60,31.5\n"),
        ("a.tse_bi", OLD),
        ("a.tse_bi", "0.0  25.0  bckg\n25  31.5 seiz\n31.5 60.0000 bckg"),
    ],
)
def test_table_is_read_by_the_names_of_its_columns_whatever_stands_around(name: str, table: str) -> None:
    assert told("tusz", table, name) == (SEIZURE, "")


@pytest.mark.parametrize(
    ("corpus", "name", "table", "said"),
    [
        ("tusz", "a.csv_bi", "", ": is empty"),
        ("tusz", "a.csv_bi", "# version = csv_v1.0.0\n", ": is empty"),
        ("tusz", "a.csv_bi", PLAIN.splitlines()[0], "holds no annotation"),
        ("tusz", "a.tse_bi", "version = tse_v1.0.0\n\n", "holds no annotation"),
        ("tusz", "a.csv_bi", "# x\n\n" + PLAIN.replace("31.5,seiz", "late,seiz"), "line 5 has no start_time"),
        ("tusz", "a.csv_bi", PLAIN.replace("25,31.5", "31.5,25"), "line 3 has no start_time"),
        ("tusz", "a.csv_bi", PLAIN.replace("31.5,seiz", "inf,seiz"), "line 3 has no start_time"),
        ("tusz", "a.csv_bi", PLAIN.replace("25,31.5", "nan,31.5"), "line 3 has no start_time"),
        ("tusz", "a.csv_bi", "TERM,0,25,bckg,1\nTERM,25,60,seiz,1\n", "line 2 has no start_time"),
        ("tusz", "a.csv_bi", PLAIN.replace("seiz", "fnsz"), "line 3 has label fnsz, not one of bckg, seiz"),
        ("tusz", "a.tse_bi", "0 25 bckg 1\n25\n", "line 2 has no start_time"),
        ("tusl", "a.csv", "channel,start_time,stop_time,label\nF7-T3,0,10,gped\n", "line 2 has label gped"),
        ("tusl", "a.tse_agg", "version = tse_v1.0.0\n", "holds no annotation"),
    ],
)  # fmt: skip
def test_table_that_makes_no_sense_fails_the_recording_by_line(
    tmp_path: Path, corpus: str, name: str, table: str, said: str
) -> None:
    path = tmp_path / "raw" / TREES[corpus][0]
    other = path.with_name(path.name.replace("t000", "t001"))
    for one, content in ((path, table), (other, OLD if "tse" in name else PLAIN)):
        write_edf(one, noise_uv(["EEG CZ-REF"], 60, 200), 200)
        one.with_suffix(Path(name).suffix).write_text(content)
    rows = recordings(preprocess(corpus, tmp_path / "raw", tmp_path / "out"))
    row = rows[TREES[corpus][0]]
    assert (row["outcome"], row["windows"]) == ("failed", 0)
    assert said in row["reason"]
    assert path.with_suffix(Path(name).suffix).name in row["reason"]


def test_recording_without_a_table_fails_and_serves_pretraining(tmp_path: Path) -> None:
    for path in TREES["tusz"][:2]:
        write_edf(tmp_path / "raw" / path, noise_uv(["EEG CZ-REF"], 30, 200), 200)
    (tmp_path / "raw" / TREES["tusz"][0]).with_suffix(".csv_bi").write_text(PLAIN)
    rows = recordings(preprocess("tusz", tmp_path / "raw", tmp_path / "out"))
    assert [rows[path]["outcome"] for path in TREES["tusz"][:2]] == ["ok", "failed"]
    assert "there is no edf/dev/" in rows[TREES["tusz"][1]]["reason"]
    pretraining = recordings(preprocess("tusz", tmp_path / "raw", tmp_path / "out", "--for", "pretrain"))
    assert [row["windows"] for row in pretraining.values()] == [3, 3]


# --- TUSZ -------------------------------------------------------------------------------------------------------------

TENTHS = st.integers(0, 10 * LENGTH_S + 50)
SPANS = st.lists(st.tuples(TENTHS, st.integers(1, 200)), max_size=5)


@given(SPANS)
def test_window_that_a_seizure_touches_is_one(spans: list[tuple[int, int]]) -> None:
    rows = [("TERM", 0.0, float(LENGTH_S), "bckg")]
    rows += [("TERM", start / 10, (start + length) / 10, "seiz") for start, length in spans]
    seized = np.zeros(1000, bool)
    for start, length in spans:
        seized[start : start + length] = True
    expected = [(10.0 * number, "seiz" if seized[100 * number : 100 * (number + 1)].any() else "bckg")
                for number in range(LENGTH_S // 10)]  # fmt: skip
    found, note = told("tusz", csv_of(rows))
    assert found == expected
    late = sum(start >= 10 * LENGTH_S for start, _ in spans)
    assert note == (f"{late} of {len(spans)} seizures begin after the last whole window: dropped" if late else "")


# --- TUAR -------------------------------------------------------------------------------------------------------------

ARTIFACTS = {"eyem": "eyem", "eybl": "eyem", "musc": "musc", "chew": "chew", "shiv": "shiv", "elec": "elec",
             "elpp": "elec", "elst": "elec"}  # fmt: skip
LABELS = st.lists(st.sampled_from(sorted(ARTIFACTS)), min_size=1, max_size=2).map("_".join)


@given(
    st.lists(st.tuples(st.sampled_from(["FP1-F7", "F7-T3", "C3-CZ"]), TENTHS, st.integers(1, 80), LABELS), max_size=12)
)
def test_window_is_of_the_artifact_that_lasts_longest_on_any_channel(events: list[tuple[str, int, int, str]]) -> None:
    classes = recipes.load("tuar").classes
    there = np.zeros((len(classes), 1000), bool)
    for _, start, length, label in events:
        for part in label.split("_"):
            there[classes.index(ARTIFACTS[part]), start : start + length] = True
    cover = there[:, : 10 * LENGTH_S].reshape(len(classes), -1, 50).sum(axis=2)
    rows = [(channel, start / 10, (start + length) / 10, label) for channel, start, length, label in events]
    found, note = told("tuar", csv_of(rows))
    assert [onset_s for onset_s, _ in found] == [5.0 * number for number in range(LENGTH_S // 5)]
    for number, (_, name) in enumerate(found):
        counts = cover[:, number]
        assert counts[classes.index(name)] == counts.max()
        assert (name == "clean") == (counts.max() == 0)
    several = int(((cover > 0).sum(axis=0) > 1).sum())
    assert (f"{several} of 12 windows hold several kinds" in note) == (several > 0)


def test_rows_of_no_artifact_are_counted() -> None:
    rows = [("F7-T3", 0.0, 2.0, "calb"), ("T3-T5", 0.0, 2.0, "calb"), ("F7-T3", 7.0, 8.0, "bckg")]
    found, note = told("tuar", csv_of(rows))
    assert {name for _, name in found} == {"clean"}
    assert note == "1 rows of bckg name no artifact: not used; 2 rows of calb name no artifact: not used"


# --- TUSL -------------------------------------------------------------------------------------------------------------


def test_stretch_listed_for_many_channels_is_one_window_and_the_rest_of_the_recording_none() -> None:
    rows = [("FP1-F7", 3.5, 13.5, "slow"), ("F7-T3", 3.5, 13.5, "slow"), ("C3-CZ", 20.0, 40.0, "seiz"),
            ("C3-CZ", 45.0, 55.0, "bckg"), ("C4-P4", 45.0, 55.0, "slow"), ("C3-CZ", 56.0, 59.0, "bckg")]  # fmt: skip
    found, note = told("tusl", csv_of(rows))
    assert found == [(3.5, "slow"), (20.0, "seiz"), (30.0, "seiz")]
    assert note.split("; ") == [
        "1 moments carry two labels: dropped",
        "1 stretches are shorter than a window: dropped",
        "2 windows repeat a moment on another channel",
    ]


def test_aggregated_table_says_the_same() -> None:
    by_channel = csv_of([("FP1-F7", 3.5, 13.5, "slow"), ("C3-CZ", 20.0001, 30.0001, "seiz")])
    aggregated = "version = tse_v1.0.0\n\n3.5000 13.5000 slow 1.0000\n20.0001 30.0001 seiz 1.0000\n"
    assert told("tusl", aggregated, "a.tse_agg") == told("tusl", by_channel) == ([(3.5, "slow"), (20.0001, "seiz")], "")


# --- layouts of the real corpora --------------------------------------------------------------------------------------


def test_real_layouts_are_found_and_too_short(real: Path) -> None:
    rows = plan("tusz", real / "tuh_layout_noise")["recordings"]
    assert Counter(row["path"].split("/")[0] for row in rows) == {"dev": 7, "eval": 3, "train": 2}
    assert {row["split"] for row in rows if row["path"].startswith("eval/")} == {"test"}
    assert {row["split"] for row in rows if not row["path"].startswith("eval/")} <= {"train", "valid"}
    assert {(row["outcome"], row["reason"]) for row in rows} == {
        ("skipped", "lasts 2 s, shorter than a window of 10 s")
    }


@pytest.mark.parametrize("corpus", ["tuab", "tuev", "tuar", "tusl", "tueg"])
def test_real_layouts_of_another_corpus_are_named(real: Path, tmp_path: Path, corpus: str) -> None:
    purpose = "pretrain" if corpus == "tueg" else "probe"
    source = real / "tuh_layout_noise"
    answer = dare("preprocess", corpus, "--src", source, "--out", tmp_path / "out", "--for", purpose)
    unusable(answer, f"holds no recording of {corpus}, but of tusz")


def test_electrodes_are_found_by_label_in_every_real_layout(real: Path, tmp_path: Path) -> None:
    short = ("--set", "window_s=1", "--set", "stride_s=1")
    folder = preprocess("tusz", real / "tuh_layout_noise", tmp_path, "--for", "pretrain", *short)
    rows = recordings(folder)
    assert len(rows) == 12
    for path, row in rows.items():
        reference = "LE" if "_le" in path else "REF"
        old = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}
        wanted = {name: f"EEG {old.get(name, name)}-{reference}" for name in TEN_TWENTY_19}
        without = {"FZ", "PZ"} if path.endswith("aaaaapks_s013_t002.edf") else set()
        assert row["channel_map"] == {name: label for name, label in wanted.items() if name not in without}
        assert (row["outcome"], row["windows"]) == ("ok", 2)
    for one in samples(folder).values():
        absent = [name for name, scale in zip(TEN_TWENTY_19, one.fields["scale"], strict=True) if scale == 0]
        assert absent == (["FZ", "PZ"] if one.fields["recording"].endswith("aaaaapks_s013_t002.edf") else [])
