"""Path pattern: which part of the paths of recordings is most likely the subject, as a layout's ``files`` says it."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from manifests.layout import Layout
from pipelines.scan import PACKED

_SAYS = r"(?:sub(?:j(?:ect)?)?|p|pat(?:ient)?|part(?:icipant)?|vp|id)"
_NO_SUBJECT = r"(?:19|20)\d\d(?:\d\d){0,2}|train|test|eval|dev|val|valid"
"""Dates, and parts of a corpus."""

_SPLIT = re.compile(r"([/_. -])")
_NOBODY = "could not tell from names who is who: each file is taken for one of its own"


def ending(path: str) -> str:
    """Return the ending of a file's name, of a packed file with that of what is in it: ``.edf.gz``."""
    name = PurePosixPath(path)
    return "".join(name.suffixes[-2:]) if name.suffix.lower() in PACKED else name.suffix


def files_pattern(paths: list[str]) -> tuple[str, str]:
    """Return (the pattern of these paths, what it takes for the subject): the first part of them that varies."""
    split = [_SPLIT.split(path) for path in paths]
    columns = list(zip(*split, strict=True)) if len({len(one) for one in split}) == 1 else []
    varies = [place for place, column in enumerate(columns) if len(set(column)) > 1]
    suffix = ending(paths[0])
    if len(paths) == 1:
        folders = "**/" * ("/" in paths[0])
        return f"{folders}{{subject}}{suffix}", "the file's name is taken for it, and so are those of others like it"
    if not varies or any(place % 2 for place in varies):
        if len({path.partition("/")[0] for path in paths}) > 1 and all("/" in path for path in paths):
            return f"{{subject}}/**/{{session}}{suffix}", "could not tell from names: the folder is taken for it"
        return f"**/{{subject}}{suffix}", _NOBODY
    subject = _subject(columns, varies)
    people = columns[subject]
    parts: list[str] = []
    session = "{session}"
    for place, column in enumerate(columns):
        if place not in varies:
            parts.append(column[0].replace("{", "*"))
            continue
        head = "{subject}"
        rest = [cell.removeprefix(one) for cell, one in zip(column, people, strict=True)]
        if place != subject and not all(cell.startswith(one) for cell, one in zip(column, people, strict=True)):
            head, rest = "", list(column)
        if len(set(rest)) == 1:
            parts.append(head + rest[0])
        else:
            parts.append(head + _prefix(rest) + session)
            session = "*"
    pattern = "".join(parts)
    if not all(map(Layout(files=pattern).match, paths)):
        return f"**/{{subject}}{suffix}", _NOBODY
    return pattern, "mend it if these are none"


def _subject(columns: list[tuple[str, ...]], varies: list[int]) -> int:
    """Return which part is the subject: one after what says so, or that says so itself, else the first that may be."""
    after = [place for place in varies if place > 1 and re.fullmatch(_SAYS, columns[place - 2][0], re.IGNORECASE)]
    says = [place for place in varies if _all(rf"{_SAYS}\d+", columns[place])]
    may_be = [place for place in varies if not _all(_NO_SUBJECT, columns[place])]
    return next(iter([*after, *says, *may_be, *varies]))


def _all(pattern: str, cells: Iterable[str]) -> bool:
    return all(re.fullmatch(pattern, cell, re.IGNORECASE) for cell in cells)


def _prefix(cells: Iterable[str]) -> str:
    """Return the letters that all begin with and something follows."""
    cells = list(dict.fromkeys(cells))
    letters = re.match(r"[^\d]*", cells[0])
    prefix = letters[0] if letters else ""
    while prefix and not all(cell.startswith(prefix) and len(cell) > len(prefix) for cell in cells):
        prefix = prefix[:-1]
    return prefix
