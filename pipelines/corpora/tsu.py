"""Tsinghua SSVEP benchmark: a MAT file a subject, trials of 6 s of 40 flickering targets in 6 blocks."""

import re
from typing import ClassVar

from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus, Totals
from pipelines.formats.arrays import Arrays

LABELS: tuple[str, ...] = tuple(
    """FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8
    M1 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 M2 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2
    CB2""".split()
)
"""The 64 electrodes in the order of ``64-channels.loc`` (Wang 2016)."""

_PATH = re.compile(r"(?:^|/)S0?(?P<subject>[1-9]|[12]\d|3[0-5])\.mat$")


class Tsu(Corpus):
    """35 subjects, their trials taken as unlabelled."""

    RELEASE = "2016"
    TOTALS: ClassVar = {"": Totals(recordings=35)}

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return the file of every subject, which some mirrors name ``S01``."""
        return [
            RawRecording(path=path, subject=f"{recipe.namespace}:S{int(match['subject']):02d}", session="1")
            for path in paths
            if (match := _PATH.search(path))
        ]

    def arrays(self, _raw: RawRecording) -> Arrays | None:
        """Return the layout of a subject's trials."""
        return Arrays(variables="data", axes="channel time target block", labels=LABELS, sfreq=250.0)
