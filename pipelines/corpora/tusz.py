"""TUH EEG Seizure Corpus: a table beside each recording says when a seizure goes on anywhere on the head.

Of the official splits eval is test. Recordings of train and dev are taken together, and valid is drawn from their
subjects as in every corpus: the official dev set is no split of its own here.
"""

import re

from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.corpora import tuh
from pipelines.recording import Recording
from pipelines.source import Source, Totals, no_arrays
from pipelines.windows import Cue, by_overlap

CLASSES: tuple[str, ...] = ("bckg", "seiz")
TOTALS = {"2.0.3": Totals(recordings=7361)}

_PATH = re.compile(
    rf"(?:^|/)(?P<split>train|dev|dev_test|eval)/(?:{tuh.MONTAGE}/\d{{3}}/)?{tuh.SUBJECT}/{tuh.SESSION}/"
    rf"(?:{tuh.MONTAGE}/)?{tuh.STEM}"
)
_TABLES = (".csv_bi", ".tse_bi")


def version(paths: list[str]) -> str:
    """Return the release: named in the path, else told by the subject ids (letters since 2.0.0)."""
    return tuh.version(map(_PATH.search, paths), "1", "2")


def find(paths: list[str], recipe: Recipe) -> list[Source]:
    """Return every recording of the v2 tree, and of the older one where folders of montages come first."""
    return tuh.find(paths, _PATH, recipe, _TABLES)


arrays = no_arrays


def cues(source: Source, recording: Recording, labels: bytes, recipe: Recipe) -> tuple[list[Cue], str]:
    """Return a cue for each window of the grid: seizure where one touches it (Tang 2022), else background."""
    rows = tuh.annotations(source.label_file, labels, CLASSES)
    if not rows:
        raise DareError(f"{source.label_file}: holds no annotation; get the file again")
    seizures = [(row.onset_s, row.end_s, CLASSES.index("seiz")) for row in rows if row.label == "seiz"]
    found = by_overlap(seizures, tuh.duration_s(recording), CLASSES.index("bckg"), recipe)
    end_s = found[-1].onset_s + recipe.window_s if found else 0.0
    late = sum(onset_s >= end_s for onset_s, _, _ in seizures)
    return found, f"{late} of {len(seizures)} seizures begin after the last whole window: dropped" if late else ""
