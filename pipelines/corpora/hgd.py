"""High-Gamma Dataset (Schirrmeister 2017): four movements executed, one file a subject and side of the split."""

import re
from typing import ClassVar

from manifests.errors import MissingError
from manifests.notes import Note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus, Totals
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset

_PATH = re.compile(r"(?:^|/)(?P<split>train|test)/(?P<subject>[1-9]|1[0-4])\.(?i:edf)$")


class HighGamma(Corpus):
    """14 subjects with two recordings each."""

    CLASSES = ("right_hand", "left_hand", "rest", "feet")
    RELEASE = "2017"
    TOTALS: ClassVar = {"": Totals(recordings=28)}

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every recording: train/7.edf and test/7.edf are of one subject."""
        return [
            RawRecording(
                path=path,
                subject=f"{recipe.namespace}:{match['subject']}",
                session=match["split"],
                test=match["split"] == "test",
            )
            for path in paths
            if (match := _PATH.search(path))
        ]

    def is_label_event(self, text: str) -> bool:
        """Return whether an event is named after a movement."""
        return text in self.CLASSES

    def cues(
        self, raw: RawRecording, recording: Recording, _labels: bytes, recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return the onset of every movement, which is annotated by name."""
        events = [event for event in recording.events if event.text in recipe.classes]
        if not events:
            raise MissingError(
                f"holds no annotation {', '.join(recipe.classes)}", path=raw.path, remedy="get the file again"
            )
        return [LabelledOnset(event.onset_s, recipe.classes.index(event.text)) for event in events], []
