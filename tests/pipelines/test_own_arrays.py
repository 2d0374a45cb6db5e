"""Real EEG as CSV, NumPy files and packed EDF: its shards hold the windows that those of the EDF hold."""

import bz2
import gzip
import lzma
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pytest

from tests.commands import dare, manifest, preprocess, recordings
from tests.judges import samples
from tests.pipelines.own_trees import recipe

pytestmark = pytest.mark.slow

NAMES = ("Fp1", "F3", "C3", "Cz", "O2")
SFREQ = 500
LAYOUT = f'electrodes = ["FP1", "F3", "C3", "CZ", "O2"]\nnotch_hz = 50\nsfreq_hz = {SFREQ}\nwindow_s = 4\n'
ON_ITS_OWN = f"[pretrain]\nsfreq_hz = {SFREQ}\nwindow_s = 4\n"
"""Windows as they are, and not as the network would have them."""

ARRAYS = f"channels = {list(NAMES)}\nsfreq_hz = {SFREQ}\n"
SUBJECTS = ("00", "01", "02")
SECONDS = 62

Windows = dict[tuple[str, float], np.ndarray]


def signals(real: Path) -> dict[str, np.ndarray]:
    """Return (channels × samples) in µV of some of the recordings, as MNE reads them."""
    found = {}
    for subject in SUBJECTS:
        raw = mne.io.read_raw_edf(real / "eegmat" / f"Subject{subject}_2.edf", verbose="error")
        picked = raw.get_data([f"EEG {name}" for name in NAMES]) * 1e6
        found[subject] = picked.astype(np.float32)
    return found


def windows(src: Path, folder: Path, layout: str, *options: object) -> Windows:
    """Return the windows of a set made of a tree, by subject and time."""
    file = folder / "mine.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'corpus = "mine"\n{LAYOUT}{ON_ITS_OWN}[layout]\n{layout}\n')
    made = preprocess("mine", src, folder / "out", "--recipe", file, "--for", "pretrain", *options)
    assert {row["outcome"] for row in recordings(made).values()} == {"ok"}
    return {(one.fields["subject"], one.start_s): one.counts for one in samples(made).values()}


def assert_same(found: Windows, wanted: Windows) -> None:
    assert found.keys() == wanted.keys()
    for place, counts in wanted.items():
        np.testing.assert_array_equal(found[place], counts)


def write_npy(path: Path, data: np.ndarray) -> None:
    np.save(path, data.T)


def write_csv(path: Path, data: np.ndarray) -> None:
    rows = np.column_stack([np.arange(data.shape[1]) / SFREQ, data.T])
    np.savetxt(path, rows, "%.9g", delimiter=",", header="time," + ",".join(NAMES), comments="")


def write_german(path: Path, data: np.ndarray) -> None:
    write_csv(path, data)
    text = path.read_text().replace(",", ";").replace(".", ",")
    path.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))


def write_openbci(path: Path, data: np.ndarray) -> None:
    count = np.arange(data.shape[1])
    rows = np.column_stack([count % 256, data.T, np.zeros((len(count), 3)), 1.7e9 + count // 50 * 0.1])
    columns = ["Sample Index", *(f"EXG Channel {number}" for number in range(len(NAMES)))]
    columns += [f"Accel Channel {number}" for number in range(3)] + ["Timestamp"]
    above = f"%OpenBCI Raw EEG Data\n%Number of channels = 8\n%Sample Rate = {SFREQ} Hz\n%Board = OpenBCI_GUI\n"
    np.savetxt(path, rows, "%.13g", delimiter=", ", header=above + ", ".join(columns), comments="")


def write_emotiv(path: Path, data: np.ndarray) -> None:
    count = np.arange(data.shape[1])
    rows = np.column_stack([count % 129, np.zeros(len(count)), data.T, np.full((len(count), 2), 4.0)])
    labels = f"COUNTER INTERPOLATED {' '.join(NAMES)} CQ_F3 MARKER"
    above = f"title:one, recorded:01.02.24, sampling:{SFREQ}, subject:x, labels:{labels}, chan:9, units:emotiv"
    np.savetxt(path, rows, "%.9g", delimiter=", ", header=above, comments="")


def write_npz(path: Path, data: np.ndarray) -> None:
    np.savez(path, eeg=data, rate=np.array(SFREQ))


@pytest.fixture(scope="module")
def held(real: Path) -> dict[str, np.ndarray]:
    return signals(real)


@pytest.fixture(scope="module")
def wanted(held: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Windows:
    """The windows of the signals as NPY files, which a test compares with those of the EDF."""
    folder = tmp_path_factory.mktemp("npy")
    (folder / "raw").mkdir()
    for subject, data in held.items():
        np.save(folder / "raw" / f"{subject}.npy", data)
    found = windows(folder / "raw", folder, f'files = "{{subject}}.npy"\n[layout.arrays]\n{ARRAYS}')
    assert len(found) == len(SUBJECTS) * (SECONDS // 4)
    return found


def test_windows_of_numpy_files_are_those_of_the_edf(
    held: dict[str, np.ndarray], wanted: Windows, real: Path, tmp_path: Path
) -> None:
    src = tmp_path / "raw"
    src.mkdir()
    for subject in held:
        (src / f"{subject}.edf").symlink_to(real / "eegmat" / f"Subject{subject}_2.edf")
    of_edf = windows(src, tmp_path, 'files = "{subject}.edf"')
    assert of_edf.keys() == wanted.keys()
    for place in wanted:
        assert np.abs(of_edf[place].astype(int) - wanted[place]).max() <= 1


@pytest.mark.parametrize(
    ("name", "write", "layout"),
    [
        ("{}.csv", write_csv, 'time = "time"'),
        ("{}.csv", write_csv, f"{ARRAYS}"),
        ("{}.txt", write_german, 'time = "time"'),
        ("{}.txt", write_openbci, f"{ARRAYS}columns = {[f'EXG Channel {number}' for number in range(5)]}"),
        ("{}.txt", write_openbci, f'{ARRAYS}columns = ["2", "3", "4", "5", "6"]\ntime = "Timestamp"'),
        ("{}.txt", write_openbci, f'{ARRAYS}columns = ["2", "3", "4", "5", "6"]\ntime = "1"\ntime_unit = "counter"'),
        ("{}.csv", write_emotiv, 'time = "COUNTER"\ntime_unit = "counter"\nsfreq_hz = 500'),
        ("{}.npy", write_npy, f'{ARRAYS}axes = "time channel"'),
        ("{}.npz", write_npz, f'{ARRAYS}variables = "eeg"'),
        ("{}.npz", write_npz, ARRAYS),
    ],
)  # fmt: skip
def test_windows_are_those_of_the_signal_whatever_file_holds_it(
    held: dict[str, np.ndarray],
    wanted: Windows,
    tmp_path: Path,
    name: str,
    write: Callable[[Path, np.ndarray], None],
    layout: str,
) -> None:
    (tmp_path / "raw").mkdir()
    for subject, data in held.items():
        write(tmp_path / "raw" / name.format(subject), data)
    files = f'files = "{name.format("{subject}")}"\n[layout.arrays]\n{layout}'
    assert_same(windows(tmp_path / "raw", tmp_path, files), wanted)


def zipped(content: bytes) -> bytes:
    with tempfile.TemporaryFile() as stream:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("folder/inside.csv", content)
        stream.seek(0)
        return stream.read()


@pytest.mark.parametrize(
    ("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zip", zipped)]
)
def test_packed_tables_are_read_as_they_are_and_cut_again_from_an_archive(
    held: dict[str, np.ndarray],
    wanted: Windows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    pack: Callable[[bytes], bytes],
) -> None:
    src, scratch = tmp_path / "raw", tmp_path / "scratch"
    src.mkdir()
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for subject, data in held.items():
        write_csv(tmp_path / "a.csv", data)
        (src / f"{subject}.csv.{ending}").write_bytes(pack((tmp_path / "a.csv").read_bytes()))
    before = sorted(src.iterdir())
    layout = f'files = "{{subject}}.csv.{ending}"\n[layout.arrays]\ntime = "time"'
    assert_same(windows(src, tmp_path / "one", layout, "--format", "both"), wanted)
    assert sorted(src.iterdir()) == before
    again = windows(tmp_path / "one" / "out" / "mine-pretrain", tmp_path / "two", layout)
    assert_same(again, wanted)


def test_label_beside_the_samples_cuts_windows(held: dict[str, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    told = np.zeros(SECONDS * SFREQ)
    told[5 * SFREQ : 13 * SFREQ], told[15 * SFREQ : 19 * SFREQ] = 1, 2
    for subject, data in held.items():
        rows = np.column_stack([data.T, told])
        np.savetxt(
            tmp_path / "raw" / f"{subject}.csv", rows, "%.9g", ",", header=",".join([*NAMES, "task"]), comments=""
        )
        np.savez_compressed(tmp_path / "raw" / f"{subject}.npz", eeg=data, task=told)
    body = f'corpus = "mine"\n{LAYOUT}classes = ["rest", "count"]\n[layout]\nlabels = "annotations"\nspans = true\n'
    for ending in ("csv", "npz"):
        file = tmp_path / f"{ending}.toml"
        more = (
            f'files = "{{subject}}.{ending}"\nclasses = {{1 = "rest", 2 = "count"}}\n[layout.arrays]\nlabel = "task"\n'
        )
        file.write_text(f"{body}{more}{ARRAYS}")
        made = preprocess("mine", tmp_path / "raw", tmp_path / ending, "--recipe", file)
        assert manifest(made)["recipe"]["layout"]["arrays"]["label"] == "task"
        cut = {(one.fields["subject"], one.start_s, one.label_name) for one in samples(made).values()}
        spans = [(5.0, "rest"), (9.0, "rest"), (15.0, "count")]
        assert cut == {(f"mine:{subject}", start_s, name) for subject in held for start_s, name in spans}


def test_trials_with_labels_in_a_numpy_archive_are_cut_by_them(held: dict[str, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for subject, data in held.items():
        trials = data[:, : 24 * SFREQ].reshape(len(NAMES), 6, 4 * SFREQ).transpose(1, 0, 2)
        np.savez(
            tmp_path / "raw" / f"{subject}.npz", X=trials, y=np.array(["left", "right", "left", "x", "left", "right"])
        )
    file = tmp_path / "mine.toml"
    layout = '[layout]\nfiles = "{subject}.npz"\nlabels = "annotations"\n[layout.arrays]\nlabel = "y"\n'
    file.write_text(
        f'corpus = "mine"\n{LAYOUT}classes = ["left", "right"]\n{layout}axes = "trial channel time"\n{ARRAYS}'
    )
    made = preprocess("mine", tmp_path / "raw", tmp_path, "--recipe", file)
    cut = {(one.start_s, one.label_name) for one in samples(made).values()}
    assert cut == {(0.0, "left"), (4.0, "right"), (8.0, "left"), (16.0, "left"), (20.0, "right")}
    assert "1 of 6 events stand for no class" in recordings(made)["00.npz"]["reason"]


@pytest.mark.parametrize(
    ("stated", "factor"), [('unit = "mV"', 1e-3), ('unit = "V"', 1e-6), ("scale = 1000", 1e-3), ('unit = "nV"', 1e3)]
)
@pytest.mark.parametrize("ending", ["npy", "fif"])
def test_unit_that_the_layout_states_is_that_of_the_samples(
    held: dict[str, np.ndarray], wanted: Windows, tmp_path: Path, ending: str, stated: str, factor: float
) -> None:
    (tmp_path / "raw").mkdir()
    for subject, data in held.items():
        if ending == "npy":
            np.save(tmp_path / "raw" / f"{subject}.npy", data.astype(np.float64) * factor)
            continue
        # Numbers of another unit, saved by MNE as if they were V.
        in_volts = factor if "unit" in stated else factor * 1e-6
        info = mne.create_info(list(NAMES), SFREQ, "eeg")
        raw = mne.io.RawArray(data.astype(np.float64) * in_volts, info, verbose="error")
        raw.save(tmp_path / "raw" / f"{subject}.fif", fmt="double", verbose="error")
    arrays = f"[layout.arrays]\n{ARRAYS}" if ending == "npy" else ""
    found = windows(tmp_path / "raw", tmp_path, f'files = "{{subject}}.{ending}"\n{stated}\n{arrays}')
    assert found.keys() == wanted.keys()
    for place, counts in wanted.items():
        assert np.abs(found[place].astype(int) - counts).max() <= 1
    says = "samples times 1000, as the layout says" if "scale" in stated else ", as the layout says, where the file has"
    reasons = [row["reason"] for row in recordings(tmp_path / "out" / "mine-pretrain").values()]
    is_told = (ending, stated) != ("fif", 'unit = "V"')  # which is what FIF says itself
    assert [says in reason for reason in reasons] == [is_told] * len(SUBJECTS)


def test_archive_is_of_one_unit(held: dict[str, np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    np.save(tmp_path / "raw" / "00.npy", held["00"])
    layout = f'files = "{{subject}}.npy"\n[layout.arrays]\n{ARRAYS}'
    windows(tmp_path / "raw", tmp_path, layout, "--format", "zarr")
    file = recipe(tmp_path, 'files = "{subject}.npy"\nunit = "nV"\n')
    file.write_text(f'corpus = "mine"\n{LAYOUT}{ON_ITS_OWN}[layout]\nunit = "mV"\n{layout}')
    src = tmp_path / "out" / "mine-pretrain"
    answer = dare("preprocess", "mine", "--src", src, "--out", tmp_path / "two", "--recipe", file, "--for", "pretrain")
    assert "was made with layout.unit '', the recipe has 'mV'" in answer.complaint
