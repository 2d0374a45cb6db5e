"""Channels: which of a file's channels is which electrode, and whether they suffice for a recipe."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from manifests.electrodes import LINKED_EARS, VOCABULARY, canonical, derivation
from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.recording import Channel

PUBLISHED_DROPS: frozenset[str] = frozenset(
    ["PHOTIC-REF", "IBI", "BURSTS", "SUPPR", "EMG-REF", "RESP ABDOMEN-REF", "ECG EKG-REF", "PULSE RATE"]
    + [f"EEG {name}-REF" for name in "ROC LOC EKG EKG1 C3P C4P SP1 SP2 LUC RLC RESP1 RESP2 PG1 PG2".split()]
    + [f"EEG {number}-REF" for number in range(20, 129)]
)
"""The labels that the published code of TUAB and TUEV drops (LaBraM, ``make_TUAB.py``; Jiang 2024)."""

_LEAST_KNOWN = 8
"""Electrodes of known place below which a spline through them says nothing of the rest of the head."""


@dataclass(frozen=True)
class Choice:
    """Which channels of a file are read, one for each of the wanted electrodes that it has.

    ``places`` are theirs among its ``channels``, ``sfreq`` is their rate, 0 where there are none. ``others`` are the
    places of the channels that would be wanted electrodes as well.
    """

    channels: Sequence[Channel]
    places: tuple[int, ...]
    sfreq: float
    others: tuple[int, ...]

    @property
    def unused(self) -> list[str]:
        """A note on each channel that its fault keeps from being an electrode."""
        faulty = (self.channels[place] for place in self.others if self.channels[place].fault)
        return [f"{one.label} is {one.fault}: taken as absent" for one in faulty]

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of all the others."""
        usable = [self.channels[place] for place in self.others if not self.channels[place].fault]
        repeats = [
            f"channel {one.label!r} repeats {one.electrode}: the first one is read"
            for one in usable
            if one.sfreq == self.sfreq
        ]
        rates = [f"{one.electrode} {one.sfreq:g} Hz" for one in usable if one.sfreq != self.sfreq]
        told = [f"left out, as the EEG has {self.sfreq:g} Hz: {', '.join(rates)}"] if rates else []
        return (*self.unused, *repeats, *told)


def choose(channels: Sequence[Channel], electrodes: Collection[str] | None) -> Choice:
    """Return which channels are read for these electrodes, by canonical name, or for all where None.

    No channel is that has a fault. Of several rates that of the EEG is read: the highest among the wanted channels on
    known electrodes. Of two channels on one electrode the first is read.
    """
    named = [place for place, one in enumerate(channels) if electrodes is None or one.electrode in electrodes]
    wanted = [place for place in named if not channels[place].fault]
    on_scalp = [place for place in wanted if channels[place].electrode.split("-")[0] in VOCABULARY]
    sfreq = max((channels[place].sfreq for place in on_scalp or wanted), default=0.0)
    first: dict[str, int] = {}
    for place in wanted:
        if channels[place].sfreq == sfreq:
            first.setdefault(channels[place].electrode, place)
    chosen = set(first.values())
    return Choice(channels, tuple(first.values()), sfreq, tuple(place for place in named if place not in chosen))


def marked(channels: Sequence[Channel], unused: Mapping[str, str]) -> tuple[Channel, ...]:
    """Return the channels, those that are ``unused`` with the fault that it tells by label.

    A label that the file lacks stands for its electrode, however the file spells that.
    """
    labels = {channel.label for channel in channels}
    electrodes = {canonical(label): fault for label, fault in unused.items() if label not in labels}
    faults = [unused.get(channel.label) or electrodes.get(channel.electrode, "") for channel in channels]
    return tuple(replace(one, fault=fault) if fault else one for one, fault in zip(channels, faults, strict=True))


@dataclass(frozen=True)
class Fit:
    """What a file's channels are to a recipe: its label of each of the recipe's electrodes that it has.

    A derivation that is made of two channels has the labels of both, ``EEG FP1-REF - EEG F7-REF``. ``sfreq`` is the
    rate of the channels to read, 0 where there is none; ``reason`` says why they do not suffice, "" where they do.
    """

    channels: tuple[Channel, ...]
    labels: dict[str, str]
    sfreq: float
    reason: str


def fit(channels: tuple[Channel, ...], recipe: Recipe) -> Fit:
    """Return what the channels of a file are to a recipe."""
    choice = choose(channels, recipe.needed)
    first = {channels[place].electrode: channels[place] for place in choice.places}
    made_of = {name: parts for name in recipe.electrodes if (parts := _parts(name, first))}
    labels = {name: " - ".join(part.label for part in parts) for name, parts in made_of.items()}
    reason, notes = _reason(channels, first, made_of, recipe), choice.unused
    return Fit(channels, labels, choice.sfreq, f"{reason} ({'; '.join(notes)})" if reason and notes else reason)


def check(recipe: Recipe) -> None:
    """Raise DareError where the recipe's rule for missing electrodes is none for its reference."""
    if recipe.missing == "published-strict" and any(derivation(name) for name in recipe.electrodes):
        raise DareError(
            "missing: published-strict counts the electrodes that a file names, not derivations between them; "
            "take --set missing=require"
        )


def _parts(name: str, first: dict[str, Channel]) -> tuple[Channel, ...]:
    """Return the channel that is an electrode, or the two of a common reference whose difference it is."""
    if name in first:
        return (first[name],)
    pair = [first[part] for part in derivation(name) or () if part in first]
    return tuple(pair) if len(pair) == 2 and pair[0].reference == pair[1].reference else ()


def _reason(
    channels: tuple[Channel, ...],
    first: dict[str, Channel],
    made_of: dict[str, tuple[Channel, ...]],
    recipe: Recipe,
) -> str:
    if not channels:
        return "holds annotations and no signal"
    if not made_of:
        seen = ", ".join(channel.label for channel in channels[:5])
        return f"no usable electrode: none of the recipe's among its {len(channels)} ({seen} ...)"
    if recipe.missing == "published-strict" and (strict := _published(channels, recipe)):
        return f"{strict}; take it with --set missing=mask"
    lacking = [name for name in recipe.electrodes if name not in made_of]
    if lacking and recipe.missing == "require":
        return f"lacks {', '.join(lacking)}; take it with --set missing=mask"
    num_known = sum(name in VOCABULARY for name in made_of)
    if lacking and recipe.missing == "interpolate" and num_known < _LEAST_KNOWN:
        return (
            f"lacks {', '.join(lacking)} and has {num_known} electrodes of known place, fewer than the {_LEAST_KNOWN} "
            "to interpolate from; take it with --set missing=mask"
        )
    if recipe.reference == "linked ears":
        linked = all(part.reference == "LE" for parts in made_of.values() for part in parts)
        ears = [name for name in LINKED_EARS if name not in first]
        if ears and not linked:
            return f"lacks {', '.join(ears)} of the linked ears; choose another with --set reference=average"
    return ""


def _published(channels: tuple[Channel, ...], recipe: Recipe) -> str:
    """Return why the published code leaves a file out: its labels, but for those dropped, are not just the recipe's.

    Labels are compared to the letter, and MNE numbers those that a file repeats, so that none of them fits.
    """
    counts = Counter(channel.label.strip() for channel in channels if not channel.fault)
    kept = [label for label, count in counts.items() if count > 1 or label not in PUBLISHED_DROPS]
    fitting = {
        canonical(label): label
        for label in kept
        if counts[label] == 1 and re.fullmatch(r"EEG [A-Z0-9]+-REF", label) and canonical(label) in recipe.electrodes
    }
    strange = [label for label in kept if label not in fitting.values()]
    missing = [name for name in recipe.electrodes if name not in fitting]
    said = [f"{_some(strange)} too many"] * bool(strange) + [f"{_some(missing)} missing"] * bool(missing)
    return f"left out by the published code: {', '.join(said)}" if said else ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
