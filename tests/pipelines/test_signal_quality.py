"""What the doctor measures is what arithmetic, MNE and pyedflib find in the same files."""

import re
import shutil
from pathlib import Path

import mne
import numpy as np
import pyedflib
import pytest

from pipelines.doctor.signal_quality import signal_quality
from pipelines.recording import Recording, Segment
from tests.pipelines.known import ELECTRODES, SFREQ, examined, line_uv, noise_uv, recorded, row_of, told

# --- mains ------------------------------------------------------------------------------------------------------------


def mains_by_mne_db(path: Path, line_hz: float) -> float:
    """Return by how much a line stands out, as MNE's Welch spectrum has it."""
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    sfreq = int(raw.info["sfreq"])
    power, hz = mne.time_frequency.psd_array_welch(
        raw.get_data(), sfreq, n_fft=2 * sfreq, n_overlap=sfreq, window="hann", verbose="error"
    )
    away = np.abs(hz - line_hz)
    around = np.median(power[:, (away >= 2) & (away <= 6)], axis=1)
    return float(np.median(10 * np.log10(power[:, away <= 1].max(axis=1) / around)))


@pytest.mark.parametrize("line_hz", [50, 60])
def test_mains_stand_out_as_far_as_arithmetic_and_mne_say(tmp_path: Path, line_hz: int) -> None:
    path = recorded(tmp_path, noise_uv(40) + line_uv(line_hz, 5, 40))
    level = row_of(tmp_path)["mains_db"][str(line_hz)]
    assert level == pytest.approx(mains_by_mne_db(path, line_hz), abs=0.5)
    # A sine's power in Hann's noise bandwidth of 1.5 bins of 0.5 Hz, over the density of white noise.
    assert level == pytest.approx(10 * np.log10(5**2 / 2 / 0.75 / (2 * 10**2 / SFREQ)), abs=1.5)
    assert abs(row_of(tmp_path)["mains_db"][str(110 - line_hz)]) < 4


def test_real_mains_are_as_mne_says(real: Path, tmp_path: Path) -> None:
    (tmp_path / "S001").mkdir()
    shutil.copy(real / "eegmmidb" / "S001" / "S001R04.edf", tmp_path / "S001")
    facts = examined(tmp_path, corpus="physionetmi")
    mne_db = mains_by_mne_db(real / "eegmmidb" / "S001" / "S001R04.edf", 60)
    assert facts["recordings"][0]["mains_db"]["60"] == pytest.approx(mne_db, abs=2)  # a minute of two was read


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["notch_hz=50"], "60 Hz stands out by 12 dB and the recipe's notch is at 50 Hz: --set notch_hz=60"),
        (["notch_hz=0"], "60 Hz stands out by 12 dB and the recipe has no notch: --set notch_hz=60"),
        (["notch_hz=60"], ""),
        (["notch_hz=50", "band_hz=0.1,40"], ""),
    ],
)
def test_notch_beside_the_line_is_a_finding(tmp_path: Path, options: list[str], said: str) -> None:
    recorded(tmp_path, noise_uv(40) + line_uv(60, 5, 40))
    row = row_of(tmp_path, *(part for option in options for part in ("--set", option)))
    assert re.sub(r"by \d+ dB", "by 12 dB", told(row, "mains")) == said


def test_mains_beyond_the_rate_are_not_measured(tmp_path: Path) -> None:
    recorded(tmp_path, noise_uv(40, 100), 100)
    row = row_of(tmp_path, "--set", "band_hz=0.1,40")
    assert row["mains_db"] == {"50": None, "60": None}
    assert row["sd_uv"] == pytest.approx(10, rel=0.05)


# --- channels ---------------------------------------------------------------------------------------------------------


def test_flat_channel_is_named(tmp_path: Path) -> None:
    data = noise_uv(40)
    data[1] = 3.0
    recorded(tmp_path, data)
    assert told(row_of(tmp_path), "flat").startswith("CZ: flat")


def test_channel_that_is_flat_for_a_while_is_not_flat(tmp_path: Path) -> None:
    data = noise_uv(100)
    data[1, : 25 * SFREQ] = 3.0
    recorded(tmp_path, data)
    assert told(row_of(tmp_path), "flat") == ""


def test_clipped_share_is_what_pyedflib_counts(tmp_path: Path) -> None:
    data = noise_uv(40)
    data[2] = np.clip(line_uv(3, 100, 40), -90, 90)
    path = recorded(tmp_path, data, limit=90.0)
    with pyedflib.EdfReader(str(path)) as reader:
        counts = reader.readSignal(2, digital=True)
    share = np.mean((counts == counts.max()) | (counts == counts.min()))
    assert told(row_of(tmp_path), "clipped").endswith(f": C4 {share:.1%}")


def test_samples_that_int16_will_not_hold_are_told_with_the_quantum_that_holds_them(tmp_path: Path) -> None:
    data = noise_uv(40)
    data[0, ::50] += 1500.0
    recorded(tmp_path, data, limit=3000.0)
    share = 1 / 50 / len(data)
    said = f"about {share:.1%} of samples lie beyond ±1024 µV and would be clipped: widen with --set quantum_uv=0.125"
    assert told(row_of(tmp_path), "out of range") == said


def test_peaks_of_a_whole_signal_are_not_clipped(tmp_path: Path) -> None:
    recorded(tmp_path, noise_uv(40))
    assert row_of(tmp_path)["findings"] == []


def test_channel_that_is_not_finite_is_told_and_spoils_no_other() -> None:
    data = noise_uv(20).astype(np.float32)
    clean = signal_quality([Recording(ELECTRODES, data, SFREQ, (), (Segment(0, data.shape[1], 0.0),), ())])
    data[0, 100] = np.nan
    spoilt = signal_quality([Recording(ELECTRODES, data, SFREQ, (), (Segment(0, data.shape[1], 0.0),), ())])
    assert (clean.not_finite, spoilt.not_finite) == ((), ("C3",))
    assert spoilt.sd_uv == pytest.approx(clean.sd_uv, rel=0.05)
    assert spoilt.flat == ()


def test_nothing_usable_is_measured_as_such() -> None:
    data = np.zeros((3, 500), np.float32)
    nothing = signal_quality([Recording(ELECTRODES, data, SFREQ, (), (), ())])
    flat = signal_quality([Recording(ELECTRODES, data, SFREQ, (), (Segment(0, 500, 0.0),), ())])
    assert (nothing.missing, nothing.sd_uv, nothing.mains_db) == (1.0, None, {50: None, 60: None})
    assert (flat.missing, flat.sd_uv, flat.flat) == (0.0, None, ELECTRODES)


# --- units ------------------------------------------------------------------------------------------------------------


def test_plausible_unit_is_no_finding(tmp_path: Path) -> None:
    recorded(tmp_path, noise_uv(40) / 1000, unit="mV", limit=1.0)
    row = row_of(tmp_path)
    assert row["sd_uv"] == pytest.approx(10, rel=0.05)
    assert row["units"] == ["mV"]
    assert told(row, "unit") == ""


@pytest.mark.parametrize(("factor", "unit"), [(1e-3, "uV"), (1.0, "mV")])
def test_unit_that_its_amplitude_belies_is_a_finding(tmp_path: Path, factor: float, unit: str) -> None:
    recorded(tmp_path, noise_uv(40) * factor, unit=unit, limit=1000 * factor)
    row = row_of(tmp_path, "--set", "quality=none")
    assert "outside 0.5 to 2000: is the unit" in told(row, "unit")


def test_unit_that_amplitude_decided_is_told(tmp_path: Path) -> None:
    recorded(tmp_path, noise_uv(40) / 1e6, unit="", limit=0.001)
    row = row_of(tmp_path)
    assert "unit unknown, read as V by amplitude" in told(row, "unit unknown")
    assert row["sd_uv"] == pytest.approx(10, rel=0.05)
