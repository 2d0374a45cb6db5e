"""Passive BCI for workload (Hinss 2021): epochs of 2 s of an easy, medium or difficult MATB task, or of rest."""

import re
from typing import ClassVar

from manifests.notes import note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus, Totals

_PATH = re.compile(
    r"(?:^|/)P(?P<subject>\d\d)/S(?P<session>\d)/eeg/"
    r"alldata_sbj(?P=subject)_sess(?P=session)_(?P<task>RS|MATBeasy|MATBmed|MATBdiff)\.set$"
)
_TASKS = {"MATBeasy": "easy", "MATBmed": "medium", "MATBdiff": "difficult"}
_REST = note("other task", "is rest: none of the classes")


class PassiveBci(Corpus):
    """15 subjects with two sessions of four files each."""

    CLASSES = ("easy", "medium", "difficult")
    RELEASE = "2021"
    TOTALS: ClassVar = {"": Totals(recordings=120)}

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every file of epochs, rest skipped where classes are asked for; ``RSraw`` is the same rest, uncut."""
        return [
            RawRecording(
                path=path,
                subject=f"{recipe.namespace}:P{match['subject']}",
                session=f"S{match['session']}",
                label=_TASKS.get(match["task"], ""),
                skip=_REST if recipe.classes and match["task"] == "RS" else None,
            )
            for path in paths
            if (match := _PATH.search(path))
        ]
