"""EEGLAB datasets (Delorme & Makeig 2004): .set in MAT 5 and 7.3, samples in it or in the .fdt beside it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError, DareError, MissingError, RefusedError
from manifests.notes import Note, note
from pipelines.formats import Format, matlab, matrix
from pipelines.formats.companions import beside, require_own
from pipelines.formats.matrix import Matrix, Value
from pipelines.formats.sampled import SampledFile, in_blocks, stretches
from pipelines.recording import MARKED_BAD, Channel, Event, describe_channel, require_rate

_FIELDS = frozenset({"nbchan", "pnts", "trials", "srate", "data", "chanlocs", "event"})
_MEMBERS = _FIELDS | {"EEG", "labels", "badchan", "type", "latency", "duration"}
_MAX_COUNT = 1e12
_BOUNDARY_CODE = "-99"  # what EEGLAB writes for "boundary" where all types are numbers


def parse(path: Path) -> SampledFile:
    """Return the layout of a dataset, continuous or of epochs, each of which is a segment.

    Epochs follow one another: their onsets, and those of all events, count seconds of signal, as EEGLAB's latencies
    do. A boundary, where the user cut something out, ends a segment too. Samples are in µV, as EEGLAB has them. Raises
    DareError where a field is missing or contradicts another, and where the .fdt is not there.
    """
    fields = _fields(path)
    num_channels, pnts = (_whole(path, fields, name) for name in ("nbchan", "pnts"))
    num_epochs = _whole(path, fields, "trials") if "trials" in fields else 1
    sfreq = _number(path, fields, "srate")
    require_rate(path, sfreq)
    data = fields.get("data")
    file, renamed = _companion(path, data) if isinstance(data, str) else (None, ())
    samples, notes = _samples(path, file or data, num_channels, pnts, num_epochs)
    places = _structs(fields.get("chanlocs"))
    if places and len(places) != num_channels:
        raise DamagedError(
            f"names {len(places)} channels and holds {num_channels}", path=path, remedy="mend its chanlocs in EEGLAB"
        )
    channels = [_channel(one, place, sfreq) for place, one in enumerate(places or [{} for _ in range(num_channels)])]
    num_samples = samples.shape[1]
    events, cuts, lost = _events(fields.get("event"), sfreq)
    epochs = range(0, num_samples, pnts)

    def load(rows: list[int], start: int, stop: int) -> NDArray[np.float32]:
        every = slice(None)
        return in_blocks(
            lambda first, end: samples.read((every, slice(first, end)))[rows], len(rows), num_channels, start, stop
        )

    return SampledFile(
        path=path,
        format="SET",
        channels=tuple(channels),
        num_samples=num_samples,
        segments=stretches({*epochs, *cuts}, num_samples, sfreq),
        events=events,
        notes=(*notes, *renamed, *lost),
        load=load,
        num_records=len(epochs),
        files=(file,) if file else (),
    )


def _fields(path: Path, wanted: frozenset[str] = _MEMBERS) -> dict[str, Value]:
    """Return the wanted fields of the dataset, wherever in the file they are."""
    fields: dict[str, Any] = matlab.load(path, {"EEG", *(_FIELDS & wanted)}, wanted)
    while "EEG" in fields:
        structs = _structs(fields["EEG"])
        if len(structs) != 1:
            raise RefusedError(
                f"holds {len(structs)} datasets, not one", path=path, remedy="save each to a file of its own in EEGLAB"
            )
        fields = structs[0]
    return fields


def _samples(
    path: Path, data: Value | Path, num_channels: int, pnts: int, num_epochs: int
) -> tuple[Matrix, tuple[Note, ...]]:
    """Return (channels × samples of all epochs, notes) of the data, or of the file that holds them."""
    if min(num_channels, pnts, num_epochs) < 1:
        raise DamagedError(f"has {num_channels} channels, {pnts} samples and {num_epochs} epochs: no signal", path=path)
    if isinstance(data, Path):
        return _mapped(data, num_channels, pnts, num_epochs)
    if not isinstance(data, Matrix) or math.prod(data.shape) == 0:
        raise MissingError("has no samples: its field 'data' is empty", path=path)
    if math.prod(data.shape) == num_channels * pnts * num_epochs:
        if data.shape[0] == num_channels and len(data.shape) == 2:
            return data, ()
        if data.shape == (num_channels, pnts, num_epochs):
            return Matrix((num_channels, pnts * num_epochs), _across_epochs(data)), ()
        if num_channels == 1:
            row = data.whole().reshape((1, -1), order="F")
            return Matrix(row.shape, row.__getitem__), ()
    shape = " × ".join(map(str, data.shape))
    raise DamagedError(f"its data are {shape}, its header says {num_channels} × {pnts} × {num_epochs}", path=path)


def _across_epochs(data: Matrix) -> Callable[[tuple[slice, ...]], NDArray[Any]]:
    """Return how to read channels × samples × epochs as if one epoch followed another."""
    num_channels, pnts, _ = data.shape

    def read(index: tuple[slice, ...]) -> NDArray[Any]:
        rows, span = index
        first = span.start // pnts
        epochs = data.read((rows, slice(None), slice(first, math.ceil(span.stop / pnts))))
        joined = epochs.reshape((num_channels, -1), order="F")
        return joined[:, span.start - first * pnts : span.stop - first * pnts]

    return read


def _channel(place_of: Any, row: int, sfreq: float) -> Channel:
    """Return a channel as ``chanlocs`` describes it."""
    channel = describe_channel(_text(place_of.get("labels")), row, sfreq, "uV", _text(place_of.get("type")))
    return replace(channel, fault=MARKED_BAD) if _scalar(place_of.get("badchan")) == 1 else channel


def _companion(path: Path, name: str) -> tuple[Path, tuple[Note, ...]]:
    """Return (the file that the field ``data`` names or, without that, the one that is called as the .set is; notes).

    Raises DareError where neither is there, or the one that is may be another dataset's.
    """
    base = _base(name)
    if not base.lower().endswith(".fdt"):
        raise RefusedError(
            f"its samples are in {base!r}, a form that EEGLAB gave up", path=path, remedy="save it again in EEGLAB"
        )
    if file := beside(path, base):
        require_own(path, file, (".fdt",), (".set",), _named)
        return file, ()
    if file := beside(path, f"{path.stem}.fdt"):
        says = "{names} is not there: the .fdt that is called as the .set is read in its place"
        return file, (note("renamed file", says, [base]),)
    raise MissingError(f"its samples are in {base}, which is not beside it", path=path, remedy="put it there")


def _base(name: str) -> str:
    letters = (letter if letter.isprintable() else "?" for letter in name.replace("\\", "/").rpartition("/")[2])
    return "".join(letters)


def _named(path: Path) -> str:
    """Return the name of the file that holds the samples of another dataset, "" where it has them or is none."""
    try:
        data = _fields(path, frozenset({"EEG", "data"})).get("data")
    except (DareError, OSError):
        return ""
    return _base(data) if isinstance(data, str) else ""


def _mapped(file: Path, num_channels: int, pnts: int, num_epochs: int) -> tuple[Matrix, tuple[Note, ...]]:
    """Return (channels × samples that an .fdt holds, notes)."""
    size = file.stat().st_size
    held = size // (4 * num_channels)
    num_samples = min(held // pnts, num_epochs) * pnts if num_epochs > 1 else min(held, pnts)
    if num_samples == 0:
        raise DamagedError(f"has {size} bytes, not one whole epoch", path=file, remedy="get it again")
    notes = []
    if num_samples < pnts * num_epochs:
        says = "{names} is cut: {whole} of {stated} samples are whole"
        notes.append(note("cut samples", says, [file.name], whole=num_samples, stated=pnts * num_epochs))
    mapped = np.memmap(file, "<f4", "r", 0, (num_samples, num_channels)).T
    return Matrix(mapped.shape, mapped.__getitem__), tuple(notes)


def _events(listed: Value, sfreq: float) -> tuple[tuple[Event, ...], set[int], list[Note]]:
    """Return (events by onset, samples that follow a boundary, notes on events left out); latencies count from 1."""
    events, cuts = [], set()
    structs = matrix.structs(listed)
    if isinstance(listed, Matrix) and all(listed.shape):
        structs = [{}] * listed.shape[0]  # the first versions had a matrix with a row an event
    lost = {"latency": 0, "type": 0}
    for one in structs:
        latency, text = _scalar(_alone(one.get("latency"))), _text(_alone(one.get("type")))
        duration = _scalar(_alone(one.get("duration")))
        if not math.isfinite(latency):
            lost["latency"] += 1
            continue
        if not text:
            lost["type"] += 1
            continue
        if text == _BOUNDARY_CODE or text.lower().startswith("boundary"):
            cuts.add(math.ceil(latency - 1))
        events.append(Event((latency - 1) / sfreq, duration / sfreq if math.isfinite(duration) else 0.0, text))
    notes = [
        note(f"events without {field}", f"{{count}} of {{total}} events have no {field} that can be read: not used",
             count=count, total=len(structs))
        for field, count in lost.items() if count
    ]  # fmt: skip
    return tuple(sorted(events, key=lambda event: event.onset_s)), cuts, notes


def _structs(value: Value) -> list[dict[str, Value]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _alone(value: Value) -> Value:
    """Return what a cell or a struct holds that holds one thing alone, whatever it lies in; else the value itself."""
    while isinstance(value, list) and len(value) == 1:
        (value,) = value
        if isinstance(value, dict) and len(value) == 1:
            (value,) = value.values()
    return value


def _text(value: Value) -> str:
    """Return a text, or a number as one with all its digits: event types may be either."""
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, Matrix) or not math.isfinite(_scalar(value)):
        return ""
    return matrix.digits(value.whole().ravel()[0])


def _scalar(value: Value) -> float:
    """Return the one number that a value is, NaN where it is none."""
    return float(value.whole().ravel()[0]) if isinstance(value, Matrix) and math.prod(value.shape) == 1 else math.nan


def _number(path: Path, fields: dict[str, Value], name: str) -> float:
    number = _scalar(fields.get(name))
    if not math.isfinite(number):
        raise DamagedError(f"its field '{name}' is missing or no number", path=path)
    return number


def _whole(path: Path, fields: dict[str, Value], name: str) -> int:
    number = _number(path, fields, name)
    if not number.is_integer() or abs(number) > _MAX_COUNT:
        raise DamagedError(f"its field '{name}' is not a whole number up to {_MAX_COUNT:g}: {number:g}", path=path)
    return int(number)


def _holds(names: list[str]) -> bool:
    """Return whether variables of these names are a dataset: one struct, or its fields each by itself."""
    return "EEG" in names or {"nbchan", "pnts", "srate", "data"} <= set(names)


FORMAT = Format(
    name="EEGLAB",
    suffixes=(".set",),
    claims=lambda path, head: matlab.is_mat(head) and _holds(matlab.names(path)),
    parse=parse,
    companions={".fdt": "samples", ".dat": "samples"},
    holds_text=True,
)
