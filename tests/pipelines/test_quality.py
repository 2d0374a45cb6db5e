"""Recordings of a wrong unit, or clipped, stay out, and so do electrodes that stand out, where that is asked."""

import json
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt
from sklearn.neighbors import LocalOutlierFactor

from manifests import recipe as recipes
from manifests.errors import UnfitError
from pipelines import cut, run
from pipelines.plan import SetOptions
from pipelines.sources import open_source
from pipelines.workers import Workers
from tests.commands import dare, manifest, recordings, unusable
from tests.judges import of_recording
from tests.pipelines.poor_signals import ELECTRODES, SECONDS, SFREQ, kinds, made, noise_uv, recipe, tars, tree, written
from tests.pipelines.raw_bytes import EdfChannel, edf_bytes


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
    said = "in 12 of 12 electrodes: is the unit right? (read as V; mV would give 6 µV)"
    remedy = "; --set layout.unit=mV where all files are so, --set quality=none"
    assert_skipped(folder, "S2_task.fif", "unit", "standard deviation of 6e+03 µV", said + remedy)


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
