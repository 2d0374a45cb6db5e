"""What is no EEG stays out: recordings of a wrong unit, dead windows, dead electrodes; archives know them, too."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt
from sklearn.neighbors import LocalOutlierFactor

import dare_eeg
from manifests import recipe as recipes
from manifests.errors import UnfitError
from manifests.shard_format import Index
from pipelines import cut, run
from pipelines.plan import SetOptions
from pipelines.sources import open_source
from pipelines.synth.edf_writer import Channel, write_edf_plus
from pipelines.workers import Workers
from tests.commands import contents, dare, manifest, preprocess, recordings, unusable
from tests.judges import of_recording, samples, write_edf
from tests.pipelines.raw_bytes import EdfChannel, edf_bytes

ELECTRODES = tuple("F3 FZ F4 C3 CZ C4 P3 PZ P4 O1 OZ O2".split())
SFREQ, SECONDS, RANGE_UV = 128, 60, 3276.7
RELEASE = Path(__file__).parents[1] / "data" / "release_0_1_0"

Signal = NDArray[np.float64]


def noise_uv(seed: int, seconds: int = SECONDS, sd_uv: float = 20.0) -> Signal:
    return sd_uv * np.random.default_rng(seed).standard_normal((len(ELECTRODES), seconds * SFREQ))


def written(path: Path, signal_uv: Signal, range_uv: float = RANGE_UV) -> Path:
    """Write an EDF file that holds what its range does of a signal."""
    held_uv = np.clip(signal_uv, -range_uv, range_uv)
    return write_edf(path, dict(zip(ELECTRODES, held_uv, strict=True)), SFREQ, range_uv=range_uv)


def recipe(folder: Path, suffix: str = "edf") -> Path:
    file = folder / "mine.toml"
    file.write_text(
        f'corpus = "mine"\nelectrodes = {list(ELECTRODES)}\nnotch_hz = 0\nsfreq_hz = {SFREQ}\nband_hz = [0.5, 40]\n'
        'classes = ["rest", "task"]\n[pretrain]\nclasses = []\n'
        f"sfreq_hz = {SFREQ}\n"
        f'[layout]\nfiles = "{{subject}}_{{label}}.{suffix}"\nlabels = "name"\n'
    )
    return file


def tree(folder: Path, signal_uv: Signal) -> Path:
    """Write a recording that is well, S1_rest.edf, and one of some signal, S2_task.edf."""
    written(folder / "raw" / "S1_rest.edf", noise_uv(1))
    written(folder / "raw" / "S2_task.edf", signal_uv)
    return folder / "raw"


def made(src: Path, out: Path, *options: object, purpose: str = "pretrain", suffix: str = "edf") -> Path:
    return preprocess("mine", src, out, "--recipe", recipe(src.parent, suffix), "--for", purpose, *options)


def tars(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name.endswith((".tar", ".idx.npz"))}


def kinds(row: dict[str, Any]) -> set[str]:
    return {note["kind"] for note in row["notes"]}


def dead_shares(path: Path, window_s: float = 10.0) -> Signal:
    """Return, windows × electrodes, the share of time in runs of equal samples of half a second and more, by MNE."""
    data = mne.io.read_raw_edf(path, preload=True, verbose="error").get_data(picks=list(ELECTRODES))
    dead = np.zeros(data.shape)
    for row, electrode in zip(dead, data, strict=True):
        at = 0
        for _, equal in groupby(electrode.tolist()):
            length = len(list(equal))
            row[at : at + length] = length >= SFREQ / 2
            at += length
    length = round(window_s * SFREQ)
    num_windows = data.shape[1] // length
    return dead[:, : num_windows * length].reshape(len(data), num_windows, length).mean(axis=2).T


# --- recordings -------------------------------------------------------------------------------------------------------


def assert_skipped(folder: Path, path: str, kind: str, *said: str) -> None:
    row = recordings(folder)[path]
    assert (row["outcome"], row["windows"]) == ("skipped", 0)
    assert kind in kinds(row)
    for part in said:
        assert part in row["reason"]
    assert recordings(folder)[path.replace("S2_task", "S1_rest")]["outcome"] == "ok"


@pytest.mark.parametrize("purpose", ["probe", "pretrain"])
def test_recording_of_millivolts_said_to_be_volts_is_skipped(tmp_path: Path, purpose: str) -> None:
    (tmp_path / "raw").mkdir()
    for name, volts_in_one in (("S1_rest", 1e-6), ("S2_task", 1e-3)):
        info = mne.create_info(list(ELECTRODES), SFREQ, "eeg")
        raw = mne.io.RawArray(noise_uv(3, sd_uv=6.0) * volts_in_one, info, verbose="error")
        raw.save(tmp_path / "raw" / f"{name}.fif", verbose="error")
    folder = made(tmp_path / "raw", tmp_path, purpose=purpose, suffix="fif")
    said = "in 12 of 12 electrodes: is the unit right? (read as V; mV would give 6 µV); --set quality=none"
    assert_skipped(folder, "S2_task.fif", "unit", "standard deviation of 6e+03 µV", said)


@pytest.mark.parametrize(
    ("sd_in_file", "unit", "said"),
    [
        (9000.0, b"uV", "(read as uV; nV would give 9 µV)"),
        (0.02, b"mV", ""),
        (20.0, b"nV", "standard deviation of 0.02 µV in 2 of 2 electrodes: is the unit right? (read as nV; µV would"),
    ],
)
def test_unit_of_an_edf_is_judged_by_its_amplitude(tmp_path: Path, sd_in_file: float, unit: bytes, said: str) -> None:
    steps = np.rint(np.random.default_rng(0).normal(0, 2000, (2, 60, 100))).astype(np.int16)
    limit = f"{sd_in_file / 2000 * 32767:.6g}"
    channels = [
        EdfChannel(name, list(one), unit, (f"-{limit}", limit)) for name, one in zip(("C3", "C4"), steps, strict=True)
    ]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "S2_task.edf").write_bytes(edf_bytes(channels))
    written(tmp_path / "raw" / "S1_rest.edf", noise_uv(1))
    folder = made(tmp_path / "raw", tmp_path, "--set", "sfreq_hz=100")
    if said:
        assert_skipped(folder, "S2_task.edf", "unit", said)
    else:
        assert recordings(folder)["S2_task.edf"]["outcome"] == "ok"


def test_recordings_of_one_wrong_unit_are_counted_as_one_kind(tmp_path: Path) -> None:
    src = tree(tmp_path, noise_uv(2))
    for subject, sd_uv in (("S2", 8000.0), ("S3", 9000.0)):
        written(src / f"{subject}_task.edf", noise_uv(2, sd_uv=sd_uv), range_uv=60000.0)
    (said,) = manifest(made(src, tmp_path))["outcomes"]["skipped"].items()
    assert said[1] == 2
    assert said[0].startswith("standard deviation of 8e+03 to 9e+03 µV in 12 of 12 electrodes: is the unit right?")
    assert "nV would give 8 to 9 µV" in said[0]


def test_samples_of_two_bytes_read_as_three_are_skipped(tmp_path: Path) -> None:
    steps = np.rint(np.random.default_rng(0).normal(0, 200, (1, 90, 150))).astype(np.int16)
    content = edf_bytes([EdfChannel("C3", list(steps[0]))], version="\xffBIOSEMI", num_records="60", reserved="24BIT")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "S2_task.edf").write_bytes(content)
    written(tmp_path / "raw" / "S1_rest.edf", noise_uv(1))
    row = recordings(made(tmp_path / "raw", tmp_path))["S2_task.edf"]
    assert row["outcome"] == "skipped"
    assert "is the unit right?" in row["reason"]


def test_recording_most_of_which_is_clipped_is_skipped(tmp_path: Path) -> None:
    times = np.arange(SECONDS * SFREQ) / SFREQ
    slow_uv = np.clip(3000 * np.sin(2 * np.pi * times), -500, 500) + np.zeros((len(ELECTRODES), 1))
    src = tree(tmp_path, slow_uv)
    assert_skipped(made(src, tmp_path / "one"), "S2_task.edf", "mostly clipped", "of all samples are clipped")
    src = tree(tmp_path / "wide", noise_uv(2, sd_uv=3000.0))
    beyond = 2 * (1 - 0.6336)  # of a normal distribution, beyond 1,024 of 3,000
    folder = made(src, tmp_path / "two")
    assert_skipped(folder, "S2_task.edf", "mostly clipped")
    (note,) = [note for note in recordings(folder)["S2_task.edf"]["notes"] if note["kind"] == "mostly clipped"]
    assert note["figures"]["share"] == pytest.approx(beyond, abs=0.02)
    assert recordings(made(src, tmp_path / "three", "--set", "quantum_uv=1"))["S2_task.edf"]["outcome"] == "ok"
    kept = made(src, tmp_path / "four", "--set", "max_clipped_share=0.9")
    assert recordings(kept)["S2_task.edf"]["outcome"] == "ok"


def test_drift_and_offset_of_an_amplifier_without_a_high_pass_are_well(tmp_path: Path) -> None:
    times = np.arange(20 * 60 * SFREQ) / SFREQ
    drift_uv = 40000 * np.exp(-times / 300) + 20000 * np.linspace(-1, 1, len(ELECTRODES))[:, None]
    signal_uv = noise_uv(4, seconds=20 * 60) + drift_uv
    assert (signal_uv.std(axis=1) > 5000).all()
    src = tree(tmp_path, noise_uv(2))
    written(src / "S2_task.edf", signal_uv, range_uv=80000.0)
    row = recordings(made(src, tmp_path))["S2_task.edf"]
    assert (row["outcome"], row["windows"], kinds(row)) == ("ok", 120, set())


def test_bounds_are_fields_and_none_takes_all(tmp_path: Path) -> None:
    src = tree(tmp_path, noise_uv(2, sd_uv=40.0))
    for bounds, outcome in (("0.1,30", "skipped"), ("0.1,5000", "ok")):
        folder = made(src, tmp_path / bounds, "--set", f"sd_range_uv={bounds}")
        assert recordings(folder)["S2_task.edf"]["outcome"] == outcome
    folder = made(src, tmp_path / "high", "--set", "sd_range_uv=30,5000")
    assert {path: row["outcome"] for path, row in recordings(folder).items()} == {
        "S1_rest.edf": "skipped",
        "S2_task.edf": "ok",
    }
    taken = made(src, tmp_path / "none", "--set", "sd_range_uv=0.1,30", "--set", "quality=none")
    assert recordings(taken)["S2_task.edf"]["outcome"] == "ok"
    unusable(
        dare("preprocess", "mine", "--src", src, "--recipe", recipe(tmp_path), "--set", "sd_range_uv=5,1"), "must rise"
    )


def test_cut_raises_why_a_recording_is_no_eeg(tmp_path: Path) -> None:
    src = tree(tmp_path, noise_uv(2, sd_uv=9000.0))
    written(src / "S2_task.edf", noise_uv(2, sd_uv=9000.0), range_uv=60000.0)
    with pytest.raises(UnfitError, match="is the unit right"):
        list(cut(src / "S2_task.edf", recipes.load("mine", "pretrain", file=recipe(tmp_path))))


def test_piece_that_is_no_eeg_gives_no_window_and_the_others_do(tmp_path: Path) -> None:
    signal_uv = noise_uv(14, seconds=600)
    signal_uv[:, 300 * SFREQ :] *= 300
    src = tree(tmp_path, noise_uv(2))
    written(src / "S2_task.edf", signal_uv, range_uv=60000.0)
    mine, source = recipes.load("mine", "pretrain", file=recipe(tmp_path)), open_source(src)
    options = SetOptions(piece_samples=len(ELECTRODES) * SFREQ * 100)
    found = source.apart(source.scan(mine, lambda *_: None), mine)
    run.preprocess(found, mine, source, tmp_path / "pieces", Workers(1), options, lambda *_: None)
    row = recordings(tmp_path / "pieces")["S2_task.edf"]
    assert (row["outcome"], "unit" in kinds(row)) == ("ok", True)
    assert "; not used is a part of" in row["reason"]
    starts_s = [one.start_s for one in of_recording(tmp_path / "pieces", "S2_task.edf")]
    assert starts_s == [10.0 * number for number in range(len(starts_s))]
    assert 20 <= len(starts_s) < 40


def test_dry_run_tells_what_a_run_would_skip(tmp_path: Path) -> None:
    src = tree(tmp_path, noise_uv(2))
    written(src / "S2_task.edf", noise_uv(2, sd_uv=9000.0), range_uv=60000.0)
    command = ("preprocess", "mine", "--src", src, "--recipe", recipe(tmp_path), "--dry-run", "--json", "--workers", 1)
    found = {row["path"]: row for row in json.loads(dare(*command).out)["recordings"]}
    assert {path: row["outcome"] for path, row in found.items()} == {"S1_rest.edf": "ok", "S2_task.edf": "skipped"}
    assert "nV would give 9 µV" in found["S2_task.edf"]["reason"]
    unchecked = json.loads(dare(*command, "--set", "quality=none").out)["recordings"]
    assert {row["outcome"] for row in unchecked} == {"ok"}


# --- windows ----------------------------------------------------------------------------------------------------------


def disconnected(seconds: float, value_uv: float) -> Signal:
    """Return a recording of which all electrodes hold a value to its end."""
    signal_uv = noise_uv(2)
    signal_uv[:, -round(seconds * SFREQ) :] = value_uv
    return signal_uv


@pytest.mark.parametrize(("seconds", "value_uv"), [(8, 0.0), (23.5, RANGE_UV), (12.6, -1000.0), (2.4, 0.0)])
def test_windows_that_are_dead_are_left_out_of_pretraining(tmp_path: Path, seconds: float, value_uv: float) -> None:
    src = tree(tmp_path, disconnected(seconds, value_uv))
    is_dead = (dead_shares(src / "S2_task.edf") >= 0.25).sum(axis=1) > len(ELECTRODES) / 2
    folder = made(src, tmp_path)
    found = of_recording(folder, "S2_task.edf")
    assert [one.start_s for one in found] == [10.0 * number for number in np.flatnonzero(~is_dead)]
    assert len(of_recording(folder, "S1_rest.edf")) == 6
    row = recordings(folder)["S2_task.edf"]
    assert [note["figures"] for note in row["notes"] if note["kind"] == "dead windows"] == (
        [{"count": int(is_dead.sum()), "total": 6}] if is_dead.any() else []
    )
    changed = manifest(folder)["choices"].get("quality", {})
    assert changed.get("windows", 0) == is_dead.sum()


@pytest.mark.parametrize("num_electrodes", [len(ELECTRODES), 4])
def test_last_bits_of_a_disconnected_amplifier_are_dead(tmp_path: Path, num_electrodes: int) -> None:
    signal_uv, bits = noise_uv(2), np.random.default_rng(1).integers(0, 2, (num_electrodes, 42 * SFREQ))
    signal_uv[:num_electrodes, -42 * SFREQ :] = 150.0 + RANGE_UV / 2**15 * bits
    folder = made(tree(tmp_path, signal_uv), tmp_path)
    found = of_recording(folder, "S2_task.edf")
    absent = {one.start_s: np.flatnonzero(np.array(one.fields["scale"]) == 0).tolist() for one in found}
    all_dead = num_electrodes == len(ELECTRODES)
    dead = {} if all_dead else {10.0 * number: [0, 1, 2, 3] for number in range(2, 6)}
    assert absent == {0.0: [], 10.0: []} | dead
    assert len(of_recording(folder, "S1_rest.edf")) == 6


def test_electrode_that_always_varies_little_is_alive(tmp_path: Path) -> None:
    signal_uv = noise_uv(2)
    signal_uv[4] *= 0.002
    src = tree(tmp_path, signal_uv)
    assert tars(made(src, tmp_path / "a")) == tars(made(src, tmp_path / "b", "--set", "quality=none"))


@pytest.mark.parametrize("sfreq", [100, 250, 256])
def test_electrode_of_another_rate_is_dead_where_it_was_before_it_is_brought_to_that_of_most(
    tmp_path: Path, sfreq: int
) -> None:
    src = tree(tmp_path, noise_uv(2))
    other_uv = 20 * np.random.default_rng(3).standard_normal(SECONDS * sfreq)
    other_uv[20 * sfreq : 40 * sfreq] = 150.0
    channels = [Channel(name, SFREQ, row) for name, row in zip(ELECTRODES, noise_uv(2), strict=True)]
    channels[4] = Channel(ELECTRODES[4], sfreq, other_uv)
    write_edf_plus(src / "S2_task.edf", channels, [])
    found = of_recording(made(src, tmp_path), "S2_task.edf")
    absent = {one.start_s: np.flatnonzero(np.array(one.fields["scale"]) == 0).tolist() for one in found}
    assert absent == {10.0 * number: [4] if number in (2, 3) else [] for number in range(6)}


def test_hours_of_a_disconnected_amplifier_are_no_wrong_unit(tmp_path: Path) -> None:
    signal_uv = noise_uv(2)
    signal_uv[:, 12 * SFREQ :] = RANGE_UV / 2**15 * np.random.default_rng(1).integers(0, 2, (12, 48 * SFREQ))
    src = tree(tmp_path, signal_uv)
    assert [one.start_s for one in of_recording(made(src, tmp_path), "S2_task.edf")] == [0.0]
    kept = made(src, tmp_path / "probe", purpose="probe")
    assert len(of_recording(kept, "S2_task.edf")) == 6


def test_dead_windows_are_kept_and_counted_for_probing(tmp_path: Path) -> None:
    src = tree(tmp_path, disconnected(23.5, 0.0))
    folder = made(src, tmp_path, purpose="probe")
    assert len(of_recording(folder, "S2_task.edf")) == 6
    assert "most electrodes of 3 of 6 windows are flat" in recordings(folder)["S2_task.edf"]["reason"]
    assert "kept" in recordings(folder)["S2_task.edf"]["reason"]
    assert tars(folder) == tars(made(src, tmp_path / "none", "--set", "quality=none", purpose="probe"))


def partly_dead() -> Signal:
    """Return a recording of which two electrodes are dead for a while, one at a rail and one at another value."""
    signal_uv = noise_uv(5)
    signal_uv[4, 12 * SFREQ : 26 * SFREQ] = RANGE_UV
    signal_uv[7, 41 * SFREQ : 45 * SFREQ] = -7.0
    signal_uv[8, 51 * SFREQ : 53 * SFREQ] = 0.0  # shorter than a quarter of a window
    return signal_uv


def test_electrode_that_is_dead_in_a_window_is_absent_there_alone(tmp_path: Path) -> None:
    src = tree(tmp_path, partly_dead())
    is_dead = dead_shares(src / "S2_task.edf") >= 0.25
    assert [tuple(one) for one in np.argwhere(is_dead)] == [(1, 4), (2, 4), (4, 7)]
    folder, whole = made(src, tmp_path), made(src, tmp_path / "none", "--set", "quality=none")
    for one, other, dead in zip(
        of_recording(folder, "S2_task.edf"), of_recording(whole, "S2_task.edf"), is_dead, strict=True
    ):
        assert (np.array(one.fields["scale"]) == 0).tolist() == dead.tolist()
        assert not one.counts[dead].any()
        np.testing.assert_array_equal(one.counts[~dead], other.counts[~dead])
        assert {name: one.fields[name] for name in one.fields if name != "scale"} == {
            name: other.fields[name] for name in other.fields if name != "scale"
        }
    assert recordings(folder)["S2_task.edf"]["reason"].startswith(
        "CZ, PZ in 3 of 6 windows flat or at a rail for 25% of the time or more: absent there"
    )
    by_index = {
        (str(index.recordings[index.recording[row]]), float(index.start_s[row])): index.scale[row] == 0
        for index in (Index.read(path) for path in folder.rglob("*.idx.npz"))
        for row in range(len(index))
    }
    for number, dead in enumerate(is_dead):
        assert by_index["S2_task.edf", 10.0 * number].tolist() == dead.tolist()


def test_electrode_that_is_interpolated_is_not_dead(tmp_path: Path) -> None:
    signal_uv = noise_uv(5)
    signal_uv[4] = RANGE_UV
    src = tree(tmp_path, signal_uv)
    for one in of_recording(made(src, tmp_path, "--set", "missing=interpolate"), "S2_task.edf"):
        assert all(one.fields["scale"])
        assert one.counts[4].any()


def test_derivation_is_dead_where_one_of_its_parts_is(tmp_path: Path) -> None:
    src = tree(tmp_path, partly_dead())
    folder = made(src, tmp_path, "--set", "electrodes=C3-CZ,CZ-C4,P3-O1")
    # From 10 to 30 s two of three are dead.
    assert [one.start_s for one in of_recording(folder, "S2_task.edf")] == [0.0, 30.0, 40.0, 50.0]
    folder = made(src, tmp_path / "more", "--set", "electrodes=C3-CZ,P3-O1,F3-FZ,O1-OZ")
    found = [(np.array(one.fields["scale"]) == 0).tolist() for one in of_recording(folder, "S2_task.edf")]
    assert found == [[number in (1, 2), False, False, False] for number in range(6)]


def test_share_of_a_window_is_a_field(tmp_path: Path) -> None:
    src = tree(tmp_path, partly_dead())
    for share in (0.19, 0.5, 1.0):
        folder = made(src, tmp_path / str(share), "--set", f"max_dead_share={share}")
        is_dead = dead_shares(src / "S2_task.edf") >= share
        found = [np.array(one.fields["scale"]) == 0 for one in of_recording(folder, "S2_task.edf")]
        assert np.array(found).tolist() == is_dead.tolist()


def test_dead_electrode_rejects_no_window(tmp_path: Path) -> None:
    signal_uv = noise_uv(5)
    signal_uv[4, 12 * SFREQ : 18 * SFREQ] = RANGE_UV
    src = tree(tmp_path, signal_uv)
    limit = ("--set", "reject_uv=400")
    assert len(of_recording(made(src, tmp_path, *limit), "S2_task.edf")) == 6
    loud = made(src, tmp_path / "none", *limit, "--set", "quality=none")
    assert len(of_recording(loud, "S2_task.edf")) == 5


@pytest.mark.parametrize("line_hz", [50, 60])
def test_mains_from_rail_to_rail_are_dead(tmp_path: Path, line_hz: int) -> None:
    times = np.arange(SECONDS * SFREQ) / SFREQ
    signal_uv = noise_uv(6)
    signal_uv[:, 30 * SFREQ :] = 1e5 * np.sin(2 * np.pi * line_hz * times[30 * SFREQ :] + 0.1)
    found = of_recording(made(tree(tmp_path, signal_uv), tmp_path), "S2_task.edf")
    assert [one.start_s for one in found] == [0.0, 10.0, 20.0]


def test_what_is_coarse_low_or_clipped_for_a_moment_is_alive(tmp_path: Path) -> None:
    times = np.arange(SECONDS * SFREQ) / SFREQ
    coarse_uv = 2 * np.rint(noise_uv(7, sd_uv=1.5) / 2)
    peaks_uv = noise_uv(8) + 1e4 * (np.sin(2 * np.pi * 1.1 * times) > 0.97)
    low_uv = noise_uv(9, sd_uv=0.4)
    for name, signal_uv in (("coarse", coarse_uv), ("peaks", peaks_uv), ("low", low_uv)):
        src = tree(tmp_path / name, signal_uv)
        assert tars(made(src, tmp_path / name / "a")) == tars(made(src, tmp_path / name / "b", "--set", "quality=none"))


# --- archives ---------------------------------------------------------------------------------------------------------


def garbage(folder: Path) -> Path:
    """Write a tree with a recording of each kind that is told apart."""
    src = tree(folder, partly_dead())
    written(src / "S3_rest.edf", disconnected(23.5, RANGE_UV))
    written(src / "S4_task.edf", noise_uv(2, sd_uv=9000.0), range_uv=60000.0)
    return src


@pytest.mark.parametrize(
    "settings", [(), ("--set", "max_dead_share=0.5", "--set", "window_s=4", "--set", "stride_s=4")]
)
@pytest.mark.parametrize("purpose", ["pretrain", "probe"])
@pytest.mark.parametrize("format", ["zarr", "both"])
def test_archive_is_cut_as_its_raw_files_are(
    tmp_path: Path, format: str, purpose: str, settings: tuple[str, ...]
) -> None:
    src = garbage(tmp_path)
    kept = made(src, tmp_path / "kept", "--format", format, purpose="probe")
    assert dare("verify", kept).status == 0
    anew = made(src, tmp_path / "anew", *settings, purpose=purpose)
    again = made(kept, tmp_path / "again", *settings, purpose=purpose)
    assert tars(again) == tars(anew)
    assert {path: row["notes"] for path, row in recordings(again).items()} == {
        path: row["notes"] for path, row in recordings(anew).items()
    }
    assert recordings(again)["S4_task.edf"]["outcome"] == "skipped"


def test_pieces_give_the_windows_of_the_whole(tmp_path: Path) -> None:
    signal_uv = noise_uv(10, seconds=400)
    signal_uv[:, 95 * SFREQ : 203 * SFREQ] = 0.0
    signal_uv[3, 300 * SFREQ : 340 * SFREQ] = RANGE_UV
    src = tree(tmp_path, signal_uv)
    whole = made(src, tmp_path)
    mine, source = recipes.load("mine", "pretrain", file=recipe(tmp_path)), open_source(src)
    options = SetOptions(piece_samples=len(ELECTRODES) * SFREQ * 100)
    tree_of = source.apart(source.scan(mine, lambda *_: None), mine)
    run.preprocess(tree_of, mine, source, tmp_path / "pieces", Workers(1), options, lambda *_: None)
    found, expected = samples(tmp_path / "pieces"), samples(whole)
    assert found.keys() == expected.keys()
    assert len(of_recording(whole, "S2_task.edf")) < 30
    for key, one in expected.items():
        assert one.fields == found[key].fields
        assert np.abs(one.counts.astype(int) - found[key].counts).max() <= 1


def test_stores_alone_are_read_with_dead_electrodes_absent(tmp_path: Path) -> None:
    src = garbage(tmp_path)
    in_tars, in_stores = (made(src, tmp_path / one, "--format", one) for one in ("webdataset", "zarr"))

    def windows(folder: Path) -> dict[tuple[str, float], NDArray[np.float32]]:
        found = dare_eeg.open_shards(folder, ("train", "valid"))
        return {(str(found.recordings[k]), float(found.start_s[k])): found[k][0] for k in range(len(found))}

    expected = windows(in_tars)
    assert expected.keys() == windows(in_stores).keys()
    assert any(not x_uv.any(axis=1).all() for x_uv in expected.values())
    for key, x_uv in windows(in_stores).items():
        np.testing.assert_array_equal(x_uv, expected[key])


def test_archive_from_before_is_cut_only_unchecked(tmp_path: Path) -> None:
    command = ("preprocess", "bcic2b", "--src", RELEASE / "shards" / "bcic2b", "--out", tmp_path, "--workers", 1)
    unusable(dare(*command), "was made with quality none, the recipe has checked", "--set quality=none")
    assert dare(*command, "--set", "quality=none").status == 0


def test_set_that_was_not_checked_grows_unchecked(tmp_path: Path) -> None:
    src = tree(tmp_path, disconnected(23.5, 0.0))
    folder = made(src, tmp_path, "--set", "quality=none")
    plan, tar = json.loads((folder / "plan.json").read_text()), tars(folder)
    written(src / "S3_rest.edf", disconnected(23.5, 0.0) + noise_uv(12, sd_uv=1.0))
    assert made(src, tmp_path, "--set", "quality=none", "--append") == folder
    assert plan["recipe"]["quality"] == "none"
    assert tar.items() <= tars(folder).items()


# --- outliers ---------------------------------------------------------------------------------------------------------


def test_outlying_electrodes_are_absent_with_their_scores(tmp_path: Path) -> None:
    signal_uv = noise_uv(11, sd_uv=5.0) + 20 * np.random.default_rng(12).standard_normal((1, SECONDS * SFREQ))
    signal_uv[5] = noise_uv(13, sd_uv=150.0)[5]
    src = tree(tmp_path, signal_uv)
    folder = made(src, tmp_path, "--set", "bad_channels=lof", "--for", "pretrain")
    filtered = sosfiltfilt(butter(4, (1, 40), "bandpass", fs=SFREQ, output="sos"), signal_uv)
    scores = -LocalOutlierFactor(n_neighbors=6).fit(filtered).negative_outlier_factor_
    assert np.flatnonzero(scores >= 1.5).tolist() == [5]
    (note,) = [one for one in recordings(folder)["S2_task.edf"]["notes"] if one["kind"] == "outlying electrode"]
    assert note["names"] == ["C4"]
    assert note["figures"]["factor"] == pytest.approx(scores[5], rel=0.1)
    for one in of_recording(folder, "S2_task.edf"):
        assert np.flatnonzero(np.array(one.fields["scale"]) == 0).tolist() == [5]
    again = made(src, tmp_path / "again", "--set", "bad_channels=lof", "--format", "both")
    assert tars(again) == tars(folder)
    recut = ("--set", "bad_channels=lof")
    assert tars(made(again, tmp_path / "cut", *recut)) == tars(folder)
    unusable(
        dare(
            "preprocess",
            "mine",
            "--src",
            again,
            "--recipe",
            recipe(tmp_path),
            "--out",
            tmp_path / "x",
            "--for",
            "pretrain",
        ),
        "was made with bad_channels lof",
    )
