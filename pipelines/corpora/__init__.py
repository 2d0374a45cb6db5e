"""The corpora we know, each a subclass of `Corpus` in a module of its own."""

from pathlib import Path

from manifests.errors import UsageError
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus
from pipelines.corpora.bcic2a import Bcic2a
from pipelines.corpora.bcic2b import Bcic2b
from pipelines.corpora.chbmit import ChbMit
from pipelines.corpora.cogbci import CogBci
from pipelines.corpora.eegmat import EegMat
from pipelines.corpora.hgd import HighGamma
from pipelines.corpora.m3cv import M3cv
from pipelines.corpora.own import Own
from pipelines.corpora.pbciw import PassiveBci
from pipelines.corpora.physionetmi import PhysionetMi
from pipelines.corpora.seed import Seed
from pipelines.corpora.seediv import SeedIv
from pipelines.corpora.sleepedf import SleepEdf
from pipelines.corpora.tsu import Tsu
from pipelines.corpora.tuab import Tuab
from pipelines.corpora.tuar import Tuar
from pipelines.corpora.tueg import Tueg
from pipelines.corpora.tuev import Tuev
from pipelines.corpora.tusl import Tusl
from pipelines.corpora.tusz import Tusz

CORPORA: dict[str, Corpus] = {
    "bcic2a": Bcic2a(),
    "bcic2b": Bcic2b(),
    "chbmit": ChbMit(),
    "cogbci": CogBci(),
    "eegmat": EegMat(),
    "hgd": HighGamma(),
    "m3cv": M3cv(),
    "pbciw": PassiveBci(),
    "physionetmi": PhysionetMi(),
    "seed": Seed(),
    "seediv": SeedIv(),
    "sleepedf": SleepEdf(),
    "tsu": Tsu(),
    "tuab": Tuab(),
    "tuar": Tuar(),
    "tueg": Tueg(),
    "tuev": Tuev(),
    "tusl": Tusl(),
    "tusz": Tusz(),
}


def of(recipe: Recipe) -> Corpus:
    """Return the corpus that a recipe is for: that of its layout, where it has one.

    Raises DareError where nothing is known of its file tree.
    """
    if recipe.layout:
        return Own(recipe.layout, recipe.classes)
    if recipe.corpus not in CORPORA:
        raise UsageError(
            "its file tree is not known",
            path=recipe.corpus,
            remedy=f"say in a [layout] of its recipe where recordings lie, or choose among {', '.join(CORPORA)}",
        )
    return CORPORA[recipe.corpus]


def settled(recipe: Recipe) -> Recipe:
    """Return the recipe with its options as its corpus writes them: those of equal meaning are equal.

    Raises DareError where its corpus is not known or has no such options.
    """
    options = of(recipe).OPTIONS.of(recipe)
    return recipe.model_copy(update={"options": options.model_dump(mode="json", exclude_defaults=True)})


def find(src: Path, paths: list[str], recipe: Recipe) -> list[RawRecording]:
    """Return the recordings of the recipe's corpus among all paths below ``src``, by name and by the table beside them.

    Raises DareError where a layout matches none of them, or its table cannot be read.
    """
    corpus = of(recipe)
    return corpus.apply_tables(corpus.find(paths, recipe), src, paths)
