"""Bad spans: what somebody marked as bad in a recording, as MNE marks it, is no signal."""

import math
import re
from collections.abc import Callable
from dataclasses import replace

from manifests.notes import note
from pipelines.recording import Event, Recording, Segment

_BAD = re.compile(r"bad|comment/bad_", re.IGNORECASE)
"""How the texts begin whose spans MNE rejects; its export to BrainVision puts the marker's type before them."""

_TINY = 1e-6


def without_bad_spans(recording: Recording, is_label: Callable[[str], bool]) -> Recording:
    """Return a recording without the spans that events mark as bad, and a note of their seconds.

    They end segments as gaps do. Events without a duration, and those that ``is_label`` says stand for a class, mark no
    span.
    """
    bad = [one for one in recording.events if one.duration_s > 0 and _BAD.match(one.text) and not is_label(one.text)]
    if not bad or not recording.sfreq:
        return recording
    spans = _joined(bad)
    segments = recording.segments
    for start_s, stop_s in spans:
        segments = tuple(part for segment in segments for part in _around(segment, start_s, stop_s, recording.sfreq))
    seconds = sum(stop_s - start_s for start_s, stop_s in spans)
    said = note("bad spans", "{seconds:g} s are marked as bad ({names}): not used", _texts(bad), seconds=seconds)
    return replace(
        recording,
        segments=segments,
        events=tuple(one for one in recording.events if one not in bad),
        notes=(*recording.notes, said),
    )


def _joined(events: list[Event]) -> list[tuple[float, float]]:
    """Return the (start, stop) in s of what the events cover, in order."""
    spans: list[tuple[float, float]] = []
    for start_s, stop_s in sorted((max(0.0, one.onset_s), one.onset_s + one.duration_s) for one in events):
        if spans and start_s <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], stop_s)
        elif start_s < stop_s:
            spans.append((start_s, stop_s))
    return spans


def _around(segment: Segment, start_s: float, stop_s: float, sfreq: float) -> list[Segment]:
    """Return what a span leaves of a segment."""
    first, last = segment.start, segment.stop
    begin = min(max(first, first + math.floor((start_s - segment.onset_s) * sfreq + _TINY)), last)
    end = min(max(first, first + math.ceil((stop_s - segment.onset_s) * sfreq - _TINY)), last)
    if begin >= end:
        return [segment]
    rest = Segment(end, last, segment.onset_s + (end - first) / sfreq)
    return [one for one in (Segment(first, begin, segment.onset_s), rest) if one.start < one.stop]


def _texts(events: list[Event]) -> list[str]:
    return sorted({one.text for one in events})
