"""Montage: the electrodes of a file whose channels have no names of their own but an order that is known."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import overload

from manifests.errors import DareError
from pipelines.recording import Header, Recording


def asked(electrodes: Collection[str], montage: Sequence[str]) -> tuple[str, ...]:
    """Return the names by which a reader knows these electrodes: their own, and those of unnamed channels."""
    return (*electrodes, *(position for position, name in _unnamed(montage).items() if name in electrodes))


@overload
def renamed(held: Header, montage: Sequence[str]) -> Header: ...
@overload
def renamed(held: Recording, montage: Sequence[str]) -> Recording: ...
def renamed(held: Header | Recording, montage: Sequence[str]) -> Header | Recording:
    """Return a header or recording whose unnamed channels have the names that ``montage`` lists in the file's order.

    A channel that its file names keeps that name. Raises DareError where a file names an electrode itself and
    elsewhere than the montage has it: then its order is another.
    """
    if isinstance(held, Recording):
        return replace(held, electrodes=_told(held.electrodes, montage))
    names = _told([channel.electrode for channel in held.channels], montage)
    channels = (replace(channel, electrode=name) for channel, name in zip(held.channels, names, strict=True))
    return replace(held, channels=tuple(channels))


def _told(electrodes: Sequence[str], montage: Sequence[str]) -> tuple[str, ...]:
    names = _unnamed(montage)
    if twice := [names[one] for one in electrodes if one in names and names[one] in electrodes]:
        raise DareError(f"names {twice[0]}, which by the order of its channels is another: get the file again")
    return tuple(names.get(one, one) for one in electrodes)


def _unnamed(montage: Sequence[str]) -> dict[str, str]:
    """Return the electrode of each channel by what `pipelines.recording.describe_channel` calls one without a name."""
    return {f"CH{number}": name for number, name in enumerate(montage, start=1)}
