"""SEED-IV: films that are neutral, sad, frightening or happy, other ones in each of three sessions."""

import re

from manifests.recipe import Recipe
from pipelines.corpora import sjtu
from pipelines.recording import Recording
from pipelines.source import Source, Totals
from pipelines.windows import Cue

CLASSES: tuple[str, ...] = ("neutral", "sad", "fear", "happy")
TOTALS = {"": Totals(recordings=45)}

FILMS: dict[str, str] = {
    "1": "123020010121112322330303",
    "2": "213002023323201121030131",
    "3": "122133311210233023002010",
}
"""By session, the class of each film in order, as the corpus's ReadMe lists them (Zheng 2019)."""

_PATH = re.compile(r"(?:^|/)eeg_raw_data/(?P<session>[123])/(?P<subject>\d+)_\d{8}\.mat$")


def version(paths: list[str]) -> str:
    """Return the one release there is."""
    return "2019"


def find(paths: list[str], recipe: Recipe) -> list[Source]:
    """Return every session; features and eye movements beside them have the same names."""
    return [
        Source(path=path, subject=f"{recipe.namespace}:{int(match['subject'])}", session=match["session"])
        for path in paths
        if (match := _PATH.search(path))
    ]


arrays = sjtu.arrays
understands = sjtu.understands


def cues(source: Source, recording: Recording, labels: bytes, recipe: Recipe) -> tuple[list[Cue], str]:
    """Return a cue for each window of each film."""
    return sjtu.film_cues(source, recording, [int(digit) for digit in FILMS[source.session]], recipe)
