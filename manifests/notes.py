"""Notes: what is worth knowing of a recording, kept as kind, figures and names; text is made where it is shown."""

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from manifests.records import Fields, Part

PROSE = "text"
"""The kind of a note that is prose and nothing else, as a library's complaint is."""

_MOST_NAMES = 4  # that a summary spells out


class Note(Part):
    """One thing to know of a recording.

    ``says`` is the same text for every note of a ``kind``, with a place for each of the ``figures`` and one, where it
    is about electrodes, channels, files or events, for their ``names``: ``{share:.2%} of the samples of {names} ...``.
    """

    kind: str
    says: str
    figures: dict[str, int | float]
    names: tuple[str, ...]

    @property
    def text(self) -> str:
        """The note as a person reads it."""
        return _joint_text([self], len(self.names))


def note(kind: str, says: str, names: Iterable[str] = (), /, **figures: int | float) -> Note:
    """Return a note; see `Note` for what ``says`` may hold."""
    return Note(kind=kind, says=says, figures=figures, names=tuple(names))


def prose(text: str) -> tuple[Note, ...]:
    """Return the note that a text is, or none where it is empty."""
    return (note(PROSE, text),) if text else ()


def text(notes: Iterable[Note]) -> str:
    """Return notes as one line, each thing said once."""
    return "; ".join(dict.fromkeys(one.text for one in notes))


_CONTROL = re.compile(r"(?:[\x00-\x1f\x7f-\x9f\u2028\u2029]\s*)+")


def one_line(text: str) -> str:
    """Return a text from a file without line ends and control characters, by which it could forge what is printed."""
    return _CONTROL.sub(" ", text)


def counted(recordings: Iterable[Sequence[Note]]) -> dict[str, int]:
    """Return how many recordings have a note of each kind, by what these say with the range of their figures.

    A recording with notes of several kinds counts for each, one without any under "".
    """
    of_kind: dict[tuple[str, str], list[Note]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for notes in recordings:
        found = notes or [note(PROSE, "")]
        counts.update({(one.kind, one.says) for one in found})
        for one in found:
            of_kind.setdefault((one.kind, one.says), []).append(one)
    by_text: Counter[str] = Counter()
    for kind, members in of_kind.items():
        by_text[_joint_text(members, _MOST_NAMES)] += counts[kind]
    return dict(sorted(by_text.items()))


def from_prose(row: Fields) -> Fields:
    """Return the row of a recording that was written with prose alone as its ``reason``, with that as its notes."""
    return row | {"notes": [one.as_json() for one in prose(row["reason"])]}


_FORM = re.compile(r"[+]?,?(?:\.\d)?[dfg%]?")


class _Range:
    """The figures of one place in several notes, formatted as the place wants them: one, or from lowest to highest."""

    def __init__(self, figures: Sequence[int | float]) -> None:
        self._ends = min(figures), max(figures)

    def __format__(self, form: str) -> str:
        if not _FORM.fullmatch(form):
            raise ValueError(f"{form!r} is no form of a figure")
        return " to ".join(dict.fromkeys(format(end, form) for end in self._ends))


class _Plain(string.Formatter):
    """Formats places that are plain names and looks into no object, as the text may come from anyone's disk."""

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        """Return names between quotes where the text wants them so, and all else as it is."""
        return repr(value) if conversion == "r" and isinstance(value, str) else value

    def get_field(self, field_name: str, _args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        return kwargs[field_name], field_name


def _joint_text(notes: Sequence[Note], most_names: int) -> str:
    """Return what notes of one kind say together."""
    first = notes[0]
    names = list(dict.fromkeys(name for one in notes for name in one.names))
    figures: dict[str, list[int | float]] = {}
    for name, figure in (pair for one in notes for pair in one.figures.items()):
        figures.setdefault(name, []).append(figure)
    if not (names or figures):
        return first.says
    listed = ", ".join(names[:most_names]) + (f" and {len(names) - most_names} more" if len(names) > most_names else "")
    try:
        ranges = {name: _Range(values) for name, values in figures.items()}
        return _Plain().vformat(first.says, (), ranges | {"names": listed})
    except (KeyError, ValueError, OverflowError):
        return first.says
