"""Conditioned: a recording, or a piece of one, before windows are cut: read just now, or kept in an archive."""

from dataclasses import dataclass, field

from manifests.notes import Note
from pipelines.conditioning import Conditioned
from pipelines.dead_spans import Spans
from pipelines.recording import Recording


@dataclass(frozen=True)
class ConditionedRecording:
    """A recording, or a piece of one, before windows are cut: what an archive keeps of it.

    Of ``recording`` it keeps the events that can tell a class and not the samples; ``labels`` is the content of the
    file of labels. ``dead`` says when electrodes were dead in the raw recording; ``unfit`` why the whole is no EEG,
    and then it is not conditioned.
    """

    recording: Recording
    conditioned: Conditioned
    labels: bytes
    dead: Spans = field(default_factory=dict)
    unfit: tuple[Note, ...] = ()
