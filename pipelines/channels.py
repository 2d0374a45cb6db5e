"""Channels: which of a file's channels is which electrode, and whether they suffice for a recipe."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from manifests.electrodes import LINKED_EARS, VOCABULARY, canonical, derivation, is_ten_ten, numbered_rows
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

    ``places`` are theirs among its ``channels``, ``sfreq`` is the rate of most, 0 where there are none. ``repeats``
    has, by such a place, those of the other channels on its electrode at its rate. ``others`` are the places of all
    that would be wanted electrodes as well.
    """

    channels: Sequence[Channel]
    places: tuple[int, ...]
    sfreq: float
    repeats: Mapping[int, tuple[int, ...]]
    others: tuple[int, ...]

    @property
    def unused(self) -> tuple[Note, ...]:
        """Notes on the channels that their fault or their rate keeps from being an electrode."""
        faulty = [one for one in (self.channels[place] for place in self.others) if one.fault]
        taken = {self.channels[place].electrode for place in self.places}
        compared = {place for places in self.repeats.values() for place in places}
        off_rate = [place for place in self.others if not self.channels[place].fault and place not in compared]
        trends = [self.channels[place].label for place in off_rate if self.channels[place].electrode in taken]
        alone = [place for place in off_rate if self.channels[place].electrode not in taken]
        trend = "channel {names!r} repeats an electrode at another rate: not read"
        left_out = "left out, as the EEG has {sfreq:g} Hz: {names} at {rate:g} Hz"
        return (
            *(note("unused channel", _says_unused(one.fault), [one.label]) for one in faulty),
            *(note("repeated channel at another rate", trend, [label]) for label in trends),
            *self._by_rate("other rate", left_out, alone),
        )

    @property
    def notes(self) -> tuple[Note, ...]:
        """What there is to say of all the others, and of the rates of those that are read."""
        brought = "brought to the {sfreq:g} Hz of the others: {names} at {rate:g} Hz"
        return (*self.unused, *self._by_rate("brought to rate", brought, self.places))

    def _by_rate(self, kind: str, says: str, places: Sequence[int]) -> list[Note]:
        """Return a note on the electrodes of each rate that is not that of most."""
        by_rate: defaultdict[float, list[str]] = defaultdict(list)
        for one in (self.channels[place] for place in places):
            if one.sfreq != self.sfreq:
                by_rate[one.sfreq].append(one.electrode)
        return [note(kind, says, names, sfreq=self.sfreq, rate=rate) for rate, names in by_rate.items()]


def choose(channels: Sequence[Channel], electrodes: Collection[str] | None, slowest_hz: float = 0.0) -> Choice:
    """Return which channels are read for these electrodes, by canonical name, or for all where None.

    No channel is that has a fault, or is a contact of a row as `_without_rows` says. The rate is that of most wanted
    electrodes, of those with a known place on the scalp where there are any, and the higher one of two; of all
    channels, none of them with a known place, it is the highest. Electrodes that only channels of other rates have are
    read too, unless all are wanted or a channel is slower than ``slowest_hz`` and that rate.
    """
    if electrodes is not None:
        channels = _without_rows(channels, electrodes)
    named = [place for place, one in enumerate(channels) if electrodes is None or one.electrode in electrodes]
    wanted = [place for place in named if not channels[place].fault]
    on_scalp = [place for place in wanted if channels[place].electrode.split("-")[0] in VOCABULARY]
    rates = Counter(rate for _, rate in {(channels[at].electrode, channels[at].sfreq) for at in on_scalp or wanted})
    counts_most = bool(on_scalp) or electrodes is not None
    sfreq = max(rates, key=lambda rate: (counts_most * rates[rate], rate), default=0.0)
    found: dict[str, list[int]] = {}
    # Those of the rate of most come first, then the fastest.
    for place in sorted(wanted, key=lambda place: (channels[place].sfreq != sfreq, -channels[place].sfreq)):
        one = channels[place]
        is_fit = one.sfreq == sfreq or (electrodes is not None and one.sfreq >= min(slowest_hz, sfreq))
        places = found.setdefault(one.electrode, [])
        if is_fit and (not places or channels[places[0]].sfreq == one.sfreq):
            places.append(place)
    repeats = {places[0]: tuple(places[1:]) for places in found.values() if len(places) > 1}
    chosen = sorted(places[0] for places in found.values() if places)
    return Choice(channels, tuple(chosen), sfreq, repeats, tuple(place for place in named if place not in set(chosen)))


def slowest_hz(recipe: Recipe) -> float:
    """Return the lowest rate that carries a recipe's band."""
    return 2 * recipe.band_hz[1]


def _without_rows(channels: Sequence[Channel], electrodes: Collection[str]) -> Sequence[Channel]:
    """Return the channels; contacts of numbered rows have a fault, as some are called what electrodes are.

    BioSemi's caps call them A1 to D32, depth electrodes A1 to A10 and C1 to C6. Where such names are wanted that no
    electrode has, as B5, the file's names are meant, and nothing is marked.
    """
    rows = numbered_rows(channel.electrode for channel in channels)
    if any(name in rows and not is_ten_ten(name) for name in electrodes):
        return channels
    return [
        replace(one, fault=f"a contact of the row {rows[one.electrode]}, not the electrode of that name")
        if one.electrode in rows and not one.fault
        else one
        for one in channels
    ]


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
    choice = choose(channels, recipe.needed, slowest_hz(recipe))
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
