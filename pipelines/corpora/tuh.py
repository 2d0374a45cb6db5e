"""What the Temple University Hospital corpora have in common: file names, releases and tables of annotations."""

import csv
import math
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.recording import Recording
from pipelines.source import Source

SUBJECT = r"(?P<subject>[a-z]{8}|\d{8})"
SESSION = r"s\d{3}_\d{4}(?:_\d\d_\d\d)?"
MONTAGE = r"0[1-4]_tcp_(?:ar|le)(?:_a)?"
STEM = r"(?:[A-Za-z0-9]+_)?(?P=subject)_s(?P<session>\d{3})(?:_t\d{3})?\.(?i:edf)$"
"""Parts of paths. A session's folder may name the year alone, and a file may have a prefix before its subject."""

_RELEASE = re.compile(r"(?:^|/)v(\d+\.\d+\.\d+)(?=/)")
_TSE_COLUMNS = ["start_time", "stop_time", "label", "confidence"]


class Row(NamedTuple):
    """One annotation, in seconds from the recording's first sample; ``channel`` is a TCP pair, or TERM for all."""

    channel: str
    onset_s: float
    end_s: float
    label: str


def version(found: Iterable[re.Match[str] | None], numbered: str, lettered: str) -> str:
    """Return the release that a path of the corpus names, else the one its subject's id is of, "" where there is none.

    Ids were numbers until the end of 2022 and are letters since.
    """
    matches = [match for match in found if match]
    if named := next(filter(None, (_RELEASE.findall(match.string) for match in matches)), None):
        return str(named[-1])
    subjects = (subject for match in matches if (subject := match.groupdict().get("subject")))
    return next((numbered if subject.isdigit() else lettered for subject in subjects), "")


def find(paths: list[str], pattern: re.Pattern[str], recipe: Recipe, tables: tuple[str, ...] = ()) -> list[Source]:
    """Return the recordings whose path fits; ``tables`` are endings of their files of labels, the best one first.

    A recording is test where the pattern's ``split`` is eval.
    """
    there = set(paths)
    sources = []
    for path in paths:
        if match := pattern.search(path):
            stem = path.rpartition(".")[0]
            label_file = next((stem + ending for ending in tables if stem + ending in there), "")
            lacks = f"labels: there is no {stem}{tables[0]}" if tables and not label_file else ""
            subject, session = f"{recipe.namespace}:{match['subject']}", f"s{match['session']}"
            test = match.groupdict().get("split") == "eval"
            sources.append(Source(path, subject, session, test, label_file=label_file, lacks=lacks))
    return sources


def annotations(name: str, table: bytes, known: tuple[str, ...] = ()) -> list[Row]:
    """Return the rows of a table in one of the two dialects, which its ending tells.

    ``.csv`` and ``.csv_bi`` have comments, then a line that names the columns; ``.tse``, ``.tse_bi`` and ``.tse_agg``
    have lines of ``start stop label confidence``. Confidence is ignored. Raises DareError by line for what is no
    annotation, and for a label that is not among the ``known``, where these are given.
    """
    is_tse = PurePosixPath(name).suffix.startswith(".tse")
    numbered = enumerate(table.decode("utf-8-sig", "replace").splitlines(), start=1)
    lines = [(number, line) for number, line in numbered if line.strip() and not line.startswith(("#", "version"))]
    if not is_tse and not lines:
        raise DareError(f"{name}: is empty; get the file again")
    fields = csv.reader(
        (line for _, line in lines), delimiter=" " if is_tse else ",", skipinitialspace=True, quoting=csv.QUOTE_NONE
    )
    columns = _TSE_COLUMNS if is_tse else [column.strip().lower() for column in next(fields)]
    rows = []
    for (number, _), values in zip(lines if is_tse else lines[1:], fields, strict=True):
        row = _row(dict(zip(columns, values, strict=False)))
        if row is None:
            raise DareError(f"{name}: line {number} has no start_time, stop_time and label; get the file again")
        if known and row.label not in known:
            raise DareError(f"{name}: line {number} has label {row.label}, not one of {', '.join(known)}")
        rows.append(row)
    return rows


def duration_s(recording: Recording) -> float:
    """Return the true time from the first sample of a recording to its end, gaps counted."""
    last = recording.segments[-1]
    return last.onset_s + (last.stop - last.start) / recording.sfreq


def _row(cells: dict[str, str]) -> Row | None:
    try:
        onset_s, end_s = float(cells["start_time"]), float(cells["stop_time"])
        row = Row(cells.get("channel", "TERM"), onset_s, end_s, cells["label"].strip().lower())
    except (KeyError, ValueError):
        return None
    return row if row.label and 0 <= onset_s <= end_s < math.inf else None
