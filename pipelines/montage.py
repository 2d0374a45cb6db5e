"""Montage: the electrodes of a file whose channels have no names of their own but an order that is known."""

from collections.abc import Sequence
from dataclasses import replace

from manifests.errors import DamagedError
from pipelines.recording import Channel


def named(channels: Sequence[Channel], montage: Sequence[str]) -> tuple[Channel, ...]:
    """Return the channels of a file, the unnamed ones as the electrodes that ``montage`` lists in the file's order.

    A channel that its file names keeps that name. Raises DareError where a file has fewer channels than the montage, or
    names an electrode itself and elsewhere than the montage has it: then its order is another.
    """
    if not montage:
        return tuple(channels)
    if len(channels) < len(montage):
        raise DamagedError(
            f"has {len(channels)} channels, fewer than the {len(montage)} electrodes that it should begin with: "
            "get the file again"
        )
    # What `pipelines.recording.describe_channel` calls a channel without a name, and the electrode there.
    electrodes = {f"CH{number}": name for number, name in enumerate(montage, start=1)}
    by_file = [channel.electrode for channel in channels]
    if twice := [electrodes[name] for name in by_file if electrodes.get(name) in by_file]:
        reason = f"names {twice[0]}, which by the order of its channels is another"
        raise DamagedError(reason, remedy="get the file again")
    names = (electrodes.get(name, name) for name in by_file)
    return tuple(replace(one, electrode=name) for one, name in zip(channels, names, strict=True))
