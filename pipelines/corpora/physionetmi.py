"""EEG Motor Movement/Imagery Dataset: what T1 and T2 mean depends on the run."""

import re
from typing import ClassVar

from manifests.errors import MissingError
from manifests.notes import Note, note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus, Options, Totals
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset

_PATH = re.compile(r"(?:^|/)(?P<subject>S\d{3})R(?P<run>\d\d)\.edf$", re.IGNORECASE)
_FIST_RUNS = (3, 4, 7, 8, 11, 12)
_BOTH_RUNS = (5, 6, 9, 10, 13, 14)
_IMAGERY_RUNS = (4, 6, 8, 10, 12, 14)


class RunsOptions(Options):
    """``runs`` are those to use, by number; all where none is named."""

    runs: tuple[int, ...] = ()


class PhysionetMi(Corpus):
    """109 subjects with 14 runs each: two at rest, six of movements executed and six of movements imagined."""

    CLASSES = ("left", "right", "fists", "feet")
    RELEASE = "1.0.0"
    TOTALS: ClassVar = {"": Totals(recordings=1526)}
    OPTIONS = RunsOptions

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every recording; runs that the recipe does not name are skipped."""
        runs = RunsOptions.of(recipe).runs
        return [
            RawRecording(
                path=path,
                subject=f"{recipe.namespace}:{match['subject'].upper()}",
                session=f"R{match['run']}",
                skip=_skip(int(match["run"]), runs, bool(recipe.classes)),
            )
            for path in paths
            if (match := _PATH.search(path))
        ]

    def is_label_event(self, text: str) -> bool:
        """Return whether an event is rest or one of the two tasks of its run."""
        return text in ("T0", "T1", "T2")

    def cues(
        self, raw: RawRecording, recording: Recording, labels: bytes, recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return the onset of every T1 and T2 with the class it has in this run; T0 is rest and has none."""
        if not raw.session:
            return super().cues(raw, recording, labels, recipe)
        meaning = _classes(int(raw.session.removeprefix("R")))
        events = [event for event in recording.events if event.text in meaning]
        if not events:
            raise MissingError("holds no T1 or T2 annotation", path=raw.path, remedy="get the file again")
        return [LabelledOnset(event.onset_s, recipe.classes.index(meaning[event.text])) for event in events], []


def _classes(run: int) -> dict[str, str]:
    if run in _FIST_RUNS:
        return {"T1": "left", "T2": "right"}
    return {"T1": "fists", "T2": "feet"} if run in _BOTH_RUNS else {}


def _skip(run: int, runs: tuple[int, ...], labelled: bool) -> Note | None:
    is_baseline = run not in _FIST_RUNS + _BOTH_RUNS
    if (not runs or run in runs) and not (labelled and is_baseline):
        return None
    kind = "is a baseline" if is_baseline else "imagines movements" if run in _IMAGERY_RUNS else "executes movements"
    return note("other run", f"run {{names}} {kind}: not among the recipe's runs", [str(run)])
