"""The formats of raw files, each to a header and to signal in µV.

A file here that states its ``FORMAT`` is all that a format takes: `pipelines.formats.registry` finds it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.recording import RawFile


@dataclass(frozen=True)
class Format:
    """How recordings of one format are told from others, and read.

    ``suffixes`` are the endings, in lower case, of files that name a recording. ``claims`` says by path and first bytes
    whether a file is one, as extensions lie. ``companions`` has the endings of files beside it and what of the
    recording they hold: ``{".fdt": "samples"}``. Formats that are ``general`` are asked last. Where one ``holds_text``,
    line ends in it are no sign of damage. ``in_bids`` is whether a BIDS tree may hold it.
    """

    name: str
    suffixes: tuple[str, ...]
    claims: Callable[[Path, bytes], bool]
    parse: Callable[[Path], RawFile]
    companions: Mapping[str, str] = field(default_factory=dict)
    general: bool = False
    holds_text: bool = False
    in_bids: bool = True


def begins(*magics: bytes) -> Callable[[Path, bytes], bool]:
    """Return what claims the files whose first bytes are one of these."""
    return lambda _path, head: head.startswith(magics)
