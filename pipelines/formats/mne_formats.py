"""Foreign: a recording of a format that MNE reads for us."""

import math
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.electrodes import VOCABULARY, canonical
from manifests.notes import Note, note
from pipelines.formats.sampled import SampledFile, error_context, in_blocks, is_joint, stretches
from pipelines.recording import MARKED_BAD, Channel, Event, Segment, describe_channel

MNE_ALONE = RLock()
"""Held while MNE opens a file: how much it says is one setting of all threads, and comes back as they end."""

_SKIP = "BAD_ACQ_SKIP"  # FIF: nothing was recorded; MNE fills in zeros


def by_mne(
    path: Path, kind: str, raw: Any, rows: list[int], notes: tuple[Note, ...], files: tuple[Path, ...] = ()
) -> SampledFile:
    """Return a file that reads spans of these channels of MNE's ``raw``, in V, as they are asked for.

    Channels that it marks as bad have a fault, and those that MNE numbered, for want of names of their own, the name
    that they had. ``files`` are those beside ``path`` that ``raw`` goes on in.
    """
    sfreq = float(raw.info["sfreq"])
    channels, left_out = described(raw, rows)
    annotations = raw.annotations
    onsets_s = (np.asarray(annotations.onset, np.float64) - raw.first_time).tolist()
    found = zip(onsets_s, annotations.duration.tolist(), map(str, annotations.description), strict=True)
    events = sorted((Event(*one) for one in found), key=lambda event: event.onset_s)

    def load(places: list[int], start: int, stop: int) -> NDArray[np.float32]:
        picks = [rows[place] for place in places]
        order = np.argsort(np.argsort(picks))
        with error_context(path, kind):
            return in_blocks(
                lambda first, end: raw[sorted(picks), first:end][0][order] * 1e6,
                len(picks),
                len(raw.ch_names),
                start,
                stop,
            )

    return SampledFile(
        path=path,
        format=kind,
        channels=channels,
        num_samples=int(raw.n_times),
        segments=_segments(events, int(raw.n_times), sfreq),
        events=tuple(event for event in events if event.text != _SKIP),
        notes=(*notes, *left_out),
        load=load,
        files=files,
    )


def described(held: Any, rows: list[int]) -> tuple[tuple[Channel, ...], tuple[Note, ...]]:
    """Return (these channels of what MNE holds, in V, a note on the others if they are no EEG)."""
    sfreq = float(held.info["sfreq"])
    names = [held.ch_names[row] for row in rows]
    others = sorted(set(held.get_channel_types()) - {"eeg"}) if len(rows) < len(held.ch_names) else []
    says = "{channels} channels that are no EEG left out ({names})"
    notes = [note("no EEG", says, others, channels=len(held.ch_names) - len(rows))] * bool(others)
    units = getattr(held, "_orig_units", None) or {}
    channels = (
        describe_channel(label, place, sfreq, units.get(name, "V"))
        for place, (name, label) in enumerate(zip(names, _as_written(names), strict=True))
    )
    marked = (
        replace(channel, fault=MARKED_BAD) if name in held.info["bads"] else channel
        for name, channel in zip(names, channels, strict=True)
    )
    return tuple(marked), tuple(notes)


def _as_written(names: list[str]) -> list[str]:
    """Return the names of channels without the numbers, from 0 to the last, by which MNE tells equal names apart."""
    split = [name.rpartition("-")[::2] for name in names]
    numbers: dict[str, set[str]] = {}
    for base, number in split:
        numbers.setdefault(base, set()).add(number)
    repeated = {
        base
        for base, found in numbers.items()
        if len(found) > 1 and canonical(base) in VOCABULARY and found == {str(one) for one in range(len(found))}
    }
    return [base if base in repeated else name for name, (base, _) in zip(names, split, strict=True)]


def _segments(events: list[Event], num_samples: int, sfreq: float) -> tuple[Segment, ...]:
    """Return the stretches between joints and skips."""
    edges, skips = set(), []
    for event in events:
        if is_joint(event.text):
            edges.add(math.ceil(event.onset_s * sfreq - 1e-6))
        elif event.text == _SKIP:
            start = round(event.onset_s * sfreq)
            skips.append(range(start, start + round(event.duration_s * sfreq)))
    edges |= {edge for skip in skips for edge in (skip.start, skip.stop)}
    parts = stretches(edges, num_samples, sfreq)
    return tuple(part for part in parts if not any(part.start in skip for skip in skips))
