"""The corpora we know, each a module that implements `pipelines.source.Corpus`."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.corpora import (
    bcic2a,
    bcic2b,
    chbmit,
    cogbci,
    eegmat,
    hgd,
    m3cv,
    own,
    pbciw,
    physionetmi,
    seed,
    seediv,
    sleepedf,
    tsu,
    tuab,
    tuar,
    tueg,
    tuev,
    tusl,
    tusz,
)
from pipelines.source import Corpus, Source

CORPORA: dict[str, Corpus] = {
    "bcic2a": bcic2a,
    "bcic2b": bcic2b,
    "chbmit": chbmit,
    "cogbci": cogbci,
    "eegmat": eegmat,
    "hgd": hgd,
    "m3cv": m3cv,
    "pbciw": pbciw,
    "physionetmi": physionetmi,
    "seed": seed,
    "seediv": seediv,
    "sleepedf": sleepedf,
    "tsu": tsu,
    "tuab": tuab,
    "tuar": tuar,
    "tueg": tueg,
    "tuev": tuev,
    "tusl": tusl,
    "tusz": tusz,
}


@runtime_checkable
class _Telling(Corpus, Protocol):
    """A corpus of whose recordings a table below --src tells what their names do not."""

    def told(self, sources: list[Source], src: Path, paths: list[str]) -> list[Source]:
        """Return the recordings with what the table says of each."""


@runtime_checkable
class _Understanding(Corpus, Protocol):
    """A corpus whose labels are in events of its files."""

    def understands(self, text: str, recipe: Recipe) -> bool:
        """Return whether an event of this text can tell a class."""


def of(recipe: Recipe) -> Corpus:
    """Return the corpus that a recipe is for: that of its layout, where it has one.

    Raises DareError where nothing is known of its file tree.
    """
    if recipe.layout:
        return own.Own(recipe.layout, recipe.classes)
    if recipe.corpus not in CORPORA:
        raise DareError(
            f"{recipe.corpus}: its file tree is not known; say in a [layout] of its recipe where recordings lie, "
            f"or choose among {', '.join(CORPORA)}"
        )
    return CORPORA[recipe.corpus]


def find(src: Path, paths: list[str], recipe: Recipe) -> list[Source]:
    """Return the recordings of the recipe's corpus among all paths below ``src``, by name and by the table beside them.

    Raises DareError where a layout matches none of them, or its table cannot be read.
    """
    corpus = of(recipe)
    sources = corpus.find(paths, recipe)
    return corpus.told(sources, src, paths) if isinstance(corpus, _Telling) else sources


def understands(text: str, recipe: Recipe) -> bool:
    """Return whether an event of this text can tell a class of the recipe's corpus; others may be free text."""
    corpus = of(recipe)
    return isinstance(corpus, _Understanding) and corpus.understands(text, recipe)
