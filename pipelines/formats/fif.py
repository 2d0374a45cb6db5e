"""FIF: the format of Neuromag and MNE, which reads it: recordings, in several files where long, epochs, events."""

import re
import struct
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError, RefusedError
from pipelines.formats import Format, begins
from pipelines.formats.mne_formats import MNE_ALONE, by_mne, described
from pipelines.formats.sampled import SampledFile, error_context, stretches
from pipelines.recording import Event

_BLOCK_BYTES = 1 << 23
"""What MNE may hold of epochs at a time."""

_TAG_BYTES = 16
_DIRECTORY = 102  # the kind of the tag that lists all others


def parse(path: Path) -> SampledFile:
    """Return the layout of a FIF recording and of the files it is split into; only EEG channels lie on electrodes.

    Each epoch is a trial, spanned by an event that is called as in its ``event_id``. Raises DareError for
    one of the files that a recording is split into: their samples would be there twice.
    """
    import mne

    if path.name.lower().endswith("-eve.fif"):
        raise RefusedError("holds the events of a recording", path=path, remedy="name it in layout.events.file")
    with MNE_ALONE, error_context(path, "FIF"):
        _refuse_circle(path)
        first = _first_part(path)
        if first != path and first.is_file() and path.resolve() in _parts(first):
            raise RefusedError(f"is a part of {first.name} and read with it", path=path, remedy="nothing of it is lost")
        try:
            raw = mne.io.read_raw_fif(
                path, allow_maxshield="yes", on_split_missing="raise", preload=False, verbose="error"
            )
        except ValueError as problem:
            if "No raw data" not in str(problem):
                raise
            return _epochs(path, mne.read_epochs(path, proj=False, preload=False, verbose="error"))
        parts = tuple(path.with_name(Path(part).name) for part in raw.filenames[1:] if part)
        _require_own(path, parts)
        rows = [row for row, kind in enumerate(raw.get_channel_types()) if kind == "eeg"]
        return by_mne(path, "FIF", raw, rows, (), parts)


def _refuse_circle(path: Path) -> None:
    """Raise DareError where tags lead back to one before them, which MNE would follow for ever.

    It follows them where the file has no directory.
    """
    size = path.stat().st_size
    with path.open("rb") as file:

        def tag(at: int) -> tuple[int, int, int, int]:
            file.seek(at)
            kind, form, length, following = struct.unpack(">4i", file.read(_TAG_BYTES).ljust(_TAG_BYTES, b"\0"))
            return kind, form, length, following

        _, _, length, _ = tag(0)
        pointer = _TAG_BYTES + max(length, 0) + _TAG_BYTES
        file.seek(pointer)
        directory = int.from_bytes(file.read(4), "big", signed=True)
        if directory > 0:
            kind, _, length, _ = tag(directory)
            if kind == _DIRECTORY and 0 < length <= size - directory:
                return
        at = 0
        while at + _TAG_BYTES <= size:
            _, _, length, following = tag(at)
            if following < 0:
                return
            after = following or at + _TAG_BYTES + length
            if after <= at:
                raise DamagedError("is damaged: its tags lead round in a circle", path=path)
            at = after


def event_table(path: Path, recording: Path) -> bytes:
    """Return the events of an ``-eve.fif`` as a table of onset, from the recording's first sample, duration and label.

    Raises DareError where either cannot be read.
    """
    import mne

    with MNE_ALONE, error_context(recording, "FIF"):
        _refuse_circle(recording)
        raw = mne.io.read_raw_fif(recording, allow_maxshield="yes", preload=False, verbose="error")
        first_sample, sfreq = int(raw.first_samp), float(raw.info["sfreq"])
    with MNE_ALONE, error_context(path, "events in FIF"):
        _refuse_circle(path)
        events = mne.read_events(path, verbose="error").tolist()
    rows = (f"{(sample - first_sample) / sfreq!r}\t0\t{code}\n" for sample, _, code in events)
    return "".join(["onset\tduration\tlabel\n", *rows]).encode()


def _epochs(path: Path, epochs: Any) -> SampledFile:
    rows = [row for row, kind in enumerate(epochs.get_channel_types()) if kind == "eeg"]
    channels, notes = described(epochs, rows)
    sfreq, length = float(epochs.info["sfreq"]), len(epochs.times)
    names = {code: name for name, code in epochs.event_id.items()}
    codes = epochs.events[:, 2].tolist()
    step = max(1, _BLOCK_BYTES // (8 * length * len(epochs.ch_names)))

    def load(places: list[int], start: int, stop: int) -> NDArray[np.float32]:
        data = np.empty((len(places), stop - start), np.float32)
        picks, end = [rows[place] for place in places], -(-stop // length)
        with MNE_ALONE, error_context(path, "FIF"), np.errstate(over="ignore", invalid="ignore"):
            for number in range(start // length, end, step):
                trials = epochs.get_data(item=slice(number, min(number + step, end)), verbose="error")[:, picks]
                joined = trials.transpose(1, 0, 2).reshape(len(picks), -1) * 1e6
                first, last = max(start, number * length), min(stop, number * length + joined.shape[1])
                data[:, first - start : last - start] = joined[:, first - number * length : last - number * length]
        return data

    return SampledFile(
        path=path,
        format="FIF epochs",
        channels=channels,
        num_samples=length * len(codes),
        segments=stretches(range(0, length * len(codes), length), length * len(codes), sfreq),
        events=tuple(
            Event(number * length / sfreq, length / sfreq, names.get(code, str(code)))
            for number, code in enumerate(codes)
        ),
        notes=notes,
        load=load,
        num_records=len(codes),
        files=tuple(_later_parts(path)),
    )


def _parts(first: Path) -> list[Path]:
    """Return the files that a recording, or epochs, which begin with this one, are read from."""
    import mne

    try:
        whole = mne.io.read_raw_fif(first, allow_maxshield="yes", on_split_missing="warn", verbose="error")
    except ValueError:
        return [part.resolve() for part in _later_parts(first)]
    return [Path(part).resolve() for part in whole.filenames if part]


def _later_parts(path: Path) -> list[Path]:
    """Return the files beside it that epochs go on in."""
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(1))
    return list(takewhile(Path.is_file, numbered))


def _require_own(path: Path, parts: tuple[Path, ...]) -> None:
    """Raise DareError where a part that the file names may be that of another recording, whose first part is there.

    Parts keep the names that they were written by, also where files are renamed.
    """
    for number, part in enumerate(parts, 1):
        first, own = _first_part(part), path.with_name(f"{path.stem}-{number}.fif")
        for other in (first, own):
            if first != path and other not in (path, part) and other.is_file():
                remedy = "rename all parts as they were, or save the recording again"
                raise RefusedError(
                    f"continues in {part.name}, but {other.name} lies beside it", path=path, remedy=remedy
                )


def _first_part(path: Path) -> Path:
    """Return the file that a later part of a split recording would continue, by either way of naming parts."""
    name = re.sub(r"-\d+\.fif$", ".fif", path.name)
    return path.with_name(re.sub(r"(?<=_split-)\d+(?=_)", "01", name))


FORMAT = Format(
    name="FIF",
    suffixes=(".fif",),
    claims=begins(b"\0\0\0\x64\0\0\0\x1f\0\0\0\x14"),  # the tag of a file's identity, which comes first
    parse=parse,
)
