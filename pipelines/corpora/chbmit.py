"""CHB-MIT: children with epilepsy, their seizures listed by file in one summary a case (Shoeb 2009)."""

import re
from pathlib import PurePosixPath
from typing import ClassVar

from manifests.errors import DamagedError, MissingError
from manifests.notes import Note, note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus, Totals
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset, LabelledSpan, by_overlap

_PATH = re.compile(r"(?:^|/)(?P<name>chb(?P<case>\d\d)[a-z]?_\d\d\+?)\.(?i:edf)$")
_SUMMARY = re.compile(r"(?:^|/)chb(?P<case>\d\d)-summary\.txt$")
_SAME_CHILD = {"21": "01"}
"""Case 21 is the girl of case 1, a year and a half later."""

_FILE = re.compile(r"^\s*File Name\s*:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_COUNT = re.compile(r"Number of Seizures in File\s*:\s*(\d+)", re.IGNORECASE)
_MOMENT = re.compile(r"Seizure\s*\d*\s*(Start|End) Time\s*:\s*(\d+(?:\.\d+)?)", re.IGNORECASE)


class ChbMit(Corpus):
    """23 children, a folder a case; of a child with two cases both are one subject."""

    CLASSES = ("background", "seizure")
    RELEASE = "1.0.0"
    TOTALS: ClassVar = {"": Totals(recordings=686)}  # 664 of the first 23 cases and 22 of the one added in 2010

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every recording with the summary of its case."""
        summaries = {match["case"]: path for path in reversed(paths) if (match := _SUMMARY.search(path))}
        return [_source(path, match, summaries, recipe) for path in paths if (match := _PATH.search(path))]

    def cues(
        self, raw: RawRecording, recording: Recording, labels: bytes, recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return a cue for each window of a grid: seizure where one overlaps it, however little, else background."""
        end_s = max(
            segment.onset_s + (segment.stop - segment.start) / recording.sfreq for segment in recording.segments
        )
        seizures = self.spans(raw, recording, labels, recipe)
        return by_overlap(seizures, end_s, recipe.classes.index("background"), recipe), []

    def spans(self, raw: RawRecording, _recording: Recording, labels: bytes, recipe: Recipe) -> list[LabelledSpan]:
        """Return the seizures that the summary lists."""
        name = PurePosixPath(raw.path).with_suffix(".edf").name
        seizures = _seizures(name, raw.label_file, labels.decode("latin-1"))
        return [LabelledSpan(start_s, stop_s, recipe.classes.index("seizure")) for start_s, stop_s in seizures]


def _source(path: str, match: re.Match[str], summaries: dict[str, str], recipe: Recipe) -> RawRecording:
    case = match["case"]
    unknown = note("no labels", "seizures: there is no {names} below --src", [f"chb{case}-summary.txt"])
    return RawRecording(
        path=path,
        subject=f"{recipe.namespace}:{_SAME_CHILD.get(case, case)}",
        session=match["name"],
        label_file=summaries.get(case, ""),
        lacks=None if case in summaries else unknown,
    )


def _seizures(recording: str, summary: str, text: str) -> list[tuple[float, float]]:
    """Return (start, end) in seconds of the seizures that a summary lists for a recording."""
    parts = _FILE.split(text)
    entries = dict(zip(parts[1::2], parts[2::2], strict=True))
    if recording not in entries:
        raise MissingError(f"{summary} does not name it: whether it holds a seizure is not known")
    entry = entries[recording]
    moments = [(match[1].lower(), float(match[2])) for match in _MOMENT.finditer(entry)]
    starts, stops = ([at_s for kind, at_s in moments if kind == wanted] for wanted in ("start", "end"))
    declared = _COUNT.search(entry)
    if declared is None or not int(declared[1]) == len(starts) == len(stops):
        counts = f"counts {declared[1]}" if declared else "does not count the"
        raise DamagedError(
            f"{counts} seizures in {recording} and lists {len(starts)} starts and {len(stops)} ends",
            path=summary,
            remedy="get the summary again",
        )
    return list(zip(starts, stops, strict=True))
