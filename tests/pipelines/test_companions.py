"""Files that a header names: its own whatever they are called, never another recording's; changes are noticed."""

import os
import unicodedata
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat

from pipelines.formats.readers import read
from tests.commands import dare, recordings
from tests.pipelines.conftest import assert_refused
from tests.pipelines.own_trees import ELECTRODES, SFREQ, made, recipe

SIGNAL_UV = np.random.default_rng(0).normal(0, 20, (3, 40 * SFREQ)).astype(np.float32)
Writer = Callable[..., Path]


def save_set(header: Path, data: str | None = None, signal_uv: NDArray[np.float32] = SIGNAL_UV) -> Path:
    """Write a dataset and the file of samples that it names."""
    data = data or f"{header.stem}.fdt"
    places = np.array([(name,) for name in ELECTRODES], dtype=[("labels", "O")])
    fields = {"nbchan": 3.0, "trials": 1.0, "pnts": float(signal_uv.shape[1]), "srate": float(SFREQ)}
    savemat(header, {"EEG": fields | {"data": data, "chanlocs": places, "event": []}}, appendmat=False)
    signal_uv.T.astype("<f4").tofile(header.with_name(data))
    return header


def save_vhdr(header: Path, data: str | None = None, signal_uv: NDArray[np.float32] = SIGNAL_UV) -> Path:
    """Write a BrainVision header and the file of samples that it names."""
    data = data or f"{header.stem}.eeg"
    channels = "\n".join(f"Ch{number}={name},,1,µV" for number, name in enumerate(ELECTRODES, 1))
    header.write_text(
        f"Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile={data}\nNumberOfChannels=3\n"
        f"DataOrientation=MULTIPLEXED\nSamplingInterval={1e6 / SFREQ}\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        f"[Channel Infos]\n{channels}\n",
        "utf-8",
    )
    signal_uv.T.astype("<f4").tofile(header.with_name(data))
    return header


KINDS = [(save_set, ".set", ".fdt"), (save_vhdr, ".vhdr", ".eeg"), (save_vhdr, ".vhdr", ".dat")]
every_kind = pytest.mark.parametrize(("write", "header", "samples"), KINDS, ids=["set", "vhdr", "dat"])


@every_kind
def test_file_of_another_name_is_read_where_no_other_recording_is_near(
    tmp_path: Path, write: Writer, header: str, samples: str
) -> None:
    for number in (1, 2):
        write(tmp_path / f"S{number}{header}", f"export_{number}{samples}", SIGNAL_UV * number)
    for number in (1, 2):
        np.testing.assert_array_equal(read(tmp_path / f"S{number}{header}").data_uv, SIGNAL_UV * number)


@every_kind
def test_file_is_found_whatever_the_case_and_the_composition_of_its_letters(
    tmp_path: Path, write: Writer, header: str, samples: str
) -> None:
    path = write(tmp_path / f"Müller{header}", f"Müller{samples}")
    path.with_suffix(samples).rename(tmp_path / unicodedata.normalize("NFD", f"MÜLLER{samples.upper()}"))
    np.testing.assert_array_equal(read(path).data_uv, SIGNAL_UV)


@every_kind
def test_file_of_another_name_is_not_read_where_one_of_its_own_lies_beside(
    tmp_path: Path, write: Writer, header: str, samples: str
) -> None:
    renamed = write(tmp_path / f"S2{header}", f"S1{samples}")
    (tmp_path / f"s2{samples}").write_bytes(b"its own")
    named = f"S2{header}: names S1{samples}, but s2{samples} lies beside it"
    assert_refused(lambda: read(renamed), named, "correct the name in it")


@every_kind
def test_file_of_another_header_is_not_read(tmp_path: Path, write: Writer, header: str, samples: str) -> None:
    own = write(tmp_path / f"S1{header}", f"S1{samples}")
    other = write(tmp_path / f"S2{header}", f"S1{samples}")
    assert_refused(lambda: read(other), f"S2{header}: names S1{samples}, which is that of S1{header}", "correct")
    np.testing.assert_array_equal(read(own).data_uv, SIGNAL_UV)


@every_kind
def test_file_that_two_headers_name_is_read_by_neither(
    tmp_path: Path, write: Writer, header: str, samples: str
) -> None:
    paths = [write(tmp_path / f"S{number}{header}", f"shared{samples}") for number in (1, 2)]
    for path, other in (paths, paths[::-1]):
        assert_refused(lambda: read(path), f"names shared{samples}, which is that of {other.name}")  # noqa: B023


def test_file_of_two_headers_of_its_name_is_read_by_neither(tmp_path: Path) -> None:
    path = save_vhdr(tmp_path / "S1.vhdr")
    np.testing.assert_array_equal(read(path).data_uv, SIGNAL_UV)
    other = path.with_suffix(".ahdr")
    other.write_bytes(path.read_bytes())
    assert_refused(lambda: read(path), "S1.vhdr: names S1.eeg, which is that of S1.ahdr")
    assert_refused(lambda: read(other), "S1.ahdr: names S1.eeg, which is that of S1.vhdr")


def test_part_of_another_split_fif_is_not_read(tmp_path: Path) -> None:
    info = mne.create_info(list(ELECTRODES), SFREQ, "eeg")
    for name in ("a_raw.fif", "b_raw.fif"):
        raw = mne.io.RawArray(np.random.default_rng(1).normal(0, 2e-5, (3, 60_000)), info, verbose="error")
        raw.save(tmp_path / name, split_size="2MB", buffer_size_sec=1.0, fmt="double", verbose="error")
    for part in sorted(tmp_path.glob("b_raw*")):
        part.rename(tmp_path / part.name.replace("b_raw", "c_raw"))
    for part in sorted(tmp_path.glob("a_raw*")):
        part.rename(tmp_path / part.name.replace("a_raw", "b_raw"))
    # What was b's is c's by name, and goes on in what was a's.
    assert_refused(lambda: read(tmp_path / "c_raw.fif"), "c_raw.fif: continues in b_raw-1.fif, but b_raw.fif lies")


@pytest.mark.slow
@every_kind
def test_change_of_samples_is_noticed_whatever_their_file_is_called(
    tmp_path: Path, write: Writer, header: str, samples: str
) -> None:
    src = tmp_path / "raw"
    src.mkdir()
    for number in (1, 2):
        write(src / f"S{number}{header}", f"export_{number}{samples}")
    layout = f'files = "{{subject}}{header}"'
    made(src, tmp_path, layout, "", "--for", "pretrain")
    folder = tmp_path / "shards" / "mine-pretrain"
    files = [src / f"S1{header}", src / f"export_1{samples}"]
    row = recordings(folder)[f"S1{header}"]
    assert row["bytes"] == sum(file.stat().st_size for file in files)
    assert row["sha256"] == sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    again = ("preprocess", "mine", "--src", src, "--out", tmp_path / "shards", "--for", "pretrain", "--recipe")
    command = (*again, recipe(tmp_path, layout))
    assert dare(*command).status == 0
    (-SIGNAL_UV).T.tofile(files[1])
    for option in ((), ("--append",)):
        answer = dare(*command, *option)
        assert (answer.status, f"(S1{header}) changed" in answer.complaint) == (2, True)


@pytest.mark.slow
def test_change_in_the_middle_of_long_samples_is_noticed_by_their_hash(tmp_path: Path) -> None:
    src = tmp_path / "raw"
    src.mkdir()
    save_vhdr(src / "S1.vhdr", None, np.tile(SIGNAL_UV, 3))
    layout = 'files = "{subject}.vhdr"'
    made(src, tmp_path, layout, "", "--for", "pretrain")
    samples = src / "S1.eeg"
    content = bytearray(samples.read_bytes())
    content[len(content) // 2] ^= 1  # beyond the ends, which a fingerprint is of
    samples.write_bytes(content)
    later_ns = (tmp_path / "shards/mine-pretrain/plan.json").stat().st_mtime_ns + 10**12
    os.utime(samples, ns=(later_ns, later_ns))
    answer = dare(
        *("preprocess", "mine", "--src", src, "--out", tmp_path / "shards", "--for", "pretrain"),
        *("--recipe", recipe(tmp_path, layout)),
    )
    assert answer.status == 2
    assert "S1.vhdr: has changed since " in answer.complaint
