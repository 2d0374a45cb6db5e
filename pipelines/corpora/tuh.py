"""What the Temple University Hospital corpora have in common: file names, releases and tables of annotations."""

import csv
import math
import re
from pathlib import PurePosixPath
from typing import ClassVar, NamedTuple

from manifests.errors import DamagedError, MissingError
from manifests.notes import note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus
from pipelines.recording import Recording

SUBJECT = r"(?P<subject>[a-z]{8}|\d{8})"
SESSION = r"s\d{3}_\d{4}(?:_\d\d_\d\d)?"
MONTAGE = r"0[1-4]_tcp_(?:ar|le)(?:_a)?"
STEM = r"(?:[A-Za-z0-9]+_)?(?P=subject)_s(?P<session>\d{3})(?:_t\d{3})?\.(?i:edf)$"
"""Parts of paths. A session's folder may name the year alone, and a file may have a prefix before its subject."""

_RELEASE = re.compile(r"(?:^|/)v(\d+\.\d+\.\d+)(?=/)")
_TSE_COLUMNS = ["start_time", "stop_time", "label", "confidence"]


class AnnotationRow(NamedTuple):
    """One annotation, in seconds from the recording's first sample; ``channel`` is a TCP pair, or TERM for all."""

    channel: str
    onset_s: float
    end_s: float
    label: str


class Temple(Corpus):
    """A corpus of the hospital.

    ``PATH`` matches its recordings, with groups subject and session and, where the path says so, split (eval is test)
    and label. ``TABLES`` are endings of the files of labels beside recordings, the best one first. ``NUMBERED`` and
    ``LETTERED`` are the releases that are meant where none is named: ids of subjects were numbers until the end of
    2022 and are letters since.
    """

    PATH: ClassVar[re.Pattern[str]]
    TABLES: ClassVar[tuple[str, ...]] = ()
    NUMBERED: ClassVar[str] = "1"
    LETTERED: ClassVar[str] = "2"

    def version(self, paths: list[str]) -> str:
        """Return the release that a path of the corpus names, else the one its subject's id is of, "" without one."""
        matches = [match for path in paths if (match := self._match(path))]
        if named := next(filter(None, (_RELEASE.findall(match.string) for match in matches)), None):
            return str(named[-1])
        subjects = (subject for match in matches if (subject := match.groupdict().get("subject")))
        return next((self.NUMBERED if subject.isdigit() else self.LETTERED for subject in subjects), "")

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every recording, with the best of the tables beside it."""
        there = set(paths)
        return [self._tabled(self._source(match, recipe), there) for path in paths if (match := self._match(path))]

    def _match(self, path: str) -> re.Match[str] | None:
        return self.PATH.search(path)

    def _source(self, match: re.Match[str], recipe: Recipe) -> RawRecording:
        named = match.groupdict()
        return RawRecording(
            path=match.string,
            subject=f"{recipe.namespace}:{match['subject']}",
            session=f"s{match['session']}",
            test=named.get("split") == "eval",
            label=named.get("label", ""),
        )

    def _tabled(self, raw: RawRecording, there: set[str]) -> RawRecording:
        tables = [raw.path.rpartition(".")[0] + ending for ending in self.TABLES]
        if found := next((table for table in tables if table in there), ""):
            return raw.model_copy(update={"label_file": found})
        if tables:
            return raw.model_copy(update={"lacks": note("no labels", "labels: there is no {names}", tables[:1])})
        return raw


def annotations(name: str, table: bytes, known: tuple[str, ...] = ()) -> list[AnnotationRow]:
    """Return the rows of a table in one of the two dialects, which its ending tells.

    ``.csv`` and ``.csv_bi`` have comments, then a line that names the columns; ``.tse``, ``.tse_bi`` and ``.tse_agg``
    have lines of ``start stop label confidence``. Confidence is ignored. Raises MissingError where there is no table
    (``name`` is ""), DareError by line for what is no annotation, and for a label that is not among the ``known``,
    where these are given.
    """
    if not name:
        remedy = "put its labels where the corpus has them, or take a recipe without classes"
        raise MissingError("no table of its labels lies beside it", remedy=remedy)
    is_tse = PurePosixPath(name).suffix.startswith(".tse")
    numbered = enumerate(table.decode("utf-8-sig", "replace").splitlines(), start=1)
    lines = [(number, line) for number, line in numbered if line.strip() and not line.startswith(("#", "version"))]
    if not is_tse and not lines:
        raise DamagedError("is empty", path=name, remedy="get the file again")
    fields = csv.reader(
        (line for _, line in lines), delimiter=" " if is_tse else ",", skipinitialspace=True, quoting=csv.QUOTE_NONE
    )
    columns = _TSE_COLUMNS if is_tse else [column.strip().lower() for column in next(fields)]
    rows = []
    for (number, _), values in zip(lines if is_tse else lines[1:], fields, strict=True):
        row = _row(dict(zip(columns, values, strict=False)))
        if row is None:
            raise DamagedError(
                f"line {number} has no start_time, stop_time and label", path=name, remedy="get the file again"
            )
        if known and row.label not in known:
            raise DamagedError(f"line {number} has label {row.label}, not one of {', '.join(known)}", path=name)
        rows.append(row)
    return rows


def duration_s(recording: Recording) -> float:
    """Return the true time from the first sample of a recording to its end, gaps counted."""
    last = recording.segments[-1]
    return last.onset_s + (last.stop - last.start) / recording.sfreq


def _row(cells: dict[str, str]) -> AnnotationRow | None:
    try:
        onset_s, end_s = float(cells["start_time"]), float(cells["stop_time"])
        row = AnnotationRow(cells.get("channel", "TERM"), onset_s, end_s, cells["label"].strip().lower())
    except (KeyError, ValueError):
        return None
    return row if row.label and 0 <= onset_s <= end_s < math.inf else None
