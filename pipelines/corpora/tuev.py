"""TUH EEG Events: one-second events listed by montage channel in a .rec file beside each recording."""

import csv
import re
from collections import Counter, defaultdict

from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.corpora import tuh
from pipelines.recording import Recording
from pipelines.source import Source, Totals, no_arrays
from pipelines.windows import Cue

CLASSES: tuple[str, ...] = ("spsw", "gped", "pled", "eyem", "artf", "bckg")
TOTALS = {"2.0.0": Totals(recordings=518, windows=112_491), "2.0.1": Totals(recordings=518, windows=113_353)}

_TRAIN = re.compile(r"(?:^|/)train/(?P<subject>[a-z]{8}|\d{8})/(?P=subject)_(?P<session>\d{8})\.edf$")
_EVAL = re.compile(r"(?:^|/)eval/(?P<index>\d{3})/(?P<event>[a-z]{4})_(?P=index)_a_(?P<run>\d*)\.edf$")
_BACKGROUND = "bckg"


def version(paths: list[str]) -> str:
    """Return the release: named in the path, else told by the subject ids (letters since 2.0.0)."""
    return tuh.version(paths, _TRAIN, "1", "2")


def find(paths: list[str], recipe: Recipe) -> list[Source]:
    """Return every recording; an eval file's prefix is an event, its subject is known only by the folder's number."""
    there = set(paths)
    return [source for path in paths if (source := _source(path, there, recipe))]


arrays = no_arrays


def cues(source: Source, recording: Recording, labels: bytes, recipe: Recipe) -> tuple[list[Cue], str]:
    """Return one cue a .rec row (``events = "rows"``) or one a moment (``deduplicated``).

    The same event is listed for many channels. Deduplicated, a moment has the label its channels agree on; background
    yields to an event, and a moment with two kinds of event is dropped and counted.
    """
    rows = _rows(source.label_file, labels, len(recipe.classes))
    if recipe.events == "rows":
        return [Cue(start_s, label) for start_s, label in rows], ""
    background = recipe.classes.index(_BACKGROUND)
    moments: defaultdict[float, set[int]] = defaultdict(set)
    for start_s, label in rows:
        moments[start_s].add(label)
    agreed, contradicted = [], 0
    for start_s, kinds in sorted(moments.items()):
        events = kinds - {background} or kinds
        if len(events) == 1:
            agreed.append(Cue(start_s, events.pop()))
        else:
            contradicted += 1
    lost = Counter(
        {
            "rows repeat a moment on another channel": len(rows) - len(moments),
            "moments carry contradicting events: dropped": contradicted,
        }
    )
    return agreed, "; ".join(f"{count} {what}" for what, count in sorted(lost.items()) if count)


def _source(path: str, there: set[str], recipe: Recipe) -> Source | None:
    rec = f"{path.removesuffix('.edf')}.rec"
    label_file, lacks = (rec, "") if rec in there else ("", f"labels: there is no {rec}")
    if match := _TRAIN.search(path):
        subject, session = f"{recipe.namespace}:{match['subject']}", match["session"]
        return Source(path, subject, session, label_file=label_file, lacks=lacks)
    if match := _EVAL.search(path):
        session = f"{match['event']}{match['run']}"
        subject = f"tueveval:{match['index']}"
        return Source(path, subject, session, test=True, label_file=label_file, lacks=lacks)
    return None


def _rows(name: str, labels: bytes, num_classes: int) -> list[tuple[float, int]]:
    """Return (start in seconds on the 0.1 s grid, class from 0) of every row ``channel,start,stop,label``."""
    rows = []
    for number, row in enumerate(csv.reader(labels.decode("latin-1").splitlines()), start=1):
        if not row:
            continue
        try:
            _, start_s, _, code = (float(field) for field in row)
        except ValueError:
            raise DareError(f"{name}: line {number} is not channel,start,stop,label; get the file again") from None
        if code not in range(1, num_classes + 1):
            raise DareError(f"{name}: line {number} has label {row[3]}, not one of 1 to {num_classes}")
        rows.append((round(start_s, 1), int(code) - 1))
    if not rows:
        raise DareError(f"{name}: holds no event; get the file again")
    return rows
