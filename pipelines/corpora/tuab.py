"""TUH Abnormal EEG Corpus: the folder a recording lies in says its split and its class."""

import re

from manifests.recipe import Recipe
from pipelines.corpora import tuh
from pipelines.source import Source, Totals, no_arrays, no_cues

CLASSES: tuple[str, ...] = ("normal", "abnormal")
TOTALS = {"2": Totals(recordings=2993, windows=409_455), "3": Totals(recordings=2993, windows=409_455)}

_PATH = re.compile(
    r"(?:^|/)(?P<split>train|eval)/(?P<label>normal|abnormal)/\d\d_tcp_\w+/(?:[^/]+/)*"
    r"(?P<subject>[a-z]{8}|\d{8})_s(?P<session>\d{3})(?:_t\d{3})?\.(?i:edf)$"
)


def version(paths: list[str]) -> str:
    """Return the release: named in the path, else told by the subject ids (letters since 3.0.0)."""
    return tuh.version(map(_PATH.search, paths), "2", "3")


def find(paths: list[str], recipe: Recipe) -> list[Source]:
    """Return every recording of the v2 and v3 trees; a patient may be in both classes of train."""
    return [
        Source(
            path=path,
            subject=f"{recipe.namespace}:{match['subject']}",
            session=f"s{match['session']}",
            test=match["split"] == "eval",
            label=match["label"],
        )
        for path in paths
        if (match := _PATH.search(path))
    ]


arrays = no_arrays
cues = no_cues
