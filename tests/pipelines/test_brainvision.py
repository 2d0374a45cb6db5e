"""BrainVision in every form it comes in, against MNE where that reads it and against what was written."""

import re
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray

from manifests.notes import text
from pipelines.formats.readers import read, read_header
from pipelines.recording import Event, Segment
from tests.commands import dare
from tests.pipelines.conftest import assert_refused

ELECTRODES = ("FP1", "CZ", "T7")
COUNTS = np.rint(np.random.default_rng(0).normal(0, 200, (3, 1000))).astype(np.int16)
DTYPES = {"INT_16": "<i2", "UINT_16": "<u2", "INT_32": "<i4", "IEEE_FLOAT_32": "<f4"}
FORMS = ["INT_16", "INT_32", "IEEE_FLOAT_32"]
ORIENTATIONS = ["MULTIPLEXED", "VECTORIZED"]
VHDR = """Brain Vision Data Exchange Header File Version 1.0
; a comment
[Common Infos]
Codepage=UTF-8
DataFile=a.eeg
MarkerFile=a.vmrk
DataFormat=BINARY
DataOrientation={orientation}
NumberOfChannels=4
SamplingInterval=4000
DataPoints=1000
[Binary Infos]
BinaryFormat={form}
[Channel Infos]
Ch1=Fp1,,0.1,µV
Ch2=Cz,,0.0001,mV
Ch3=T3,,0.1,
Ch4=GSR,,1,µS
"""
VMRK = """Brain Vision Data Exchange Marker File, Version 1.0
[Common Infos]
Codepage=UTF-8
DataFile=a.eeg
[Marker Infos]
Mk1=New Segment,,1,1,0,20200101000000000000
Mk2=Stimulus,S  1,51,25,0
Mk3=New Segment,,501,1,0,20200101000100000000
Mk4=Response,R  2,626,0,0
"""


def save_brainvision(
    folder: Path, vhdr: str = VHDR, vmrk: str = VMRK, orientation: str = "MULTIPLEXED", form: str = "INT_16",
    page: str = "utf-8", samples: NDArray[np.generic] | None = None,
) -> Path:  # fmt: skip
    """Write the three files and return the header's path."""
    counts = np.vstack([COUNTS, np.arange(1000)[None]]).astype(DTYPES[form]) if samples is None else samples
    (folder / "a.eeg").write_bytes((counts.T if orientation == "MULTIPLEXED" else counts).tobytes())
    (folder / "a.vmrk").write_bytes(vmrk.encode(page))
    (folder / "a.vhdr").write_bytes(vhdr.format(orientation=orientation, form=form).encode(page))
    return folder / "a.vhdr"


def assert_is_what_was_written(path: Path) -> None:
    recording = read(path)
    assert (recording.electrodes, recording.sfreq) == (ELECTRODES, 250.0)
    np.testing.assert_allclose(recording.data_uv, COUNTS * 0.1, rtol=1e-6)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_brainvision(tmp_path: Path, orientation: str, form: str) -> None:
    path = save_brainvision(tmp_path, orientation=orientation, form=form)
    header, recording = read_header(path), read(path)
    assert (header.format, header.duration_s) == ("BrainVision", 4.0)
    assert [channel.unit for channel in header.channels] == ["µV", "mV", "µV"]
    assert_is_what_was_written(path)
    assert recording.segments == (Segment(0, 500, 0.0), Segment(500, 1000, 2.0))
    assert recording.events == (
        Event(0.2, 0.1, "Stimulus/S  1"), Event(2.0, 0.004, "New Segment/"), Event(2.5, 0.0, "Response/R  2"),
    )  # fmt: skip
    assert text(recording.notes) == "1 channels that are no EEG left out (misc)"
    piece = read(path, ["T7", "FP1"], 1.0, 3.0)
    np.testing.assert_array_equal(piece.data_uv, recording.data_uv[[0, 2], 250:750])
    assert piece.segments == (Segment(0, 250, 1.0), Segment(250, 500, 2.0))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_mne_reads_the_same_samples_and_markers(tmp_path: Path, orientation: str, form: str) -> None:
    path = save_brainvision(tmp_path, orientation=orientation, form=form)
    raw = mne.io.read_raw_brainvision(path, preload=True, verbose="error")
    recording = read(path)
    # MNE keeps volts: a thousandth of a µV is beyond the float64 that it computes in, and beyond float32.
    np.testing.assert_array_equal(recording.data_uv, (raw.get_data()[:3] * 1e6).astype(np.float32))
    told = zip(raw.annotations.onset, raw.annotations.duration, raw.annotations.description, strict=True)
    assert recording.events == tuple(Event(*one) for one in told)


def test_electrode_without_a_place_is_one_all_the_same(tmp_path: Path) -> None:
    placed = VHDR + "[Coordinates]\nCh1=1,-90,-72\nCh2=0,0,0\nCh3=1,90,0\nCh4=0,0,0\n"
    assert read(save_brainvision(tmp_path, placed)).electrodes == ELECTRODES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Ch1=Fp1,,0.1,µV", "Ch1=Fp1,,0.1,\u03bcV"),
        ("Ch1=Fp1,,0.1,µV", "Ch1=Fp1,,0.1,Âµv"),
        ("Ch1=Fp1,,0.1,µV", "Ch1=Fp1,,0.1,\ufffdV"),
        ("Ch1=Fp1,,0.1,µV", "Ch1=Fp1,,0.1,?V"),
        ("Ch1=Fp1,,0.1,µV", "Ch1=Fp1,,0.1"),
        ("Ch1=Fp1,,0.1,µV", "Ch1=Fp1,,0,1,µV"),
        ("Ch3=T3,,0.1,", "Ch3=T3,,0,1"),
        ("Ch2=Cz,,0.0001,mV", "Ch2=Cz,,1,0e-4,mV"),
        ("Ch2=Cz,,0.0001,mV", "ch2 = Cz,FCz,1e-7,V,extra"),
        ("[Channel Infos]\nCh1=Fp1,,0.1,µV\nCh2=Cz,,0.0001,mV", "[channel infos]\nCh2=Cz,,0.0001,mV\nCh1=Fp1,,0.1,µV"),
        ("SamplingInterval=4000", "SamplingInterval=4000,0"),
        ("Common Infos", "Common infos"),
        ("\n", "\r\n"),
        ("\n", "\r\r\n"),
        ("DataFormat=BINARY\n", ""),
        ("DataFile=a.eeg", "DataFile=$b.eeg"),
        ("Brain Vision Data Exchange Header File Version 1.0\n", ""),
        ("Brain Vision Data Exchange Header File Version 1.0", "BrainVision Data Exchange Header File Version 2.0"),
        ("Brain Vision Data", "Brain Vision Core Data"),
        ("Ch4=GSR", "Ch4=C4"),
        ("[Channel Infos]", "[User Infos]\nCh1=other\n[Channel Infos]"),
    ],
)
def test_header_is_read_as_it_is_meant(tmp_path: Path, old: str, new: str) -> None:
    changed = VHDR.replace(old, new)
    assert changed != VHDR
    assert_is_what_was_written(save_brainvision(tmp_path, changed))


def test_comment_at_the_end_may_say_what_it_likes(tmp_path: Path) -> None:
    assert_is_what_was_written(
        save_brainvision(tmp_path, VHDR + "[Comment]\n[Channel Infos]\nCh1=Oz,,1,V\nNumberOfChannels=9\n")
    )


@pytest.mark.parametrize(
    ("page", "stated"),
    [
        ("utf-8", ""), ("utf-8", "UTF-8"), ("utf-8", "ANSI"), ("utf-8-sig", "UTF-8"), ("utf-16", "UTF-16"),
        ("latin-1", ""), ("latin-1", "latin-1"), ("cp1252", "ANSI"), ("cp1252", "UTF-8"), ("cp1252", "nonsense"),
    ],
)  # fmt: skip
def test_code_page_is_found_whatever_is_stated(tmp_path: Path, page: str, stated: str) -> None:
    codepage = f"Codepage={stated}\n" if stated else ""
    vhdr, vmrk = (one.replace("Codepage=UTF-8\n", codepage) for one in (VHDR, VMRK))
    for old, new in (("Fp1", "Stirnwölbung"), ("a.eeg", "Größe.eeg")):
        vhdr = vhdr.replace(old, new)
    path = save_brainvision(tmp_path, vhdr, vmrk.replace("S  1", "Augen geöffnet"), page=page)
    (tmp_path / "a.eeg").rename(tmp_path / "Größe.eeg")
    recording = read(path)
    assert recording.electrodes == ("STIRNWÖLBUNG", "CZ", "T7")
    np.testing.assert_allclose(recording.data_uv, COUNTS * 0.1, rtol=1e-6)
    assert recording.events[0].text == "Stimulus/Augen geöffnet"


def test_stated_code_page_of_another_alphabet_is_believed(tmp_path: Path) -> None:
    vmrk = VMRK.replace("UTF-8", "windows-1251").replace("S  1", "глаза открыты")
    assert read(save_brainvision(tmp_path, vmrk=vmrk.replace("µ", ""), page="cp1251", vhdr=VHDR)).events[0].text == (
        "Stimulus/глаза открыты"
    )


def test_two_channels_of_one_name_keep_their_names(tmp_path: Path) -> None:
    path = save_brainvision(tmp_path, VHDR.replace("Ch3=T3", "Ch3=Cz"))
    assert [channel.label for channel in read_header(path).channels] == ["Fp1", "Cz", "Cz"]
    assert [channel.electrode for channel in read_header(path).channels] == ["FP1", "CZ", "CZ"]


def test_channel_of_no_scale_is_told_and_not_read(tmp_path: Path) -> None:
    recording = read(save_brainvision(tmp_path, VHDR.replace("Ch3=T3,,0.1", "Ch3=T3,,n/a")))
    assert recording.electrodes == ("FP1", "CZ")
    assert "T3 is scaled by 'n/a', which is no scale: taken as absent" in text(recording.notes)


def test_commas_that_a_name_or_a_description_holds(tmp_path: Path) -> None:
    vmrk = VMRK.replace("S  1", "eins, zwei").replace("R  2", r"drei\1 vier")
    recording = read(save_brainvision(tmp_path, VHDR.replace("Fp1", r"Fp1\1 left"), vmrk))
    assert recording.electrodes[0] == "FP1, LEFT"
    assert [event.text for event in recording.events][::2] == ["Stimulus/eins, zwei", "Response/drei, vier"]
    assert [event.onset_s for event in recording.events] == [0.2, 2.0, 2.5]


def test_marker_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    recording = read(save_brainvision(tmp_path, vmrk=VMRK.replace("R  2,626", "R  2,soon") + "Mk5=Stimulus\n"))
    assert [event.text for event in recording.events] == ["Stimulus/S  1", "New Segment/"]
    assert "2 of 5 markers cannot be read: not used" in text(recording.notes)


def test_markers_without_their_first_line_and_none_at_all(tmp_path: Path) -> None:
    assert len(read(save_brainvision(tmp_path, vmrk=VMRK.partition("\n")[2])).events) == 3
    assert read(save_brainvision(tmp_path, VHDR.replace("MarkerFile=a.vmrk\n", ""))).events == ()


def test_segments_of_one_length_are_not_joined(tmp_path: Path) -> None:
    vhdr = VHDR.replace("DataPoints=1000", "DataPoints=1000\nSegmentationType=FIXTIME\nSegmentDataPoints=400")
    segments = read(save_brainvision(tmp_path, vhdr.replace("MarkerFile=a.vmrk\n", ""))).segments
    assert segments == (Segment(0, 400, 0.0), Segment(400, 800, 1.6), Segment(800, 1000, 3.2))


# --- samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("form", FORMS)
def test_big_endian(tmp_path: Path, orientation: str, form: str) -> None:
    swapped = np.vstack([COUNTS, np.arange(1000)[None]]).astype(DTYPES[form].replace("<", ">"))
    vhdr = VHDR.replace("BinaryFormat={form}", "BinaryFormat={form}\nUseBigEndianOrder=YES")
    assert_is_what_was_written(save_brainvision(tmp_path, vhdr, orientation=orientation, form=form, samples=swapped))


def test_unsigned_numbers_are_not_taken_for_signed(tmp_path: Path) -> None:
    recording = read(save_brainvision(tmp_path, form="UINT_16"))
    np.testing.assert_allclose(recording.data_uv, COUNTS.astype(np.uint16) * 0.1, rtol=1e-6)


@pytest.mark.parametrize(("symbol", "separator"), [(".", " "), (",", " "), (".", ","), (",", ";"), (",", "\t")])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_samples_in_text(tmp_path: Path, orientation: str, symbol: str, separator: str) -> None:
    names, counts = ["Fp1", "Cz", "T3", "GSR"], np.vstack([COUNTS, np.arange(1000)[None]])
    is_vectorized = orientation == "VECTORIZED"
    infos = f"[ASCII Infos]\nDecimalSymbol={symbol}\nSkipLines={1 - is_vectorized}\nSkipColumns={is_vectorized:d}\n"
    vhdr = VHDR.replace("BINARY", "ASCII").replace("[Channel", f"{infos}[Channel").replace("a.eeg", "a.dat")
    path = save_brainvision(tmp_path, vhdr, orientation=orientation)
    rows = [[f"{value:.1f}".replace(".", symbol) for value in row] for row in (counts if is_vectorized else counts.T)]
    lines = [[name, *row] for name, row in zip(names, rows, strict=True)] if is_vectorized else [names, *rows]
    (tmp_path / "a.eeg").unlink()
    (tmp_path / "a.dat").write_text("\r\n".join(separator.join(line) for line in lines) + "\r\n")
    assert_is_what_was_written(path)
    if separator == " " and not is_vectorized:
        raw = mne.io.read_raw_brainvision(path, preload=True, verbose="error")
        np.testing.assert_allclose(read(path).data_uv, raw.get_data()[:3] * 1e6, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".ahdr", ".vhdr"])
def test_vamp_has_one_more_channel_than_its_header_says(tmp_path: Path, suffix: str) -> None:
    more = np.vstack([COUNTS, np.arange(1000)[None], np.full((1, 1000), 7)]).astype("<i2")
    vhdr = VHDR.replace("Data Exchange Header", "V-Amp Data Header").replace("a.vmrk", "a.amrk")
    path = save_brainvision(tmp_path, vhdr, samples=more)
    (tmp_path / "a.vmrk").rename(tmp_path / "a.amrk")
    path = path.rename(path.with_suffix(suffix))
    assert_is_what_was_written(path)
    assert (read_header(path).duration_s, len(read(path).events)) == (4.0, 3)
    if suffix == ".ahdr":
        raw = mne.io.read_raw_brainvision(path, preload=True, verbose="error")
        np.testing.assert_array_equal(read(path).data_uv, (raw.get_data()[:3] * 1e6).astype(np.float32))
    assert dare("inspect", path).status == 0


def test_samples_that_are_cut(tmp_path: Path) -> None:
    path = save_brainvision(tmp_path)
    whole = (tmp_path / "a.eeg").read_bytes()
    (tmp_path / "a.eeg").write_bytes(whole[:-3])
    recording = read(path)
    assert recording.data_uv.shape == (3, 999)
    assert "a.eeg is cut: 999 of 1000 samples are whole" in text(recording.notes)
    path = save_brainvision(tmp_path, orientation="VECTORIZED")
    for cut in (whole[:-3], whole[:-80]):  # of vectorized samples all but the first channel would be out of place
        (tmp_path / "a.eeg").write_bytes(cut)
        assert_refused(lambda: read(path), f"a.eeg: has {len(cut)} bytes, not 4 channels of 1000 samples")


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".eeg", ".vmrk"])
def test_part_that_is_missing_is_named(tmp_path: Path, suffix: str) -> None:
    path = save_brainvision(tmp_path)
    assert_refused(lambda: read(path.with_suffix(suffix)), f"a{suffix}: holds the", "name its .vhdr")
    path.with_suffix(suffix).unlink()
    assert_refused(lambda: read_header(path), "a.vhdr: its ", f"a{suffix} is not beside it")


@pytest.mark.parametrize("name", ["parts/a.eeg", "/dev/zero", ".", "..", "a\0.eeg"])
@pytest.mark.parametrize("key", ["DataFile", "MarkerFile"])
def test_part_lies_in_no_other_folder(tmp_path: Path, key: str, name: str) -> None:
    path = save_brainvision(tmp_path, re.sub(f"{key}=.*", lambda _: f"{key}={name}", VHDR))
    assert_refused(lambda: read(path), f"a.vhdr: its {key} {name} is not beside it", "put it there")


@pytest.mark.parametrize("named", ["b.vmrk", "B.VMRK"])
def test_markers_of_another_recording_are_not_read(tmp_path: Path, named: str) -> None:
    path = save_brainvision(tmp_path, VHDR.replace("a.vmrk", named))
    (tmp_path / "b.vmrk").write_text(VMRK, "utf-8")
    assert_refused(lambda: read(path), "a.vhdr: names b.vmrk, but a.vmrk lies beside it", "correct the name")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("DataFile=a.eeg\n", "", "names no DataFile"),
        ("SamplingInterval=4000", "SamplingInterval=often", "cannot be read as BrainVision"),
        ("SamplingInterval=4000", "SamplingInterval=0", "a rate of nan Hz is not possible"),
        ("SamplingInterval=4000", "SamplingInterval=1e-9", "a rate of 1e+15 Hz is not possible"),
        ("BINARY", "ASCII", "cannot be read as BrainVision"),
        ("{form}", "INT_24", "cannot be read as BrainVision"),
        ("NumberOfChannels=4", "NumberOfChannels=5", "describes 4 channels and says that it has 5"),
        ("NumberOfChannels=4", "NumberOfChannels=1e300", "describes 4 channels and says that it has 1e+300"),
        ("Ch4=GSR", "Ch3=GSR", "describes 4 channels and says that it has 4, numbered from 1"),
        ("Ch4=GSR", "Ch5=GSR", "describes 4 channels and says that it has 4, numbered from 1"),
        ("DataPoints", "DataType=FREQUENCYDOMAIN\nDataPoints", "holds FREQUENCYDOMAIN, which is no signal in time"),
        ("BinaryFormat", "DataOffset=512\nBinaryFormat", "has a DataOffset, which nothing here reads"),
    ],
)
def test_header_that_is_damaged_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert VHDR.replace(old, new) != VHDR
    path = save_brainvision(tmp_path, VHDR.replace(old, new))
    assert_refused(lambda: read(path), "a.vhdr: ", reason)
    renamed = path.rename(tmp_path / "a.txt")
    assert_refused(lambda: read(renamed), "a.txt: ", "give it the ending .vhdr")
