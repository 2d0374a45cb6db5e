"""Registry: the formats there are, found by looking, and what follows from what each says of itself."""

import pkgutil
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

from manifests.errors import DamagedError
from pipelines import formats as package
from pipelines.formats import Format

_MIN_LINE_FEEDS = 32
_DISGUISES = {
    b"version https://git-lfs": ("is a Git LFS pointer, not a recording", "fetch the file it stands for"),
    b"Brain Vision Data Exchange Marker": ("holds the markers of a BrainVision recording", "name its .vhdr"),
    b"Brain Vision V-Amp Data Marker": ("holds the markers of a BrainVision recording", "name its .ahdr"),
    b"BrainVision Data Exchange Marker": ("holds the markers of a BrainVision recording", "name its .vhdr"),
    b"RIFF": ("is a RIFF file, as ANT's .cnt is, which nothing here reads", "convert it"),
}
"""What files are that are often taken for recordings, and the way out, by their first bytes."""

_AGAIN = "download it again"


@cache
def formats() -> tuple[Format, ...]:
    """Return the formats that files of this package state, in the order in which they are asked."""
    modules = (import_module(f"{package.__name__}.{one.name}") for one in pkgutil.iter_modules(package.__path__))
    stated = [module.FORMAT for module in modules if isinstance(getattr(module, "FORMAT", None), Format)]
    return tuple(sorted(stated, key=lambda one: one.general))


def suffixes() -> tuple[str, ...]:
    """Return the endings of raw files, in lower case."""
    return tuple(dict.fromkeys(suffix for one in formats() for suffix in one.suffixes))


def files_of(path: Path, told: Sequence[Path] = ()) -> list[Path]:
    """Return the files that make up the recording a path names: itself, and its companions.

    They are those that its header ``told`` of or, where it tells of none, what is called as it is.
    """
    if told:
        return [path, *told]
    beside = [path.with_suffix(ending) for ending in endings_of(path)]
    return [path, *(file for file in beside if file.exists())]


def endings_of(path: Path) -> list[str]:
    """Return the endings of the files that may hold the rest of a recording which a path names."""
    suffix = path.suffix.lower()
    return list(dict.fromkeys(ending for one in formats() if suffix in one.suffixes for ending in one.companions))


def format_of(path: Path, head: bytes) -> Format:
    """Return the format of a file that begins with ``head``.

    Raises DareError, which says what the file is, where it is of none, or damaged on its way.
    """
    for one in formats():
        if one.claims(path, head):
            num_line_feeds = head.count(b"\n")
            # In samples, one line feed in 256 follows a carriage return; in a converted file every one does.
            if not one.holds_text and num_line_feeds >= _MIN_LINE_FEEDS and head.count(b"\r\n") == num_line_feeds:
                raise DamagedError(
                    "damaged by line-end conversion (LF to CR LF)", path=path, remedy="download it again in binary mode"
                )
            return one
    reason, remedy = _described(head, path.suffix.lower())
    raise DamagedError(reason, path=path, remedy=remedy)


def _described(head: bytes, suffix: str) -> tuple[str, str]:
    """Return what a file is whose first bytes are those of no recording, and the way out."""
    start = head[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "is empty (0 bytes)", _AGAIN
    if start.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, not a recording", _AGAIN
    for magic, what in _DISGUISES.items():
        if head.startswith(magic):
            return what
    # These files are samples and nothing else, so the suffix alone can tell.
    if wholes := [one for one in formats() if suffix in one.companions]:
        reason = " or ".join(f"{one.companions[suffix]} of {_article(one)} {one.name} recording" for one in wholes)
        return f"holds the {reason}", f"name its {' or '.join(one.suffixes[0] for one in wholes)}"
    if not head.strip(b"\0"):
        return "begins with zeros only, not a recording", _AGAIN
    is_text = all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head[:512])
    kind = "is text" if is_text else "is of unknown format"
    *names, last = (one.name for one in formats())
    reason = f"{kind}, not {', '.join(names)} or {last}: it begins with {head[:8]!r}"
    return reason, "convert it to one of these" + ", or state its columns in [layout.arrays] of a recipe" * is_text


def _article(one: Format) -> str:
    return "an" if one.name[0] in "AEIOU" else "a"
