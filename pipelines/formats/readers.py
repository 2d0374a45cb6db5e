"""Readers: any supported raw file -> its header, or its signal in µV with events and gaps in true time."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from manifests.errors import DareError, LostError, MissingError, RefusedError
from pipelines import chosen
from pipelines.channels import choose
from pipelines.formats import arrays as bare
from pipelines.formats import matlab, numpy_files, packed, registry, text_table
from pipelines.formats.arrays import Arrays
from pipelines.recording import Header, RawFile, Recording, require_rate

GET_AGAIN = "get the file again"
"""The way out where a file is named by itself and its format knows of no better one."""

_SNIFF_BYTES = 1 << 18


def read_header(path: Path | str, arrays: Arrays | None = None) -> Header:
    """Return what the header of a raw file says, put right by the file's size; raises DareError as `open_file` does."""
    return open_file(Path(path), arrays).header


def read(
    path: Path | str,
    electrodes: Collection[str] | None = None,
    start_s: float = 0.0,
    stop_s: float = float("inf"),
    arrays: Arrays | None = None,
) -> Recording:
    """Return the signal of the wanted electrodes in µV, in the order of the file, and all its events.

    Of a long file the signal from ``start_s`` to ``stop_s``, gaps not counted, is enough; what comes may be longer by
    less than a record. ``electrodes`` are canonical names; None takes every channel. Which channel is which electrode
    `pipelines.channels.choose` says, and notes tell of the others; those that the file lacks are absent from the
    result. Raises DareError as `open_file` does.
    """
    file = open_file(Path(path), arrays)
    return read_chosen(file, file.header, electrodes, start_s, stop_s)


def files_of(path: Path) -> list[Path]:
    """Return the files that a recording is read from, by its header or, where that cannot be read, by its name."""
    try:
        is_packed = path.suffix.lower() in packed.SUFFIXES  # and need not be unpacked: it is all there is
        return [path] if is_packed else registry.files_of(path, open_file(path).header.files)
    except DareError:
        return registry.files_of(path)


def open_file(path: Path, arrays: Arrays | None = None) -> RawFile:
    """Return a raw file, its header read.

    A file of bare numbers says nothing of them, so that ``arrays`` must. Raises DareError, in one line, where the file
    is of no format that `pipelines.formats.registry` finds, is damaged, lacks a part that lies in another file, or
    cannot be opened.
    """
    with _named(path):
        with path.open("rb") as file:
            head = file.read(_SNIFF_BYTES)
        if packed.is_packed(path, head):
            return _unpacked(path, head, arrays)
        if arrays and (matlab.is_mat(head) or numpy_files.is_numpy(path, head)):
            return bare.parse(path, arrays)
        if arrays and text_table.is_table(path, head):
            return text_table.parse(path, arrays)
        return registry.format_of(path, head).parse(path)


def _unpacked(path: Path, head: bytes, arrays: Arrays | None) -> RawFile:
    """Return a packed file; DareError as `open_file` does, and where a part lies beside it, or it is packed twice."""
    place = packed.unpack(path, head)
    with place.file.open("rb") as file:
        if packed.is_packed(place.file, file.read(_SNIFF_BYTES)):
            raise RefusedError("is packed twice", path=path, remedy="unpack it first")
    try:
        return packed.UnpackedFile(path, open_file(place.file, arrays), place)
    except MissingError as problem:
        if len(registry.endings_of(place.file)):
            reason = f"is packed, and lacks a part that lies in another file ({problem.reason})"
            raise RefusedError(reason, path=path, remedy="unpack all files of the recording") from problem
        raise problem.about(path, place.file) from problem
    except DareError as problem:
        raise problem.about(path, place.file) from problem


def read_chosen(
    file: RawFile,
    header: Header,
    electrodes: Collection[str] | None,
    start_s: float,
    stop_s: float,
    slowest_hz: float = 0.0,
) -> Recording:
    """Return what `read` does of an opened file, its channels by a ``header`` that may know more of them than its own.

    Slower channels than ``slowest_hz`` and most others are not brought to the rate of these, but left out. Raises
    DareError where its rate is not possible, and where it is damaged.
    """
    choice = choose(header.channels, electrodes, slowest_hz)
    if choice.places:
        require_rate(header.path, choice.sfreq)
    with _named(header.path):
        recording = chosen.read(file, header.path, choice, start_s, stop_s)
    return replace(recording, notes=(*header.notes, *recording.notes))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one line that names the file."""
    try:
        yield
    except OSError as error:
        kind, can = (MissingError, "is there") if isinstance(error, FileNotFoundError) else (LostError, "can be read")
        remedy = f"name a file that {can}"
        raise kind(f"cannot be read: {error.strerror or error}", path=path, remedy=remedy) from error
