"""SEED: films that stir a negative, neutral or positive feeling, a MAT file a session, one label file for all."""

import re
from collections import defaultdict
from pathlib import PurePosixPath

from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.corpora import sjtu
from pipelines.formats import matlab
from pipelines.recording import Recording
from pipelines.source import Source, Totals
from pipelines.windows import Cue

CLASSES: tuple[str, ...] = ("negative", "neutral", "positive")
TOTALS = {"": Totals(recordings=45)}

_PATH = re.compile(r"(?:^|/)Preprocessed_EEG/(?P<subject>\d+)_(?P<date>\d{8})\.mat$")


def version(paths: list[str]) -> str:
    """Return the one release there is."""
    return "2015"


def find(paths: list[str], recipe: Recipe) -> list[Source]:
    """Return every session, numbered by date within its subject; features beside them have the same names."""
    found = [(path, match) for path in paths if (match := _PATH.search(path))]
    dates: defaultdict[int, set[str]] = defaultdict(set)
    for _, match in found:
        dates[int(match["subject"])].add(match["date"])
    there, sources = set(paths), []
    for path, match in found:
        subject = int(match["subject"])
        label_file = str(PurePosixPath(path).with_name("label.mat"))
        has_labels = label_file in there
        source = Source(
            path=path,
            subject=f"{recipe.namespace}:{subject}",
            session=str(1 + sorted(dates[subject]).index(match["date"])),
            label_file=label_file if has_labels else "",
            lacks="" if has_labels else f"labels: there is no {label_file}",
        )
        sources.append(source)
    return sources


arrays = sjtu.arrays
understands = sjtu.understands


def cues(source: Source, recording: Recording, labels: bytes, recipe: Recipe) -> tuple[list[Cue], str]:
    """Return a cue for each window of each film; the films are the same, in the same order, in every session."""
    return sjtu.film_cues(source, recording, _feelings(source.label_file, labels), recipe)


def _feelings(name: str, content: bytes) -> list[int]:
    """Return the class of every film, from the -1, 0 and 1 of ``label``."""
    labels = matlab.whole_numbers(name, content, "label")
    if strange := sorted(set(labels) - {-1, 0, 1}):
        raise DareError(f"{name}: has label {strange[0]}, which is none of -1, 0 and 1; get the file again")
    return [label + 1 for label in labels]
