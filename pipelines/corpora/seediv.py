"""SEED-IV: films that are neutral, sad, frightening or happy, other ones in each of three sessions."""

import re
from typing import ClassVar

from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Totals
from pipelines.corpora.sjtu import Sjtu

FILMS: dict[str, str] = {
    "1": "123020010121112322330303",
    "2": "213002023323201121030131",
    "3": "122133311210233023002010",
}
"""By session, the class of each film in order, as the corpus's ReadMe lists them (Zheng 2019)."""

_PATH = re.compile(r"(?:^|/)eeg_raw_data/(?P<session>[123])/(?P<subject>\d+)_\d{8}\.mat$")


class SeedIv(Sjtu):
    """15 subjects with three sessions of 24 films each."""

    CLASSES = ("neutral", "sad", "fear", "happy")
    RELEASE = "2019"
    TOTALS: ClassVar = {"": Totals(recordings=45)}

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every session; features and eye movements beside them have the same names."""
        return [
            RawRecording(path=path, subject=f"{recipe.namespace}:{int(match['subject'])}", session=match["session"])
            for path in paths
            if (match := _PATH.search(path))
        ]

    def films(self, raw: RawRecording, _labels: bytes) -> list[int]:
        """Return the class of every film, which no file says."""
        return [int(digit) for digit in FILMS[raw.session]]
