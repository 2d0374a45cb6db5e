"""Source: a raw recording as the tree it lies in tells of it, before a byte of it is read."""

from dataclasses import dataclass, field
from typing import Protocol

from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.formats.arrays import Arrays
from pipelines.recording import Recording
from pipelines.windows import Cue


@dataclass(frozen=True)
class Source:
    """A recording of a corpus: its path below --src and what its name and place say.

    ``label`` is the class of the whole recording, "" where events carry the classes; ``label_file`` the file, below
    --src, that holds its labels; ``skip`` says why the recipe has no use for it; ``lacks`` what it cannot do without;
    ``montage`` names the file's channels in order, where its own labels do not tell; ``unused`` says by label which are
    no usable electrodes, and why.
    """

    path: str
    subject: str
    session: str
    test: bool = False
    label: str = ""
    label_file: str = ""
    skip: str = ""
    lacks: str = ""
    montage: tuple[str, ...] = ()
    unused: dict[str, str] = field(default_factory=dict)


def no_cues(source: Source, recording: Recording, labels: bytes, recipe: Recipe) -> tuple[list[Cue], str]:
    """Raise DareError: the `Corpus.cues` of a corpus whose every recording has one label."""
    raise DareError(f"{source.path}: its name or folder tells no class")


def no_arrays(source: Source, recipe: Recipe) -> Arrays | None:
    """Return None: the `Corpus.arrays` of a corpus whose files name their own channels."""
    return None


@dataclass(frozen=True)
class Totals:
    """What a whole release is known to hold; ``windows`` by the published way of cutting, 0 where none is published."""

    recordings: int
    windows: int = 0


class Corpus(Protocol):
    """What only one corpus knows: its file tree, subjects and official split, its classes and where its labels are."""

    CLASSES: tuple[str, ...]
    TOTALS: dict[str, Totals]
    """By release, as `version` names it (its beginning is enough); empty where nothing is published."""

    def version(self, paths: list[str]) -> str:
        """Return the release that these paths below --src look like."""

    def find(self, paths: list[str], recipe: Recipe) -> list[Source]:
        """Return the recordings of this corpus among all paths below --src, by name alone."""

    def arrays(self, source: Source, recipe: Recipe) -> Arrays | None:
        """Return how a file of bare arrays (MAT) holds its signal, None where the file says so itself."""

    def cues(self, source: Source, recording: Recording, labels: bytes, recipe: Recipe) -> tuple[list[Cue], str]:
        """Return (the labelled moments of a recording, a note on events that are not used).

        Asked only where the whole recording has no one label. ``labels`` is the content of ``source.label_file``.
        Raises DareError where labels do not fit the events.
        """


def totals(corpus: Corpus, version: str) -> Totals | None:
    """Return what the release that a tree looks like is known to hold, None where that is not known.

    Of releases that it may be as well, all must hold as many recordings; ``windows`` is 0 where these differ.
    """
    named = [release for release in corpus.TOTALS if version.startswith(release)]
    closest = [max(named, key=len)] if named else [release for release in corpus.TOTALS if release.startswith(version)]
    fitting = [corpus.TOTALS[release] for release in closest]
    recordings, windows = ({getattr(known, name) for known in fitting} for name in ("recordings", "windows"))
    if len(recordings) != 1:
        return None
    return Totals(recordings.pop(), windows.pop() if len(windows) == 1 else 0)


def completeness(name: str, known: Totals, found: int) -> str:
    """Say how many of a release's recordings were found."""
    if found == known.recordings:
        return f"complete: {found:,} recordings, as published for {name}"
    differs = "are missing" if found < known.recordings else "more than published"
    return f"{found:,} of {known.recordings:,} recordings of {name}: {abs(known.recordings - found):,} {differs}"
