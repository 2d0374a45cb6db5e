"""TUH EEG Events: one-second events listed by montage channel in a .rec file beside each recording.

Its spans are runs of rows of one class that overlap or abut, on whichever channels, background among them: what no row
names is not labelled.
"""

import csv
import math
import re
from collections import defaultdict
from itertools import groupby
from typing import ClassVar, TypeVar

from manifests.errors import DamagedError, MissingError
from manifests.notes import Note, note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora import tuh
from pipelines.corpora.base import Totals
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset, LabelledSpan, happened, united

_BACKGROUND = "bckg"
_TENTHS = 10
"""Rows lie on a grid of tenths of a second and last one second, so ten of them."""

_REPEATED = "{count} rows repeat a moment on another channel"

_Row = tuple[float, int]
_Time = TypeVar("_Time", int, float)


class Tuev(tuh.Temple):
    """Its train files are of subjects; of an eval file the prefix is an event, its folder's number the subject."""

    CLASSES = ("spsw", "gped", "pled", "eyem", "artf", "bckg")
    TOTALS: ClassVar = {
        "2.0.0": Totals(recordings=518, windows=112_491),
        "2.0.1": Totals(recordings=518, windows=113_353),
    }
    PATH = re.compile(r"(?:^|/)train/(?P<subject>[a-z]{8}|\d{8})/(?P=subject)_(?P<session>\d{8})\.(?i:edf)$")
    EVAL = re.compile(r"(?:^|/)eval/(?P<index>\d{3})/(?P<event>[a-z]{4})_(?P=index)_a_(?P<run>\d*)\.(?i:edf)$")
    TABLES = (".rec",)

    def cues(
        self, raw: RawRecording, _recording: Recording, labels: bytes, recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return one cue a .rec row (``events = "rows"``), a moment (``deduplicated``) or a second (``merged``).

        The same event is listed for many channels, and again a tenth of a second later. Of what its channels say of one
        time, background yields to an event, and time with two kinds of event is dropped and counted.
        """
        rows = _rows(raw.label_file, labels, len(recipe.classes))
        if recipe.events == "rows":
            return [LabelledOnset(start_s, label) for start_s, label in rows], []
        background = recipe.classes.index(_BACKGROUND)
        return (_merged if recipe.events == "merged" else _deduplicated)(rows, background)

    def spans(self, raw: RawRecording, _recording: Recording, labels: bytes, recipe: Recipe) -> list[LabelledSpan]:
        """Return the runs of each class, whatever ``events`` makes of them as windows."""
        rows = _rows(raw.label_file, labels, len(recipe.classes))
        return united([LabelledSpan(start_s, round(start_s + 1, 1), label) for start_s, label in rows])

    def _match(self, path: str) -> re.Match[str] | None:
        return self.PATH.search(path) or self.EVAL.search(path)

    def _source(self, match: re.Match[str], recipe: Recipe) -> RawRecording:
        if match.re is self.EVAL:
            session = f"{match['event']}{match['run']}"
            return RawRecording(path=match.string, subject=f"tueveval:{match['index']}", session=session, test=True)
        return super()._source(match, recipe).model_copy(update={"session": match["session"]})


def _deduplicated(rows: list[_Row], background: int) -> tuple[list[LabelledOnset], list[Note]]:
    """Return (one cue for each moment that rows start at, notes on what was lost)."""
    moments: defaultdict[float, set[int]] = defaultdict(set)
    for start_s, label in rows:
        moments[start_s].add(label)
    agreed = [LabelledOnset(start_s, label) for start_s, label in _agreed(moments, background)]
    return agreed, happened(
        note("contradicting", "{count} moments carry contradicting events: dropped", count=len(moments) - len(agreed)),
        note("repeated", _REPEATED, count=len(rows) - len(moments)),
    )


def _merged(rows: list[_Row], background: int) -> tuple[list[LabelledOnset], list[Note]]:
    """Return (one cue for each whole second of each event, notes on what was lost).

    Rows of one class that overlap or abut are one event. No tenth of a second belongs to two cues.
    """
    tenths: defaultdict[int, set[int]] = defaultdict(set)
    for start_s, label in rows:
        first = round(start_s * _TENTHS)
        for tenth in range(first, first + _TENTHS):
            tenths[tenth].add(label)
    agreed = _agreed(tenths, background)
    found: list[LabelledOnset] = []
    # Within an event the tenths count up as their places in the list do.
    for (label, _), event in groupby(enumerate(agreed), lambda one: (one[1][1], one[1][0] - one[0])):
        starts = [tenth for _, (tenth, _) in event]
        found += [
            LabelledOnset(starts[place] / _TENTHS, label) for place in range(0, len(starts) - _TENTHS + 1, _TENTHS)
        ]
    contradicting = "{count} tenths of a second carry contradicting events: dropped"
    left_over = "{count} tenths of a second follow the last whole second of their event: dropped"
    return found, happened(
        note("repeated", _REPEATED, count=len(rows) - len(set(rows))),
        note("contradicting", contradicting, count=len(tenths) - len(agreed)),
        note("left over", left_over, count=len(agreed) - _TENTHS * len(found)),
    )


def _agreed(times: dict[_Time, set[int]], background: int) -> list[tuple[_Time, int]]:
    """Return the times, in order, that are of one class once background has yielded, and that class."""
    kinds = {time: labels - {background} or labels for time, labels in times.items()}
    return [(time, next(iter(labels))) for time, labels in sorted(kinds.items()) if len(labels) == 1]


def _rows(name: str, labels: bytes, num_classes: int) -> list[_Row]:
    """Return (start in seconds on the 0.1 s grid, class from 0) of every row ``channel,start,stop,label``."""
    rows = []
    for number, row in enumerate(csv.reader(labels.decode("latin-1").splitlines()), start=1):
        if not row:
            continue
        try:
            _, start_s, _, code = (float(field) for field in row)
        except ValueError:
            raise DamagedError(
                f"line {number} is not channel,start,stop,label", path=name, remedy="get the file again"
            ) from None
        if not math.isfinite(start_s):
            raise DamagedError(f"line {number} starts at {row[1]} s", path=name, remedy="get the file again")
        if code not in range(1, num_classes + 1):
            raise DamagedError(f"line {number} has label {row[3]}, not one of 1 to {num_classes}", path=name)
        rows.append((round(start_s, 1), int(code) - 1))
    if not rows:
        raise MissingError("holds no event", path=name, remedy="get the file again")
    return rows
