"""Shard sets of real recordings: classes balanced within a subject, and windows for pretraining."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.commands import manifest, preprocess, recordings
from tests.judges import of_recording, samples, seconds

pytest_plugins = ["tests.corpora_fixtures"]


def test_rest_and_arithmetic_are_balanced_within_each_subject(eegmat: Path, eegmat_raw: Path) -> None:
    by_subject = defaultdict(Counter)
    for one in samples(eegmat).values():
        by_subject[one.fields["subject"]][one.label_name] += 1
    assert len(by_subject) == 3
    for subject, labels in by_subject.items():
        arithmetic = seconds(eegmat_raw / f"{subject.removeprefix('eegmat:')}_2.edf")
        assert labels == {"rest": arithmetic // 4, "arithmetic": arithmetic // 4}
    assert "windows are balanced within each subject" in " ".join(manifest(eegmat)["notes"])
    assert "15 of 45 windows kept to balance the classes" in recordings(eegmat)["Subject00_1.edf"]["reason"]


def test_balanced_windows_are_spread_over_the_recording(eegmat: Path) -> None:
    starts_s = [one.start_s for one in of_recording(eegmat, "Subject00_1.edf")]
    assert starts_s[0] == 0
    assert set(np.diff(starts_s)) == {12.0}


@pytest.mark.slow
@pytest.mark.parametrize(("corpus", "electrodes"), [("eegmat", 19), ("physionetmi", 58)])
def test_windows_for_pretraining_are_those_of_the_model(
    raw: Path, eegmat_raw: Path, tmp_path: Path, corpus: str, electrodes: int
) -> None:
    src = eegmat_raw if corpus == "eegmat" else raw / "physionetmi"
    folder = preprocess(corpus, src, tmp_path, "--for", "pretrain")
    assert folder.name == f"{corpus}-pretrain"
    whole, rows = manifest(folder), recordings(folder)
    assert (len(whole["electrodes"]), whole["sfreq"], whole["window_samples"]) == (electrodes, 256, 2560)
    for path, row in rows.items():
        assert row["outcome"] == "ok"
        assert row["windows"] == seconds(src / path) // 10
    for one in samples(folder).values():
        assert (one.fields["label"], one.label_name) == (-1, "")
        assert one.start_s % 10 == 0
    train, valid, test = (set(whole["splits"][split]["subjects"]) for split in ("train", "valid", "test"))
    assert train
    assert valid
    assert not train & valid
    assert not test
