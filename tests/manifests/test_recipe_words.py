"""Recipes: in which words what a user writes is refused, and what is asked instead."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from manifests import recipe as recipes
from manifests import records
from manifests.errors import DareError, UsageError
from manifests.layout import ArrayLayout, Events, Layout
from tests.manifests.refusals import refusal


def test_fields_are_listed_for_a_name_that_is_none_and_not_for_a_wrong_value(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('corpus = "mine"\nelectrodes = ["C3"]\nnotch_hz = 60\nfoo = 1\n')
    with pytest.raises(UsageError) as refused:
        recipes.load("mine", file=file)
    assert (refused.value.path, refused.value.reason) == (str(file), "foo: is no field")
    assert refused.value.remedy.startswith("fields are bad_channels, balance, ")
    assert refusal("quantum_uv=nan").endswith("; docs/recipes.md tells of every field")
    said = refusal('layout={"files": "{subject}.edf", "lables": "none"}')
    assert "layout.lables: is no field; did you mean labels? fields of layout are arrays, bids, classes, " in said
    assert "fields of layout.events are " in refusal('layout={"bids": true, "events": {"foo": 1}}')


WRONG = ("x", "", 1.5, -1, 0, True, [], ["x"], [1, 2, 3], {}, {"foo": 1}, {"a": {"b": 1}}, [{"foo": 1}], 10**10)


TABLES: dict[str, type[BaseModel]] = {
    "": recipes.Recipe,
    "layout.": Layout,
    "layout.events.": Events,
    "layout.arrays.": ArrayLayout,
}
NAMES = [
    f"{table}{name}"
    for table, part in TABLES.items()
    for name in part.model_fields
    if name not in ("corpus", "purpose")
]


@pytest.mark.parametrize("name", NAMES)
def test_wrong_value_is_refused_in_our_own_words(name: str) -> None:
    beside = ('layout={"bids": true}',) if name.startswith("layout.") else ()
    said = [text for value in WRONG if (text := refused_or_not(*beside, f"{name}={json.dumps(value)}"))]
    assert said
    strange = r"Input should|Value error|required|Extra inputs|String should|valid (?!part)|\n"
    assert [text for text in said if re.search(strange, text)] == []


def refused_or_not(*settings: str) -> str:
    try:
        recipes.load("tuab", settings=settings)
    except DareError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("notch_hz=55", "notch_hz: 55 is no mains frequency; state 50 or 60 "),
        ("edges=mirror", "edges: must be 'drop', 'pad' or 'wrap', not \"mirror\""),
        ("window_s=-1", "window_s: must be above 0, not -1"),
        ("valid_share=1", "valid_share: must be below 1, not 1"),
        ("band_hz=[]", "band_hz.0: is one entry too few"),
        ("band_hz=[40]", "band_hz.1: is one entry too few"),
        ("balance=maybe", 'balance: must be true or false, not "maybe"'),
        ("namespace=Ours", 'namespace: must be small letters and digits alone, unlike "Ours"'),
        ("layout=x", 'layout: must be a table, not "x"'),
        ("electrodes=Fp1,Fz,C3", "write FP1 for Fp1, FZ for Fz"),
        ("test_share=0.2", "test_share is for a layout without an official test part"),
        ("sfreq=100", "did you mean sfreq_hz? fields are "),
    ],
)
def test_wrong_value_is_told_with_what_is_right(setting: str, said: str) -> None:
    assert said in refusal(setting)


def test_misspelt_corpus_is_asked_for() -> None:
    assert refusal(corpus="tuba").startswith("tuba: is no corpus with a recipe; did you mean tuab? there are ")


def test_recipe_on_disk_keeps_a_notch_that_nobody_would_ask_for_today() -> None:
    stated = recipes.load("tuab").as_json() | {"notch_hz": 55.0}
    assert records.read(recipes.Recipe, stated, "plan.json", "").notch_hz == 55
