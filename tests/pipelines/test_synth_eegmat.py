"""The synthetic twin of EEGMAT, beside the real recordings where they are at hand."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyedflib
import pytest
from numpy.typing import NDArray
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines import synth
from tests.commands import preprocess, recordings
from tests.judges import read_raw, samples, seconds


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "eegmat"
    synth.write("eegmat", folder, 6, 20.0, seed=0)
    return folder


@pytest.fixture(scope="module")
def shards(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return preprocess("eegmat", twin, tmp_path_factory.mktemp("shards"), "--for", "probe")


def header(path: Path) -> tuple[list[str], list[str], list[float], int]:
    """Return (labels, units, rates, type of file) as pyedflib reads them."""
    with pyedflib.EdfReader(str(path)) as file:
        fields = file.getSignalHeaders()
        labels, units = [one["label"] for one in fields], [one["dimension"] for one in fields]
        return labels, units, [one["sample_frequency"] for one in fields], file.filetype


def test_header_is_that_of_a_real_recording(twin: Path, real: Path) -> None:
    assert header(twin / "Subject00_1.edf") == header(real / "eegmat" / "Subject00_1.edf")


def test_table_of_subjects_has_the_real_columns(twin: Path, real: Path) -> None:
    ours, theirs = ((folder / "subject-info.csv").read_text().splitlines() for folder in (twin, real / "eegmat"))
    assert ours[0] == theirs[0]
    assert [line.split(",")[0] for line in ours[1:]] == [line.split(",")[0] for line in theirs[1:7]]


def test_rest_is_three_times_as_long_as_arithmetic(twin: Path) -> None:
    assert Counter(seconds(path) for path in twin.glob("*.edf")) == {60.0: 6, 20.0: 6}
    assert {path.stem[-1] for path in twin.glob("*.edf") if seconds(path) == 60.0} == {"1"}


def test_classes_are_balanced_within_each_subject(shards: Path) -> None:
    counts = Counter((one.fields["subject"], one.label_name) for one in samples(shards).values())
    assert set(counts.values()) == {5}
    assert len(counts) == 12
    assert all(len(row["channel_map"]) == 19 for row in recordings(shards).values())


def test_arithmetic_can_be_told_from_rest_in_subjects_not_seen(shards: Path) -> None:
    features, labels, subjects = [], [], []
    for one in samples(shards).values():
        features.append(log_band_power(one.data_uv))
        labels.append(one.label_name)
        subjects.append(one.fields["subject"])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    predicted = cross_val_predict(model, np.array(features), labels, groups=subjects, cv=GroupKFold(3))
    assert balanced_accuracy_score(labels, predicted) > 0.75


def log_band_power(signal_uv: NDArray[np.float64]) -> NDArray[np.float64]:
    hz, power = welch(signal_uv, 256, nperseg=512)
    return np.concatenate([np.log(power[:, (hz >= low) & (hz < low + 4)].mean(axis=1)) for low in (4, 8, 20)])


def test_no_mains_and_a_heart_of_a_millivolt(twin: Path) -> None:
    raw = read_raw(twin / "Subject00_1.edf")
    hz, power = welch(raw.get_data(picks=["EEG Cz"])[0], 500, nperseg=2000)
    assert power[np.abs(hz - 50).argmin()] < 2 * np.median(power[(hz > 40) & (hz < 60)])
    assert 0.4e-3 < np.ptp(raw.get_data(picks=["ECG ECG"])) < 1.5e-3


def test_twin_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        synth.write("eegmat", tmp_path / name, 1, 10.0, seed)
    first, again, other = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("first", "again", "other")
    )
    assert first == again
    assert first.keys() == other.keys()
    assert first["Subject00_1.edf"] != other["Subject00_1.edf"]
