"""What can be chosen is documented: every field of a recipe, of its tables, and of the corpora's options."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from manifests.layout import ArrayLayout, Events, Layout, Recordings
from manifests.recipe import Recipe, Unlinkable
from pipelines.corpora import CORPORA

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
