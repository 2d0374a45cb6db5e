"""Readers under mutated files: any is read within its own size or refused in one line, in a bounded process."""

import gzip
import multiprocessing
import re
import resource
import signal
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
import pytest

from manifests.errors import DareError
from pipelines.formats.arrays import Arrays
from pipelines.formats.matlab import whole_numbers
from pipelines.formats.readers import read, read_header
from tests.pipelines.cnt_file import cnt_bytes
from tests.pipelines.mat_files import save_5, save_hdf
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
from tests.pipelines.test_brainvision import save_brainvision
from tests.pipelines.test_eeglab import SIGNAL_UV, dataset
from tests.pipelines.test_mne_formats import COUNTS, LABELS, epochs_of, raw_of, save_fif
from tests.pipelines.test_packed import zipped

pytestmark = pytest.mark.slow

NUM_CASES = 1000
MEMORY_BYTES = 1 << 30
CPU_S, WALL_S = 5, 60
"""Generous bounds of one case, which takes milliseconds: whoever meets one hangs."""

NASTY_FIELDS = [
    b"", b"-1", b"0", b"1e9", b"1e308", b"99999999", b"nan", b"inf", b"0x10", b"\xff" * 8, bytes(8), b"\r\n",
    struct.pack("<d", float("nan")), struct.pack("<d", 1e308), struct.pack("<q", 2**62), struct.pack("<q", -(2**62)),
    struct.pack(">ii", 2**31 - 1, 2**31 - 1), struct.pack("<ii", 2**31 - 1, -1),
]  # fmt: skip


@dataclass(frozen=True)
class Sound:
    """A sound file, written by ``write`` into a folder, of which ``asked`` is read and ``mutated`` mutated.

    Of it ``header`` bytes are mutated. What is read has ``growth`` times the file's bytes at most. ``labels`` are the
    places of the labels that it holds where it is no recording.
    """

    write: Callable[[Path], object]
    asked: str = "a"
    mutated: str = ""
    header: int = 1 << 20
    growth: int = 1100  # deflate's, as float32
    arrays: Arrays | None = None
    labels: tuple[str, ...] = ()


def written(content: bytes, name: str = "a") -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def save_set(write: Callable[[Path, dict[str, object]], object]) -> Callable[[Path], object]:
    def save(folder: Path) -> None:
        write(folder / "a.set", {"EEG": dataset("a.fdt", events=[("boundary", 200.5, 12.0)])})
        SIGNAL_UV.T.tofile(folder / "a.fdt")

    return save


def own(content: bytes) -> Sound:
    """Return a file of a format that is read by this project alone."""
    return Sound(written(content), header=1024, growth=4)


RUNS = {"data": [{"y": np.arange(8, dtype=np.uint8), "X": SIGNAL_UV[:, :4]}], "label": np.array([[-1.0, 0.0, 1.0]])}
X = Arrays("x", "channel time", tuple(LABELS), 128.0)
MARKS = np.repeat([0, 1, 0, 2], -(-SIGNAL_UV.shape[1] // 4))[: SIGNAL_UV.shape[1]]


def save_csv(folder: Path) -> None:
    rows = np.column_stack([np.arange(SIGNAL_UV.shape[1]) / 128, SIGNAL_UV.T, MARKS])
    np.savetxt(folder / "a.csv", rows, "%.6g", ",", header=f"t,{','.join(LABELS)},mark", comments="")


def save_openbci(folder: Path) -> None:
    rows = np.column_stack([np.arange(SIGNAL_UV.shape[1]) % 256, SIGNAL_UV.T])
    np.savetxt(folder / "a.txt", rows, "%.6g", ", ", header="OpenBCI Raw EXG Data\n%Sample Rate = 128 Hz", comments="%")


SOUND = {
    "EDF": own(edf_bytes([EEG, EdfChannel("C4", noise(1), b""), tals(*STEADY)], reserved="EDF+C")),
    "BDF": own(edf_bytes([EEG, tals(*STEADY, label="BDF Annotations")], width=3, reserved="BDF+C")),
    "GDF 1": own(gdf_bytes([C3, replace(CZ, unit=b"")], "1.25", event_table(EVENTS, 3, "1.25"))),
    "GDF 2": own(gdf_bytes([C3, replace(CZ, unit_code=0)], "2.10", event_table(EVENTS, 1, "2.10"))),
    "SET in MAT 5": Sound(save_set(lambda path, fields: save_5(path, fields, deflated=False)), "a.set"),
    "SET in MAT 7.3": Sound(save_set(save_hdf), "a.set"),
    "MAT 5": Sound(lambda f: save_5(f / "a.mat", {"x": SIGNAL_UV}, deflated=False), "a.mat", header=256, arrays=X),
    "MAT 5, deflated": Sound(lambda f: save_5(f / "a.mat", {"x": SIGNAL_UV}), "a.mat", header=512, arrays=X),
    "MAT 7.3": Sound(lambda f: save_hdf(f / "a.mat", {"x": SIGNAL_UV}), "a.mat", header=4096, arrays=X),
    "VHDR": Sound(save_brainvision, "a.vhdr", growth=1000),
    "VMRK": Sound(save_brainvision, "a.vhdr", "a.vmrk", growth=1000),
    "FIF": Sound(lambda folder: save_fif(raw_of(), folder / "a_raw.fif"), "a_raw.fif"),
    "CNT": Sound(written(cnt_bytes(LABELS, COUNTS.T, 250, [(101, 3)]), "a.cnt"), "a.cnt"),
    "FIF of epochs": Sound(lambda f: epochs_of().save(f / "a-epo.fif", verbose="error"), "a-epo.fif"),
    "NPY": Sound(lambda f: np.save(f / "a.npy", SIGNAL_UV), "a.npy", header=128, arrays=replace(X, variables="")),
    "NPZ": Sound(lambda f: np.savez(f / "a.npz", x=SIGNAL_UV, y=MARKS), "a.npz", arrays=replace(X, trial_labels="y")),
    "NPZ, deflated": Sound(lambda f: np.savez_compressed(f / "a.npz", x=SIGNAL_UV), "a.npz", header=512, arrays=X),
    "CSV": Sound(save_csv, "a.csv", growth=100, arrays=Arrays("", X.axes, (), 0.0, time="t", trial_labels="mark")),
    "OpenBCI": Sound(save_openbci, "a.txt", growth=100, arrays=replace(X, sfreq=0.0, time="1", time_unit="counter")),
    "EDF in gzip": Sound(written(gzip.compress(edf_bytes([EEG, tals(*STEADY)])), "a.edf.gz"), "a.edf.gz"),
    "EDF in zip": Sound(written(zipped(edf_bytes([EEG, tals(*STEADY)]), "a.edf"), "a.zip"), "a.zip"),
    "labels in MAT 5": Sound(lambda f: save_5(f / "a.mat", RUNS, deflated=False), "a.mat", labels=("data.y", "label")),
    "labels in MAT 7.3": Sound(lambda f: save_hdf(f / "a.mat", RUNS), "a.mat", labels=("data.y", "label")),
}


def mutations(sound: Sound, content: bytes) -> Iterator[bytes]:
    """Yield the content with bytes changed, with a nasty field in it, or cut, the same each time."""
    rng = np.random.default_rng(1)
    header = min(sound.header, len(content))
    for number in range(NUM_CASES):
        changed = bytearray(content)
        if number % 10 == 0:
            del changed[rng.integers(len(content)) :]
        elif number % 2:
            for place in rng.integers(header, size=rng.integers(1, 4)):
                changed[place] = rng.integers(256)
        else:
            nasty = NASTY_FIELDS[rng.integers(len(NASTY_FIELDS))].ljust(8, b" " if number % 4 else b"\0")
            place = 4 * rng.integers(header // 4)
            changed[place : place + 8] = nasty
        yield bytes(changed)


def assert_read_or_refused(path: Path, sound: Sound) -> None:
    """A damaged file is read within its own size, or refused in one line; no other exception, no warning."""
    refusal = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert_read(path, sound)
    except DareError as error:
        refusal = str(error)
    assert not refusal or re.fullmatch(rf"{re.escape(str(path.parent))}/[^/]+: .{{5,500}}", refusal), refusal


def assert_read(path: Path, sound: Sound) -> None:
    if sound.labels:
        content = path.read_bytes()
        assert len(whole_numbers(str(path), content, *sound.labels)) <= sound.growth * len(content)
        return
    header, recording = read_header(path, sound.arrays), read(path, arrays=sound.arrays)
    assert recording.data_uv.dtype == np.float32
    assert recording.data_uv.nbytes <= sound.growth * sum(one.stat().st_size for one in path.parent.iterdir())
    assert len(recording.electrodes) == len(recording.data_uv) <= len(header.channels)
    edges = [edge for part in recording.segments for edge in (part.start, part.stop)]
    assert edges == sorted(edges)
    assert not edges or (edges[0] >= 0 and edges[-1] <= recording.data_uv.shape[1])


def run_all(kind: str, folder: Path, case: "Synchronized[int]") -> None:
    """Read every mutation of a file within bounds of memory and of time that end the process."""
    sound = SOUND[kind]
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    path = folder / (sound.mutated or sound.asked)
    content = path.read_bytes()
    assert_read(folder / sound.asked, sound)
    resource.setrlimit(resource.RLIMIT_AS, (virtual + MEMORY_BYTES, resource.RLIM_INFINITY))
    for number, mutated in enumerate(mutations(sound, content)):
        case.value = number
        path.write_bytes(mutated)
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        signal.alarm(WALL_S)
        assert_read_or_refused(folder / sound.asked, sound)


@pytest.mark.parametrize("kind", SOUND)
def test_any_mutation_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    SOUND[kind].write(tmp_path)
    forking = multiprocessing.get_context("fork")
    case = forking.Value("i", -1)
    process = forking.Process(target=run_all, args=(kind, tmp_path, case))
    process.start()
    process.join()
    assert process.exitcode == 0, f"case {case.value} of {kind} ended its process: {process.exitcode}"
    assert case.value == NUM_CASES - 1
