"""Readers: any supported raw file -> its header, or its signal in µV with events and gaps in true time."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from manifests.errors import DareError
from pipelines.formats import arrays as bare
from pipelines.formats import matlab, registry
from pipelines.formats.arrays import Arrays
from pipelines.recording import Header, RawFile, Recording

_SNIFF_BYTES = 1 << 18


def read_header(path: Path | str, arrays: Arrays | None = None) -> Header:
    """Return what the header of a raw file says, put right by the file's size.

    A MAT file says nothing of its arrays, so that ``arrays`` must. Raises DareError, in one line, where the file is of
    no format that `pipelines.formats.registry` finds, is damaged, lacks a part that lies in another file, or cannot be
    opened.
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
    if arrays and matlab.is_mat(head):
        return bare.parse(path, arrays)
    return registry.format_of(path, head).parse(path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one line that names the file."""
    try:
        yield
    except OSError as error:
        raise DareError(f"{path}: cannot be read: {error.strerror or error}") from error
