"""Conditioned signal in µV against MNE, and events at the sample where they happened."""

from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray

from manifests import recipe as recipes
from manifests.electrodes import canonical
from manifests.errors import DareError
from pipelines.conditioning import condition
from pipelines.formats import readers
from pipelines.recording import Recording, Segment
from pipelines.windows import on_a_grid
from tests.commands import preprocess, recordings
from tests.judges import Sample, conditioned_uv, noise_uv, of_recording, samples, write_edf

pytest_plugins = ["tests.corpora_fixtures"]

ONE_ELECTRODE = 'electrodes=["C3"]'
HALF_A_QUANTUM_UV = 2**-6
INNER_TOLERANCE_UV, END_TOLERANCE_UV = 0.01, 0.1
"""How far one pass may be from a filter, a notch and a resampling in turn, which each continue the ends anew."""

END_S = 10

EEGMAT_LABELS = [f"EEG {name}" for name in "Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz".split()]


def assert_windows_are_slices(windows: list[Sample], signal_uv: NDArray[np.float64], sfreq_hz: float) -> None:
    assert windows
    for window in windows:
        first = round(window.start_s * sfreq_hz)
        stop = first + window.counts.shape[1]
        inner = min(first, signal_uv.shape[1] - stop) >= END_S * sfreq_hz
        tolerance_uv = HALF_A_QUANTUM_UV + (INNER_TOLERANCE_UV if inner else END_TOLERANCE_UV)
        np.testing.assert_allclose(window.data_uv, signal_uv[:, first:stop], rtol=0, atol=tolerance_uv)


def write_eegmat(folder: Path, channels: dict[str, NDArray[np.float64]], name: str = "Subject90_1") -> Path:
    return write_edf(folder / "raw" / f"{name}.edf", channels, 500)


@pytest.mark.parametrize("name", ["Subject00_2.edf", "Subject04_1.edf"])
def test_real_recording_is_conditioned_as_by_mne(eegmat: Path, eegmat_raw: Path, name: str) -> None:
    windows = of_recording(eegmat, name)
    signal_uv = conditioned_uv(eegmat_raw / name, windows[0].fields["channels"], (0.1, 75), 50, 256)
    assert_windows_are_slices(windows, signal_uv, 256)


@pytest.mark.slow
def test_hospital_recording_is_conditioned_as_by_mne(shards: Path, raw: Path) -> None:
    for path in recordings(shards / "tuab"):
        windows = of_recording(shards / "tuab", path)
        signal_uv = conditioned_uv(raw / "tuab" / path, windows[0].fields["channels"], (0.1, 75), 60, 200)
        assert_windows_are_slices(windows, signal_uv, 200)


@pytest.mark.parametrize("name", ["S001R01", "S001R03"])
def test_loud_recording_is_conditioned_as_by_mne_up_to_its_ends(real: Path, name: str) -> None:
    """MNE resamples a signal as if its end were followed by its beginning.

    Where half a second of padding lies between the two, the jump from one to the other rings by 0.25 µV at either end
    of recordings that reach 660 µV, as these do; half a minute keeps it away.
    """
    path = real / "eegmmidb" / "S001" / f"{name}.edf"
    recipe = recipes.load("physionetmi", settings=("notch_hz=60", "sfreq_hz=256"))
    (segment,) = condition(readers.read(path, recipe.electrodes), recipe).segments
    found_uv = segment.counts * recipe.quantum_uv
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    labels = {canonical(label): label for label in raw.ch_names}
    raw.pick([labels[electrode] for electrode in recipe.electrodes])
    raw.filter(*recipe.band_hz, verbose="error").notch_filter(60, verbose="error")
    rounding_uv = recipe.quantum_uv / 12**0.5
    inner = slice(END_S * 256, -END_S * 256)
    for pad_s, end_tolerance_uv in ((0.5, 0.3), (30, END_TOLERANCE_UV)):
        npad = round(pad_s * raw.info["sfreq"])
        error_uv = found_uv - raw.copy().resample(256, npad=npad, verbose="error").get_data(units="uV")
        assert np.sqrt(np.mean(error_uv[:, inner] ** 2)) <= np.hypot(INNER_TOLERANCE_UV, rounding_uv)
        assert np.abs(error_uv).max() <= end_tolerance_uv + HALF_A_QUANTUM_UV


def test_average_reference_is_the_mean_of_the_electrodes_present(raw: Path, tmp_path: Path) -> None:
    options = ("--set", "reference=average", "--limit", 1, "--set", "notch_hz=0")
    folder = preprocess("tuab", raw / "tuab", tmp_path, *options)
    (window, *_) = samples(folder).values()
    assert window.fields["reference"] == "average"
    np.testing.assert_allclose(window.data_uv.mean(axis=0), 0, atol=HALF_A_QUANTUM_UV + INNER_TOLERANCE_UV)
    assert window.data_uv.std() > 1


def test_without_a_high_pass_the_offset_is_taken_off(tmp_path: Path) -> None:
    channels = {label: data + 300 for label, data in noise_uv(EEGMAT_LABELS, 20, 500).items()}
    write_eegmat(tmp_path, channels)
    folder = preprocess("eegmat", tmp_path / "raw", tmp_path / "out", "--set", "band_hz=0,75")
    whole_uv = np.concatenate([one.data_uv for one in samples(folder).values()], axis=1)
    np.testing.assert_allclose(whole_uv.mean(axis=1), 0, atol=0.05)


def test_sine_of_50_microvolts_is_one_in_the_shard(tmp_path: Path) -> None:
    time_s = np.arange(20 * 500) / 500
    sine_uv = 50 * np.sin(2 * np.pi * 10 * time_s)
    write_eegmat(tmp_path, noise_uv(EEGMAT_LABELS, 20, 500) | {"EEG C3": sine_uv, "EEG C4": 0.1 * sine_uv})
    folder = preprocess("eegmat", tmp_path / "raw", tmp_path / "out")
    windows = list(samples(folder).values())
    assert len(windows) == 5
    for window in windows[1:-1]:
        time_s = window.start_s + np.arange(1024) / 256
        wave = np.stack([np.sin(2 * np.pi * 10 * time_s), np.cos(2 * np.pi * 10 * time_s)])
        for name, amplitude_uv in (("C3", 50), ("C4", 5)):
            row = window.data_uv[window.fields["channels"].index(name)]
            in_phase_uv, quadrature_uv = 2 * wave @ row / 1024
            assert np.hypot(in_phase_uv, quadrature_uv) == pytest.approx(amplitude_uv, rel=0.01)
            assert abs(np.arctan2(quadrature_uv, in_phase_uv)) <= 2 * np.pi * 10 * 0.5 / 256


@pytest.mark.parametrize("unit_uv", [1e3, 1e6])
def test_recording_in_another_unit_is_in_microvolts_in_the_shard(tmp_path: Path, unit_uv: float) -> None:
    path = write_eegmat(tmp_path, noise_uv(EEGMAT_LABELS, 20, 500))
    uv = {one.fields["key"]: one for one in samples(preprocess("eegmat", path.parent, tmp_path / "uv")).values()}
    content = path.read_bytes()
    unit = {1e3: b"mV", 1e6: b"V "}[unit_uv]
    write_eegmat(tmp_path, {label: data / unit_uv for label, data in noise_uv(EEGMAT_LABELS, 20, 500).items()})
    rescaled = content.replace(b"uV      ", unit.ljust(8))
    for limit in (b"-3276.7", b"3276.7"):
        rescaled = rescaled.replace(limit.ljust(8), b"%.8s" % f"{float(limit) / unit_uv:.8f}".encode())
    path.write_bytes(rescaled)
    for window in samples(preprocess("eegmat", path.parent, tmp_path / "other")).values():
        expected_uv = uv[window.fields["key"]].data_uv
        np.testing.assert_allclose(window.data_uv, expected_uv, rtol=2e-2, atol=0.1)


# --- when -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_s", [1.0, 9.5, 15.996])
def test_impulse_lands_at_its_sample_of_its_window(tmp_path: Path, at_s: float) -> None:
    channels = {label: 1e-3 * data for label, data in noise_uv(EEGMAT_LABELS, 20, 500).items()}
    channels["EEG C3"][round(at_s * 500)] += 1000
    write_eegmat(tmp_path, channels)
    folder = preprocess("eegmat", tmp_path / "raw", tmp_path / "out", "--set", "quality=none")
    row = recipes.load("eegmat").electrodes.index("C3")
    peak = max(samples(folder).values(), key=lambda one: np.abs(one.data_uv[row]).max())
    assert peak.start_s == 4 * (at_s // 4)
    found_s = peak.start_s + int(np.abs(peak.data_uv[row]).argmax()) / 256
    assert abs(found_s - at_s) <= 0.5 / 256 + 1e-9


@pytest.mark.parametrize("cue_s", [3.0, 4.2])
def test_impulse_after_a_cue_lands_at_its_sample_of_the_window(tmp_path: Path, cue_s: float) -> None:
    channels = noise_uv(["C3..", "C4..", "Cz.."], 12, 160)
    channels["C4.."][round((cue_s + 1.25) * 160)] += 1000
    path = tmp_path / "raw" / "S001" / "S001R04.edf"
    write_edf(path, channels, 160, [(0.0, 1.0, "T0"), (cue_s, 4.1, "T2")])
    (window,) = samples(preprocess("physionetmi", tmp_path / "raw", tmp_path / "out")).values()
    assert (window.start_s, window.label_name) == (cue_s, "right")
    assert np.abs(window.data_uv[window.fields["channels"].index("C4")]).argmax() == 200


# --- gaps -------------------------------------------------------------------------------------------------------------


def test_window_that_would_cross_a_gap_between_runs_is_dropped(raw: Path, tmp_path: Path) -> None:
    length_s = 8
    folder = preprocess("bcic2b", raw / "bcic2b", tmp_path, "--limit", 1, "--set", f"window_s={length_s}")
    ((path, row),) = recordings(folder).items()
    session = mne.io.read_raw_gdf(raw / "bcic2b" / path, verbose="error")
    data = session.get_data(picks=[0, 1, 2])
    absent = (data == data.min(axis=1, keepdims=True)).all(axis=0)
    assert absent.any()
    cues_s = [one["onset"] for one in session.annotations if one["description"] in ("769", "770", "783")]
    first = np.round(np.array(cues_s) * 250).astype(int)
    clear = [start for start in first if start + length_s * 250 <= len(absent)]
    whole = [start / 250 for start in clear if not absent[start : start + length_s * 250].any()]
    assert 0 < len(whole) < len(cues_s)
    np.testing.assert_allclose([one.start_s for one in of_recording(folder, path)], whole, atol=1e-6)
    dropped = len(cues_s) - len(whole)
    assert f"{dropped} of {len(cues_s)} events reach beyond an end of the signal or into a gap" in row["reason"]


@pytest.mark.parametrize(
    ("window_s", "starts_s"),
    [(1, [0, 2, 4, 5, 6, 7, 8, 9, 12, 15, 19]), (2, [4, 6, 8]), (3, [4, 7]), (6, [4]), (7, [])],
)
def test_windows_of_a_discontinuous_recording_lie_in_its_stretches(
    real: Path, window_s: int, starts_s: list[int]
) -> None:
    recording = readers.read(real / "formats" / "edfPlusD.edf")
    settings = ("band_hz=1,75", "notch_hz=0", "sfreq_hz=200", f"window_s={window_s}", f"stride_s={window_s}")
    recipe = recipes.load("eegmat", settings=(*settings, "classes=[]")).model_copy(
        update={"electrodes": recording.electrodes}
    )
    windows = on_a_grid(condition(recording, recipe).segments, -1, recipe)
    assert [round(window.start_s, 3) for window in windows] == starts_s


def test_filter_does_not_ring_across_a_gap() -> None:
    recipe = recipes.load("tuab", settings=(ONE_ELECTRODE, "window_s=1", "stride_s=1"))
    quiet, loud = noise_uv(["C3"], 10, 200)["C3"], 3000 * np.sign(np.sin(np.arange(2000)))
    both = np.concatenate([quiet, loud])[None].astype(np.float32)

    def conditioned(data_uv: NDArray[np.float32], *segments: Segment) -> NDArray[np.float32]:
        first, *_ = condition(Recording(("C3",), data_uv, 200.0, (), segments, ()), recipe).segments
        return first.counts * recipe.quantum_uv

    alone = conditioned(both[:, :2000], Segment(0, 2000, 0.0))
    beside = conditioned(both, Segment(0, 2000, 0.0), Segment(2000, 4000, 60.0))
    np.testing.assert_array_equal(beside, alone)
    ringing = conditioned(both, Segment(0, 4000, 0.0))[:, :2000]
    assert np.abs(ringing - alone).max() > 1


# --- electrodes that are not there ------------------------------------------------------------------------------------


def test_flat_and_missing_electrodes_are_absent_and_named(tmp_path: Path) -> None:
    channels = noise_uv(EEGMAT_LABELS[:-1], 20, 500) | {"EEG F3": np.full(10_000, 12.5)}
    write_eegmat(tmp_path, channels)
    folder = preprocess("eegmat", tmp_path / "raw", tmp_path / "out")
    (row,) = recordings(folder).values()
    assert "F3 is flat: taken as absent" in row["reason"]
    for window in samples(folder).values():
        scale = dict(zip(window.fields["channels"], window.fields["scale"], strict=True))
        assert {name for name, value in scale.items() if value == 0} == {"F3", "PZ"}
        rows = [window.fields["channels"].index(name) for name in ("F3", "PZ")]
        assert not window.counts[rows].any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_electrode_that_is_not_finite_is_absent_and_named(bad: float) -> None:
    recipe = recipes.load("tuab", settings=("electrodes=C3,C4",))
    data_uv = np.stack(list(noise_uv(["C3", "C4"], 12, 250).values())).astype(np.float32)
    data_uv[1, 1234] = bad
    recording = Recording(("C3", "C4"), data_uv, 250.0, (), (Segment(0, 3000, 0.0),), ())
    conditioned = condition(recording, recipe)
    assert conditioned.present.tolist() == [True, False]
    assert [note.text for note in conditioned.notes] == ["C4 is not finite: taken as absent"]
    (segment,) = conditioned.segments
    assert segment.counts[0].any()
    assert not segment.counts[1].any()


def test_value_that_is_not_finite_in_a_gap_is_no_fault() -> None:
    recipe = recipes.load("tuab", settings=(ONE_ELECTRODE,))
    data_uv = noise_uv(["C3"], 40, 250)["C3"][None].astype(np.float32)
    data_uv[:, 3000:4000] = np.nan
    segments = (Segment(0, 3000, 0.0), Segment(4000, 10_000, 16.0))
    conditioned = condition(Recording(("C3",), data_uv, 250.0, (), segments, ()), recipe)
    assert (conditioned.present.tolist(), conditioned.notes) == ([True], ())
    assert [segment.onset_s for segment in conditioned.segments] == [0.0, 16.0]


def test_recording_with_no_electrode_left_is_refused() -> None:
    recipe = recipes.load("tuab", settings=(ONE_ELECTRODE,))
    recording = Recording(("C3",), np.zeros((1, 3000), np.float32), 250.0, (), (Segment(0, 3000, 0.0),), ())
    with pytest.raises(DareError, match=r"no usable electrode.*C3 is flat"):
        condition(recording, recipe)


def test_recording_beyond_the_range_is_reported_with_a_remedy_that_holds(tmp_path: Path) -> None:
    channels = {label: 30 * data for label, data in noise_uv(EEGMAT_LABELS, 20, 500).items()}
    write_eegmat(tmp_path, channels)
    (row,) = recordings(preprocess("eegmat", tmp_path / "raw", tmp_path / "out")).values()
    assert "of samples clipped at ±1024 µV: widen with --set quantum_uv=0.125" in row["reason"]
    wider = preprocess("eegmat", tmp_path / "raw", tmp_path / "wide", "--set", "quantum_uv=0.125")
    assert [row["reason"] for row in recordings(wider).values()] == [""]
