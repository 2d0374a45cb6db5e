"""GDF 1.x and 2.x (Schlögl 2006, 2013): header and event table of a file, of any mixture of sample types."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError, RefusedError
from manifests.notes import Note, note
from pipelines.formats import Format, begins
from pipelines.formats.records import MAX_RECORD_S, RecordFile, Signal, Timeline, unknown_count, with_signs
from pipelines.recording import Event, describe_channel

_BLOCK_BYTES = 256  # of the fixed header, and of the header of each channel

_CHANNEL_TYPES_1 = {
    "label": "S16",
    "transducer": "S80",
    "unit": "S8",
    "physical minimum": "<f8",
    "physical maximum": "<f8",
    "digital minimum": "<i8",
    "digital maximum": "<i8",
    "prefilter": "S80",
    "samples per record": "<u4",
    "sample type": "<u4",
}
_CHANNEL_TYPES_2 = {
    "label": "S16",
    "transducer": "S80",
    "unit": "S6",
    "unit code": "<u2",
    "physical minimum": "<f8",
    "physical maximum": "<f8",
    "digital minimum": "<f8",
    "digital maximum": "<f8",
    "prefilter": "S68",
    "low-pass": "<f4",
    "high-pass": "<f4",
    "notch": "<f4",
    "samples per record": "<u4",
    "sample type": "<u4",
}

_SAMPLE_DTYPES = {
    1: "<i1",
    2: "<u1",
    3: "<i2",
    4: "<u2",
    5: "<i4",
    6: "<u4",
    7: "<i8",
    8: "<u8",
    16: "<f4",
    17: "<f8",
    279: "<i3",
}
_UNIT_CODES = {
    4256: "V",
    4274: "mV",
    4275: "uV",
    4276: "nV",
}  # ISO/IEEE 11073-10101, volt and its decimal factors
_NEW_SEGMENT = str(0x7FFE)
_SPARSE_SAMPLE = 0x7FFF  # an entry of the event table that holds a sample of a channel without a rate


@dataclass(frozen=True)
class GdfFile(RecordFile):
    """A parsed GDF file."""

    version: float

    def is_joint(self, text: str) -> bool:
        """Return whether an event of this code begins a new segment, as after the break between two runs."""
        return text == _NEW_SEGMENT

    def timeline(self) -> Timeline:
        """Return even record onsets, and the event table, its codes as decimal strings: ``769``."""
        onsets_s = self.even_onsets_s()
        with self.path.open("rb") as file:
            file.seek(self.data_offset + self.num_records * self.record_bytes)
            table = file.read()
        if not table.strip(b"\0"):
            return Timeline(onsets_s, (), ())
        if len(table) < 8 or table[0] not in (1, 3):
            says = "{bytes} bytes after the last record are no table of events: no events read"
            return Timeline(onsets_s, (), (note("no event table", says, bytes=len(table)),))
        if self.version < 1.94:
            sfreq, num_events = float(_little_endian(table[1:4])), _little_endian(table[4:8])
        else:
            sfreq, num_events = float(np.frombuffer(table, "<f4", 1, 4)[0]), _little_endian(table[1:4])
        entry_bytes = {1: 6, 3: 12}[table[0]]
        if len(table) - 8 < num_events * entry_bytes:
            says = "the table of {events} events is cut: no events read"
            return Timeline(onsets_s, (), (note("cut event table", says, events=num_events),))
        if not (np.isfinite(sfreq) and sfreq > 0):
            sfreq = max((signal.channel.sfreq for signal in self.signals), default=1.0)
        return Timeline(onsets_s, _events(table, num_events, sfreq), ())


def parse(path: Path) -> GdfFile:
    """Return the layout of a GDF file; raises DareError where its header contradicts itself or the size."""
    size = path.stat().st_size
    if size < _BLOCK_BYTES:
        raise DamagedError(f"has {size} bytes, too short for its header of {_BLOCK_BYTES}", path=path)
    with path.open("rb") as file:
        fixed = file.read(_BLOCK_BYTES)
        version = _version(path, fixed)
        is_first = version < 1.9
        num_channels = _little_endian(fixed[252:256] if is_first else fixed[252:254])
        data_offset = _little_endian(fixed[184:192]) if is_first else _BLOCK_BYTES * _little_endian(fixed[184:186])
        needed = _BLOCK_BYTES * (num_channels + 1)
        if num_channels < 1 or not needed <= data_offset < size:
            raise DamagedError(
                f"has {size} bytes, its header of {num_channels} channels should end at {data_offset}", path=path
            )
        columns = _columns(file.read(needed), _CHANNEL_TYPES_1 if is_first else _CHANNEL_TYPES_2, num_channels)
    record_s = _record_duration(path, fixed[244:252], version)
    signals, record_bytes, channel_notes = _layout(path, columns, record_s)
    num_records, size_notes = _count_records(path, fixed[236:244], size - data_offset, record_bytes)
    return GdfFile(
        path=path,
        format="GDF",
        signals=with_signs(path, signals, data_offset, (num_records, record_bytes)),
        data_offset=data_offset,
        num_records=num_records,
        record_bytes=record_bytes,
        record_s=record_s,
        notes=(*size_notes, *channel_notes),
        version=version,
    )


def _layout(
    path: Path, columns: dict[str, NDArray[Any]], record_s: float
) -> tuple[tuple[Signal, ...], int, list[Note]]:
    """Return (signals, bytes of a record, notes on channels that cannot be used)."""
    signals, notes, offset = [], [], 0
    for position, label in enumerate(_text(cell) for cell in columns["label"]):
        num_samples = int(columns["samples per record"][position])
        dtype = _SAMPLE_DTYPES.get(int(columns["sample type"][position]))
        if dtype is None:
            raise DamagedError(
                f"channel {label!r} has sample type {columns['sample type'][position]}: not known", path=path
            )
        signal = Signal(
            describe_channel(label, position, num_samples / record_s, _unit(columns, position)),
            num_samples,
            offset,
            dtype,
            (float(columns["digital minimum"][position]), float(columns["digital maximum"][position])),
            (float(columns["physical minimum"][position]), float(columns["physical maximum"][position])),
        )
        offset += num_samples * int(dtype[-1])
        if fault := signal.fault:
            notes.append(fault)
        else:
            signals.append(signal)
    return tuple(signals), offset, notes


def _count_records(path: Path, field: bytes, data_bytes: int, record_bytes: int) -> tuple[int, list[Note]]:
    """Return (whole records, notes); where their number is unknown, no event table can be found."""
    declared = int.from_bytes(field, "little", signed=True)
    held = data_bytes // record_bytes if record_bytes else 0
    if held == 0 or declared == 0:
        raise DamagedError(f"has {data_bytes} bytes of data, not one whole record of {record_bytes}", path=path)
    if declared < 0:
        return held, [unknown_count(declared, held)]
    if declared > held:
        says = "the header says {declared} records, the file has {held}, and no events"
        return held, [note("cut file", says, declared=declared, held=held)]
    return declared, []


def _record_duration(path: Path, field: bytes, version: float) -> float:
    """Return seconds per record: a fraction of two integers, and from version 2.21 on a float."""
    if version > 2.205:
        record_s = float(np.frombuffer(field, "<f8")[0])
    else:
        numerator, denominator = np.frombuffer(field, "<u4").tolist()
        record_s = numerator / denominator if denominator else 0.0
    if not 0 < record_s <= MAX_RECORD_S:
        raise DamagedError(f"header field 'record duration' is not possible: {field.hex(' ')}", path=path)
    return record_s


def _events(table: bytes, num_events: int, sfreq: float) -> tuple[Event, ...]:
    """Return the entries of an event table, by onset; its positions count from 1."""
    positions = np.frombuffer(table, "<u4", num_events, 8)
    codes = np.frombuffer(table, "<u2", num_events, 8 + 4 * num_events)
    durations = np.zeros(num_events)
    if table[0] == 3:
        durations = np.frombuffer(table, "<u4", num_events, 8 + 8 * num_events) / sfreq
    onsets_s = np.maximum(positions.astype(np.float64) - 1, 0) / sfreq
    events = zip(onsets_s.tolist(), durations.tolist(), codes.tolist(), strict=True)
    regular = [Event(onset_s, duration_s, str(code)) for onset_s, duration_s, code in events if code != _SPARSE_SAMPLE]
    return tuple(sorted(regular, key=lambda event: event.onset_s))


def _unit(columns: dict[str, NDArray[Any]], position: int) -> str:
    """Return the unit as text: version 2 has a code for it, and keeps the text of version 1 beside it."""
    code = int(columns["unit code"][position]) if "unit code" in columns else 0
    return _UNIT_CODES.get(code) or _text(columns["unit"][position])


def _version(path: Path, fixed: bytes) -> float:
    try:
        version = float(fixed[4:8])
    except ValueError:
        raise DamagedError(f"header field 'version' is not a number: {fixed[4:8]!r}", path=path) from None
    if not 1 <= version < 3:
        raise RefusedError(
            f"is GDF {version:g}", path=path, remedy="versions 1 and 2 can be read: convert it with BioSig's save2gdf"
        )
    return version


def _columns(raw: bytes, types: dict[str, str], count: int) -> dict[str, NDArray[Any]]:
    """Cut a header block into its fields, each stored for all channels before the next field begins."""
    columns, offset = {}, 0
    for name, dtype in types.items():
        columns[name] = np.frombuffer(raw, dtype, count, offset)
        offset += columns[name].nbytes
    return columns


def _text(cell: bytes) -> str:
    return cell.split(b"\0")[0].decode("latin-1").strip()


def _little_endian(field: bytes) -> int:
    return int.from_bytes(field, "little")


FORMAT = Format(name="GDF", suffixes=(".gdf",), claims=begins(b"GDF "), parse=parse, in_bids=False)
