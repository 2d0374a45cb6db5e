"""Networks that learn from nothing stand in the ladder as what an encoder has to beat, too."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dare_eeg.probing.options import TRAINED_BASELINES
from tests.commands import dare, unusable
from tests.dare_eeg.sets import Window, recorded, write_set

NAMES = ",".join(TRAINED_BASELINES)


def told_apart(subject: str, samples: int = 256) -> list[Window]:
    """Return windows of two classes, of which one has twice the amplitude; one electrode is absent in some."""
    windows = recorded(f"tuh:{subject}", 16, samples, labels=[0, 1] * 8)
    absent = (2,) if subject in "ag" else ()
    return [replace(one, counts=(one.counts * (1 + one.label)).astype(np.int16), absent=absent) for one in windows]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight subjects whose windows differ by amplitude."""
    splits = {
        split: [[window for subject in subjects for window in told_apart(subject)]]
        for split, subjects in {"train": "abcd", "valid": "ef", "test": "gh"}.items()
    }
    return write_set(tmp_path_factory.mktemp("apart") / "tuab", splits, classes=("quiet", "loud"))


@pytest.mark.slow
def test_they_learn_what_differs_and_each_seed_draws_others(labelled: Path, tmp_path: Path) -> None:
    asked = (
        "--shards",
        labelled,
        "--baselines",
        NAMES,
        "--protocol",
        "official",
        "--epochs",
        20,
        "--seeds",
        2,
        "--resamples",
        5,
    )
    answer = dare("probe", "tuab", *asked, "--out", tmp_path)
    assert answer.status == 0, answer.err
    for name in TRAINED_BASELINES:
        results = json.loads((tmp_path / name / "results.json").read_text())
        assert results["metrics"]["window"]["balanced_accuracy"]["mean"] > 0.75
        assert results["seeds"] == [0, 1]
        (fold,) = results["folds"]
        assert [one["candidates"] for one in fold["selected"]] == [20, 20]
        lines = (tmp_path / name / "predictions.csv").read_text().splitlines()[1:]
        first, second = ([line.split(",", 2)[2] for line in lines if line.split(",")[1] == seed] for seed in "01")
        assert len(first) == 32
        assert first != second
    assert "kept" in dare("probe", "tuab", *asked, "--out", tmp_path).err


def test_windows_that_are_too_short_are_refused_in_one_line(tmp_path: Path) -> None:
    splits = {split: [told_apart(name, 64)] for split, name in (("train", "a"), ("valid", "b"), ("test", "c"))}
    shards = write_set(tmp_path / "tuab", splits, classes=("quiet", "loud"))
    asked = ("--shards", shards, "--baselines", "shallow-fbcsp", "--out", tmp_path / "out")
    unusable(dare("probe", "tuab", *asked), "ShallowFBCSPNet: braindecode does not make it for windows of 0.248 s")


def test_without_braindecode_there_is_one_line(labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "braindecode.models", None)
    asked = ("--shards", labelled, "--baselines", "eegnet", "--out", tmp_path / "out")
    unusable(dare("probe", "tuab", *asked), "is not installed; pip install 'dare-eeg[zoo]'")
