"""EEG During Mental Arithmetic Tasks: the last digit of the file name says rest or arithmetic."""

import re

from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.recording import Recording
from pipelines.source import Source
from pipelines.windows import Cue

_PATH = re.compile(r"(?:^|/)(?P<subject>Subject\d\d)_(?P<task>[12])\.edf$")
_TASKS = {"1": "rest", "2": "arithmetic"}


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
            label=_TASKS[match["task"]],
        )
        for path in paths
        if (match := _PATH.search(path))
    ]


def cues(source: Source, recording: Recording, labels: bytes, recipe: Recipe) -> tuple[list[Cue], str]:
    """Raise: an eegmat recording has one label."""
    raise DareError(f"{source.path}: is neither rest (_1) nor arithmetic (_2)")
