"""What an encoder says of windows that are not as they should go in."""

import warnings
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray

from dare_eeg.encoders.ours import PretrainedEncoder, load_encoder, untrained_encoder
from dare_eeg.encoders.weights import save_encoder

S001 = "eegmmidb/S001/S001R01.edf"  # its mains line is a weak one


@pytest.fixture
def encoder() -> PretrainedEncoder:
    return untrained_encoder("nano")


def windows_uv(path: Path) -> tuple[NDArray[np.float64], list[str], float]:
    """Return (windows of 4 s in µV as they were recorded, electrodes, Hz) as somebody would cut them with MNE."""
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose="error")
    names = [name.replace("EEG ", "").strip(".") for name in raw.ch_names]
    kept = [place for place, name in enumerate(names) if name not in ("A2-A1", "ECG ECG")]
    return epochs.get_data(copy=False)[:12, kept] * 1e6, [names[place] for place in kept], raw.info["sfreq"]


def said(encoder: PretrainedEncoder, *arguments: object) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        encoder(*arguments)  # type: ignore[arg-type]
    assert all(one.filename == __file__ for one in caught)
    return [str(one.message) for one in caught]


def test_recorded_microvolts_need_no_word(encoder: PretrainedEncoder, real: Path) -> None:
    assert said(encoder, *windows_uv(real / "eegmat" / "Subject00_1.edf")) == []


@pytest.mark.parametrize(
    ("factor", "unit"), [(1e-6, "is it in V? Then multiply by 1e6"), (1e-3, "in mV? Then multiply by 1e3"), (1e3, "nV")]
)
def test_another_unit_is_told_once(encoder: PretrainedEncoder, real: Path, factor: float, unit: str) -> None:
    x, names, sfreq = windows_uv(real / "eegmat" / "Subject00_1.edf")
    (says,) = said(encoder, x * factor, names, sfreq)
    assert unit in says
    assert said(encoder, x * factor, names, sfreq) == []


def test_offsets_are_told_with_the_electrodes_that_have_them(encoder: PretrainedEncoder, real: Path) -> None:
    x, names, sfreq = windows_uv(real / "eegmat" / "Subject00_1.edf")
    x[:, 3] += 340
    (says,) = said(encoder, x, names, sfreq)
    assert f"µV at {names[3]}:" in says
    assert "dare_eeg.clean" in says


@pytest.mark.parametrize("end_hz", [40, 48, 52])
def test_the_end_of_a_band_is_no_mains_line(encoder: PretrainedEncoder, end_hz: float) -> None:
    noise_uv = 20 * np.random.default_rng(0).standard_normal((3, 128 * 80))
    limited_uv = mne.filter.filter_data(noise_uv, 128, 0.5, end_hz, verbose="error")
    x = limited_uv.reshape(3, 20, 512).transpose(1, 0, 2)
    assert said(encoder, x, ["C3", "Cz", "C4"], 128) == []


def test_a_mains_line_is_told_with_its_frequency(encoder: PretrainedEncoder, real: Path) -> None:
    *_, says = said(encoder, *windows_uv(real / S001))
    assert "a mains line at 60 Hz" in says
    assert "notch_hz=60" in says


def test_windows_of_noise_have_no_line(encoder: PretrainedEncoder) -> None:
    rng = np.random.default_rng(0)
    for count in (1, 4, 40):
        assert said(encoder, rng.normal(0, 10, (count, 3, 1000)), ["C3", "CZ", "C4"], 250.0) == []


def test_no_numbers_are_refused_unless_their_electrode_is_absent(encoder: PretrainedEncoder) -> None:
    x = np.random.default_rng(0).normal(0, 10, (3, 2, 512))
    x[1, 1, 100], present = np.nan, np.ones((3, 2), bool)
    with pytest.raises(ValueError, match=r"1 of 3 windows hold NaN or infinity at C4: leave .* or say .* present="):
        encoder(x, ["C3", "C4"], 256.0)
    present[1, 1] = False
    assert encoder(x, ["C3", "C4"], 256.0, present).isfinite().all()
    assert said(encoder, np.zeros((1, 2, 512)), ["C3", "C4"], 256.0) == []


def test_a_rate_in_khz_or_that_is_none_is_refused_and_an_unlikely_one_told(encoder: PretrainedEncoder) -> None:
    x = np.random.default_rng(0).normal(0, 10, (2, 2, 1000))
    (says,) = said(encoder, x, ["C3", "C4"], 25.0)
    assert says == "windows of 40 s at 25 Hz: is sfreq the rate of x_uv, in Hz?"
    for sfreq in (0.25, np.nan, 0, -250):
        with pytest.raises(ValueError, match="is no rate of EEG in Hz"):
            encoder(x, ["C3", "C4"], sfreq)


def test_electrodes_filled_with_zeros_are_told_and_absent_ones_are_not(encoder: PretrainedEncoder) -> None:
    x = np.random.default_rng(0).normal(0, 10, (2, 3, 1000))
    x[:, 1] = 0
    assert said(encoder, x, ["C3", "CZ", "C4"], 250.0, np.array([[True, False, True]] * 2)) == []
    (says,) = said(encoder, x, ["C3", "CZ", "C4"], 250.0)
    assert says.startswith("windows without signal at CZ: leave out electrodes that were not recorded")


def test_electrodes_that_it_never_saw_are_told(tmp_path: Path) -> None:
    untrained = untrained_encoder("nano")
    provenance = untrained.provenance.model_copy(update={"electrodes": ("C3", "T7")})
    save_encoder(tmp_path / "encoder.safetensors", untrained.encoder.state_dict(), provenance)
    x = np.random.default_rng(0).normal(0, 10, (2, 3, 1000))
    (says,) = said(load_encoder(tmp_path / "encoder.safetensors"), x, ["EEG C3-REF", "T3", "FC3"], 250.0)
    assert says.startswith("electrodes that this encoder was not trained on: FC3; ")
    assert said(untrained, x, ["C3", "T3", "FC3"], 250.0) == []


def test_one_name_is_no_list_of_electrodes(encoder: PretrainedEncoder) -> None:
    with pytest.raises(ValueError, match="electrodes are a list of names, not 'C3'"):
        encoder(np.ones((2, 1, 1000)), "C3", 250.0)
