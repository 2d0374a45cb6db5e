"""TUH EEG Corpus: all recordings of the hospital, without labels; the other TUH corpora are parts of it."""

import re

from manifests.recipe import Recipe
from pipelines.corpora import tuh
from pipelines.source import Source, Totals, no_arrays, no_cues

CLASSES: tuple[str, ...] = ()
TOTALS = {"2.0.0": Totals(recordings=69_652)}

_PATH = re.compile(rf"(?:^|/)edf/(?:{tuh.MONTAGE}/)?\d{{3}}/{tuh.SUBJECT}/{tuh.SESSION}/(?:{tuh.MONTAGE}/)?{tuh.STEM}")


def version(paths: list[str]) -> str:
    """Return the release: named in the path, else told by the subject ids (letters since 2.0.0)."""
    return tuh.version(map(_PATH.search, paths), "1", "2")


def find(paths: list[str], recipe: Recipe) -> list[Source]:
    """Return every recording of the v2 tree, and of the v1 tree where folders of montages come first."""
    return tuh.find(paths, _PATH, recipe)


arrays = no_arrays
cues = no_cues
