"""Conditioned: a recording, or a piece of one, before windows are cut: read just now, or kept in an archive."""

from dataclasses import dataclass

from pipelines.conditioning import Conditioned
from pipelines.recording import Recording


@dataclass(frozen=True)
class ConditionedRecording:
    """A recording, or a piece of one, before windows are cut: what an archive keeps of it.

    Of ``recording`` it keeps the events that can tell a class and not the samples; ``labels`` is the content of the
    file of labels.
    """

    recording: Recording
    conditioned: Conditioned
    labels: bytes
