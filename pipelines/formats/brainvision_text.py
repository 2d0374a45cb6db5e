"""BrainVision's texts: the settings of a header and the events of a marker file, in whatever code page."""

import codecs
import re
from collections.abc import Mapping

from manifests.notes import Note, note
from pipelines.formats.sampled import is_joint
from pipelines.recording import Event

_WHOLE, _DATE = re.compile(r"\d{1,15}"), re.compile(r"\d{14,}")

Settings = Mapping[str, Mapping[str, str]]
"""The keys of each section and their values; sections and keys in lower case."""


def decoded(content: bytes) -> str:
    """Return a text in the code page that it begins with, else in UTF-8, the one that it states, or Windows' own."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    stated = re.search(rb"^\s*codepage\s*=\s*([\w-]+)", content, re.IGNORECASE | re.MULTILINE)
    for page in ("utf-8-sig", stated[1].decode() if stated else "", "cp1252"):
        try:
            return content.decode(page)
        except (UnicodeError, LookupError):
            continue
    return content.decode("latin-1")


def settings_of(text: str) -> Settings:
    """Return the settings of a header, up to the comment that ends it."""
    settings: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in map(str.strip, re.split(r"[\r\n]+", text)):
        if line.startswith("["):
            name = line.strip("[]").lower()
            if name == "comment":
                break
            section = settings.setdefault(name, {})
        elif "=" in line and not line.startswith(";"):
            key, _, value = line.partition("=")
            key = key.strip().lower()
            section[f"{key} again" if key in section else key] = value.strip()  # of no use, but it is counted
    return settings


def markers_of(content: bytes, sfreq: float) -> tuple[tuple[Event, ...], set[int], tuple[Note, ...]]:
    """Return (events by onset, the samples that begin a segment, notes).

    Where the first marker is of a new segment it only says when the recording began.
    """
    text = decoded(content)
    lines = re.findall(r"^\s*Mk\d+\s*=([^\r\n]*)", text, re.MULTILINE | re.IGNORECASE)
    markers = [_marker(line, sfreq) for line in lines]
    events = [one for one in markers if one]
    edges = {round(one.onset_s * sfreq) for one in events if is_joint(one.text)}
    if markers and markers[0] and markers[0].text.startswith("New Segment/"):
        events = events[1:]
    lost = len(markers) - sum(one is not None for one in markers)
    says = "{count} of {total} markers cannot be read: not used"
    notes = (note("illegible markers", says, count=lost, total=len(markers)),) if lost else ()
    return tuple(sorted(events, key=lambda event: event.onset_s)), edges, notes


def _marker(line: str, sfreq: float) -> Event | None:
    """Return a marker: type, description, position from 1, number of samples, channel, date; None where it is none.

    Commas in a description should be written as ``\\1``, and often are not.
    """
    fields = line.rstrip().split(",")
    while len(fields) > 5 and (not fields[-1].strip() or _DATE.fullmatch(fields[-1].strip())):
        fields.pop()
    first = len(fields) - 3 if len(fields) > 5 else 2
    position, size = ([field.strip() for field in fields[first : first + 2]] + ["", ""])[:2]
    if not _WHOLE.fullmatch(position):
        return None
    text = f"{fields[0]}/{','.join(fields[1:first])}".replace(r"\1", ",")
    return Event((int(position) - 1) / sfreq, int(size) / sfreq if _WHOLE.fullmatch(size) else 0.0, text)
