"""TUH EEG Artifact Corpus: a table beside each recording lists artifacts by montage channel.

A row may name two kinds at once (``eyem_musc``). A window has one label here: the kind that lasts longest in it, on
whichever channels; clean where no artifact touches it. Electrode pops and static (``elpp``, ``elst``) are ``elec``,
as newer releases have it.
"""

import re
from collections import Counter, defaultdict

from manifests.recipe import Recipe
from pipelines.corpora import tuh
from pipelines.recording import Recording
from pipelines.source import Source, Totals, no_arrays
from pipelines.windows import Cue, by_overlap

CLASSES: tuple[str, ...] = ("clean", "eyem", "musc", "chew", "shiv", "elec")
TOTALS = {"3": Totals(recordings=310)}

_PATH = re.compile(rf"(?:^|/)edf/{tuh.MONTAGE}/{tuh.SUBJECT}_s(?P<session>\d{{3}})(?:_t\d{{3}})?\.(?i:edf)$")
_TABLES = (".csv",)
_KINDS = {name: name for name in CLASSES[1:]} | {"eybl": "eyem", "elpp": "elec", "elst": "elec"}

Span = tuple[float, float, int]


def version(paths: list[str]) -> str:
    """Return the release: named in the path, else told by the subject ids (letters since 3.0.0)."""
    return tuh.version(map(_PATH.search, paths), "2", "3")


def find(paths: list[str], recipe: Recipe) -> list[Source]:
    """Return every recording; folders are of montages, with no folder of a subject between."""
    return tuh.find(paths, _PATH, recipe, _TABLES)


arrays = no_arrays


def cues(source: Source, recording: Recording, labels: bytes, recipe: Recipe) -> tuple[list[Cue], str]:
    """Return a cue for each window of the grid, and how many windows hold several kinds of artifact."""
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    others = Counter[str]()
    for row in tuh.annotations(source.label_file, labels):
        kinds = {_KINDS[part] for part in row.label.split("_") if part in _KINDS}
        for kind in kinds:
            spans[kind].append((row.onset_s, row.end_s, CLASSES.index(kind)))
        others[row.label] += not kinds
    united = [_united(group) for group in spans.values()]

    def on_the_grid(chosen: list[Span]) -> list[Cue]:
        return by_overlap(chosen, tuh.duration_s(recording), CLASSES.index("clean"), recipe)

    found = on_the_grid([span for group in united for span in group])
    kinds_in = Counter(cue.onset_s for group in united for cue in on_the_grid(group) if cue.label)
    several = sum(count > 1 for count in kinds_in.values())
    notes = [f"{several} of {len(found)} windows hold several kinds of artifact: the longest counts"] if several else []
    notes += [f"{count} rows of {label} name no artifact: not used" for label, count in sorted(others.items()) if count]
    return found, "; ".join(notes)


def _united(spans: list[Span]) -> list[Span]:
    """Return the spans of one kind, those that overlap as one: time counts once, on however many channels."""
    whole: list[Span] = []
    for onset_s, end_s, label in sorted(spans):
        if whole and onset_s <= whole[-1][1]:
            first_s, last_s, _ = whole.pop()
            onset_s, end_s = first_s, max(last_s, end_s)
        whole.append((onset_s, end_s, label))
    return whole
