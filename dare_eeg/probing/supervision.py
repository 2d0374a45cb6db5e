"""Supervision: how few labels of a fold are learnt from, which of those whom it tests, and whether they are true."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.probing.splits import VALID_SHARE, Fold
from manifests import keyed
from manifests.errors import RefusedError
from manifests.records import Part


class Supervision(Part):
    """How many windows a class are learnt from; 0 stands for all of train, and for none of the tested subjects.

    ``shots`` are drawn of train, ``calibrate`` are the first in time of each tested subject, which leave the test.
    ``permuted`` labels of train and valid make a control, which is tested on true ones.
    """

    shots: int = 0
    calibrate: int = 0
    permuted: bool = False

    @property
    def suffix(self) -> str:
        """What tells a row's name from that of the same row on all of train by true labels."""
        shots = f"-{self.shots}-shots" if self.shots else ""
        calibrated = f"-calibrated-{self.calibrate}" if self.calibrate else ""
        return f"{shots}{calibrated}{'-permuted' if self.permuted else ''}"

    @property
    def told(self) -> str:
        """What a reader must know of it, "" where it is the usual."""
        parts = {
            f"trained on {self.shots} windows a class": self.shots,
            f"calibrated on the first {self.calibrate} windows a class of each tested subject": self.calibrate,
            "a control: fitted on permuted labels": self.permuted,
        }
        return ", ".join(part for part, applies in parts.items() if applies)


def supervised(windows: Windows, fold: Fold, how: Supervision, repeat: int) -> Fold:
    """Return a fold with the labels that are learnt from; each ``repeat`` draws other shots and permutations.

    Of valid there are a quarter as many as of train, one a class at least. Raises RefusedError where a class has too
    few windows.
    """
    if how.shots:
        share = VALID_SHARE / (1 - VALID_SHARE)
        train = _shots(windows, fold.train, how.shots, repeat)
        fold = replace(fold, train=train, valid=_shots(windows, fold.valid, max(1, round(share * how.shots)), repeat))
    if how.calibrate:
        fold = _calibrated(windows, fold, how.calibrate)
    return _permuted(windows, fold, repeat) if how.permuted else fold


def _shots(windows: Windows, part: NDArray[np.int64], count: int, repeat: int) -> NDArray[np.int64]:
    """Return so many windows a class of a part, one of each subject before a second of any."""
    labels, subjects = windows.labels[part], windows.subjects[part]
    turns = {name: keyed.share(name, repeat) for name in set(subjects.tolist())}
    drawn = []
    for label in sorted(set(labels.tolist())):
        of_class = np.flatnonzero(labels == label)
        if len(of_class) < count:
            reason = f"{count} windows of {windows.classes[label]} are to be learnt from, and there are {len(of_class)}"
            raise RefusedError(reason, path=windows.folder, remedy="ask for fewer --shots")
        order = of_class[keyed.permutation(keyed.key("shots", repeat, label), len(of_class))]
        seen: dict[str, int] = {}
        places = []
        for place in order.tolist():
            name = str(subjects[place])
            places.append((seen.setdefault(name, 0), turns[name], place))
            seen[name] += 1
        drawn += [place for *_, place in sorted(places)[:count]]
    return np.sort(part[drawn])


def _calibrated(windows: Windows, fold: Fold, count: int) -> Fold:
    """Return a fold with the first windows a class of each tested subject in train.

    Windows that overlap them leave the test, too. Raises RefusedError where nothing of a class is left to test.
    """
    moved, overlapped = [], np.zeros(len(windows), np.bool_)
    length_s = windows.shape[1] / windows.sfreq
    in_time = fold.test[np.lexsort((windows.start_s[fold.test], windows.recordings[fold.test]))]
    for subject in sorted(set(windows.subjects[fold.test].tolist())):
        mine = in_time[windows.subjects[in_time] == subject]
        first = [mine[windows.labels[mine] == label][:count] for label in range(len(windows.classes))]
        for window in np.concatenate(first):
            same = windows.recordings[mine] == windows.recordings[window]
            overlapped[mine[same & (np.abs(windows.start_s[mine] - windows.start_s[window]) < length_s - 1e-6)]] = True
        for label, name in enumerate(windows.classes):
            of_class = mine[windows.labels[mine] == label]
            if len(of_class) < count or overlapped[of_class].all():
                reason = f"{subject} has {len(of_class)} windows of {name}: {count} to train on leave none to test"
                remedy = "ask for fewer by --calibrate, or leave it out"
                raise RefusedError(reason, path=windows.folder, remedy=remedy)
        moved += first
    calibrated = np.sort(np.concatenate(moved))
    return replace(
        fold,
        train=np.sort(np.concatenate([fold.train, calibrated])),
        test=fold.test[~overlapped[fold.test]],
        calibrated=calibrated,
        left_out=int(overlapped.sum()),
    )


def _permuted(windows: Windows, fold: Fold, repeat: int) -> Fold:
    """Return a fold whose labels are permuted within each subject of train and valid, whatever the tested ones.

    Subjects with one class have nothing to permute, so their classes change hands among them.
    """
    said = windows.labels.astype(np.int64)
    fitted_on = np.sort(np.concatenate([fold.train, fold.valid]))
    draw = keyed.key("permuted", repeat, *sorted(set(windows.subjects[fold.test].tolist())))
    of_one_class = []
    for subject in sorted(set(windows.subjects[fitted_on].tolist())):
        mine = fitted_on[windows.subjects[fitted_on] == subject]
        if len(set(said[mine].tolist())) == 1:
            of_one_class.append(mine)
        said[mine] = said[mine][keyed.permutation(keyed.key(draw, subject), len(mine))]
    theirs = [said[mine[0]] for mine in of_one_class]
    for mine, place in zip(of_one_class, keyed.permutation(draw, len(theirs)).tolist(), strict=True):
        said[mine] = theirs[place]
    return replace(fold, said=said)
