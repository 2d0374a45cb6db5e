"""Triggers: the event codes that a channel of a recording holds, such as BioSemi's Status and Neuromag's STI 014."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import MissingError
from manifests.notes import Note, note
from pipelines.formats.mne_formats import MNE_ALONE
from pipelines.formats.packed import UnpackedFile
from pipelines.formats.records import RecordFile, Signal
from pipelines.formats.sampled import SampledFile, error_context
from pipelines.recording import Event, RawFile

_NAME = re.compile(r"status|sti ?\d{3}|stim|trig(ger)?s?", re.IGNORECASE)
_FIRST = ("status", "sti101", "sti 014")
"""Channels that hold the whole word, where others of a file hold a bit of it each."""

_TRIGGER_BITS = 0xFFFF  # of a word of Status; above are the amplifier's own
_BLOCK = 1 << 22
_MOST_CODES = 8  # that a note lists


@dataclass(frozen=True)
class _Channel:
    """A channel of words: ``blocks`` gives all its samples in turn, ``onsets_s`` the true time of some by number."""

    label: str
    blocks: Callable[[], Iterator[NDArray[np.int64]]]
    onsets_s: Callable[[NDArray[np.int64]], NDArray[np.float64]]


def read(file: RawFile, name: str = "") -> tuple[tuple[Event, ...], tuple[Note, ...]]:
    """Return (an event for each rising edge of the channel of this name, its text the new code in digits; notes).

    Without a name it is the first channel of triggers in which there are any. Bits that are high throughout are none of
    the codes. Raises DareError where there is no such channel.
    """
    channels = _channels(file, name)
    if not channels:
        lacking = f"channel {name!r}" if name else "channel that is called Status, STI or trigger"
        raise MissingError(
            f"has no {lacking} to read triggers from", path=file.header.path, remedy="name one in layout.trigger"
        )
    for channel in channels:
        samples, codes, num_falls = _rises(channel)
        if len(samples):
            falls = "{count} changes of {names} are to a lower code that is not 0: no triggers"
            notes = [note("falling codes", falls, [channel.label], count=num_falls)] * bool(num_falls)
            found = zip(channel.onsets_s(samples).tolist(), codes.tolist(), strict=True)
            return tuple(Event(onset_s, 0.0, str(code)) for onset_s, code in found), tuple(notes)
    return (), (note("no triggers", "{names} holds no trigger", [one.label for one in channels]),)


def noticed(file: RawFile) -> tuple[Note, ...]:
    """Return a note on the channels of a recording that hold triggers, with their codes; none where no channel does."""
    held = []
    for channel in _channels(file):
        codes = [str(code) for code in np.unique(_rises(channel)[1]).tolist()]
        if codes:
            listed = ", ".join([*codes[:_MOST_CODES], *["..."] * (len(codes) > _MOST_CODES)])
            held.append(f"{channel.label} (codes {listed})")
    says = 'no event of use is found, but {names} holds triggers: a layout reads them with labels = "trigger"'
    return (note("triggers", says, held),) * bool(held)


def _channels(file: RawFile, name: str = "") -> list[_Channel]:
    """Return the channels of this name, or of one that says triggers, those with whole words first."""
    file = file.inner if isinstance(file, UnpackedFile) else file
    if isinstance(file, RecordFile):
        found = [(signal.channel.label, signal) for signal in file.signals]
        chosen = [_of_records(file, signal) for label, signal in found if _fits(label, name)]
    elif isinstance(file, SampledFile):
        chosen = _of_fif(file, name) if file.format == "FIF" else []
        places = [place for place, one in enumerate(file.channels) if _fits(one.label, name)]
        chosen += [_of_samples(file, place) for place in places]
    else:
        chosen = []
    rank = {label: number for number, label in enumerate(_FIRST)}
    return sorted(chosen, key=lambda one: rank.get(one.label.strip().lower(), len(rank)))


def _fits(label: str, name: str) -> bool:
    label = label.strip()
    return label.lower() == name.strip().lower() if name else bool(_NAME.fullmatch(label))


def _rises(channel: _Channel) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return (the samples at which the code rises, the codes from there on, how often it falls to another than 0)."""
    places, words = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    begin, last = 0, None
    for block in channel.blocks():
        before = np.concatenate([block[:1] if last is None else [last], block[:-1]])
        changed = np.flatnonzero(block != before)
        changed = changed if last is not None else np.concatenate([[0], changed])
        places.append(changed + begin)
        words.append(block[changed])
        begin, last = begin + len(block), block[-1]
    samples, codes = np.concatenate(places), np.concatenate(words)
    codes &= ~np.bitwise_and.reduce(codes)
    rises, falls = np.diff(codes) > 0, (np.diff(codes) < 0) & (codes[1:] > 0)
    return samples[1:][rises], codes[1:][rises], int(falls.sum())


def _of_records(file: RecordFile, signal: Signal) -> _Channel:
    """Return a channel of EDF, BDF or GDF, the trigger bits of its words."""
    width, length = int(signal.dtype[-1]), signal.num_samples

    def blocks() -> Iterator[NDArray[np.int64]]:
        for _, block in file.blocks(slice(0, file.num_records)):
            stored = block[:, signal.byte_offset : signal.byte_stop]
            if width == 3:
                stored = np.ascontiguousarray(stored.reshape(-1, 3)[:, :2])
            words = np.nan_to_num(stored.view("<u2" if width == 3 else signal.dtype)).astype(np.int64)
            yield words.reshape(-1) & _TRIGGER_BITS

    def onsets_s(samples: NDArray[np.int64]) -> NDArray[np.float64]:
        records, within = np.divmod(samples, length)
        begun_s = file.timeline().record_onsets_s[records]
        return np.asarray(begun_s + within / length * file.record_s, np.float64)

    return _Channel(signal.channel.label, blocks, onsets_s)


def _of_samples(file: SampledFile, place: int) -> _Channel:
    """Return a channel among those with signal, as it is in the file."""
    label = file.channels[place].label
    return _sampled(file, label, lambda start, stop: file.load([place], start, stop)[0])


def _of_fif(file: SampledFile, name: str) -> list[_Channel]:
    """Return channels of a FIF file that are no EEG, so that the file gives no samples of them."""
    import mne

    with MNE_ALONE, error_context(file.path, "FIF"):
        raw = mne.io.read_raw_fif(file.path, allow_maxshield="yes", preload=False, verbose="error")
        kinds = zip(raw.ch_names, raw.get_channel_types(), strict=True)
        rows = [row for row, (label, kind) in enumerate(kinds) if (_fits(label, name) if name else kind == "stim")]
        return [_sampled(file, raw.ch_names[row], _row_of(raw, row)) for row in rows]


def _row_of(raw: Any, row: int) -> Callable[[int, int], NDArray[Any]]:
    return lambda start, stop: raw[row, start:stop][0][0]


def _sampled(file: SampledFile, label: str, load: Callable[[int, int], NDArray[Any]]) -> _Channel:
    is_status = label.strip().lower() == "status"

    def blocks() -> Iterator[NDArray[np.int64]]:
        for start in range(0, file.num_samples, _BLOCK):
            samples = np.nan_to_num(load(start, min(start + _BLOCK, file.num_samples)))
            words = np.rint(samples).astype(np.int64)
            yield words & _TRIGGER_BITS if is_status else np.abs(words)

    def onsets_s(samples: NDArray[np.int64]) -> NDArray[np.float64]:
        begun = np.searchsorted([one.start for one in file.segments], samples, "right") - 1
        starts, times_s = np.array([(one.start, one.onset_s) for one in file.segments]).T[:, np.maximum(begun, 0)]
        return np.asarray(times_s + (samples - starts) / file.channels[0].sfreq, np.float64)

    return _Channel(label, blocks, onsets_s)
