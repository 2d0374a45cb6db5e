"""Windows in which electrodes are dead stay out of pretraining, or lack them."""

from pathlib import Path

import numpy as np
import pytest

from manifests.shard_format import Index
from pipelines.synth.edf_writer import Channel, write_edf_plus
from tests.commands import manifest, recordings
from tests.judges import of_recording
from tests.pipelines.poor_signals import (
    ELECTRODES,
    RANGE_UV,
    SECONDS,
    SFREQ,
    dead_shares,
    disconnected,
    made,
    noise_uv,
    partly_dead,
    tars,
    tree,
)


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
