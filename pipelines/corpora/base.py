"""Corpus: what only one corpus knows, as a base class with what holds for most of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from manifests.errors import MissingError, UsageError
from manifests.notes import Note
from manifests.plan import RawRecording
from manifests.recipe import Recipe
from manifests.records import fault
from pipelines.formats.arrays import Arrays
from pipelines.recording import Recording
from pipelines.windows import LabelledOnset, LabelledSpan


@dataclass(frozen=True)
class Totals:
    """What a whole release is known to hold; ``windows`` by the published way of cutting, 0 where none is published."""

    recordings: int
    windows: int = 0

    def completeness(self, release: str, found: int) -> str:
        """Say how many of the recordings of a release, ``tuab 3``, were found."""
        if found == self.recordings:
            return f"complete: {found:,} recordings, as published for {release}"
        differs = "are missing" if found < self.recordings else "more than published"
        return f"{found:,} of {self.recordings:,} recordings of {release}: {abs(self.recordings - found):,} {differs}"


class Options(BaseModel):
    """What one corpus alone understands, the table ``[options]`` of its recipe; a lone value is a tuple of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _tuples_of_one(cls, fields: dict[str, Any]) -> dict[str, Any]:
        several = {name for name, field in cls.model_fields.items() if get_origin(field.annotation) is tuple}
        return {
            name: [value] if name in several and not isinstance(value, list | tuple) else value
            for name, value in fields.items()
        }

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """Return the options of a recipe; DareError naming the first that is none, or none of such a value."""
        try:
            return cls.model_validate(recipe.options)
        except ValidationError as problem:
            first = problem.errors()[0]
            unknown = first["type"] == "extra_forbidden"
            said = f"has no option {first['loc'][0]!r}" if unknown else f"option {fault(problem)}"
            raise UsageError(
                said, path=recipe.corpus, remedy=f"it has {', '.join(cls.model_fields) or 'none'}"
            ) from None


class Corpus(ABC):
    """What only one corpus knows: its file tree, subjects and official split, its classes and where its labels are.

    ``CLASSES`` are in the order of the labels, none where nobody labelled it; ``RELEASE`` is the one there is, where
    there are not several; ``TOTALS`` says by release, as `version` names it (its beginning is enough), what is
    published of it; ``OPTIONS`` are those that a recipe of it may have.
    """

    CLASSES: tuple[str, ...] = ()
    RELEASE: ClassVar[str] = ""
    TOTALS: ClassVar[Mapping[str, Totals]] = {}
    OPTIONS: ClassVar[type[Options]] = Options

    def version(self, _paths: list[str]) -> str:
        """Return the release that these paths below --src look like."""
        return self.RELEASE

    @abstractmethod
    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return the recordings of this corpus among all paths below --src, by name alone."""

    def apply_tables(self, recordings: list[RawRecording], _src: Path, _paths: list[str]) -> list[RawRecording]:
        """Return the recordings with what tables below --src, among all paths there, say of each.

        Raises DareError where a table cannot be read.
        """
        return recordings

    def arrays(self, _raw: RawRecording) -> Arrays | None:
        """Return how a file of bare arrays (MAT) holds its signal, None where the file says so itself."""
        return None

    def is_label_event(self, _text: str) -> bool:
        """Return whether an event of this text can tell a class; others may be free text."""
        return False

    def cues(
        self, raw: RawRecording, _recording: Recording, _labels: bytes, _recipe: Recipe
    ) -> tuple[list[LabelledOnset], list[Note]]:
        """Return (the labelled moments of a recording, notes on events that are not used).

        Asked only where the whole recording has no one label. The labels are its `label_content`.
        Raises DareError where labels do not fit the events.
        """
        remedy = "name it as the corpus does, or take a recipe without classes"
        raise MissingError("its name or folder tells no class", path=raw.path, remedy=remedy)

    def spans(
        self, _raw: RawRecording, _recording: Recording, _labels: bytes, _recipe: Recipe
    ) -> list[LabelledSpan] | None:
        """Return the labelled spans of a recording, so that events can be scored; None where labels are no spans.

        Asked after `cues`, with the same, which told what is wrong with the labels.
        """
        return None

    def label_content(self, src: Path, raw: RawRecording) -> bytes:
        """Return the content of the file below ``src`` that a recording's labels are in, nothing where there is none.

        Raises OSError, or DareError, where it cannot be read.
        """
        return (src / raw.label_file).read_bytes() if raw.label_file else b""

    def totals(self, version: str) -> Totals | None:
        """Return what the release that a tree looks like is known to hold, None where that is not known.

        Of releases that it may be as well, all must hold as many recordings; ``windows`` is 0 where these differ.
        """
        named = [release for release in self.TOTALS if version.startswith(release)]
        closest = [max(named, key=len)] if named else [one for one in self.TOTALS if one.startswith(version)]
        fitting = [self.TOTALS[release] for release in closest]
        recordings, windows = ({getattr(known, name) for known in fitting} for name in ("recordings", "windows"))
        if len(recordings) != 1:
            return None
        return Totals(recordings.pop(), windows.pop() if len(windows) == 1 else 0)
