"""Layouts: which paths they match, what they are filled up with, and what is refused in one line."""

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import recipe as recipes
from manifests import records
from manifests.electrodes import PRETRAIN_58
from manifests.errors import DareError
from manifests.layout import Layout
from manifests.recipe import Recipe

NAMES = st.text(string.ascii_letters + string.digits + ".+()[] -", min_size=1)
SHORTEST = 'corpus = "mine"\nelectrodes = ["C3", "CZ", "C4"]\nnotch_hz = 50\n'


def loaded(folder: Path, body: str, *settings: str, purpose: Any = None) -> Recipe:
    file = folder / "mine.toml"
    file.write_text(body)
    return recipes.load("mine", purpose, settings, file)


def refusal(folder: Path, body: str) -> str:
    with pytest.raises(DareError) as refused:
        loaded(folder, body)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "path", "found"),
    [
        ("{subject}.edf", "S01.edf", {"subject": "S01"}),
        ("{subject}.edf", "S01.EDF", {"subject": "S01"}),
        ("{subject}.EDF", "S01.edf", {"subject": "S01"}),
        ("{subject}.edf", "S01.bdf", None),
        ("{subject}.edf", "S01xedf", None),
        ("{subject}.edf", "deeper/S01.edf", None),
        ("{subject}.edf", ".edf", None),
        ("Raw/{subject}.edf", "raw/S01.edf", None),
        ("**/{subject}.edf", "S01.edf", {"subject": "S01"}),
        ("**/{subject}.edf", "a/b/S01.edf", {"subject": "S01"}),
        ("{subject}/**/*.edf", "S01/x/y/z.edf", {"subject": "S01"}),
        ("{subject}/*/rest.edf", "S01/x/y/rest.edf", None),
        ("{subject}/*.*df", "S01/night 1.BDF", {"subject": "S01"}),
        ("{subject}_{label}.edf", "S01_eyes_open.edf", {"subject": "S01", "label": "eyes_open"}),
        (
            "{split}/{subject}/{subject}_{session}_{label}.gdf",
            "eval/S01/S01_2_rest.gdf",
            {"split": "eval", "subject": "S01", "session": "2", "label": "rest"},
        ),
        ("{subject}/{subject}.edf", "S01/S02.edf", None),
        ("B{subject:2}0{session:1}.gdf", "B0103.gdf", {"subject": "01", "session": "3"}),
        ("B{subject:2}0{session:1}.gdf", "B01003.gdf", None),
        ("{subject:12}.edf", "S00000000001.edf", {"subject": "S00000000001"}),
        ("S{subject:1}/{subject:1}.edf", "S1/2.edf", None),
        ("{subject}.edf.gz", "S01.EDF.gz", None),
        ("{subject}.edf.gz", "S01.edf.GZ", {"subject": "S01"}),
        ("Stra\u00dfe \u00c4/{subject}.edf", "Stra\u00dfe A\u0308/S01.edf", {"subject": "S01"}),
        ("Stra\u00dfe A\u0308/{subject}.edf", "Stra\u00dfe \u00c4/S01.edf", {"subject": "S01"}),
        ("{subject}.edf", "Jose\u0301.edf", {"subject": "Jose\u0301"}),
        ("{subject}(1)+.edf", "S01(1)+.edf", {"subject": "S01"}),
    ],
)
def test_path_matches_as_a_person_reads_the_pattern(files: str, path: str, found: dict[str, str] | None) -> None:
    recordings = {"path": "file", "subject": "who"}
    layout = Layout(files=files, recordings={"file": "x.csv", **recordings}, test=("eval",) * ("{split}" in files))
    assert layout.match(path) == found


@given(subject=NAMES, session=NAMES)
def test_what_placeholders_match_is_what_was_written(subject: str, session: str) -> None:
    layout = Layout(files="data/{subject}/{session}.edf")
    assert layout.match(f"data/{subject}/{session}.edf") == {"subject": subject, "session": session}
    assert layout.match(f"data/{subject}/more/{session}.edf") is None


@given(folders=st.lists(NAMES), name=NAMES)
def test_stars_match_within_a_folder_and_double_ones_across(folders: list[str], name: str) -> None:
    path = "/".join([*folders, name])
    assert Layout(files="**/{subject}").match(path) == {"subject": name}
    assert (Layout(files="{subject}").match(path) is None) == bool(folders)


# --- label texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "text", "name"),
    [
        ({}, "rest", "rest"),
        ({"T1": "left"}, "T1", "left"),
        ({"T1": "left"}, "T10", None),
        ({"T*": "left"}, "T10", "left"),
        ({"T*": "left", "T2": "right"}, "T2", "right"),
        ({"data target 3 *": "left"}, "data target 3 block 0", "left"),
        ({"Stimulus/S  1": "left"}, "Stimulus/S  1", "left"),
        ({"[a-z]": "left"}, "b", None),
        ({"(a": "left"}, "(a", "left"),
        ({"M\u00fcde": "left"}, "Mu\u0308de", "left"),
        ({"Mu\u0308*": "left"}, "M\u00fcde", "left"),
        ({}, "Mu\u0308de", "M\u00fcde"),
    ],
)
def test_text_stands_for_a_class(classes: dict[str, str], text: str, name: str | None) -> None:
    assert Layout(files="{subject}.edf", classes=classes).class_of(text) == name


# --- recipes of one's own ---------------------------------------------------------------------------------------------


def test_short_recipe_is_filled_up_with_what_it_does_not_say(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, SHORTEST + '[layout]\nfiles = "{subject}.edf"\n')
    assert (recipe.namespace, recipe.missing, recipe.reference) == ("mine", "mask", "as recorded")
    assert (recipe.sfreq_hz, recipe.band_hz, recipe.classes) == (256, (0.1, 75), ())
    assert (recipe.window_s, recipe.stride_s, recipe.valid_share, recipe.protocol) == (10, 10, 0.1, "kfold")


def test_windows_stand_side_by_side_unless_a_stride_is_said(tmp_path: Path) -> None:
    body = SHORTEST + 'window_s = 4\nclasses = ["a"]\n[layout]\nfiles = "{subject}.edf"\nlabels = "annotations"\n'
    assert loaded(tmp_path, body).stride_s == 4
    assert loaded(tmp_path, body, "stride_s=2").stride_s == 2


def test_bids_names_its_tables_and_columns_itself() -> None:
    stated = Layout(bids=True, labels="recordings", recordings={"label": "group"}, events={"label": "value"})
    assert stated.recordings is not None
    assert (stated.recordings.file, stated.recordings.subject) == ("participants.tsv", "participant_id")
    assert stated.recordings.label == "group"
    assert (stated.events.file, stated.events.label, stated.events.onset) == ("{path}_events.tsv", "value", "onset")
    assert Layout(bids=True, labels="events").recordings is None


def test_layout_survives_the_manifest(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, SHORTEST + '[layout]\nbids = true\nlabels = "recordings"\nrecordings.label = "group"\n')
    again = records.read(Recipe, json.loads(json.dumps(recipe.as_json())), "a manifest", "make it anew")
    assert (again, again.sha256()) == (recipe, recipe.sha256())


def test_pretraining_on_a_labelled_corpus_cuts_the_windows_of_the_network(tmp_path: Path) -> None:
    labelled = (
        'classes = ["a", "b"]\nwindow_s = 2\noffset_s = -0.5\nsfreq_hz = 128\nband_hz = [0.5, 40]\nvalid_share = 0\n'
    )
    body = SHORTEST + labelled + '[layout]\nfiles = "{subject}.edf"\nlabels = "annotations"\n'
    recipe = loaded(tmp_path, body, purpose="pretrain")
    assert (recipe.classes, recipe.window_samples, recipe.stride_s, recipe.offset_s) == ((), 2560, 10, 0)
    assert (recipe.band_hz, recipe.valid_share, recipe.set_name) == ((0.5, 40), 0.1, "mine-pretrain")


def test_pretraining_on_an_unlabelled_corpus_cuts_the_windows_of_the_network(tmp_path: Path) -> None:
    stated = SHORTEST.replace('["C3"', '["C3", "IZ"') + "window_s = 4\nsfreq_hz = 160\nvalid_share = 0.3\n"
    body = f'{stated}[layout]\nfiles = "{{subject}}.edf"\n'
    for purpose in (None, "pretrain"):
        recipe = loaded(tmp_path, body, purpose=purpose)
        assert (recipe.sfreq_hz, recipe.window_s, recipe.stride_s, recipe.valid_share) == (256, 10, 10, 0.3)
        assert "IZ" not in recipe.electrodes
        assert recipe.set_name == "mine-pretrain"
    other = loaded(tmp_path, body.replace("window_s", "stride_s = 2\nwindow_s"), "window_s=4", purpose=None)
    assert (other.window_s, other.stride_s) == (4, 4)


def test_pretraining_takes_what_its_own_table_says_and_else_the_windows_of_the_network(tmp_path: Path) -> None:
    layout = '[layout]\nfiles = "{subject}.edf"\nlabels = "annotations"\n'
    own = '[pretrain]\nsfreq_hz = 128\nelectrodes = ["IZ", "C3"]\n'
    for classes in ("", 'classes = ["a", "b"]\n'):
        body = f"{SHORTEST}window_s = 4\nband_hz = [0.5, 40]\n{classes}{layout}{own}"
        recipe = loaded(tmp_path, body, purpose="pretrain")
        assert (recipe.sfreq_hz, recipe.window_s, recipe.electrodes) == (128, 10, ("IZ", "C3"))
        assert recipe.classes == ()


def test_pretraining_without_electrodes_takes_those_of_the_network(tmp_path: Path) -> None:
    body = 'corpus = "mine"\nnotch_hz = 50\n[layout]\nfiles = "{subject}.edf"\n'
    assert loaded(tmp_path, body, purpose=None).electrodes == PRETRAIN_58
    nets = body.replace("notch_hz", 'electrodes = ["E1", "E2"]\nnotch_hz')
    assert loaded(tmp_path, nets, purpose=None).electrodes == ("E1", "E2")


def test_set_for_pretraining_made_before_keeps_its_windows(tmp_path: Path) -> None:
    body = SHORTEST + 'window_s = 4\n[layout]\nfiles = "{subject}.edf"\n'
    (tmp_path / "mine.toml").write_text(body)
    there = loaded(tmp_path, body, "window_s=4", "stride_s=4", purpose=None)
    assert recipes.load("mine", None, (), tmp_path / "mine.toml", there) == there
    other = loaded(tmp_path, body, "window_s=5", "stride_s=5", purpose=None)
    assert recipes.load("mine", None, (), tmp_path / "mine.toml", other).window_s == 10


def test_mains_are_a_choice_that_must_be_made(tmp_path: Path) -> None:
    said = refusal(tmp_path, 'corpus = "mine"\nelectrodes = ["C3"]\n[layout]\nfiles = "{subject}.edf"\n')
    assert all(part in said for part in ("notch_hz", "50 or 60", "0 for no notch"))


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("", "files must say"),
        ('files = "*.edf"', "files needs {subject}"),
        ('files = "{subject}/{patient}.edf"', "{patient} is no placeholder"),
        ('files = "{subject.edf"', "{ is no placeholder"),
        ('files = "{subject}.edf"\nlabels = "name"', "{label} in files"),
        ('files = "{subject}.edf"\nlabels = "folder"', "labels"),
        ('files = "{subject}.edf"\nlabels = "recordings"', "[layout.recordings]"),
        ('files = "{subject}.edf"\nrecordings.file = "x.csv"', "path or subject"),
        ('files = "*.edf"\nrecordings = {file = "x.csv", path = "file"}', "columns path and subject"),
        ('files = "{split}/{subject}.edf"', "test and {split}"),
        ('files = "{subject}.edf"\ntest = ["eval"]', "test and {split}"),
        ('files = "{subject}.edf"\nevents.file = "{stem}.csv"', "{stem} is no placeholder"),
        ('files = "{subject}.edf"\nevents.unit = "ms"', "layout.events.unit"),
        ('files = "{subject}.edf"\nglob = "*"', "layout.glob"),
        ('files = "{subject}.mat"\narrays = {axes = "time sensor"}', "must name time and channel once each"),
        ('files = "{subject}.mat"\narrays = {variables = "("}', "variables is no regular expression"),
        ('files = "{subject}.csv"\narrays = {columns = ["1"], channels = ["C3", "CZ"]}', "columns names 1 columns"),
        ('files = "{subject}.csv"\narrays = {time = "n", time_unit = "counter"}', "a counter tells no rate"),
        ('files = "{subject:0}.edf"', "{subject:0} is no placeholder"),
        ('files = "{subject:x}.edf"', "{subject:x} is no placeholder"),
        ('files = "{subject}.edf"\nevents.file = "{subject:2}.csv"', "{subject:2} is no placeholder"),
        ('files = "{subject}.edf"\nunit = "mV"\nscale = 2', "unit and scale exclude each other"),
        ('files = "{subject}.edf"\nunit = "mv"', 'unit = "mv" is none of V, mV, uV, nV'),
        ('files = "{subject}.edf"\nscale = 0', "layout.scale"),
    ],
)
def test_layout_that_says_too_little_or_too_much_is_refused(tmp_path: Path, layout: str, said: str) -> None:
    assert said in refusal(tmp_path, f"{SHORTEST}[layout]\n{layout}\n")


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ('files = "{subject}.edf"', "does not say where labels are"),
        ('files = "{subject}.edf"\nlabels = "annotations"\nclasses = {T1 = "lefft"}', "'lefft'"),
    ],
)
def test_classes_without_labels_and_labels_without_classes_are_refused(tmp_path: Path, layout: str, said: str) -> None:
    assert said in refusal(tmp_path, f'{SHORTEST}classes = ["left", "right"]\n[layout]\n{layout}\n')
