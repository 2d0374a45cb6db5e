"""Tables: what CSV and TSV files say of recordings and of events in them."""

import codecs
import csv
import io
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from manifests.errors import DamagedError, MissingError
from manifests.layout import Table
from manifests.notes import note
from manifests.plan import RawRecording
from pipelines.formats.packed import without_suffix

Row = dict[str, str]
"""A line of a table: by column, and under "line" its number."""

_DELIMITERS = "\t;,"


def rows(
    name: str,
    content: bytes,
    columns: list[str],
    optional: Sequence[str] = (),
    remedy: str = "name it in the recipe's layout",
) -> list[Row]:
    """Return the wanted columns of every line of a table, without blanks around; empty lines are left out.

    An ``optional`` column that is not there is empty. The delimiter is the tab, semicolon or comma that the line of
    names has most of. Raises DareError where the table lacks a column, with the ``remedy``, or is no text.
    """
    # Lines end where CSV says: not within quotes, and not at what else Unicode takes for a line's end.
    text = io.StringIO(_decoded(content), newline="")
    head = text.readline()
    text.seek(0)
    # Strict, as a quote that is never closed would swallow all lines after it.
    reader = csv.reader(text, delimiter=max(_DELIMITERS, key=head.count), strict=True)
    try:
        names = [cell.strip() for cell in next(reader, [])]
        if not any(names):
            raise MissingError("is empty", path=name, remedy=remedy)
        if lacking := [column for column in columns if column not in names]:
            raise MissingError(f"has no column {lacking[0]!r} but {', '.join(names)}", path=name, remedy=remedy)
        places = {column: names.index(column) for column in (*columns, *optional) if column in names}
        return [
            {"line": str(reader.line_num)}
            | dict.fromkeys(optional, "")
            | {column: cells[place].strip() if place < len(cells) else "" for column, place in places.items()}
            for cells in reader
            if any(cells)
        ]
    except csv.Error as problem:
        reason = f"line {reader.line_num} is no line of a table ({problem})"
        raise DamagedError(reason, path=name, remedy="mend it") from None


def _decoded(content: bytes) -> str:
    """Return the text of a table: UTF-8, UTF-16 where its mark says so, else what Windows or, last, anyone writes."""
    encodings = ["utf-8-sig", "cp1252"]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings.insert(0, "utf-16")
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            return content.decode(encoding)
    return content.decode("latin-1")


def by_recording(found: list[Row], table: Table) -> dict[tuple[str, ...], list[Row]]:
    """Return the rows by what tells which recording they are about, all under () where no column does."""
    grouped: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in found:
        grouped[_key(row, table)].append(row)
    return dict(grouped)


def rows_of(raw: RawRecording, grouped: dict[tuple[str, ...], list[Row]], table: Table) -> list[Row]:
    """Return the rows about one recording, by its path where the table has one, else by subject and session."""
    return next((grouped[key] for key in _keys(raw, table) if key in grouped), [])


def only_of_one(
    recordings: list[RawRecording], grouped: dict[tuple[str, ...], list[Row]], table: Table, file: str
) -> list[RawRecording]:
    """Return the recordings, skipped where the rows of the table in a file that are about one may be about another."""
    fitting = Counter(key for raw in recordings for key in set(_keys(raw, table)))

    def checked(raw: RawRecording) -> RawRecording:
        count = next((fitting[key] for key in _keys(raw, table) if key in grouped), 1)
        return ambiguous(raw, file, count) if count > 1 else raw

    return [checked(raw) for raw in recordings]


def ambiguous(raw: RawRecording, file: str, count: int) -> RawRecording:
    """Return a recording as skipped, as rows of a file fit so many recordings."""
    says = "its rows in {names} fit {recordings} recordings alike: have a column of paths below --src tell these apart"
    return raw.model_copy(update={"skip": note("ambiguous rows", says, [file], recordings=count)})


def key_columns(table: Table) -> list[str]:
    """Return the columns that tell which recording a row is about, and what else they say of it."""
    return [column for column in (table.path, table.subject, table.session) if column]


def _key(row: Row, table: Table) -> tuple[str, ...]:
    if table.path:
        return (composed(row[table.path]).replace("\\", "/").removeprefix("./"),)
    return tuple(_bare(row[column]) for column in key_columns(table))


def _keys(raw: RawRecording, table: Table) -> list[tuple[str, ...]]:
    """Return by what a table may tell that a row is about a recording, the surest first."""
    if table.path:
        path = PurePosixPath(composed(raw.path))
        unpacked = PurePosixPath(without_suffix(str(path)))
        names = (str(path), str(unpacked), str(unpacked.with_suffix("")), path.name, unpacked.name, unpacked.stem)
        return [(name,) for name in dict.fromkeys(names)]
    session = (_bare(raw.session),) if table.session else ()
    return [(_bare(raw.subject.partition(":")[2]), *session) if table.subject else ()]


def _bare(name: str) -> str:
    """Return a subject or session without the name of its BIDS entity."""
    return composed(name).removeprefix("sub-").removeprefix("ses-")


def composed(name: str) -> str:
    """Return a name with its accents composed: macOS takes them apart in file names, and nobody does in a table."""
    return unicodedata.normalize("NFC", name)
