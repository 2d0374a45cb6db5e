"""High-Gamma Dataset (Schirrmeister 2017): four movements executed, one file a subject and side of the split."""

import re

from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.recording import Recording
from pipelines.source import Source, Totals, no_arrays
from pipelines.windows import Cue

CLASSES: tuple[str, ...] = ("right_hand", "left_hand", "rest", "feet")
TOTALS = {"": Totals(recordings=28)}

_PATH = re.compile(r"(?:^|/)(?P<split>train|test)/(?P<subject>[1-9]|1[0-4])\.(?i:edf)$")


def version(paths: list[str]) -> str:
    """Return the one release there is."""
    return "2017"


def find(paths: list[str], recipe: Recipe) -> list[Source]:
    """Return every recording: train/7.edf and test/7.edf are of one subject."""
    return [
        Source(
            path=path,
            subject=f"{recipe.namespace}:{match['subject']}",
            session=match["split"],
            test=match["split"] == "test",
        )
        for path in paths
        if (match := _PATH.search(path))
    ]


arrays = no_arrays


def understands(text: str, recipe: Recipe) -> bool:
    """Return whether an event is named after a movement."""
    return text in CLASSES


def cues(source: Source, recording: Recording, labels: bytes, recipe: Recipe) -> tuple[list[Cue], str]:
    """Return the onset of every movement, which is annotated by name."""
    events = [event for event in recording.events if event.text in recipe.classes]
    if not events:
        raise DareError(f"{source.path}: holds no annotation {', '.join(recipe.classes)}; get the file again")
    return [Cue(event.onset_s, recipe.classes.index(event.text)) for event in events], ""
