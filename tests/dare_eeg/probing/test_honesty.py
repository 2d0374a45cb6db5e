"""What a probe must not find: a difference between noise and noise, or anything of windows that it is tested on."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dare_eeg import open_shards
from dare_eeg.data.shards import Windows
from dare_eeg.encoders.ours import load_encoder
from dare_eeg.probing import baselines, modes
from dare_eeg.probing.classifiers.search import fit_best
from dare_eeg.probing.figures.statistics import PairedTest, contributions, p_of_folds, sign_flips
from dare_eeg.probing.fit import Fitter, FoldFit
from dare_eeg.probing.modes.linear import logistic
from dare_eeg.probing.options import BASELINES, Baseline, Mode, ProbeOptions, is_baseline, is_trained_baseline
from dare_eeg.probing.splits import Fold, folds
from dare_eeg.probing.views.alignment import AlignedWindows
from dare_eeg.running.ranks import ALONE
from manifests.manifest import SPLITS


def none(_share: float) -> None:
    """Take no notice of progress."""


class Noise:
    """Subjects whose classes are drawn: half of them train and choose, half are tested."""

    folder = Path("noise")
    classes = ("rest", "task")

    def __init__(self, number: int, subjects: int = 24, of_each: int = 14) -> None:
        self._rng = np.random.default_rng([20, number])
        self.subjects = np.repeat([f"s{one:02d}" for one in range(subjects)], of_each)
        self.recordings = self.subjects
        self.split = np.repeat(["train", "valid", "test"], [9 * of_each, 3 * of_each, 12 * of_each])
        self.labels = self._rng.integers(0, 2, len(self.subjects))

    def features(self, shared: float = 0.0) -> NDArray[np.float64]:
        """Return features, (windows, 6): noise, and the classes by so much."""
        return self._rng.normal(0, 1, (len(self.subjects), 6)) + shared * (2 * self.labels[:, None] - 1)


def difference(noise: Noise, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> PairedTest:
    """Return how a probe on one table of features differs from that on another, over tested subjects."""
    windows, whole = cast(Windows, noise), logistic()
    family = replace(whole, candidates=whole.candidates[::3])
    told = []
    for table in (ours, theirs):
        (fold,) = folds(windows, "official")
        predicted = fit_best(family, table, windows, fold).probabilities.argmax(axis=1)
        told.append(contributions(noise.labels[fold.test], predicted, noise.subjects[fold.test]))
    return sign_flips(*told)


def test_an_encoder_and_its_control_rarely_differ_on_noise_with_random_labels() -> None:
    sets = [Noise(number) for number in range(20)]
    found = [difference(noise, noise.features(), noise.features()) for noise in sets]
    assert sum(test.p < 0.05 for test in found) <= 3
    assert min(abs(test.difference) for test in found) > 0
    assert difference(sets[0], sets[0].features(shared=0.5), sets[0].features()).p < 0.01


def test_where_subjects_train_each_other_p_is_of_folds_and_noise_rarely_differs() -> None:
    found = []
    for number in range(20):
        noise = Noise(number, of_each=8)
        told = []
        for table in (noise.features(), noise.features()):
            predicted = np.zeros(len(noise.labels), np.int64)
            for fold in folds(cast(Windows, noise), "kfold"):
                family = replace(logistic(), candidates=logistic().candidates[2:3])
                fit = fit_best(family, table, cast(Windows, noise), fold)
                predicted[fold.test] = fit.probabilities.argmax(axis=1)
            told.append(contributions(noise.labels, predicted, noise.subjects))
        found.append(p_of_folds(sign_flips(*told).p))
    assert sum(p < 0.05 for p in found) <= 3


def louder(kind: type[Windows], folder: Path, numbers: NDArray[np.int64]) -> Windows:
    """Return the windows of a set, some of them by number a thousand times as large."""
    whole = open_shards(folder, SPLITS)
    places = set(zip(*(part.tolist() for part in whole.places(numbers)), strict=True))

    def read(self: Windows, shard: int, row: int, counts: NDArray[np.int16]) -> NDArray[np.float32]:
        scale = super(made, self).read(shard, row, counts)
        return scale * np.float32(1000) if (shard, row) in places else scale

    made = cast(type[Windows], type("Louder", (kind,), {"read": read}))
    return made(folder, whole.manifest, SPLITS)


def fitter_of(way: Mode | Baseline, windows: Windows, options: ProbeOptions, run: Path) -> Fitter:
    """Return what fits a fold by a mode or a baseline."""
    if is_baseline(way):
        return baselines.fitter(way, windows, options, ALONE)
    return modes.fitter(way)(load_encoder(run), windows, options, None, ALONE)


def fitted(way: Mode | Baseline, windows: Windows, fold: Fold, options: ProbeOptions, run: Path) -> FoldFit:
    torch.manual_seed(0)
    return fitter_of(way, windows, options, run)(fold, 0, none)


WAYS: list[tuple[Mode | Baseline, dict[str, Any]]] = [
    *((name, {"epochs": 5} if is_trained_baseline(name) else {}) for name in BASELINES),
    ("band-power-logistic", {"centre": "subject"}),
    ("tangent-space", {"centre": "subject"}),
    ("linear", {}),
    ("linear", {"pool": "flatten", "penalty_by": "valid"}),
    ("linear", {"centre": "subject"}),
    ("conv-linear", {"epochs": 2}),
    ("conv-linear", {"epochs": 2, "alignment": "euclidean"}),
    ("finetune", {"epochs": 2}),
]


@pytest.mark.parametrize(
    ("way", "given"), WAYS, ids=lambda one: one if isinstance(one, str) else "-".join(map(str, one.values()))
)
def test_the_signal_of_tested_windows_changes_nothing_but_what_is_marked_transductive(
    way: Mode | Baseline, given: dict[str, Any], bcic2b: Path, nano_run: Path
) -> None:
    options = ProbeOptions(**given)
    kind = Windows if options.alignment == "none" else AlignedWindows
    fold = folds(open_shards(bcic2b, SPLITS), "kfold")[0]
    quiet = louder(kind, bcic2b, fold.test[:0])
    loud = louder(kind, bcic2b, fold.test[len(fold.test) // 2 :])
    (before, after) = (fitted(way, windows, fold, options, nano_run) for windows in (quiet, loud))
    untouched = slice(len(fold.test) // 2)
    moved = np.abs(after.probabilities[untouched] - before.probabilities[untouched]).max()
    assert after.selected == before.selected
    assert (moved > 1e-6) == options.is_transductive
    if way != "majority":
        rest = slice(untouched.stop, None)
        assert np.abs(after.probabilities[rest] - before.probabilities[rest]).max() > 1e-6
