"""Reading: a recording of a corpus, with what its file leaves unsaid and only the corpus knows."""

from dataclasses import replace
from pathlib import Path

from manifests.recipe import Recipe
from pipelines import corpora
from pipelines.formats import readers
from pipelines.montage import asked, renamed
from pipelines.recording import Header, Recording, marked
from pipelines.source import Source


def read_header(src: Path, source: Source, recipe: Recipe) -> Header:
    """Return the header of a recording below ``src``; raises DareError as `readers.read_header` does."""
    header = readers.read_header(src / source.path, corpora.of(recipe).arrays(source, recipe))
    return renamed(replace(header, channels=marked(header.channels, source.unused)), source.montage)


def read(src: Path, source: Source, recipe: Recipe, start_s: float = 0.0, stop_s: float = float("inf")) -> Recording:
    """Return the electrodes that a recipe needs of a recording below ``src``, from one second to another.

    Raises DareError as `readers.read` does.
    """
    arrays = corpora.of(recipe).arrays(source, recipe)
    electrodes = asked(recipe.needed, source.montage)
    recording = readers.read(src / source.path, electrodes, start_s, stop_s, arrays, source.unused)
    return renamed(recording, source.montage)
