"""TUH EEG Artifact Corpus: a table beside each recording lists artifacts by montage channel.

A row may name two kinds at once (``eyem_musc``). A window has one label here: the kind that lasts longest in it, on
whichever channels; clean where no artifact touches it. Electrode pops and static (``elpp``, ``elst``) are ``elec``,
as newer releases have it. Its spans are the times of each kind, on whichever channels.
"""

import re
from collections import Counter
from typing import ClassVar

from manifests.notes import Note, note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora import tuh
from pipelines.corpora.base import Totals
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset, LabelledSpan, by_overlap, happened, united

_KIND_OF = {"eybl": "eyem", "elpp": "elec", "elst": "elec"}


class Tuar(tuh.Temple):
    """Its folders are of montages, with no folder of a subject between."""

    CLASSES = ("clean", "eyem", "musc", "chew", "shiv", "elec")
    TOTALS: ClassVar = {"3": Totals(recordings=310)}
    NUMBERED, LETTERED = "2", "3"
    PATH = re.compile(rf"(?:^|/)edf/{tuh.MONTAGE}/{tuh.SUBJECT}_s(?P<session>\d{{3}})(?:_t\d{{3}})?\.(?i:edf)$")
    TABLES = (".csv",)

    def cues(
        self, raw: RawRecording, recording: Recording, labels: bytes, recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return a cue for each window of the grid, and how many windows hold several kinds of artifact."""
        artifacts, others = self._artifacts(raw.label_file, labels)

        def on_the_grid(chosen: list[LabelledSpan]) -> list[LabelledOnset]:
            return by_overlap(chosen, tuh.duration_s(recording), self.CLASSES.index("clean"), recipe)

        found = on_the_grid(artifacts)
        of_kinds = [[span for span in artifacts if span.label == kind] for kind in range(1, len(self.CLASSES))]
        kinds_in = Counter(cue.onset_s for group in of_kinds for cue in on_the_grid(group) if cue.label)
        several = "{count} of {total} windows hold several kinds of artifact: the longest counts"
        return found, happened(
            note("several kinds", several, count=sum(count > 1 for count in kinds_in.values()), total=len(found)),
            *(
                note("no artifact", "{count} rows of {names} name no artifact: not used", [label], count=others[label])
                for label in sorted(others)
            ),
        )

    def spans(self, raw: RawRecording, _recording: Recording, labels: bytes, _recipe: Recipe) -> list[LabelledSpan]:
        """Return the times of each kind of artifact."""
        return self._artifacts(raw.label_file, labels)[0]

    def _artifacts(self, name: str, labels: bytes) -> tuple[list[LabelledSpan], Counter[str]]:
        """Return (the times of each kind, once on however many channels; how many rows have a label that is none)."""
        found: list[LabelledSpan] = []
        others = Counter[str]()
        for row in tuh.annotations(name, labels):
            kinds = {_KIND_OF.get(part, part) for part in row.label.split("_")}.intersection(self.CLASSES[1:])
            found += [LabelledSpan(row.onset_s, row.end_s, self.CLASSES.index(kind)) for kind in kinds]
            others[row.label] += not kinds
        return united(found), others
