"""TUH EEG Seizure Corpus: a table beside each recording says when a seizure goes on anywhere on the head.

Its spans are the seizures; background is where there is none.

Of the official splits eval is test. Recordings of train and dev are taken together, and valid is drawn from their
subjects as in every corpus: the official dev set is no split of its own here.
"""

import re
from typing import ClassVar

from manifests.errors import MissingError
from manifests.notes import Note, note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora import tuh
from pipelines.corpora.base import Totals
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset, LabelledSpan, by_overlap, happened, united


class Tusz(tuh.Temple):
    """Its v2 tree, and the older one, where folders of montages come first."""

    CLASSES = ("bckg", "seiz")
    TOTALS: ClassVar = {"2.0.3": Totals(recordings=7361)}
    PATH = re.compile(
        rf"(?:^|/)(?P<split>train|dev|dev_test|eval)/(?:{tuh.MONTAGE}/\d{{3}}/)?{tuh.SUBJECT}/{tuh.SESSION}/"
        rf"(?:{tuh.MONTAGE}/)?{tuh.STEM}"
    )
    TABLES = (".csv_bi", ".tse_bi")

    def cues(
        self, raw: RawRecording, recording: Recording, labels: bytes, recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return a cue for each window of the grid: seizure where one touches it (Tang 2022), else background."""
        rows = tuh.annotations(raw.label_file, labels, self.CLASSES)
        if not rows:
            raise MissingError("holds no annotation", path=raw.label_file, remedy="get the file again")
        seizures = self._seizures(rows)
        found = by_overlap(seizures, tuh.duration_s(recording), self.CLASSES.index("bckg"), recipe)
        end_s = found[-1].onset_s + recipe.window_s if found else 0.0
        num_late = sum(one.onset_s >= end_s for one in seizures)
        late = "{count} of {total} seizures begin after the last whole window: dropped"
        return found, happened(note("late seizures", late, count=num_late, total=len(seizures)))

    def spans(self, raw: RawRecording, _recording: Recording, labels: bytes, _recipe: Recipe) -> list[LabelledSpan]:
        """Return the seizures."""
        return united(self._seizures(tuh.annotations(raw.label_file, labels, self.CLASSES)))

    def _seizures(self, rows: list[tuh.AnnotationRow]) -> list[LabelledSpan]:
        seizure = self.CLASSES.index("seiz")
        return [LabelledSpan(row.onset_s, row.end_s, seizure) for row in rows if row.label == "seiz"]
