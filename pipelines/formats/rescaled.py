"""Rescaled: a recording whose file says a wrong unit, or none, and whose layout says the right one."""

import math
from dataclasses import replace

import numpy as np

from manifests.notes import Note, note
from pipelines.formats.packed import UnpackedFile
from pipelines.formats.records import RecordFile
from pipelines.formats.sampled import SampledFile
from pipelines.recording import UV_PER_UNIT, Channel, RawFile


def rescaled(file: RawFile, unit: str, scale: float) -> RawFile:
    """Return a file whose samples have this ``unit``, or are ``scale`` times what it says; as it is where it may be.

    Of a channel without a unit the samples are taken as µV before they are scaled. Channels that are no voltages stay.
    """
    if not unit and scale == 1:
        return file
    if isinstance(file, UnpackedFile):
        return replace(file, inner=rescaled(file.inner, unit, scale))
    if isinstance(file, RecordFile):
        channels = [_stated(signal.channel, unit, scale) for signal in file.signals]
        signals = tuple(replace(one, channel=channel) for one, channel in zip(file.signals, channels, strict=True))
        return replace(file, signals=signals, notes=(*file.notes, *_notes(file, unit, scale)))
    if isinstance(file, SampledFile):
        return _sampled(file, unit, scale)
    raise TypeError(f"{type(file).__name__} is no file that can be scaled")


def _sampled(file: SampledFile, unit: str, scale: float) -> SampledFile:
    channels = tuple(_stated(channel, unit, scale) for channel in file.channels)
    before, after = (np.array([one.scale_to_uv for one in of]) for of in (file.channels, channels))
    factors = np.where(np.isnan(after), 1.0, after / np.where(np.isnan(before), 1.0, before)).astype(np.float32)
    return replace(
        file,
        channels=channels,
        load=lambda rows, start, stop: file.load(rows, start, stop) * factors[rows, None],
        notes=(*file.notes, *_notes(file, unit, scale)),
    )


def _stated(channel: Channel, unit: str, scale: float) -> Channel:
    if channel.fault:
        return channel
    if unit:
        return replace(channel, unit=unit, scale_to_uv=UV_PER_UNIT[unit.lower()])
    known = 1.0 if math.isnan(channel.scale_to_uv) else channel.scale_to_uv
    return replace(channel, scale_to_uv=scale * known)


def _notes(file: RawFile, unit: str, scale: float) -> tuple[Note, ...]:
    if not unit:
        return (note("scaled", "samples times {scale:g}, as the layout says", scale=scale),)
    wanted = UV_PER_UNIT[unit.lower()]
    others = {one.unit.strip() or "none" for one in file.header.channels if not one.fault and one.scale_to_uv != wanted}
    says = f"read in {unit}, as the layout says, where the file has {{names}}"
    return (note(f"unit {unit}", says, sorted(others)),) if others else ()
