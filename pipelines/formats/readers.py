"""Readers: any supported raw file -> its header, or its signal in µV with events and gaps in true time."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from manifests.errors import DareError
from pipelines.formats import arrays as matlab_arrays
from pipelines.formats import edf, eeglab, foreign, gdf, matlab
from pipelines.formats.arrays import Arrays
from pipelines.recording import Header, RawFile, Recording

_PARSERS: dict[bytes, Callable[[Path], RawFile]] = {
    b"0       ": edf.parse,
    b"\xffBIOSEMI": edf.parse,
    b"GDF ": gdf.parse,
    b"\0\0\0\x64\0\0\0\x1f\0\0\0\x14": foreign.parse_fif,  # the tag of a file's identity, which comes first
    b"Version 3": foreign.parse_cnt,
    b"Brain Vision Data Exchange Header": foreign.parse_brainvision,
    b"BrainVision Data Exchange Header": foreign.parse_brainvision,
}
"""By the first bytes: extensions lie."""

_SNIFF_BYTES = 1 << 18
_MIN_LINE_FEEDS = 32
_DISGUISES = {
    b"PK\x03\x04": "is a zip archive, not a recording: unpack it first",
    b"\x1f\x8b": "is gzip-compressed, not a recording: unpack it first",
    b"version https://git-lfs": "is a Git LFS pointer, not a recording: fetch the file it stands for",
    b"Brain Vision Data Exchange Marker": "holds the markers of a BrainVision recording: name its .vhdr",
    b"BrainVision Data Exchange Marker": "holds the markers of a BrainVision recording: name its .vhdr",
    b"RIFF": "is no EDF, GDF, MAT, SET, BrainVision, FIF or NeuroScan file but a RIFF one, as ANT's .cnt: convert it",
}
_PARTS = {
    ".eeg": "holds the samples of a BrainVision recording: name its .vhdr",
    ".fdt": "holds the samples of an EEGLAB recording: name its .set",
}
"""By the suffix, which alone can tell: these files are samples and nothing else."""


def read_header(path: Path | str, arrays: Arrays | None = None) -> Header:
    """Return what the header of a raw file says, put right by the file's size.

    Formats: EDF, EDF+, BDF, GDF, EEGLAB's SET, BrainVision, FIF, NeuroScan's CNT, and MAT, which says nothing of its
    arrays, so that ``arrays`` must. Raises DareError, in one line, where the file is none of these, is damaged, lacks a
    part that lies in another file, or cannot be opened.
    """
    with _named(Path(path)):
        return _open(Path(path), arrays).header


def read(
    path: Path | str,
    electrodes: Collection[str] | None = None,
    start_s: float = 0.0,
    stop_s: float = float("inf"),
    arrays: Arrays | None = None,
    unused: Mapping[str, str] = {},
) -> Recording:
    """Return the signal of the wanted electrodes in µV, in the order of the file, and all its events.

    Of a long file the signal from ``start_s`` to ``stop_s``, gaps not counted, is enough; what comes may be longer by
    less than a record. ``electrodes`` are canonical names; None takes every channel. Those that the file lacks are
    absent from the result; where two channels name one electrode the first is read; where channels differ in rate,
    those at the EEG's, and a note names the others. A channel for which ``unused`` has a reason, by label, is left out,
    and a note says so. Raises DareError as `read_header` does.
    """
    with _named(Path(path)):
        return _open(Path(path), arrays).read(electrodes, start_s, stop_s, unused)


def _open(path: Path, arrays: Arrays | None) -> RawFile:
    with path.open("rb") as file:
        head = file.read(_SNIFF_BYTES)
    if matlab.is_mat(head):
        return _open_matlab(path, arrays)
    for magic, parse in _PARSERS.items():
        if head.startswith(magic):
            num_line_feeds = head.count(b"\n")
            # In samples, one line feed in 256 follows a carriage return; in a converted file every one does.
            is_text = parse is foreign.parse_brainvision
            if not is_text and num_line_feeds >= _MIN_LINE_FEEDS and head.count(b"\r\n") == num_line_feeds:
                raise DareError(
                    f"{path}: damaged by line-end conversion (LF to CR LF); download it again in binary mode"
                )
            return parse(path)
    raise DareError(f"{path}: {_describe(head, path.suffix.lower())}")


def _open_matlab(path: Path, arrays: Arrays | None) -> RawFile:
    names = matlab.names(path)
    if arrays:
        return matlab_arrays.parse(path, arrays)
    if eeglab.holds(names):
        return eeglab.parse(path)
    if runs := matlab_arrays.of_runs(path, names):
        return matlab_arrays.parse(path, runs)
    listed = ", ".join(names[:5]) or "none"
    raise DareError(
        f"{path}: is a MAT file of arrays ({listed}) that tells neither channels nor rate; it can be read only as part "
        "of a corpus that knows them"
    )


def _describe(head: bytes, suffix: str) -> str:
    """Say what a file is whose first bytes are those of no recording."""
    start = head[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "is empty (0 bytes); download it again"
    if start.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, not a recording; download it again"
    for magic, what in _DISGUISES.items():
        if head.startswith(magic):
            return what
    if suffix in _PARTS:
        return _PARTS[suffix]
    if not head.strip(b"\0"):
        return "begins with zeros only, not a recording; download it again"
    is_text = all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head[:512])
    kind = "is text" if is_text else "is of unknown format"
    return f"{kind}, not EDF, BDF, GDF, SET, BrainVision, FIF, CNT or MAT: it begins with {head[:8]!r}"


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one line that names the file."""
    try:
        yield
    except OSError as error:
        raise DareError(f"{path}: cannot be read: {error.strerror or error}") from error
