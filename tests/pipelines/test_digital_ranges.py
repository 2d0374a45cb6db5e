"""Digital ranges: samples without a sign, and files whose first bytes are those of another width of sample."""

from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest

from manifests.notes import text
from pipelines.formats.readers import read, read_header
from tests.pipelines.conftest import Saved
from tests.pipelines.raw_bytes import C3, STEADY, EdfChannel, edf_bytes, gdf_bytes, noise, tals

UV = np.concatenate(noise(0, 40)) * 0.1


def unsigned_records(width: int, middle: int) -> list[bytes]:
    """Return records of noise about a number in the middle of the unsigned range, as little-endian bytes."""
    return [b"".join((int(value) + middle).to_bytes(width, "little") for value in record) for record in noise(0, 40)]


@pytest.mark.parametrize("physical", [("-3276.8", "3276.7"), ("3276.7", "-3276.8")])
def test_samples_of_16_bits_without_a_sign(saved: Saved, physical: tuple[str, str]) -> None:
    channel = EdfChannel("C3", unsigned_records(2, 32768), physical=physical, digital=("0", "65535"))
    recording = read(saved(edf_bytes([channel])))
    expected_uv = UV if physical[0] < "0" else -UV - 0.1
    np.testing.assert_allclose(recording.data_uv[0], expected_uv, rtol=0, atol=1e-3)
    assert recording.notes == ()
    assert len(recording.segments) == 1


def test_samples_of_16_bits_without_a_sign_that_stay_in_the_upper_half(saved: Saved) -> None:
    channel = EdfChannel("C3", unsigned_records(2, 50000), physical=("-3276.8", "3276.7"), digital=("0", "65535"))
    recording = read(saved(edf_bytes([channel])))
    np.testing.assert_allclose(recording.data_uv[0], UV + 1723.2, rtol=0, atol=1e-3)


def test_samples_of_24_bits_without_a_sign(saved: Saved) -> None:
    channel = EdfChannel(
        "C3", unsigned_records(3, 1 << 23), physical=("-8388608", "8388607"), digital=("0", "16777215")
    )
    recording = read(saved(edf_bytes([channel], width=3)))
    np.testing.assert_allclose(recording.data_uv[0], UV * 10, rtol=0, atol=1e-3)


def test_gdf_of_16_bits_without_a_sign(saved: Saved) -> None:
    stored = (C3.samples.astype(np.int32) + 32768).astype(np.uint16).view(np.int16)
    channel = replace(C3, samples=stored, digital=(0, 65535), physical=(-3276.8, 3276.7))
    np.testing.assert_allclose(read(saved(gdf_bytes([channel]))).data_uv[0], C3.samples * 0.1, rtol=0, atol=1e-3)


def test_sign_is_the_same_wherever_a_file_is_read(saved: Saved) -> None:
    quiet = [(np.full(100, 60000 - number * 10, np.uint16)).tobytes() for number in range(20)]
    channel = EdfChannel("C3", quiet + unsigned_records(2, 32768), digital=("0", "65535"))
    path = saved(edf_bytes([channel]))
    whole = read(path).data_uv
    np.testing.assert_array_equal(read(path, start_s=5, stop_s=10).data_uv, whole[:, 500:1000])


SIXTEEN_BITS = edf_bytes([EdfChannel("C3", noise(0, 40)), tals(*STEADY * 10)])
TWENTY_FOUR_BITS = edf_bytes(
    [EdfChannel("C3", noise(0, 40), physical=("-8388608", "8388607"), digital=("-8388608", "8388607"))], width=3
)


def with_magic(content: bytes, magic: bytes, num_records: str) -> bytes:
    """Return a file with other first bytes, and with another number of records by its header."""
    return magic + content[8:236] + num_records.encode().ljust(8) + content[244:]


@pytest.mark.parametrize("num_records", ["40", "-1", "60"])
def test_file_of_16_bits_that_begins_as_bdf_does(saved: Saved, num_records: str) -> None:
    path = saved(with_magic(SIXTEEN_BITS, b"\xffBIOSEMI", num_records))
    recording = read(path)
    assert read_header(path).format == "EDF"
    np.testing.assert_allclose(recording.data_uv[0], UV, rtol=0, atol=1e-3)
    assert "its first bytes are those of BDF, not what follows: read with samples of 2 bytes" in text(recording.notes)
    repaired = saved(SIXTEEN_BITS, "repaired.edf")
    judged_uv = mne.io.read_raw_edf(repaired, preload=True, verbose="error").get_data(units="uV")[0]
    np.testing.assert_allclose(recording.data_uv[0], judged_uv, rtol=0, atol=1e-3)


@pytest.mark.parametrize("num_records", ["40", "-1"])
def test_file_of_24_bits_that_begins_as_edf_does(saved: Saved, num_records: str) -> None:
    recording = read(saved(with_magic(TWENTY_FOUR_BITS, b"0       ", num_records)))
    np.testing.assert_array_equal(recording.data_uv[0], np.concatenate(noise(0, 40)))
    assert "read with samples of 3 bytes" in text(recording.notes)


@pytest.mark.parametrize("num_records", ["40", "-1", "60"])
def test_bdf_of_a_range_of_16_bits_is_bdf(saved: Saved, num_records: str) -> None:
    path: Path = saved(edf_bytes([EdfChannel("C3", noise(0, 40))], width=3, num_records=num_records), "a.bdf")
    np.testing.assert_allclose(read(path).data_uv[0], UV, rtol=0, atol=1e-3)
    assert read_header(path).format == "BDF"


def test_edf_that_is_as_long_as_the_records_of_bdf_that_it_says_is_edf(saved: Saved) -> None:
    content = edf_bytes([EdfChannel("C3", noise(0, 60))], num_records="40")
    assert read(saved(content)).data_uv.shape == (1, 6000)
