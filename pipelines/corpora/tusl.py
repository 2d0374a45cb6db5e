"""TUH EEG Slowing Corpus: ten seconds each of background, seizure or slowing, the rest of a recording unlabelled."""

import re
from collections import defaultdict
from typing import ClassVar

from manifests.errors import MissingError
from manifests.notes import Note, note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora import tuh
from pipelines.corpora.base import Totals
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset, happened, within


class Tusl(tuh.Temple):
    """Its labels are by montage channel in a .csv, or for all channels in a .tse_agg."""

    CLASSES = ("bckg", "seiz", "slow")
    TOTALS: ClassVar = {"2": Totals(recordings=112)}
    PATH = re.compile(rf"(?:^|/)edf/{tuh.SUBJECT}/{tuh.SESSION}/{tuh.MONTAGE}/{tuh.STEM}")
    TABLES = (".csv", ".tse_agg")

    def cues(
        self, raw: RawRecording, _recording: Recording, labels: bytes, recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return a cue for each window that fits into a labelled stretch, one a moment.

        A stretch is listed for many channels; a moment with two labels is dropped and counted.
        """
        rows = tuh.annotations(raw.label_file, labels, self.CLASSES)
        if not rows:
            raise MissingError("holds no annotation", path=raw.label_file, remedy="get the file again")
        moments: defaultdict[float, set[int]] = defaultdict(set)
        num_short = num_repeated = 0
        for row in rows:
            fitting = within(row.onset_s, row.end_s - row.onset_s, self.CLASSES.index(row.label), recipe)
            num_short += not fitting
            for cue in fitting:
                num_repeated += cue.onset_s in moments
                moments[cue.onset_s].add(cue.label)
        agreed = [
            LabelledOnset(onset_s, next(iter(kinds))) for onset_s, kinds in sorted(moments.items()) if len(kinds) == 1
        ]
        return agreed, happened(
            note("contradicting", "{count} moments carry two labels: dropped", count=len(moments) - len(agreed)),
            note("short", "{count} stretches are shorter than a window: dropped", count=num_short),
            note("repeated", "{count} windows repeat a moment on another channel", count=num_repeated),
        )
