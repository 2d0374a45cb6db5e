"""SEED: films that stir a negative, neutral or positive feeling, a MAT file a session, one label file for all."""

import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import ClassVar

from manifests.errors import DamagedError
from manifests.notes import note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Totals
from pipelines.corpora.sjtu import Sjtu
from pipelines.formats import matlab

_PATH = re.compile(r"(?:^|/)Preprocessed_EEG/(?P<subject>\d+)_(?P<date>\d{8})\.mat$")


class Seed(Sjtu):
    """15 subjects with three sessions of the same 15 films each."""

    CLASSES = ("negative", "neutral", "positive")
    RELEASE = "2015"
    TOTALS: ClassVar = {"": Totals(recordings=45)}

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every session, numbered by date within its subject; features beside them have the same names."""
        found = [(path, match) for path in paths if (match := _PATH.search(path))]
        dates: defaultdict[int, set[str]] = defaultdict(set)
        for _, match in found:
            dates[int(match["subject"])].add(match["date"])
        there, recordings = set(paths), []
        for path, match in found:
            subject = int(match["subject"])
            label_file = str(PurePosixPath(path).with_name("label.mat"))
            has_labels = label_file in there
            raw = RawRecording(
                path=path,
                subject=f"{recipe.namespace}:{subject}",
                session=str(1 + sorted(dates[subject]).index(match["date"])),
                label_file=label_file if has_labels else "",
                lacks=None if has_labels else note("no labels", "labels: there is no {names}", [label_file]),
            )
            recordings.append(raw)
        return recordings

    def films(self, raw: RawRecording, labels: bytes) -> list[int]:
        """Return the class of every film, from the -1, 0 and 1 of ``label``; the same films are in every session."""
        feelings = matlab.whole_numbers(raw.label_file, labels, "label")
        if strange := sorted(set(feelings) - {-1, 0, 1}):
            raise DamagedError(
                f"has label {strange[0]}, which is none of -1, 0 and 1",
                path=raw.label_file,
                remedy="get the file again",
            )
        return [feeling + 1 for feeling in feelings]
