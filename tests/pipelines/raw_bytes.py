"""EDF, BDF and GDF files written byte by byte, so that a test can get any field of them wrong."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def noise(seed: int = 0, num_records: int = 4, per_record: int = 100, sd: float = 200.0) -> list[np.ndarray]:
    """Return int16 records whose sd is 200 steps, 20 µV at the default calibration."""
    random = np.random.default_rng(seed)
    return list(np.rint(random.normal(0, sd, (num_records, per_record))).astype(np.int16))


# --- EDF and BDF ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EdfChannel:
    """A channel to write: int16 samples, or bytes of annotations, one item per record."""

    label: str
    records: Sequence[Any]
    unit: bytes = b"uV"
    physical: tuple[str, str] = ("-3276.8", "3276.7")
    digital: tuple[str, str] = ("-32768", "32767")


def edf_bytes(channels: list[EdfChannel], width: int = 2, tail: bytes = b"", **fixed: Any) -> bytes:
    """Return an EDF (width 2) or BDF (width 3) file; ``fixed`` replaces header fields."""
    num_records = len(channels[0].records)
    fields = {
        "version": "0" if width == 2 else "\xffBIOSEMI",
        "patient": "X X X X",
        "recording": "Startdate X X X X",
        "date": "01.01.10",
        "time": "00.00.00",
        "header_bytes": str(256 * (len(channels) + 1)),
        "reserved": "",
        "num_records": str(num_records),
        "duration": "1",
        "num_signals": str(len(channels)),
    } | fixed
    blocks = [[encode(item, width) for item in channel.records] for channel in channels]
    spr = [-(-max(map(len, items)) // width) for items in blocks]
    widths = (8, 80, 80, 8, 8, 8, 44, 8, 8, 4)
    header = b"".join(text.encode("latin-1").ljust(size) for text, size in zip(fields.values(), widths, strict=True))
    columns: list[tuple[int, list[bytes]]] = [
        (16, [channel.label.encode("latin-1") for channel in channels]),
        (80, [b"" for _ in channels]),
        (8, [channel.unit for channel in channels]),
        *((8, [channel.physical[end].encode() for channel in channels]) for end in (0, 1)),
        *((8, [channel.digital[end].encode() for channel in channels]) for end in (0, 1)),
        (80, [b"" for _ in channels]),
        (8, [str(count).encode() for count in spr]),
        (32, [b"" for _ in channels]),
    ]
    header += b"".join(cell.ljust(size) for size, cells in columns for cell in cells)
    data = b"".join(
        items[number].ljust(count * width, b"\0")
        for number in range(num_records)
        for items, count in zip(blocks, spr, strict=True)
    )
    return header + data + tail


def encode(item: Any, width: int) -> bytes:
    if isinstance(item, bytes):
        return item
    return b"".join(int(value).to_bytes(width, "little", signed=True) for value in item)


def tals(*lists: str, label: str = "EDF Annotations") -> EdfChannel:
    """Return an annotation channel; ``|`` stands for 0x14, ``~`` for 0x15, ``;`` for 0x00."""
    table = str.maketrans({"|": "\x14", "~": "\x15", ";": "\0"})
    return EdfChannel(label, [text.translate(table).encode("latin-1") for text in lists], b"", ("-1", "1"))


EEG = EdfChannel("EEG C3-REF", noise())
STEADY = ("+0||;", "+1||;", "+2||;", "+3||;")


# --- GDF --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GdfChannel:
    """A channel to write, one sample per record unless ``per_record`` says otherwise."""

    label: str
    samples: np.ndarray
    unit: bytes = b"uV"
    unit_code: int = 4275
    physical: tuple[float, float] = (-3276.8, 3276.7)
    digital: tuple[float, float] = (-32768, 32767)
    per_record: int = 1


GDF_TYPES = {"int8": 1, "int16": 3, "uint16": 4, "float32": 16, "float64": 17}


def gdf_bytes(channels: list[GdfChannel], version: str = "2.10", table: bytes = b"", rate: int = 100) -> bytes:
    """Return a GDF file of ``rate`` records per second."""
    num_records = max(len(channel.samples) // (channel.per_record or 1) for channel in channels)
    first, num_channels = float(version) < 1.9, len(channels)
    header_bytes = 256 * (num_channels + 1)
    header = b"GDF " + version.encode() + b" " * 176
    header += struct.pack("<q", header_bytes) if first else struct.pack("<H6x", header_bytes // 256)
    header += bytes(44) + struct.pack("<q", num_records)
    header += struct.pack("<d", 1 / rate) if float(version) > 2.2 else struct.pack("<II", 1, rate)
    header += struct.pack("<I", num_channels) if first else struct.pack("<HH", num_channels, 0)
    limit = "<q" if first else "<d"
    columns: list[list[bytes]] = [
        [channel.label.encode().ljust(16) for channel in channels],
        [bytes(80)] * num_channels,
        [channel.unit.ljust(8 if first else 6) for channel in channels],
        [] if first else [struct.pack("<H", channel.unit_code) for channel in channels],
        *([struct.pack("<d", channel.physical[end]) for channel in channels] for end in (0, 1)),
        *(
            [struct.pack(limit, (int if first else float)(channel.digital[end])) for channel in channels]
            for end in (0, 1)
        ),
        [bytes(80)] * num_channels,
        [struct.pack("<I", channel.per_record) for channel in channels],
        [struct.pack("<I", GDF_TYPES[channel.samples.dtype.name]) for channel in channels],
        [bytes(32)] * num_channels,
    ]
    data = b"".join(
        channel.samples[number * channel.per_record : (number + 1) * channel.per_record].tobytes()
        for number in range(num_records)
        for channel in channels
    )
    return header + b"".join(map(b"".join, columns)) + data + table


def event_table(events: list[tuple[int, int, int]], mode: int, version: str, rate: int = 100) -> bytes:
    """Return a table of (position from 1, code, duration in samples)."""
    counts = (rate, len(events))
    if float(version) < 1.94:
        table = bytes([mode]) + counts[0].to_bytes(3, "little") + struct.pack("<I", counts[1])
    else:
        table = bytes([mode]) + counts[1].to_bytes(3, "little") + struct.pack("<f", counts[0])
    positions, codes, durations = zip(*events, strict=True)
    table += struct.pack(f"<{len(events)}I", *positions) + struct.pack(f"<{len(events)}H", *codes)
    if mode == 3:
        table += bytes(2 * len(events)) + struct.pack(f"<{len(events)}I", *durations)
    return table


C3 = GdfChannel("EEG:C3", np.concatenate(noise(1)))
CZ = GdfChannel("EEG:Cz", np.concatenate(noise(2)))
EVENTS = [(51, 768, 300), (1, 32766, 0), (251, 769, 125), (260, 0x7FFF, 4)]
