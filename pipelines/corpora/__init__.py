"""The corpora we know, each a module that implements `pipelines.source.Corpus`."""

from manifests.recipe import Recipe
from pipelines.corpora import bcic2b, eegmat, physionetmi, tuab, tuev
from pipelines.source import Corpus

CORPORA: dict[str, Corpus] = {
    "bcic2b": bcic2b,
    "eegmat": eegmat,
    "physionetmi": physionetmi,
    "tuab": tuab,
    "tuev": tuev,
}


def of(recipe: Recipe) -> Corpus:
    """Return the corpus that a recipe is for."""
    return CORPORA[recipe.corpus]
