"""What can be chosen is documented: every field of a recipe, of its tables, and of the corpora's options."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from manifests.layout import ArrayLayout, Events, Layout, Recordings
from manifests.recipe import Recipe, Unlinkable, names
from pipelines.corpora import CORPORA
from pipelines.formats.registry import formats

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("kind", [Recipe, Unlinkable, Layout, Events, Recordings, ArrayLayout])
def test_every_field_of_a_recipe_is_documented(kind: type[BaseModel]) -> None:
    page = (DOCS / "recipes.md").read_text()
    assert [name for name in kind.model_fields if f"`{name}`" not in page] == []


def test_every_option_of_a_corpus_is_documented() -> None:
    rows = (DOCS / "recipes.md").read_text().splitlines()
    options = {(name, option) for name, corpus in CORPORA.items() for option in corpus.OPTIONS.model_fields}
    assert options
    assert {
        pair for pair in options if not any(row.startswith("| `{}` | `{}` |".format(*pair)) for row in rows)
    } == set()


def test_every_corpus_has_its_row() -> None:
    page = (DOCS / "sets.md").read_text()
    assert [name for name in names() if f"`{name}`" not in page] == []
    assert CORPORA.keys() == set(names())
    counted = {19: "nineteen", 20: "twenty", 21: "twenty-one", 22: "twenty-two"}[len(names())]
    assert f"{counted} known corpora" in (DOCS.parent / "README.md").read_text()


def test_every_format_is_named_in_the_readme() -> None:
    paragraphs = (DOCS.parent / "README.md").read_text().split("\n\n")
    (listed,) = (one for one in paragraphs if one.startswith("It reads EDF"))
    names_of = {
        ".edf": "EDF",
        ".bdf": "BDF",
        ".gdf": "GDF",
        ".vhdr": "BrainVision",
        ".fif": "FIF",
        ".mat": "MAT",
        ".npy": "NPY",
    }
    endings = {one.suffixes[0] for one in formats() if one.suffixes} | {".bdf"}
    assert [ending for ending in endings if names_of.get(ending, ending) not in listed] == []
