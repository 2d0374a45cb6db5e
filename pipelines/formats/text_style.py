"""Text style: how a table of text is written: what splits its columns, their names, where its first row begins.

Columns are split by the tab, the semicolon, the comma or else blanks, whichever comes first among these in a line;
numbers may have a decimal comma where that splits nothing. Lines that begin with ``%`` or ``#`` are none of the rows.
The names are in the last line before the first row, such a one too. What OpenBCI says of the rate in these lines, and
Emotiv in its first, is heard.
"""

import codecs
import csv
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from manifests.errors import DamagedError, MissingError, RefusedError

COMMENTS = "%#"
BLANK = ("", "nan", "na", "n/a", "-")
"""What a cell without a number holds, in small letters."""

_HEAD_BYTES = 1 << 18
_OPENBCI_RATE = re.compile(r"[%#].*?sample rate\s*[=:]\s*([\d.]+)", re.IGNORECASE)
_EMOTIV = re.compile(r"title\s*:.*\bsampling[ \w]*:\s*(?:eeg_)?([\d.]+)", re.IGNORECASE)
_EMOTIV_LABELS = re.compile(r"\blabels\s*:([^,;\t]+)")


@dataclass(frozen=True)
class Style:
    """How a table is written: ``names`` of its columns, if any, its first row, and the byte at which that begins."""

    delimiter: str
    row: tuple[str, ...]
    begin: int = 0
    names: tuple[str, ...] = ()
    sfreq: float = 0.0

    @property
    def has_decimal_comma(self) -> bool:
        """Whether numbers are written as 1,5."""
        return self.delimiter != "," and any("," in cell and "." not in cell for cell in self.row)

    def number(self, cell: str) -> float:
        """Return the number in a cell, of a time of day or a date the seconds, NaN where there is none."""
        with suppress(ValueError):
            return float(cell.replace(",", ".") if self.has_decimal_comma else cell)
        with suppress(ValueError):
            text = cell if "-" in cell else f"1970-01-01 {cell}"
            return (datetime.fromisoformat(text).replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()
        return math.nan

    def holds_numbers(self, place: int) -> bool:
        """Return whether a column begins with a number, or with nothing."""
        return _is_number(self.row[place]) or _is_blank(self.row[place])

    def place(self, path: Path, column: str) -> int:
        """Return the place of a column, by its name or, counted from 1, its number; DareError where there is none."""
        if column in self.names:
            return self.names.index(column)
        if column.isascii() and column.isdigit() and 0 < int(column) <= len(self.row):
            return int(column) - 1
        listed = ", ".join(self.names[:12]) or f"{len(self.row)} without names"
        remedy = "name in [layout.arrays] columns that are there, or their numbers from 1"
        raise MissingError(f"has no column {column!r}, but {listed}", path=path, remedy=remedy)


def style_of(path: Path) -> Style:
    """Return how a table is written, by its first lines; DareError where none of these is a row of numbers."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if is_utf16(head):
        raise RefusedError("is text in UTF-16", path=path, remedy="save it in UTF-8")
    if b"\r" in head and b"\n" not in head:
        raise RefusedError(
            "ends its lines by CR alone", path=path, remedy="save it with the line ends of Unix or Windows"
        )
    begin = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    stored = head[begin:].split(b"\n")
    lines = [line.decode("utf-8", "replace").strip("\r") for line in stored]
    names: list[str] = []
    sfreq, before = 0.0, ""
    for line, following, in_file in zip(lines, [*lines[1:], ""], stored, strict=True):
        if found := _EMOTIV.match(line) or _OPENBCI_RATE.match(line):
            sfreq = float(found[1])
        delimiter = _delimiter(line)
        row = cells(line, delimiter)
        if listed := _EMOTIV_LABELS.search(line) if found else None:
            names = listed[1].split()
        elif line[:1] not in COMMENTS and _is_row(row, cells(following, delimiter)):
            above = cells(before.lstrip(f"{COMMENTS} "), delimiter)
            are_names = len(above) == len(row) and not any(map(_is_number, above))
            return Style(delimiter, tuple(row), begin, tuple(names or (above if are_names else ())), sfreq)
        elif line.strip():
            before = line
        begin += len(in_file) + 1
    raise DamagedError("holds no rows of numbers", path=path, remedy="name another file in the layout's files")


def is_utf16(head: bytes) -> bool:
    """Return whether a file that begins so says that it is text of two bytes a character."""
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line without the blanks around them."""
    split = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), []) if delimiter else line.split()
    return [cell.strip() for cell in split]


def claims(_path: Path, head: bytes) -> bool:
    """Return whether a file is a table that tells its rate itself: Emotiv's or OpenBCI's."""
    text = head[:4096].removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
    return bool(_EMOTIV.match(text)) or text.startswith("%OpenBCI")


def _delimiter(line: str) -> str:
    return next((one for one in "\t;," if one in line), "")


def _is_row(row: list[str], following: list[str]) -> bool:
    """Return whether cells are those of a sample, and no names: where a number follows there is one, or nothing."""
    below = following if len(following) == len(row) else [""] * len(row)
    pairs = zip(row, below, strict=True)
    return any(map(_is_number, row)) and all(
        _is_number(cell) or _is_blank(cell) or not _is_number(under) for cell, under in pairs
    )


def _is_number(cell: str) -> bool:
    with suppress(ValueError):
        return math.isfinite(float(cell.replace(",", ".")))
    return False


def _is_blank(cell: str) -> bool:
    return cell.lower() in BLANK
