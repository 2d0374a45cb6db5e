"""EEG During Mental Arithmetic Tasks: the last digit of the file name says rest or arithmetic."""

import re
from typing import ClassVar

from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus, Totals

_PATH = re.compile(r"(?:^|/)(?P<subject>Subject\d\d)_(?P<task>[12])\.(?i:edf)$")


class EegMat(Corpus):
    """36 subjects with two recordings each."""

    CLASSES = ("rest", "arithmetic")
    RELEASE = "1.0.0"
    TOTALS: ClassVar = {"": Totals(recordings=72)}

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every recording: two a subject, rest recorded before arithmetic."""
        return [
            RawRecording(
                path=path,
                subject=f"{recipe.namespace}:{match['subject']}",
                session=match["task"],
                label=self.CLASSES[int(match["task"]) - 1],
            )
            for path in paths
            if (match := _PATH.search(path))
        ]
