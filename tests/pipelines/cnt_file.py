"""NeuroScan's CNT written byte by byte: a header, electrodes of 75 bytes, samples, and a table of events."""

import struct

import numpy as np

RESOLUTION_UV = 0.0625  # a power of two, so that the file's float32 holds it


def cnt_bytes(
    labels: list[str], samples: np.ndarray, sfreq: int, events: list[tuple[int, int]], told: int | None = None
) -> bytes:
    """Return a file of int16 or int32 ``samples``, time × channel; ``told`` replaces their number in the header."""
    header = bytearray(900)
    header[:12] = b"Version 3.0\0"
    header[225:235], header[235:247] = b"01/02/03\0\0", b"10:11:12\0\0\0\0"
    struct.pack_into("<HxxxxH", header, 370, len(labels), sfreq)
    struct.pack_into("<i", header, 864, len(samples) if told is None else told)
    position = 900 + 75 * len(labels) + samples.nbytes
    struct.pack_into("<i", header, 886, position)
    electrodes = b""
    for number, label in enumerate(labels):
        one = bytearray(75)
        one[: len(label)] = label.encode()
        struct.pack_into("<2f", one, 19, 0.1 * number, 0.2)
        struct.pack_into("<f", one, 59, 204.8)
        struct.pack_into("<f", one, 71, RESOLUTION_UV)
        electrodes += bytes(one)
    width = samples.dtype.itemsize
    table = b"".join(
        struct.pack("<HBBiHHfBBB", code, 0, 0, 900 + 75 * len(labels) + at * width * len(labels), 0, 0, 0, 0, 0, 0)
        for at, code in events
    )
    return bytes(header) + electrodes + samples.tobytes() + struct.pack("<BII", 2, len(table), 0) + table
