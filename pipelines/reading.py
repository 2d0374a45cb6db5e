"""Reading: a recording of a corpus, with what its file leaves unsaid and only the corpus knows."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from manifests.layout import Layout
from manifests.plan import RawRecording, ScannedRecording
from manifests.recipe import Recipe
from pipelines import corpora
from pipelines.bad_spans import without_bad_spans
from pipelines.channels import marked, slowest_hz
from pipelines.formats import readers, triggers
from pipelines.formats.rescaled import rescaled
from pipelines.montage import named
from pipelines.recording import Channel, Header, RawFile, Recording


def read_header(src: Path, raw: RawRecording, recipe: Recipe) -> Header:
    """Return the header of a recording below ``src``; raises DareError as `readers.read_header` does."""
    return _told(_scaled(_opened(src, raw, recipe), recipe).header, raw)


def channels_read(src: Path, scanned: ScannedRecording, recipe: Recipe) -> list[Channel]:
    """Return the channels of a recording's header that its electrodes are read from."""
    labels = scanned.channel_map.values()
    return [one for one in read_header(src, scanned.raw, recipe).channels if one.label in labels]


def read(src: Path, raw: RawRecording, recipe: Recipe, start_s: float = 0.0, stop_s: float = float("inf")) -> Recording:
    """Return the electrodes that a recipe needs of a recording below ``src``, from one second to another.

    What is marked as bad in it is in no segment. Raises DareError as `readers.read` does.
    """
    (recording,) = read_spans(src, raw, recipe, [(start_s, stop_s)])
    return recording


def read_spans(src: Path, raw: RawRecording, recipe: Recipe, spans_s: Sequence[tuple[float, float]]) -> list[Recording]:
    """Return what `read` does of several spans of a recording, whose header is read once."""
    file = _opened(src, raw, recipe)
    told = _told(_scaled(file, recipe).header, raw)
    return [_read(file, told, recipe, *span_s) for span_s in spans_s]


def _read(file: RawFile, told: Header, recipe: Recipe, start_s: float, stop_s: float) -> Recording:
    scaled = _scaled(file, recipe)
    recording = readers.read_chosen(scaled, told, recipe.needed, start_s, stop_s, slowest_hz(recipe))
    recording = without_bad_spans(recording, corpora.of(recipe).is_label_event)
    return _with_triggers(recording, file, recipe.layout, recipe) if recipe.layout and recipe.classes else recording


def _with_triggers(recording: Recording, file: RawFile, layout: Layout, recipe: Recipe) -> Recording:
    """Return a recording, its events the triggers where these are labels, with a note on them where there is no other.

    Raises DareError where labels are in a channel of triggers and there is none.
    """
    if layout.labels == "trigger":
        events, notes = triggers.read(file, layout.trigger)
        return replace(recording, events=events, notes=(*recording.notes, *notes))
    is_label = corpora.of(recipe).is_label_event
    if layout.labels == "annotations" and not any(is_label(event.text) for event in recording.events):
        return replace(recording, notes=(*recording.notes, *triggers.noticed(file)))
    return recording


def _opened(src: Path, raw: RawRecording, recipe: Recipe) -> RawFile:
    return readers.open_file(src / raw.path, corpora.of(recipe).arrays(raw))


def _scaled(file: RawFile, recipe: Recipe) -> RawFile:
    """Return a file in the unit that a layout states; triggers, which have none, are read from the file as it is."""
    return rescaled(file, recipe.layout.unit, recipe.layout.scale) if recipe.layout else file


def _told(header: Header, raw: RawRecording) -> Header:
    """Return a header with what the corpus knows of its channels."""
    return replace(header, channels=named(marked(header.channels, raw.unused), raw.montage))
