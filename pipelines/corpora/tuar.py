"""TUH EEG Artifact Corpus: a table beside each recording lists artifacts by montage channel.

A row may name two kinds at once (``eyem_musc``). A window has one label here: the kind that lasts longest in it, on
whichever channels; clean where no artifact touches it. Electrode pops and static (``elpp``, ``elst``) are ``elec``,
as newer releases have it.
"""

import re
from collections import Counter, defaultdict
from typing import ClassVar

from manifests.notes import Note, note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora import tuh
from pipelines.corpora.base import Totals
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset, by_overlap, happened

_KIND_OF = {"eybl": "eyem", "elpp": "elec", "elst": "elec"}

Span = tuple[float, float, int]


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
        spans: defaultdict[str, list[Span]] = defaultdict(list)
        others = Counter[str]()
        for row in tuh.annotations(raw.label_file, labels):
            kinds = {_KIND_OF.get(part, part) for part in row.label.split("_")}.intersection(self.CLASSES[1:])
            for kind in kinds:
                spans[kind].append((row.onset_s, row.end_s, self.CLASSES.index(kind)))
            others[row.label] += not kinds
        united = [_united(group) for group in spans.values()]

        def on_the_grid(chosen: list[Span]) -> list[LabelledOnset]:
            return by_overlap(chosen, tuh.duration_s(recording), self.CLASSES.index("clean"), recipe)

        found = on_the_grid([span for group in united for span in group])
        kinds_in = Counter(cue.onset_s for group in united for cue in on_the_grid(group) if cue.label)
        several = "{count} of {total} windows hold several kinds of artifact: the longest counts"
        return found, happened(
            note("several kinds", several, count=sum(count > 1 for count in kinds_in.values()), total=len(found)),
            *(
                note("no artifact", "{count} rows of {names} name no artifact: not used", [label], count=others[label])
                for label in sorted(others)
            ),
        )


def _united(spans: list[Span]) -> list[Span]:
    """Return the spans of one kind, those that overlap as one: time counts once, on however many channels."""
    whole: list[Span] = []
    for onset_s, end_s, label in sorted(spans):
        if whole and onset_s <= whole[-1][1]:
            first_s, last_s, _ = whole.pop()
            onset_s, end_s = first_s, max(last_s, end_s)
        whole.append((onset_s, end_s, label))
    return whole
