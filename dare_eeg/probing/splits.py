"""Splits: who is trained on, selected on and tested on. No subject is on two sides, but in `within` by design."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from manifests import keyed, published
from manifests.errors import RefusedError
from manifests.manifest import SPLITS
from manifests.recipe import EvaluationProtocol

NUM_FOLDS = 5
_FOLD_SEEDS = (42, 123, 2024, 7, 0, 1, 99, 31337)
"""Of `stratified` by repeat, as FMScope drew them: with all its subjects its very folds are tested."""
VALID_SHARE = 0.2
"""Share of the training subjects (of the training recordings within a subject) that models are selected on."""

_FOLDS = "probe it with --protocol kfold"


@dataclass(frozen=True)
class Fold:
    """Windows, by number, of one train, valid and test.

    Of the tested subjects the ``calibrated`` are in train; for them ``left_out`` windows left the test. Of a control,
    ``said`` are the classes that all windows are said to have: those of train and valid are permuted.
    """

    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]
    calibrated: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    left_out: int = 0
    said: NDArray[np.int64] | None = None

    def labels(self, windows: Windows) -> NDArray[np.int64]:
        """Return the class of each window as whoever fits is told it, (windows,)."""
        return windows.labels.astype(np.int64) if self.said is None else self.said


def folds(windows: Windows, protocol: EvaluationProtocol, repeat: int = 0) -> list[Fold]:
    """Return the folds of a protocol; each ``repeat`` draws others.

    ``official`` is the corpus's own split, of which repeats beyond the first draw other subjects to select on;
    ``kfold`` and ``loso`` hold out every fifth subject in a keyed order, or each in turn, whatever the split on disk;
    ``within`` trains and tests on each subject's own official parts, or, where a set has no test part, on five blocks
    of each recording in time. ``stratified`` are five folds of subjects by scikit-learn's StratifiedGroupKFold over
    recordings, ``fixed`` is a published split that names its subjects.
    Raises RefusedError where the set has not what the protocol needs: parts, subjects, or two classes to train on; and
    where train and test share a subject, unless the protocol is ``within`` or the official split is by session.
    """
    found = _folds(windows, protocol, repeat)
    for fold in found:
        shared = on_both_sides(windows, fold)
        if shared and protocol != "within" and windows.manifest.recipe.split_by != "session":
            raise RefusedError(
                f"{len(shared)} subjects are in its test and in its train or valid ({shared[0]} ...)",
                path=windows.folder,
                remedy='probe it with --protocol kfold, or say split_by = "session" in its recipe and make it anew',
            )
        if len(set(windows.labels[fold.train].tolist())) < 2:
            tested = ", ".join(sorted({*windows.subjects[fold.test].tolist()})[:3])
            reason = f"only one class is left to train on when {tested} are tested"
            remedy = "probe a larger set, or with another --protocol"
            raise RefusedError(reason, path=windows.folder, remedy=remedy)
    return found


def on_both_sides(windows: Windows, fold: Fold) -> list[str]:
    """Return the subjects that are tested, and trained on or selected on, too, but for what calibrates."""
    train = {
        *windows.subjects[np.setdiff1d(fold.train, fold.calibrated)].tolist(),
        *windows.subjects[fold.valid].tolist(),
    }
    return sorted(train & {*windows.subjects[fold.test].tolist()})


def _folds(windows: Windows, protocol: EvaluationProtocol, repeat: int) -> list[Fold]:
    subjects = windows.subjects
    if protocol == "within":
        if found := [_within(windows, subject, repeat) for subject in sorted({*subjects[windows.split == "test"]})]:
            return found
        blocks = _blocks_in_time(windows, repeat)
        return [
            _of_blocks(windows, np.where(subjects == subject, blocks, -1), number)
            for subject in sorted(set(subjects.tolist()))
            for number in range(NUM_FOLDS)
        ]
    if protocol == "official":
        return [_official(windows, repeat)]
    if protocol == "fixed":
        return [_fixed(windows)]
    ordered = sorted(set(subjects.tolist()), key=lambda subject: keyed.share(subject, repeat))
    if len(ordered) < 3:
        reason = f"{len(ordered)} subjects are too few for {protocol}"
        raise RefusedError(reason, path=windows.folder, remedy="it needs 3: probe a larger set")
    if protocol == "stratified":
        return [_held_out(subjects, ordered, tested) for tested in _stratified(windows, repeat)]
    num_folds = len(ordered) if protocol == "loso" else min(NUM_FOLDS, len(ordered))
    return [_held_out(subjects, ordered, ordered[number::num_folds]) for number in range(num_folds)]


def _official(windows: Windows, repeat: int) -> Fold:
    train, valid, test = (np.flatnonzero(windows.split == name) for name in SPLITS)
    missing = [name for name, part in (("train", train), ("valid", valid), ("test", test)) if not len(part)]
    if missing:
        remedy = "probe it with --protocol kfold, or make the set anew"
        raise RefusedError(f"its {missing[0]} is empty", path=windows.folder, remedy=remedy)
    if repeat == 0:
        return Fold(train, valid, test)
    rest = windows.split != "test"
    subjects = sorted(set(windows.subjects[rest].tolist()), key=lambda subject: keyed.share(subject, repeat))
    selected_on = np.isin(windows.subjects, subjects[: len(set(windows.subjects[valid].tolist()))])
    return Fold(np.flatnonzero(rest & ~selected_on), np.flatnonzero(rest & selected_on), test)


def _held_out(subjects: NDArray[np.str_], ordered: list[str], tested: list[str]) -> Fold:
    rest = [subject for subject in ordered if subject not in tested]
    num_valid = max(1, round(VALID_SHARE * len(rest)))
    # Which of the rest are selected on turns with the fold, so that no subject is it every time.
    turn = ordered.index(tested[0]) % len(rest)
    turned = rest[turn:] + rest[:turn]
    test, valid = np.isin(subjects, tested), np.isin(subjects, turned[:num_valid])
    return Fold(np.flatnonzero(~test & ~valid), np.flatnonzero(valid), np.flatnonzero(test))


def _stratified(windows: Windows, repeat: int) -> list[list[str]]:
    """Return the subjects that each fold tests, with as even a share of each class of recordings as there can be.

    A recording counts once for each class that its windows have. Raises RefusedError where a class has fewer
    recordings than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    facts = np.unique(np.stack([windows.recordings, windows.labels.astype(np.str_), windows.subjects]), axis=1)
    _, labels, subjects = facts
    names, counts = np.unique(labels, return_counts=True)
    num_folds = min(NUM_FOLDS, len(set(subjects.tolist())))
    if counts.min() < num_folds:
        reason = f"{counts.min()} recordings of {windows.classes[int(names[counts.argmin()])]} are too few to stratify"
        raise RefusedError(reason, path=windows.folder, remedy=f"it needs {num_folds}: probe it with --protocol kfold")
    seed = _FOLD_SEEDS[min(repeat, len(_FOLD_SEEDS) - 1)] + max(0, repeat - len(_FOLD_SEEDS) + 1)
    parts = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed).split(labels, labels, subjects)
    return [sorted(set(subjects[tested].tolist())) for _, tested in parts]


def _fixed(windows: Windows) -> Fold:
    """Return the published split of a corpus; RefusedError where there is none, or none of its subjects in a part."""
    corpus = windows.manifest.corpus
    fixed = published.fixed_split(corpus)
    if fixed is None:
        raise RefusedError(f"of {corpus} no split by named subjects is known", path=windows.folder, remedy=_FOLDS)
    test, valid = np.isin(windows.subjects, fixed.test), np.isin(windows.subjects, fixed.valid)
    for name, part, subjects in (("test", test, fixed.test), ("valid", valid, fixed.valid)):
        if not part.any():
            reason = f"has none of the subjects of the fixed {name}, {subjects[0]} to {subjects[-1]}"
            raise RefusedError(reason, path=windows.folder, remedy=_FOLDS)
    return Fold(np.flatnonzero(~test & ~valid), np.flatnonzero(valid), np.flatnonzero(test))


def _within(windows: Windows, subject: str, repeat: int) -> Fold:
    mine = windows.subjects == subject
    test, rest = mine & (windows.split == "test"), mine & (windows.split != "test")
    recordings = sorted({*windows.recordings[rest]}, key=lambda path: keyed.share(str(path), repeat))
    if len(recordings) < 2:
        reason = f"{subject} has {len(recordings)} training recordings, within needs 2"
        raise RefusedError(reason, path=windows.folder, remedy="probe it with another --protocol")
    valid = rest & np.isin(windows.recordings, recordings[: max(1, round(VALID_SHARE * len(recordings)))])
    return Fold(np.flatnonzero(rest & ~valid), np.flatnonzero(valid), np.flatnonzero(test))


def _blocks_in_time(windows: Windows, repeat: int) -> NDArray[np.int64]:
    """Return which of five blocks in time of its recording each window is in; each ``repeat`` begins elsewhere."""
    blocks = np.zeros(len(windows.subjects), np.int64)
    for recording in sorted(set(windows.recordings.tolist())):
        mine = np.flatnonzero(windows.recordings == recording)
        in_time = mine[np.argsort(windows.start_s[mine], kind="stable")]
        begin = int(keyed.share(recording, repeat) * len(mine)) if repeat else 0
        blocks[in_time] = (np.arange(len(mine)) + begin) % len(mine) * NUM_FOLDS // len(mine)
    return blocks


def _of_blocks(windows: Windows, blocks: NDArray[np.int64], number: int) -> Fold:
    """Return the fold that tests a block and selects on the next; windows that overlap tested ones are in no part."""
    test = np.flatnonzero(blocks == number)
    if not len(test):
        subject, count = windows.subjects[blocks >= 0][0], int((blocks >= 0).sum())
        reason = f"{subject} has {count} windows, too few for {NUM_FOLDS} blocks in time"
        raise RefusedError(reason, path=windows.folder, remedy="probe it with another --protocol")
    length_s = windows.shape[1] / windows.sfreq
    free = np.ones(len(blocks), np.bool_)
    for window in test.tolist():
        near = np.abs(windows.start_s - windows.start_s[window]) < length_s - 1e-6
        free &= ~(near & (windows.recordings == windows.recordings[window]))
    valid = free & (blocks == (number + 1) % NUM_FOLDS)
    return Fold(np.flatnonzero(free & (blocks >= 0) & ~valid), np.flatnonzero(valid), test)
