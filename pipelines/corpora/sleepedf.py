"""Sleep-EDF expanded: two nights of most subjects, the stages of each in a hypnogram file of its own."""

import math
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import ClassVar

from pydantic import Field

from manifests.errors import MissingError
from manifests.notes import Note, note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus, Options, Totals
from pipelines.formats.edf import annotation_lists, illegible
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset, happened, within

_PSG = re.compile(r"(?:^|/)(?P<study>SC4|ST7)(?P<subject>\d\d)(?P<night>\d)[A-Z]0-PSG\.(?i:edf)$")
_HYPNOGRAM = re.compile(r"(?:^|/)S[CT]\d{4}[A-Z]{2}-Hypnogram\.(?i:edf)$")
_SHARED_LETTERS = 7
"""SC4001E0-PSG and SC4001EC-Hypnogram are of one night: the eighth letter is of the scorer."""

_STAGE = re.compile(r"(?:Sleep stage|Movement) .+")
"""What the annotations of a hypnogram say; it holds no others but the times of its records."""

_HEADER_BYTES = slice(184, 192)
"""Where an EDF says how long its header is."""

_CLASS_OF = {
    "Sleep stage W": "W",
    "Sleep stage 1": "N1",
    "Sleep stage 2": "N2",
    "Sleep stage 3": "N3",
    "Sleep stage 4": "N3",
    "Sleep stage R": "R",
}
"""Stages after Rechtschaffen & Kales (1968), of which the AASM (2007) made 3 and 4 one."""


class WakeOptions(Options):
    """``wake_margin_s`` is how far from sleep, in seconds, windows of wake may lie."""

    wake_margin_s: float = Field(0.0, ge=0)


class SleepEdf(Corpus):
    """Nights at home (cassette) and in hospital (telemetry)."""

    CLASSES = ("W", "N1", "N2", "N3", "R")
    RELEASE = "1.0.0"
    TOTALS: ClassVar = {"": Totals(recordings=197)}
    OPTIONS = WakeOptions

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every night with its hypnogram; the subjects of one study (SC, ST) are none of the other."""
        hypnograms = {_night(path): path for path in reversed(paths) if _HYPNOGRAM.search(path)}
        return [_source(path, match, hypnograms, recipe) for path in paths if (match := _PSG.search(path))]

    def cues(
        self, raw: RawRecording, recording: Recording, labels: bytes, recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return a cue for each window that lies within one stage, wake only as near to sleep as ``wake_margin_s``.

        Nothing is made of movement time and of what was not scored (?); it is counted, as is the wake left out. Stages
        that end before the signal are noted.
        """
        margin_s = WakeOptions.of(recipe).wake_margin_s
        stages, lost = _stages(raw.label_file, labels)
        asleep = [one for one in stages if _CLASS_OF.get(one[2], "W") != "W"]
        first_s = min((onset_s for onset_s, _, _ in asleep), default=float("inf")) - margin_s
        last_s = max((onset_s + duration_s for onset_s, duration_s, _ in asleep), default=0.0) + margin_s
        found: list[LabelledOnset] = []
        unstaged, num_far = Counter[str](), 0
        for onset_s, duration_s, text in stages:
            name = _CLASS_OF.get(text)
            windows = within(onset_s, duration_s, recipe.classes.index(name) if name else -1, recipe)
            if name is None:
                unstaged[text] += len(windows)
                continue
            kept = [one for one in windows if name != "W" or first_s <= one.onset_s <= last_s - recipe.window_s]
            num_far += len(windows) - len(kept)
            found += kept
        far = "{count} windows of wake are more than {margin_s:g} s from sleep: dropped"
        notes = lost + happened(
            *(
                note("unstaged", "{count} windows are {names}: dropped", [text], count=unstaged[text])
                for text in sorted(unstaged)
            ),
            note("far from sleep", far, count=num_far, margin_s=margin_s),
        )
        staged_s = max(onset_s + duration_s for onset_s, duration_s, _ in stages)
        end_s = max((one.onset_s + (one.stop - one.start) / recording.sfreq for one in recording.segments), default=0.0)
        if end_s - staged_s >= recipe.window_s:
            early = "stages end {missing_s:g} s before the signal: is the hypnogram whole?"
            notes.append(note("stages end early", early, missing_s=end_s - staged_s))
        return found, notes


def _source(path: str, match: re.Match[str], hypnograms: dict[str, str], recipe: Recipe) -> RawRecording:
    night = _night(path)
    unknown = note("no labels", "stages: there is no {names} below --src", [f"{night}?-Hypnogram.edf"])
    return RawRecording(
        path=path,
        subject=f"{recipe.namespace}:{match['study'][:2]}{match['subject']}",
        session=f"N{match['night']}",
        label_file=hypnograms.get(night, ""),
        lacks=None if night in hypnograms else unknown,
    )


def _night(path: str) -> str:
    return PurePosixPath(path).name[:_SHARED_LETTERS]


def _stages(name: str, labels: bytes) -> tuple[list[tuple[float, float, str]], list[Note]]:
    """Return (onset in s, duration in s, text) of every stage of an EDF+ file, and a note on annotations lost."""
    header_bytes = labels[_HEADER_BYTES]
    lists = list(annotation_lists(labels[int(header_bytes) :])) if header_bytes.strip().isdigit() else []
    stages = [(onset_s, lasts_s, text) for onset_s, lasts_s, texts in lists for text in texts if _STAGE.fullmatch(text)]
    if not stages:
        raise MissingError("holds no sleep stage", path=name, remedy="get the hypnogram again")
    return stages, illegible(sum(math.isnan(onset_s) for onset_s, _, _ in lists))
