"""Arrays filtered by hand give the features that shards give."""

import warnings
from pathlib import Path

import mne
import numpy as np
import pytest

import dare_eeg
import pipelines
from dare_eeg.encoders.ours import untrained_encoder
from manifests import recipe
from manifests.electrodes import canonical


@pytest.mark.parametrize(
    ("name", "notch_hz", "closeness"),
    [("eegmat/Subject00_1.edf", 50, 2e-3), ("eegmmidb/S001/S001R01.edf", 60, 2e-2)],
)
def test_features_of_arrays_are_those_of_shards(real: Path, name: str, notch_hz: float, closeness: float) -> None:
    raw = mne.io.read_raw_edf(real / name, preload=True, verbose="error")
    encoder, electrodes, sfreq = untrained_encoder("nano"), [canonical(one) for one in raw.ch_names], raw.info["sfreq"]
    known = encoder.known(electrodes)
    electrodes = [electrodes[place] for place in known]
    cleaned = dare_eeg.clean(raw.get_data()[known] * 1e6, sfreq, notch_hz)

    fields = (f"electrodes={','.join(electrodes)}", f"notch_hz={notch_hz}", "window_s=4", "stride_s=4")
    (cut,) = pipelines.cut(real / name, recipe.load("eegmat", "pretrain", fields))
    of_shards = np.stack([window.counts * cut.scale[:, None] for window in cut.windows])
    starts = [round(window.start_s * sfreq) for window in cut.windows]
    of_arrays = np.stack([cleaned[:, start : start + round(4 * sfreq)] for start in starts])

    theirs, mine = encoder(of_shards, electrodes, 256.0), encoder(of_arrays, electrodes, sfreq)
    assert (mine - theirs).norm() / theirs.norm() < closeness
    raw_windows = np.stack([raw.get_data()[known][:, start : start + round(4 * sfreq)] * 1e6 for start in starts])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what `clean` takes out
        unfiltered = encoder(raw_windows, electrodes, sfreq)
    assert (unfiltered - theirs).norm() / theirs.norm() > 5 * closeness


def test_filters_are_mne_s(real: Path) -> None:
    raw = mne.io.read_raw_edf(real / "eegmmidb" / "S001" / "S001R01.edf", preload=True, verbose="error")
    x_uv = raw.get_data() * 1e6
    x_uv -= x_uv.mean(axis=1, keepdims=True)
    expected = mne.filter.filter_data(x_uv, 160.0, 1.0, 40.0, verbose="error")
    expected = mne.filter.notch_filter(expected, 160.0, 60.0, trans_bandwidth=1.0, verbose="error")
    np.testing.assert_allclose(dare_eeg.clean(x_uv + 300.0, 160.0, 60.0, (1.0, 40.0)), expected, atol=1e-6)


def test_what_the_rate_does_not_hold_is_left_out() -> None:
    x_uv = np.random.default_rng(0).normal(0, 10, (2, 6400))
    np.testing.assert_array_equal(dare_eeg.clean(x_uv, 100.0, 60.0), dare_eeg.clean(x_uv, 100.0, 0.0, (0.1, 60.0)))
    kept = x_uv.copy()
    dare_eeg.clean(x_uv, 100.0, 0.0)
    np.testing.assert_array_equal(x_uv, kept)


@pytest.mark.parametrize(
    ("x", "band_hz", "notch_hz", "reason"),
    [
        (np.nan, (0.1, 40.0), 50.0, "NaN"),
        (1.0, (40.0, 1.0), 50.0, "no band"),
        (1.0, (0.1, 40.0), -50.0, "no mains"),
        (1.0, (0.1, 40.0), 55.0, "the mains are 50 or 60"),
    ],
)
def test_what_cannot_be_filtered_is_refused(
    x: float, band_hz: tuple[float, float], notch_hz: float, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        dare_eeg.clean(np.full((1, 5000), x), 250.0, notch_hz, band_hz)


def test_a_recording_of_another_form_is_refused_with_the_form_that_fits() -> None:
    x_uv = np.random.default_rng(0).normal(0, 10, (2, 5000))
    with pytest.raises(ValueError, match="5000 rows of 2 samples: the time axis is the last"):
        dare_eeg.clean(x_uv.T, 250.0, 50.0)
    raw = mne.io.RawArray(x_uv * 1e-6, mne.create_info(2, 250.0, "eeg"), verbose="error")
    with pytest.raises(ValueError, match=r'RawArray is no array in µV: .* get_data\(picks="eeg"\) \* 1e6'):
        dare_eeg.clean(raw, 250.0, 50.0)  # type: ignore[arg-type]


def test_windows_that_are_shorter_than_the_filter_are_warned_of() -> None:
    x_uv = np.random.default_rng(0).normal(0, 10, (3, 2, 1000))
    with pytest.warns(UserWarning, match="4 s are less than half a filter, 16.5 s: clean the recording"):
        dare_eeg.clean(x_uv, 250.0, 50.0)
