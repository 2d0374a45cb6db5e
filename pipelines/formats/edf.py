"""EDF and BDF (Kemp 1992), EDF+ and BDF+ (Kemp & Olivan 2003): header and time line of a file."""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError
from manifests.notes import Note, note
from pipelines.formats import Format, begins
from pipelines.formats.records import MAX_RECORD_S, RecordFile, Signal, Timeline, decoded, unknown_count, with_signs
from pipelines.recording import Event, describe_channel

_BLOCK_BYTES = 256  # of the fixed header, and of the header of each channel

_FIXED_WIDTHS = {
    "version": 8,
    "patient": 80,
    "recording": 80,
    "start date": 8,
    "start time": 8,
    "header bytes": 8,
    "reserved": 44,
    "number of records": 8,
    "record duration": 8,
    "number of signals": 4,
}
_CHANNEL_WIDTHS = {
    "label": 16,
    "transducer": 80,
    "unit": 8,
    "physical minimum": 8,
    "physical maximum": 8,
    "digital minimum": 8,
    "digital maximum": 8,
    "prefilter": 80,
    "samples per record": 8,
}

_NAMES = {2: "EDF", 3: "BDF"}
_TOP_OF_16_BITS = 65535
_LOOK_BYTES = 3 << 20
_MOST_OUTSIDE = 0.25
"""Share of samples beyond their digital range above which they are no samples of three bytes."""


_ANNOTATION_LABELS = ("EDF ANNOTATIONS", "BDF ANNOTATIONS")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_TIME = rb" *([+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d{1,3})?) *"
_TAL = re.compile(_TIME + rb"(?:\x15(?:" + _TIME + rb"| *))?\x14(.*)", re.DOTALL)
"""A time-stamped annotation list: onset, duration after 0x15, texts after each 0x14."""

_BEGINS_A_LIST = re.compile(rb"[ -~]{1,100}[\x14\x15]")
"""What a record's annotations begin with, be it a time or not, but for those that are out of place."""

_TIME_STEP_S = 1e-3  # record onsets are written with few decimals
_JITTERS = 10
"""A gap in a recording that says it has none is longer than so many of its records' usual jitter."""

_NEIGHBOURS = 16
"""Records before and after a step of the records' time that must lie on either side of it for a gap to be there."""


@dataclass(frozen=True)
class EdfFile(RecordFile):
    """A parsed EDF or BDF file.

    ``annotation_spans`` are the bytes of each record that hold annotations; ``has_gaps`` is whether it says that time
    is missing between records.
    """

    annotation_spans: tuple[slice, ...]
    is_plus: bool
    has_gaps: bool

    def timeline(self) -> Timeline:
        """Return record onsets from the time-keeping annotations, and the other annotations as events.

        Both count from the first sample, wherever in its second the recording begins. Raises DareError where
        most records of an EDF+ file have annotation bytes that begin no list: they are out of place.
        """
        expected_s = self.even_onsets_s()
        if not self.annotation_spans:
            return Timeline(expected_s, (), ())
        onsets_s, events, num_damaged, notes = self._annotations()
        if self.is_plus and num_damaged > self.num_records / 2:
            raise DamagedError(
                f"damaged: {num_damaged} of {self.num_records} records begin with no time, "
                "as after line-end conversion",
                path=self.path,
                remedy="download it again in binary mode",
            )
        timed = np.isfinite(onsets_s)
        if not timed.any():
            return Timeline(expected_s, _from(0.0, events), tuple(notes))
        if num_untimed := int(np.count_nonzero(~timed)):
            says = "{records} records have no time: placed by their neighbours"
            notes.append(note("records without time", says, records=num_untimed))
        # A record without a time keeps its distance from the last that has one, or the first that follows.
        known = np.maximum.accumulate(np.where(timed, np.arange(self.num_records), np.argmax(timed)))
        onsets_s = onsets_s[known] + expected_s - expected_s[known]
        first_s = float(onsets_s[0])
        if (np.diff(onsets_s) < self.record_s / 2).any():
            says = "the times of the records overlap or run backwards: read as continuous"
            notes.append(note("record times", says))
            return Timeline(expected_s, _from(first_s, events), tuple(notes))
        steady_s = expected_s + _steps(onsets_s - first_s - expected_s, self.has_gaps)
        return Timeline(steady_s, _from(first_s, events), tuple(notes))

    def _annotations(self) -> tuple[NDArray[np.float64], list[Event], int, list[Note]]:
        """Return (onset of each record, NaN where it gives none; events; records out of place; notes)."""
        onsets_s = np.full(self.num_records, np.nan)
        events: list[Event] = []
        num_damaged = num_illegible = 0
        for number, lists in enumerate(self._annotation_bytes()):
            for onset_s, duration_s, texts in annotation_lists(lists):
                if not math.isfinite(onset_s):
                    num_illegible += 1
                    continue
                if not texts[0] and np.isnan(onsets_s[number]):
                    onsets_s[number] = onset_s
                events += [Event(onset_s, duration_s, text) for text in texts if text]
            # The first byte of a record's annotations begins its first list, so a shift by one byte shows.
            num_damaged += not _BEGINS_A_LIST.match(lists) and lists.strip(b"\0") != b""
        return onsets_s, events, num_damaged, illegible(num_illegible)

    def _annotation_bytes(self) -> Iterator[bytes]:
        """Yield the annotation bytes of each record, those of each of its channels ended by a zero."""
        for _, block in self.blocks(slice(0, self.num_records)):
            separator = np.zeros((len(block), 1), np.uint8)
            spans = [part for span in self.annotation_spans for part in (block[:, span], separator)]
            yield from (row.tobytes() for row in np.hstack(spans))


def parse(path: Path) -> EdfFile:
    """Return the layout of an EDF or BDF file, read from its header and its size.

    What the header gets wrong about sizes (number of records, header length, a cut last record) is put right
    and noted. Raises DareError where a field is no number or the file has not one whole record.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        raw = file.read(_BLOCK_BYTES)
        _require_bytes(path, size, _BLOCK_BYTES)
        (fixed,) = _rows(raw, _FIXED_WIDTHS, 1)
        num_channels = _whole_number(path, fixed, "number of signals")
        if num_channels < 1:
            raise DamagedError("its header lists no channel", path=path)
        data_offset = _BLOCK_BYTES * (num_channels + 1)
        _require_bytes(path, size, data_offset)
        channels = _rows(file.read(data_offset - _BLOCK_BYTES), _CHANNEL_WIDTHS, num_channels)
    notes = []
    if (stated := fixed["header bytes"]) != str(data_offset):
        says = "header length {names!r}: {channels} channels make it {bytes} bytes"
        notes.append(note("header length", says, [stated], channels=num_channels, bytes=data_offset))
    record_s, duration_notes = _record_duration(path, fixed, channels)
    declared = _whole_number(path, fixed, "number of records")
    width, width_notes = _sample_bytes(path, raw, channels, declared, slice(data_offset, size))
    signals, spans, record_bytes, channel_notes = _layout(path, channels, record_s, f"<i{width}")
    num_records, size_notes = _count_records(path, declared, size - data_offset, record_bytes)
    return EdfFile(
        path=path,
        format=_NAMES[width],
        signals=with_signs(path, signals, data_offset, (num_records, record_bytes)),
        data_offset=data_offset,
        num_records=num_records,
        record_bytes=record_bytes,
        record_s=record_s,
        notes=(*notes, *duration_notes, *width_notes, *size_notes, *channel_notes),
        annotation_spans=spans,
        is_plus=fixed["reserved"][:4].upper() in ("EDF+", "BDF+"),
        has_gaps=fixed["reserved"][:5].upper() in ("EDF+D", "BDF+D"),
    )


def _sample_bytes(
    path: Path, magic: bytes, channels: list[dict[str, str]], declared: int, data: slice
) -> tuple[int, tuple[Note, ...]]:
    """Return (the bytes of a sample, notes), by the first bytes of a file or, where they are wrong, by all else."""
    stated, other = (3, 2) if magic[0] == 0xFF else (2, 3)
    num_samples = sum(_whole_number(path, fields, "samples per record") for fields in channels)
    signals = [fields for fields in channels if not _is_annotation(fields)]
    top = max(
        (abs(_number(path, one, f"digital {end}")) for one in signals for end in ("minimum", "maximum")), default=0
    )
    # A range of 16 bits, with a sign or without, may be that of samples of 24, but not the other way round.
    may_be_other = (top > _TOP_OF_16_BITS) == (other == 3)
    length = data.stop - data.start
    if not may_be_other or num_samples < 1 or length == declared * num_samples * stated:
        return stated, ()
    if other == 2:
        block = np.fromfile(path, np.uint8, min(length, _LOOK_BYTES) // 3 * 3, offset=data.start)
        is_other = block.size > 0 and np.mean(np.abs(decoded(block[None], "<i3")) > top) > _MOST_OUTSIDE
    elif declared < 0:
        is_other = length % (num_samples * other) == 0
    else:
        is_other = length == declared * num_samples * other
    if not is_other:
        return stated, ()
    says = "its first bytes are those of {names}, not what follows: read with samples of {bytes} bytes"
    return other, (note("first bytes", says, [_NAMES[stated]], bytes=other),)


def _layout(
    path: Path, channels: list[dict[str, str]], record_s: float, dtype: str
) -> tuple[tuple[Signal, ...], tuple[slice, ...], int, list[Note]]:
    """Return (signals, annotation spans, bytes of a record, notes on channels that cannot be used)."""
    signals, spans, notes, offset = [], [], [], 0
    for position, fields in enumerate(channels):
        num_samples = _whole_number(path, fields, "samples per record")
        if num_samples < 0:
            raise DamagedError(f"header field 'samples per record' is negative: {num_samples}", path=path)
        start, offset = offset, offset + num_samples * int(dtype[-1])
        if _is_annotation(fields):
            spans.append(slice(start, offset))
            continue
        signal = Signal(
            describe_channel(fields["label"], position, num_samples / record_s, fields["unit"]),
            num_samples,
            start,
            dtype,
            (_number(path, fields, "digital minimum"), _number(path, fields, "digital maximum")),
            (_number(path, fields, "physical minimum"), _number(path, fields, "physical maximum")),
        )
        if fault := signal.fault:
            notes.append(fault)
        else:
            signals.append(signal)
    return tuple(signals), tuple(spans), offset, notes


def _count_records(path: Path, declared: int, data_bytes: int, record_bytes: int) -> tuple[int, list[Note]]:
    """Return (whole records that the file really has, notes on what the header says otherwise)."""
    num_records, rest = divmod(data_bytes, record_bytes) if record_bytes else (0, 0)
    if num_records == 0:
        raise DamagedError(f"has {data_bytes} bytes of data, not one whole record of {record_bytes}", path=path)
    notes = []
    if declared < 0:
        notes.append(unknown_count(declared, num_records))
    elif declared != num_records:
        says = "the header says {declared} records, the file has {held}"
        notes.append(note("record count", says, declared=declared, held=num_records))
    if rest and num_records == declared:
        notes.append(note("trailing bytes", "{bytes} bytes after the last record ignored", bytes=rest))
    elif rest:
        notes.append(note("cut record", "the last record is cut: its {bytes} bytes dropped", bytes=rest))
    return num_records, notes


def _record_duration(
    path: Path, fixed: dict[str, str], channels: list[dict[str, str]]
) -> tuple[float, tuple[Note, ...]]:
    """Return (seconds per record, notes); EDF+ lets files of annotations alone say 0."""
    record_s = _number(path, fixed, "record duration")
    if not 0 <= record_s <= MAX_RECORD_S:
        raise DamagedError(f"header field 'record duration' is not possible: {fixed['record duration']!r}", path=path)
    if record_s > 0 or all(_is_annotation(fields) for fields in channels):
        return record_s, ()
    return 1.0, (note("record duration", "the header says that a record lasts 0 s: 1 s assumed"),)


def annotation_lists(lists: bytes) -> Iterator[tuple[float, float, list[str]]]:
    """Yield (onset in s, duration in s, texts) of each time-stamped annotation list; an illegible one is at NaN."""
    for entry in filter(None, lists.split(b"\0")):
        match = _TAL.fullmatch(entry)
        onset_s, duration_s = (_seconds(match[1]), _seconds(match[2] or b"0")) if match else (math.nan, 0.0)
        if match is None or not math.isfinite(onset_s + duration_s):
            yield math.nan, 0.0, []
        else:
            yield onset_s, max(0.0, duration_s), [_decode(text) for text in match[3].split(b"\x14")]


def illegible(count: int) -> list[Note]:
    """Return a note on annotations that were lost, if there are any."""
    says = "{count} annotations cannot be read: their onset or duration is no number"
    return [note("illegible annotations", says, count=count)] * bool(count)


def _seconds(digits: bytes) -> float:
    return float(digits.replace(b",", b"."))


def _steps(late_s: NDArray[np.float64], has_gaps: bool) -> NDArray[np.float64]:
    """Return how late each record is, (num_records,), as steps: gaps, without the rounding and jitter of its time.

    A step is one where the time is another from there on; where it comes back soon, it was jitter.
    """
    jitter_s = 0.0 if has_gaps or len(late_s) < 2 else np.quantile(np.abs(np.diff(late_s)), 0.25, method="lower")
    least_s = max(_TIME_STEP_S, _JITTERS * jitter_s)
    edge = np.full(_NEIGHBOURS - 1, np.nan)
    around = np.lib.stride_tricks.sliding_window_view(np.concatenate([edge, late_s, edge]), _NEIGHBOURS)
    before, after = around[: len(late_s) - 1], around[_NEIGHBOURS:]
    gaps = np.nanmin(after, axis=1) - np.nanmax(before, axis=1) > least_s
    overlaps = np.nanmin(before, axis=1) - np.nanmax(after, axis=1) > least_s
    firsts = np.flatnonzero(np.concatenate([[True], gaps | overlaps]))
    return np.repeat(late_s[firsts], np.diff([*firsts, len(late_s)]))


def _decode(text: bytes) -> str:
    """Decode as UTF-8, which EDF+ asks for, or as Windows writes, or as the latin-1 that many devices write."""
    for encoding in ("utf-8", "cp1252"):
        with suppress(UnicodeDecodeError):
            return text.decode(encoding)
    return text.decode("latin-1")


def _from(first_s: float, events: list[Event]) -> tuple[Event, ...]:
    """Return the events in order, counted from ``first_s``."""
    shifted = (Event(event.onset_s - first_s, event.duration_s, event.text) for event in events)
    return tuple(sorted(shifted, key=lambda event: event.onset_s))


def _is_annotation(fields: dict[str, str]) -> bool:
    return fields["label"].upper() in _ANNOTATION_LABELS


def _rows(raw: bytes, widths: dict[str, int], count: int) -> list[dict[str, str]]:
    """Return the fields of each channel; a header stores each field of all channels before the next field."""
    rows: list[dict[str, str]] = [{} for _ in range(count)]
    offset = 0
    for name, width in widths.items():
        for row in rows:
            row[name] = raw[offset : offset + width].decode("latin-1").strip(" \t\0")
            offset += width
    return rows


def _require_bytes(path: Path, size: int, needed: int) -> None:
    if size < needed:
        raise DamagedError(f"has {size} bytes, too short for its header of {needed}", path=path)


def _number(path: Path, fields: dict[str, str], name: str) -> float:
    value = _parsed(fields[name])
    if not math.isfinite(value):
        raise DamagedError(f"header field '{name}' is not a number: {fields[name]!r}", path=path)
    return value


@lru_cache(maxsize=4096)
def _parsed(text: str) -> float:
    """Return the number that a field says, NaN where it says none; the channels of a corpus say few others."""
    digits = text.replace(",", ".")
    return float(digits) if _NUMBER.fullmatch(digits) else math.nan


def _whole_number(path: Path, fields: dict[str, str], name: str) -> int:
    value = _number(path, fields, name)
    if value != int(value):
        raise DamagedError(f"header field '{name}' is not a whole number: {fields[name]!r}", path=path)
    return int(value)


FORMAT = Format(name="EDF/BDF", suffixes=(".edf", ".bdf"), claims=begins(b"0       ", b"\xffBIOSEMI"), parse=parse)
