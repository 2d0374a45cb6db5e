"""Readers under mutated headers: any file is read within its own size or refused in one line."""

import re
import struct
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manifests.errors import DareError
from pipelines.readers import read, read_header
from tests.pipelines.raw_bytes import (
    C3,
    CZ,
    EEG,
    EVENTS,
    STEADY,
    EdfChannel,
    edf_bytes,
    event_table,
    gdf_bytes,
    noise,
    tals,
)

SMALL = {
    "EDF": edf_bytes([EEG, EdfChannel("C4", noise(1), b""), tals(*STEADY)], reserved="EDF+C"),
    "BDF": edf_bytes([EEG, tals(*STEADY, label="BDF Annotations")], width=3, reserved="BDF+C"),
    "GDF 1": gdf_bytes([C3, replace(CZ, unit=b"")], "1.25", event_table(EVENTS, 3, "1.25")),
    "GDF 2": gdf_bytes([C3, replace(CZ, unit_code=0)], "2.10", event_table(EVENTS, 1, "2.10")),
}
NASTY_FIELDS = [
    b"", b"-1", b"0", b"1e9", b"1e308", b"99999999", b"nan", b"inf", b"0x10", b"\xff" * 8, bytes(8), b"\r\n",
    struct.pack("<d", float("nan")), struct.pack("<d", 1e308), struct.pack("<q", 2**62), struct.pack("<q", -(2**62)),
]  # fmt: skip


def assert_read_or_refused(path: Path, content: bytes) -> None:
    """A damaged file is read within its own size, or refused in one line; no other exception, no warning."""
    path.write_bytes(content)
    refusal = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            header, recording = read_header(path), read(path)
    except DareError as error:
        refusal = str(error)
    if refusal:
        assert re.fullmatch(rf"{re.escape(str(path))}: .{{5,500}}", refusal)
        return
    assert recording.data_uv.dtype == np.float32
    assert recording.data_uv.nbytes <= 4 * len(content)
    assert len(recording.electrodes) == len(recording.data_uv) <= len(header.channels)
    edges = [edge for part in recording.segments for edge in (part.start, part.stop)]
    assert edges == sorted(edges)
    assert not edges or (edges[0] >= 0 and edges[-1] <= recording.data_uv.shape[1])


FUZZ = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
HEADER_BYTES = 1024


@pytest.mark.parametrize("kind", SMALL)
@FUZZ
@given(changes=st.lists(st.tuples(st.integers(8, HEADER_BYTES - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_any_changed_byte_is_read_or_refused(tmp_path: Path, kind: str, changes: list[tuple[int, int]]) -> None:
    content = bytearray(SMALL[kind])
    for offset, byte in changes:
        content[offset] = byte
    assert_read_or_refused(tmp_path / "small", bytes(content))


@pytest.mark.parametrize("kind", SMALL)
@FUZZ
@given(offset=st.integers(2, HEADER_BYTES // 4 - 2), field=st.sampled_from(NASTY_FIELDS))
def test_any_nasty_field_is_read_or_refused(tmp_path: Path, kind: str, offset: int, field: bytes) -> None:
    content = bytearray(SMALL[kind])
    content[4 * offset : 4 * offset + 8] = field.ljust(8, b"\0" if kind.startswith("GDF") else b" ")
    assert_read_or_refused(tmp_path / "small", bytes(content))


@pytest.mark.parametrize("kind", SMALL)
def test_any_length_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    for length in range(0, len(SMALL[kind]), 13):
        assert_read_or_refused(tmp_path / "small", SMALL[kind][:length])
