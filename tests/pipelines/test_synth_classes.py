"""What the labels of the synthetic corpora say shows in their signals, and is not plain to see."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines import synth
from tests.judges import TEN_TWENTY_19, read_raw, scalp_uv


@pytest.mark.slow
def test_abnormality_can_be_learned_but_not_read_off(tmp_path: Path) -> None:
    synth.write("tuab", tmp_path, 32, 60.0, 1)
    features, labels, subjects = [], [], []
    for path in sorted(tmp_path.rglob("*.edf")):
        raw, channels = read_raw(path), scalp_uv(path)
        signal = np.stack([channels[name] for name in TEN_TWENTY_19])
        length = round(10 * raw.info["sfreq"])
        for start in range(0, signal.shape[1] - length + 1, length):
            features.append(log_band_power(signal[:, start : start + length], raw.info["sfreq"]))
            labels.append("abnormal" in path.parts)
            subjects.append(path.stem[:8])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    predicted = cross_val_predict(model, np.array(features), labels, groups=subjects, cv=GroupKFold(5))
    assert 0.6 < balanced_accuracy_score(labels, predicted) < 0.99


def log_band_power(signal_uv: NDArray[np.float64], sfreq: float) -> NDArray[np.float64]:
    frequencies, power = welch(signal_uv, sfreq, nperseg=round(2 * sfreq))
    bands = ((1, 4), (4, 8), (8, 13), (13, 30))
    return np.concatenate(
        [np.log(power[:, (frequencies >= low) & (frequencies < high)].mean(axis=1)) for low, high in bands]
    )


def test_events_show_on_the_derivations_that_name_them(tmp_path: Path) -> None:
    synth.write("tuev", tmp_path, 5, 30.0, 0)
    blink_uv: list[float] = []
    background_uv: list[float] = []
    for path in sorted(tmp_path.rglob("*.edf")):
        channels = scalp_uv(path)
        front = channels["FP1"] - channels["F3"]
        for _, start, stop, label in np.loadtxt(path.with_suffix(".rec"), delimiter=",", ndmin=2):
            height = float(np.ptp(front[round(start * 250) : round(stop * 250)])) if stop <= 30.0 else np.nan
            (blink_uv if label == 4 else background_uv).append(height)
    assert np.median(blink_uv) > np.nanmedian(background_uv) + 10.0


@pytest.mark.slow
def test_the_rhythm_weakens_over_the_cortex_in_use(tmp_path: Path) -> None:
    synth.write("physionetmi", tmp_path, 2, 100.0, 3)
    hands, limbs = [], []
    for run in (3, 5, 7, 9, 11, 13):
        for path in tmp_path.rglob(f"*R{run:02d}.edf"):
            c3, cz, c4 = np.log(mu_power_at(path, "T1") / mu_power_at(path, "T2"))
            if run in (3, 7, 11):
                hands.append(c3 - c4)
            else:
                limbs.append(cz - (c3 + c4) / 2)
    # The left hand (T1) weakens C4 and the right (T2) C3; fists (T1) weaken both and feet (T2) the vertex.
    assert np.mean(hands) > 0.2
    assert np.mean(limbs) > 0.2


def mu_power_at(path: Path, text: str) -> NDArray[np.float64]:
    """Mean power from 9 to 13 Hz at C3, Cz and C4 during the events of one kind."""
    raw, channels = read_raw(path), scalp_uv(path)
    sfreq = raw.info["sfreq"]
    signal = np.stack([channels[name] for name in ("C3", "CZ", "C4")])
    powers = []
    for note in raw.annotations:
        if note["description"] == text:
            start = round((note["onset"] + 0.7) * sfreq)
            frequencies, power = welch(signal[:, start : start + round(3.2 * sfreq)], sfreq, nperseg=round(sfreq))
            powers.append(power[:, (frequencies >= 9.0) & (frequencies <= 13.0)].mean(axis=1))
    return np.mean(powers, axis=0)
