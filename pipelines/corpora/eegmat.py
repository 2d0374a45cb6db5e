"""EEG During Mental Arithmetic Tasks: the last digit of the file name says rest or arithmetic."""

import re

from manifests.recipe import Recipe
from pipelines.source import Source, Totals, no_arrays, no_cues

CLASSES: tuple[str, ...] = ("rest", "arithmetic")
TOTALS = {"": Totals(recordings=72)}

_PATH = re.compile(r"(?:^|/)(?P<subject>Subject\d\d)_(?P<task>[12])\.(?i:edf)$")


def version(paths: list[str]) -> str:
    """Return the one release there is."""
    return "1.0.0"


def find(paths: list[str], recipe: Recipe) -> list[Source]:
    """Return every recording: two a subject, rest recorded before arithmetic."""
    return [
        Source(
            path=path,
            subject=f"{recipe.namespace}:{match['subject']}",
            session=match["task"],
            label=CLASSES[int(match["task"]) - 1],
        )
        for path in paths
        if (match := _PATH.search(path))
    ]


arrays = no_arrays
cues = no_cues
