"""Channels: which of a file's channels is which electrode, and whether they suffice for a recipe."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from manifests.electrodes import LINKED_EARS, VOCABULARY, canonical, derivation
from manifests.errors import UsageError
from manifests.notes import Note, note
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

_MASK = "take it with --set missing=mask"


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
    def unused(self) -> tuple[Note, ...]:
        """A note on each channel that its fault keeps from being an electrode."""
        faulty = (self.channels[place] for place in self.others if self.channels[place].fault)
        return tuple(note("unused channel", _says_unused(one.fault), [one.label]) for one in faulty)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What there is to say of all the others, where the rate is possible."""
        repeated: list[str] = []
        by_rate: defaultdict[float, list[str]] = defaultdict(list)
        for one in (self.channels[place] for place in self.others if not self.channels[place].fault):
            if one.sfreq == self.sfreq:
                repeated.append(one.label)
            else:
                by_rate[one.sfreq].append(one.electrode)
        twice = "channel {names!r} repeats an electrode: the first one is read"
        other = "left out, as the EEG has {sfreq:g} Hz: {names} at {rate:g} Hz"
        return (
            *self.unused,
            *(note("repeated channel", twice, [label]) for label in repeated),
            *(note("other rate", other, names, sfreq=self.sfreq, rate=rate) for rate, names in by_rate.items()),
        )


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


def _says_unused(fault: str) -> str:
    """Return what is said of a channel with this fault, which is free text."""
    return f"{{names}} is {fault.replace('{', '{{').replace('}', '}}')}: taken as absent"


@dataclass(frozen=True)
class ChannelFit:
    """What a file's channels are to a recipe: its label of each of the recipe's electrodes that it has.

    A derivation that is made of two channels has the labels of both, ``EEG FP1-REF - EEG F7-REF``. ``sfreq`` is the
    rate of the channels to read, 0 where there is none; ``notes`` say why they do not suffice, and none where they do.
    """

    channels: tuple[Channel, ...]
    labels: dict[str, str]
    sfreq: float
    notes: tuple[Note, ...]


def fit(channels: tuple[Channel, ...], recipe: Recipe) -> ChannelFit:
    """Return what the channels of a file are to a recipe."""
    choice = choose(channels, recipe.needed)
    first = {channels[place].electrode: channels[place] for place in choice.places}
    made_of = {name: parts for name in recipe.electrodes if (parts := _parts(name, first))}
    labels = {name: " - ".join(part.label for part in parts) for name, parts in made_of.items()}
    faults = _faults(channels, first, made_of, recipe)
    return ChannelFit(channels, labels, choice.sfreq, (*faults, *choice.unused) if faults else ())


def check(recipe: Recipe) -> None:
    """Raise DareError where the recipe's rule for missing electrodes is none for its reference."""
    if recipe.missing == "published-strict" and any(derivation(name) for name in recipe.electrodes):
        raise UsageError(
            "published-strict counts the electrodes that a file names, not derivations between them",
            path="missing",
            remedy="take --set missing=require",
        )


def _parts(name: str, first: dict[str, Channel]) -> tuple[Channel, ...]:
    """Return the channel that is an electrode, or the two of a common reference whose difference it is."""
    if name in first:
        return (first[name],)
    pair = [first[part] for part in derivation(name) or () if part in first]
    return tuple(pair) if len(pair) == 2 and pair[0].reference == pair[1].reference else ()


def _faults(
    channels: tuple[Channel, ...],
    first: dict[str, Channel],
    made_of: dict[str, tuple[Channel, ...]],
    recipe: Recipe,
) -> tuple[Note, ...]:
    """Return why a file's channels do not suffice, ``first`` of each electrode and what of them is ``made_of``."""
    if not channels:
        return (note("no signal", "holds annotations and no signal"),)
    if not made_of:
        says = "no usable electrode: none of the recipe's among its {channels} ({names} ...)"
        seen = [channel.label for channel in channels[:5]]
        return (note("no usable electrode", says, seen, channels=len(channels)),)
    if recipe.missing == "published-strict" and (strict := _published(channels, recipe)):
        return strict
    lacking = [name for name in recipe.electrodes if name not in made_of]
    if lacking and recipe.missing == "require":
        return (note("lacks electrodes", f"lacks {{names}}; {_MASK}", lacking),)
    num_known = sum(name in VOCABULARY for name in made_of)
    if lacking and recipe.missing == "interpolate" and num_known < _LEAST_KNOWN:
        says = (
            "lacks {names} and has {known} electrodes of known place, fewer than the {least} to interpolate from; "
            f"{_MASK}"
        )
        return (note("too few to interpolate", says, lacking, known=num_known, least=_LEAST_KNOWN),)
    if recipe.reference == "linked ears":
        linked = all(part.reference == "LE" for parts in made_of.values() for part in parts)
        ears = [name for name in LINKED_EARS if name not in first]
        if ears and not linked:
            says = "lacks {names} of the linked ears; choose another with --set reference=average"
            return (note("lacks ears", says, ears),)
    return ()


def _published(channels: tuple[Channel, ...], recipe: Recipe) -> tuple[Note, ...]:
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
    said = (("too many", strange), ("missing", missing))
    return tuple(
        note(f"{what} for the published code", f"left out by the published code: {{names}} {what}; {_MASK}", names)
        for what, names in said
        if names
    )
