"""Text tables: CSV, TSV and other text with a row a sample, such as what OpenBCI and Emotiv write.

Rows are found once and read from there, as many as are asked for. A cell that is no number is NaN.
"""

import io
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError, RefusedError
from manifests.notes import Note, note
from pipelines.formats import Format, clock
from pipelines.formats.arrays import Arrays
from pipelines.formats.matrix import digits
from pipelines.formats.sampled import SampledFile, error_context
from pipelines.formats.text_style import BLANK, COMMENTS, Style, cells, claims, is_utf16, style_of
from pipelines.recording import Event, Segment, describe_channel, require_rate

SUFFIXES = (".csv", ".tsv", ".txt", ".asc", ".easy")

_BLOCK_BYTES = 1 << 20
_LONGEST_LINE = 1 << 22
_NO_ROW = np.frombuffer(f"{COMMENTS}\r\n".encode(), np.uint8)
"""What lines begin with that are no rows."""

_UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def is_table(path: Path, head: bytes) -> bool:
    """Return whether a file is, by its name and its first bytes, text that may be a table."""
    return path.suffix.lower() in SUFFIXES and (b"\0" not in head or is_utf16(head))


@dataclass(frozen=True)
class _Rows:
    """Where rows lie in a file: block k has those from ``firsts[k]`` on, between two of the ``offsets``."""

    path: Path
    style: Style
    offsets: tuple[int, ...]
    firsts: tuple[int, ...]

    def numbers(self, places: list[int], start: int, stop: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield (the first of some rows, rows × columns of numbers) for the rows from ``start`` to ``stop``."""
        for first, count, block in self._blocks(start, stop):
            found = self._fast(block, places, np.float64, count)
            if found is None:
                held = [
                    [self.style.number((*row, "")[min(at, len(row))]) for at in places] for row in self._slow(block)
                ]
                found = np.array(held, np.float64).reshape(-1, len(places))
            low = max(start - first, 0)
            yield first + low, found[low : stop - first]

    def texts(self, place: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (the first of some rows, the cells of a column) for all rows."""
        for first, count, block in self._blocks(0, self.firsts[-1]):
            found = self._fast(block, [place], np.str_, count)
            column = (row[place : place + 1] or [""] for row in self._slow(block)) if found is None else found
            yield first, np.array([str(row[0]).strip() for row in column], np.str_)

    def _blocks(self, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield (first row, number of rows, bytes) of the blocks that hold these rows."""
        with self.path.open("rb") as file:
            spans = zip(pairwise(self.firsts), pairwise(self.offsets), strict=True)
            for (first, end), (begin, over) in spans:
                if first < stop and end > start:
                    file.seek(begin)
                    yield first, end - first, file.read(over - begin)

    def _fast(self, block: bytes, places: list[int], kind: type, count: int) -> NDArray[Any] | None:
        """Return rows × columns as NumPy reads them, None where it does not."""
        if self.style.has_decimal_comma:
            block = block.replace(b",", b".")
        with suppress(ValueError, IndexError):
            found: NDArray[Any] = np.loadtxt(
                io.BytesIO(block),
                kind,
                comments=None,
                delimiter=self.style.delimiter or None,
                usecols=places,
                ndmin=2,
                encoding="utf-8",
                quotechar='"',
            )
            return found if len(found) == count else None
        return None

    def _slow(self, block: bytes) -> list[list[str]]:
        lines = (line for line in block.decode("utf-8", "replace").split("\n") if line[:1] not in f"{COMMENTS}\r")
        return [cells(line.strip("\r"), self.style.delimiter) for line in lines]


def parse(path: Path, arrays: Arrays) -> SampledFile:
    """Return the layout of a table of samples by what is known of its columns.

    Raises DareError where there are no rows of numbers, a column is not there, or neither its channels nor its rate are
    known.
    """
    stat = path.stat()
    return _parsed(path, arrays, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _parsed(path: Path, arrays: Arrays, _mtime_ns: int, _size: int) -> SampledFile:
    with error_context(path, "a table of text"):
        style = style_of(path)
        places, labels = _channels(path, style, arrays)
        rows, notes = _indexed(path, style)
        sfreq, segments = _timed(rows, arrays)
        require_rate(path, sfreq)
        lost_s = segments[-1].onset_s - segments[-1].start / sfreq
        says = "{count} gaps by its times, {seconds:.3g} s in all"
        notes += [note("gaps", says, count=len(segments) - 1, seconds=lost_s)] * (len(segments) > 1)
        events = _events(rows, segments, sfreq, arrays.trial_labels) if arrays.trial_labels else []
    known = describe_channel("", 0, sfreq, arrays.unit).scale_to_uv
    scale = arrays.scale * (1.0 if math.isnan(known) else known)

    def load(chosen: list[int], start: int, stop: int) -> NDArray[np.float32]:
        data = np.full((len(chosen), stop - start), np.nan, np.float32)
        with error_context(path, "a table of text"), np.errstate(over="ignore", invalid="ignore"):
            for first, found in rows.numbers([places[one] for one in chosen], start, stop):
                data[:, first - start : first - start + len(found)] = found.T * scale
        return data

    return SampledFile(
        path=path,
        format="CSV",
        channels=tuple(describe_channel(label, place, sfreq, arrays.unit) for place, label in enumerate(labels)),
        num_samples=rows.firsts[-1],
        segments=segments,
        events=tuple(events),
        notes=tuple(notes),
        load=load,
    )


def _channels(path: Path, style: Style, arrays: Arrays) -> tuple[list[int], list[str]]:
    """Return (the places of the columns with signal, the labels of these channels)."""
    others = {style.place(path, one) for one in (arrays.time, arrays.trial_labels) if one}
    if arrays.columns:
        return [style.place(path, one) for one in arrays.columns], list(arrays.labels or arrays.columns)
    held = [place for place in range(len(style.row)) if place not in others and style.holds_numbers(place)]
    if not arrays.labels and style.names:
        return held, [style.names[place].removeprefix("EEG.") for place in held]
    if arrays.labels and set(arrays.labels) <= set(style.names):
        return [style.names.index(one) for one in arrays.labels], list(arrays.labels)
    if len(arrays.labels) == len(held):
        return held, list(arrays.labels)
    what = f"{len(arrays.labels)} channels" if arrays.labels else "no channels"
    listed = f" ({', '.join(style.names[:12])})" if style.names else ""
    reason = f"has {len(held)} columns of numbers{listed}, where {what} are stated"
    raise RefusedError(reason, path=path, remedy="say in columns of [layout.arrays] which ones the channels are")


def _indexed(path: Path, style: Style) -> tuple[_Rows, list[Note]]:
    """Return where the rows lie, and a note where the last one is cut."""
    offsets, firsts, rest = [style.begin], [0], b""
    notes = []

    def add(block: bytes) -> None:
        offsets.append(offsets[-1] + len(block))
        firsts.append(firsts[-1] + _num_rows(block))

    with path.open("rb") as file:
        file.seek(style.begin)
        while block := file.read(_BLOCK_BYTES):
            block = rest + block
            end = block.rfind(b"\n") + 1
            rest = block[end:]
            if end:
                add(block[:end])
            elif len(block) > _LONGEST_LINE:
                raise DamagedError("has a line of several megabytes", path=path, remedy="is it a table?")
    if rest and len(cells(rest.decode("utf-8", "replace"), style.delimiter)) < len(style.row) and firsts[-1]:
        notes.append(note("cut row", "its last line is cut: not used"))
    elif rest:
        add(rest)
    return _Rows(path, style, tuple(offsets), tuple(firsts)), notes


def _num_rows(block: bytes) -> int:
    """Return how many lines are neither empty nor comments."""
    content = np.frombuffer(block, np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(content[:-1] == ord("\n")) + 1])
    return int((~np.isin(content[starts], _NO_ROW)).sum())


def _timed(rows: _Rows, arrays: Arrays) -> tuple[float, tuple[Segment, ...]]:
    """Return (the rate, the segments) of a table, by its column of times where it has one."""
    num_rows, sfreq = rows.firsts[-1], arrays.sfreq or rows.style.sfreq
    if not arrays.time:
        if not sfreq:
            remedy = "state sfreq_hz, or time, a column, in [layout.arrays]"
            raise RefusedError("does not say its rate", path=rows.path, remedy=remedy)
        return sfreq, (Segment(0, num_rows, 0.0),)
    place = rows.style.place(rows.path, arrays.time)
    column = np.concatenate([found[:, 0] for _, found in rows.numbers([place], 0, num_rows)])
    if arrays.time_unit == "counter":
        return sfreq, clock.of_counter(column, sfreq)
    is_text = not rows.style.holds_numbers(place)
    unit_s = 1.0 if is_text else _UNITS_S[arrays.time_unit]
    first = next(iter(column[np.isfinite(column)]), 0.0)  # taken off first, as seconds since 1970 have many digits
    return clock.of_times(rows.path, (column - first) * unit_s, sfreq)


def _events(rows: _Rows, segments: tuple[Segment, ...], sfreq: float, column: str) -> list[Event]:
    """Return an event for each run of one label in a column, in true time."""
    changes: list[tuple[int, str]] = []
    for first, found in rows.texts(rows.style.place(rows.path, column)):
        edges = [0, *(np.flatnonzero(found[1:] != found[:-1]) + 1).tolist()] if len(found) else []
        for edge in edges:
            text = _label(str(found[edge]))
            if not changes or changes[-1][1] != text:
                changes.append((first + edge, text))
    starts = np.array([one.start for one in segments])
    shifts_s = [one.onset_s - one.start / sfreq for one in segments]
    events = []
    for (start, text), (stop, _) in pairwise([*changes, (rows.firsts[-1], "")]):
        if text:
            first, last = (int(np.searchsorted(starts, row, "right")) - 1 for row in (start, stop - 1))
            onset_s = start / sfreq + shifts_s[first]
            events.append(Event(onset_s, stop / sfreq + shifts_s[last] - onset_s, text))
    return events


def _label(cell: str) -> str:
    """Return what a cell of labels says, "" where that is nothing; 1.0 is 1."""
    with suppress(ValueError):
        number = np.float64(cell)
        return digits(number) if math.isfinite(number) and number else ""
    return "" if cell.lower() in BLANK else cell


FORMAT = Format(
    name="OpenBCI/Emotiv text",
    suffixes=(),
    claims=claims,
    parse=lambda path: parse(path, Arrays("", "channel time", (), 0.0)),
    general=True,
    holds_text=True,
    in_bids=False,
)
