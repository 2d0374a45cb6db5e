"""Readers: any supported raw file -> its header, or its signal in µV with events and gaps in true time."""

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.electrodes import VOCABULARY
from manifests.errors import DareError
from pipelines import edf, gdf
from pipelines.recording import Header, RecordFile, Recording, Segment, Signal

_PARSERS = {b"0       ": edf.parse, b"\xffBIOSEMI": edf.parse, b"GDF ": gdf.parse}
"""By the first bytes: extensions lie."""

_MIN_GAP_SAMPLES = 10
_TIME_JITTER_S = 1e-3  # record onsets are written with few decimals
_PLAUSIBLE_SD_UV = (0.5, 2000.0)
_MAX_SFREQ = 1e6

_SNIFF_BYTES = 1 << 18
_MIN_LINE_FEEDS = 32
_DISGUISES = {
    b"PK\x03\x04": "is a zip archive, not a recording: unpack it first",
    b"\x1f\x8b": "is gzip-compressed, not a recording: unpack it first",
    b"version https://git-lfs": "is a Git LFS pointer, not a recording: fetch the file it stands for",
}


def read_header(path: Path | str) -> Header:
    """Return what the header of an EDF, EDF+, BDF or GDF file says, put right by the file's size.

    Raises DareError, in one line, where the file is none of these, is damaged or cannot be opened.
    """
    with _named(Path(path)):
        file = _open(Path(path))
    channels = tuple(signal.channel for signal in file.signals)
    return Header(file.path, file.format, channels, file.num_records * file.record_s, file.num_records, file.notes)


def read(
    path: Path | str,
    electrodes: Collection[str] | None = None,
    start_s: float = 0.0,
    stop_s: float = float("inf"),
) -> Recording:
    """Return the signal of the wanted electrodes in µV, in the order of the file, and all its events.

    Of a long file, whole records that hold the signal from ``start_s`` to ``stop_s``, gaps not counted, are enough.

    ``electrodes`` are canonical names; None takes every channel at the rate of the EEG. Those that the file
    lacks are absent from the result; where two channels name one electrode the first is read. Raises
    DareError as `read_header` does, and where the wanted channels differ in rate.
    """
    with _named(Path(path)):
        file = _open(Path(path))
        signals, choice_notes = _choose(file, electrodes)
        timeline = file.timeline()
        span = _records(file, start_s, stop_s)
        data_uv, missing, unit_notes = _decode(file, signals, span)
    if not signals:
        notes = (*file.notes, *timeline.notes, *choice_notes)
        return Recording((), data_uv, 0.0, timeline.events, (), notes)
    sfreq = signals[0].channel.sfreq
    segments = _segments(timeline.record_onsets_s[span], file.record_s, sfreq, missing)
    gap_notes = [f"{len(segments)} segments of contiguous signal"] if len(segments) != 1 else []
    return Recording(
        electrodes=tuple(signal.channel.electrode for signal in signals),
        data_uv=data_uv,
        sfreq=sfreq,
        events=timeline.events,
        segments=segments,
        notes=(*file.notes, *timeline.notes, *choice_notes, *unit_notes, *gap_notes),
        first_sample=span.start * signals[0].num_samples,
    )


def _records(file: RecordFile, start_s: float, stop_s: float) -> slice:
    """Return the records that hold a span of the signal, at least one."""
    if not file.record_s:
        return slice(0, file.num_records)
    first = min(max(0, int(start_s / file.record_s)), file.num_records - 1)
    end = file.num_records if stop_s == float("inf") else math.ceil(stop_s / file.record_s)
    return slice(first, min(max(first + 1, end), file.num_records))


def _open(path: Path) -> RecordFile:
    with path.open("rb") as file:
        head = file.read(_SNIFF_BYTES)
    for magic, parse in _PARSERS.items():
        if head.startswith(magic):
            num_line_feeds = head.count(b"\n")
            # In samples, one line feed in 256 follows a carriage return; in a converted file every one does.
            if num_line_feeds >= _MIN_LINE_FEEDS and head.count(b"\r\n") == num_line_feeds:
                raise DareError(
                    f"{path}: damaged by line-end conversion (LF to CR LF); download it again in binary mode"
                )
            return parse(path)
    raise DareError(f"{path}: {_describe(head)}")


def _describe(head: bytes) -> str:
    """Say what a file is whose first bytes are those of no recording."""
    start = head[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "is empty (0 bytes); download it again"
    if start.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, not a recording; download it again"
    if not head.strip(b"\0"):
        return "begins with zeros only, not a recording; download it again"
    for magic, what in _DISGUISES.items():
        if head.startswith(magic):
            return what
    is_text = all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head[:512])
    kind = "is text" if is_text else "is of unknown format"
    return f"{kind}, not EDF, BDF or GDF: it begins with {head[:8]!r}"


def _choose(file: RecordFile, electrodes: Collection[str] | None) -> tuple[list[Signal], list[str]]:
    """Return (the signals to read, notes on the repeated ones)."""
    if electrodes is None:
        sfreq = _eeg_sfreq(file.signals)
        candidates = [signal for signal in file.signals if signal.channel.sfreq == sfreq]
    else:
        candidates = [signal for signal in file.signals if signal.channel.electrode in electrodes]
    chosen: dict[str, Signal] = {}
    notes = []
    for signal in candidates:
        if chosen.setdefault(signal.channel.electrode, signal) is not signal:
            notes.append(f"channel {signal.channel.label!r} repeats {signal.channel.electrode}: the first one is read")
    rates = {signal.channel.sfreq: signal.channel.electrode for signal in chosen.values()}
    if len(rates) > 1:
        listed = ", ".join(f"{electrode} {sfreq:g} Hz" for sfreq, electrode in rates.items())
        raise DareError(f"{file.path}: channels differ in rate ({listed}); ask for those of one rate")
    if any(not 0 < sfreq <= _MAX_SFREQ for sfreq in rates):
        raise DareError(f"{file.path}: a rate of {min(rates):g} Hz is not possible: the record duration is wrong")
    return list(chosen.values()), notes


def _eeg_sfreq(signals: tuple[Signal, ...]) -> float:
    """Return the highest rate of the channels that lie on known electrodes, or of all where none does."""
    channels = [signal.channel for signal in signals]
    eeg = [channel for channel in channels if channel.electrode.split("-")[0] in VOCABULARY]
    return max((channel.sfreq for channel in eeg or channels), default=0.0)


def _decode(
    file: RecordFile, signals: list[Signal], span: slice
) -> tuple[NDArray[np.float32], NDArray[np.bool_], list[str]]:
    """Return (µV, electrodes × samples; where no electrode has a sample; notes on guessed units)."""
    num_samples = (span.stop - span.start) * signals[0].num_samples if signals else 0
    data_uv = np.empty((len(signals), num_samples), np.float32)
    missing = np.ones(num_samples, np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        for row, signal in zip(data_uv, signals, strict=True):
            digital = file.digital(signal, span)
            scale = signal.channel.scale_to_uv
            row[:] = signal.physical(digital) * (1.0 if np.isnan(scale) else scale)
            # Not greater, rather than equal, so that NaN is missing too.
            missing &= ~(digital > min(signal.digital_range))
    unknown = [row for row, signal in enumerate(signals) if np.isnan(signal.channel.scale_to_uv)]
    if not unknown:
        return data_uv, missing, []
    scale, unit = _guess_unit([data_uv[row, ~missing] for row in unknown])
    data_uv[unknown] *= np.float32(scale)
    names = ", ".join(signals[row].channel.electrode for row in unknown)
    return data_uv, missing, [f"unit unknown, read as {unit}: {names}"]


def _guess_unit(rows: list[NDArray[np.float32]]) -> tuple[float, str]:
    """Return (µV per unit, what it was taken for) of channels whose unit says nothing, by their spread."""
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(np.median([row.std(dtype=np.float64) if row.size else 0.0 for row in rows]))
    low, high = _PLAUSIBLE_SD_UV
    for scale, unit in ((1.0, "µV"), (1e6, "V"), (1e3, "mV")):
        if low <= spread * scale <= high:
            return scale, f"{unit} by amplitude (median sd {spread * scale:.3g} µV)"
    return 1.0, f"µV although no unit fits its amplitude (median sd {spread:.3g})"


def _segments(
    record_onsets_s: NDArray[np.float64], record_s: float, sfreq: float, missing: NDArray[np.bool_]
) -> tuple[Segment, ...]:
    """Return the contiguous stretches between jumps of the records' time and runs of missing samples."""
    num_records, record_samples = len(record_onsets_s), len(missing) // len(record_onsets_s)
    tolerance_s = max(_TIME_JITTER_S, 1 / sfreq)
    jumps = np.flatnonzero(np.abs(np.diff(record_onsets_s) - record_s) > tolerance_s) + 1
    present = np.ones(len(missing), np.bool_)
    for start, stop in _runs(missing):
        if stop - start >= _MIN_GAP_SAMPLES:
            present[start:stop] = False
    segments = []
    for first, end in pairwise([0, *jumps.tolist(), num_records]):
        offset = first * record_samples
        onset_s = float(record_onsets_s[first])
        for start, stop in _runs(present[offset : end * record_samples]):
            segments.append(Segment(offset + start, offset + stop, onset_s + start / sfreq))
    return tuple(segments)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the (start, stop) of each run of True."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one line that names the file."""
    try:
        yield
    except OSError as error:
        raise DareError(f"{path}: cannot be read: {error.strerror or error}") from error
