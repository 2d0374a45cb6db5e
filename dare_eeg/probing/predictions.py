"""Predictions: what was said of each tested window, as predictions.csv keeps it."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dare_eeg.data.shards import Windows
from dare_eeg.probing.figures import statistics
from dare_eeg.probing.summary import Round
from manifests.errors import MissingError

PREDICTIONS = "predictions.csv"
"""A row for each tested window of each repeat and seed."""

_OF_WINDOW = ("repeat", "recording", "start_s", "subject", "label")


@dataclass(frozen=True)
class Contributions:
    """What each subject adds to balanced accuracy, (subjects,), the mean over repeats and seeds; of which windows."""

    subjects: tuple[str, ...]
    added: NDArray[np.float64]
    windows: str


def as_csv(windows: Windows, rounds: Sequence[Round]) -> bytes:
    """Return the content of predictions.csv."""
    stream = io.StringIO()
    rows = csv.writer(stream, lineterminator="\n")
    classes = [f"p_{name}" for name in windows.classes]
    rows.writerow(["repeat", "seed", "recording", "start_s", "subject", "label", *classes])
    for one in rounds:
        for number, probabilities in zip(one.tested.tolist(), one.probabilities, strict=True):
            start_s, label = f"{windows.start_s[number]:.6g}", int(windows.labels[number])
            facts = [one.repeat, one.seed, windows.recordings[number], start_s, windows.subjects[number], label]
            rows.writerow([*facts, *(repr(float(probability)) for probability in probabilities)])
    return stream.getvalue().encode(errors="surrogateescape")


def contributions(row: Path) -> Contributions:
    """Return what subjects add by the predictions in a row's folder; ``windows`` is a hash of those tested.

    Raises MissingError where there are none.
    """
    path = row / PREDICTIONS
    if not path.is_file():
        raise MissingError("is not there, and its subjects are what is compared", path=path, remedy="probe again")
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        rows = list(csv.reader(stream))
    head, body = rows[0], rows[1:]
    subject, label, first = head.index("subject"), head.index("label"), head.index("label") + 1
    rounds: dict[tuple[str, str], list[list[str]]] = {}
    for one in body:
        rounds.setdefault((one[0], one[1]), []).append(one)
    parts = [
        statistics.contributions(
            np.array([int(one[label]) for one in of_round]),
            np.array([[float(cell) for cell in one[first:]] for one in of_round]).argmax(axis=1),
            np.array([one[subject] for one in of_round]),
        )
        for of_round in rounds.values()
    ]
    of_window = [head.index(name) for name in _OF_WINDOW]
    windows = sorted({"\x1f".join(one[column] for column in of_window) for one in body})
    digest = sha256("\n".join(windows).encode(errors="surrogateescape")).hexdigest()
    return Contributions(tuple(sorted({one[subject] for one in body})), np.asarray(np.mean(parts, axis=0)), digest)
