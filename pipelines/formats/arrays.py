"""Arrays: how a file of bare numbers (MAT 5 or 7.3, NPY, NPZ) holds a recording, which nothing in the file says."""

import math
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError, DareError, MissingError, RefusedError
from manifests.notes import Note, note
from pipelines.formats import Format, matlab, numpy_files
from pipelines.formats.array_labels import spans
from pipelines.formats.matrix import Matrix, Value, digits, structs
from pipelines.formats.sampled import SampledFile
from pipelines.recording import Event, Segment, describe_channel, require_rate

_RATE = re.compile(r"(?:fs|s_?rate|s_?freq|sampl\w*(?:rate|freq\w*))(?:_?hz)?", re.IGNORECASE)
"""Names of what holds a rate."""

_LEAST_HZ = 1.0  # less is no rate, but a period


@dataclass(frozen=True)
class Arrays:
    """The layout of a recording in a file of arrays, or in a table of text (see `pipelines.formats.text_table`).

    ``variables`` is a regular expression of the names that hold signal, each matched whole, taken in natural order
    (``x2`` before ``x10``), "" for the only one that can; an NPY file holds ``array``. ``axes`` names the axes of each,
    ``time`` and ``channel`` among them (``"channel time target block"``): every index of the others is a trial. Where
    the variable is a struct, or a cell of structs, ``field`` is its member with the signal, ``onsets`` the one with
    1-based samples of events and ``codes`` with their numbers. Every trial, variable and struct is a segment of its
    own, spanned by an event whose text is the variable's name and then axis and 0-based index, as in
    ``data target 3 block 0``, or, of several structs, ``data struct 3``.
    Segments follow one another: their onsets count seconds of signal. ``labels`` name the channels in order, ``sfreq``
    is in Hz; ``unit`` as in a file's header. Where not the axis named but another has as many entries as there are
    channels, that one is taken. Onsets in NPZ files count from 0.

    ``trial_labels`` names the variable, or the member beside ``field``, that has a label for each trial, for each
    variable, for each sample (0, NaN and "" are none), or one for all; the events are then spans of one label, which is
    their text. Without a ``field``, ``onsets``, ``codes`` and it are variables of the file. ``scale`` multiplies its
    numbers. ``columns``, ``time`` and ``time_unit`` are of tables alone.
    """

    variables: str
    axes: str
    labels: tuple[str, ...]
    sfreq: float
    unit: str = "uV"
    field: str = ""
    onsets: str = ""
    codes: str = ""
    scale: float = 1.0
    columns: tuple[str, ...] = ()
    time: str = ""
    time_unit: str = "s"
    trial_labels: str = ""

    @property
    def beside(self) -> set[str]:
        """Names of what lies beside the signal and tells of it."""
        return {self.onsets, self.codes, self.trial_labels} - {""}


@dataclass(frozen=True)
class _Block:
    """A matrix with signal: ``order`` are its axes as trials..., channel, time, ``begin`` its first sample's place."""

    matrix: Matrix
    order: tuple[int, ...]
    begin: int
    length: int
    num_trials: int
    axes: str

    @property
    def stop(self) -> int:
        return self.begin + self.num_trials * self.length


def parse(path: Path, arrays: Arrays) -> SampledFile:
    """Return the layout of a MAT, NPY or NPZ file by what is known of its arrays.

    Raises DareError where no variable is named so, or one has other axes or members, and where the file is damaged.
    """
    if not arrays.labels or not arrays.sfreq:
        lacking = "channels" if not arrays.labels else "sfreq_hz"
        raise RefusedError(f"says nothing of its {lacking}", path=path, remedy=f"state {lacking} in [layout.arrays]")
    with path.open("rb") as file:
        is_numpy = numpy_files.is_numpy(path, file.read(8))
    named, values = (_of_numpy if is_numpy else _of_mat)(path, arrays)
    blocks: list[_Block] = []
    segments: list[list[Segment]] = []
    events: list[Event] = []
    holders: list[dict[str, Any]] = []
    for name in named:
        for text, value, struct in _signals(path, name, values.get(name), arrays):
            block, trials = _block(path, text, value, arrays, blocks[-1].stop if blocks else 0)
            blocks.append(block)
            holders.append(struct if arrays.field else values)
            starts = range(block.begin, block.stop, block.length)
            segments.append([Segment(start, start + block.length, start / arrays.sfreq) for start in starts])
            if not arrays.trial_labels:
                spanned = zip(segments[-1], trials, strict=True)
                events += [Event(one.onset_s, block.length / arrays.sfreq, trial) for one, trial in spanned]
            listed = _events(path, text, holders[-1], arrays, first=0 if is_numpy else 1)
            events += [replace(one, onset_s=one.onset_s + block.begin / arrays.sfreq) for one in listed]
    if arrays.trial_labels:
        events += _labelled(path, segments, holders, arrays)
    known = describe_channel("", 0, arrays.sfreq, arrays.unit).scale_to_uv
    scale = arrays.scale * (1.0 if math.isnan(known) else known)

    return SampledFile(
        path=path,
        format="NumPy" if is_numpy else "MAT",
        channels=tuple(
            describe_channel(label, place, arrays.sfreq, arrays.unit) for place, label in enumerate(arrays.labels)
        ),
        num_samples=blocks[-1].stop,
        segments=tuple(chain.from_iterable(segments)),
        events=tuple(sorted(events, key=lambda event: event.onset_s)),
        notes=(*_put_right(blocks, arrays), *_contradicted(path, is_numpy, arrays)),
        load=lambda rows, start, stop: _read(blocks, rows, start, stop, scale),
        num_records=sum(map(len, segments)),
    )


def _of_mat(path: Path, arrays: Arrays) -> tuple[list[str], dict[str, Value]]:
    """Return (the names of the variables with signal, values by name) of a MAT file."""
    named = _named(path, matlab.names(path), arrays)
    values = matlab.load(path, {*named, *arrays.beside}, {arrays.field, *arrays.beside} - {""})
    return _chosen(path, named, values, arrays), values


def _of_numpy(path: Path, arrays: Arrays) -> tuple[list[str], dict[str, Value]]:
    """Return (the names of the arrays with signal, values by name) of an NPY or NPZ file."""
    named = _named(path, numpy_files.names(path), arrays)
    values = numpy_files.load(path, {*named, *arrays.beside})
    return _chosen(path, named, values, arrays), values


def _named(path: Path, there: list[str], arrays: Arrays) -> list[str]:
    """Return the names of a file's variables that may hold signal, in natural order."""
    fitting = [name for name in there if name not in arrays.beside] if not arrays.variables else there
    named = sorted((name for name in fitting if re.fullmatch(arrays.variables or ".*", name)), key=_natural)
    if not named:
        listed = ", ".join(there[:5]) or "none"
        raise MissingError(f"no variable is named like {arrays.variables!r}", path=path, remedy=f"there are {listed}")
    return named


def _chosen(path: Path, named: list[str], values: dict[str, Value], arrays: Arrays) -> list[str]:
    """Return those of the names that hold signal: all where they were asked for, else the only one that can."""
    if arrays.variables or len(named) == 1:
        return named
    able = [name for name in named if _may_be_signal(values.get(name), arrays)]
    if len(able) != 1:
        listed = ", ".join((able or named)[:5])
        raise RefusedError(
            f"has {len(able)} variables that may be the signal", path=path, remedy=f"name it in variables, of {listed}"
        )
    return able


def _may_be_signal(value: Value, arrays: Arrays) -> bool:
    if arrays.field:
        return bool(structs(value))
    return isinstance(value, Matrix) and len(value.shape) == len(arrays.axes.split()) and 1 not in value.shape


def _put_right(blocks: list[_Block], arrays: Arrays) -> list[Note]:
    """Tell of axes that are taken in another order than stated, as only so the channels have their number."""
    says = "by its {count} channels its axes are {names}, not as stated: read so"
    taken = dict.fromkeys(block.axes for block in blocks if block.axes != arrays.axes)
    return [note("axes put right", says, [repr(axes)], count=len(arrays.labels)) for axes in taken]


def _contradicted(path: Path, is_numpy: bool, arrays: Arrays) -> list[Note]:
    """Tell of a variable that states another rate than the layout does."""
    says = "its {names} says {rate_hz:g} Hz, sfreq_hz in [layout.arrays] {stated_hz:g} Hz: is that right?"
    rates: dict[str, float] = {}
    with suppress(DareError):  # of a variable that nobody asked for
        named = set(filter(_RATE.fullmatch, (numpy_files if is_numpy else matlab).names(path)))
        held = numpy_files.load(path, named) if is_numpy else matlab.load(path, named, set())
        found = ((name, one) for name, one in held.items() if isinstance(one, Matrix) and math.prod(one.shape) == 1)
        rates = {name: float(one.whole().ravel()[0]) for name, one in found}
    return [
        note("another rate", says, [name], rate_hz=rate_hz, stated_hz=arrays.sfreq)
        for name, rate_hz in rates.items()
        if _LEAST_HZ <= rate_hz < math.inf and rate_hz != arrays.sfreq
    ]


def _labelled(path: Path, blocks: list[list[Segment]], holders: list[dict[str, Any]], arrays: Arrays) -> list[Event]:
    """Return the events of labels beside the signal, in the struct that each block is in or in one for all."""
    name = arrays.trial_labels
    if not arrays.field:
        return spans(path, name, holders[0].get(name), blocks, arrays.sfreq)
    pairs = zip(blocks, holders, strict=True)
    return [event for block, held in pairs for event in spans(path, name, held.get(name), [block], arrays.sfreq)]


def _by_itself(path: Path) -> SampledFile:
    """Return the layout of a MAT file of which nothing is known, that of BNCI Horizon 2020's, which say what they hold.

    Raises DareError for others.
    """
    names = matlab.names(path)
    if runs := _of_runs(path, names):
        return parse(path, runs)
    listed = ", ".join(names[:5]) or "none"
    raise RefusedError(
        f"is a MAT file of arrays ({listed}) that tells neither channels nor rate",
        path=path,
        remedy="state them in [layout.arrays] of a recipe",
    )


def _of_runs(path: Path, names: list[str]) -> Arrays | None:
    """Return the layout of the files of BNCI Horizon 2020, None where a file is not one of them.

    ``data`` is a cell of runs: ``X`` (time × channel, µV), its rate ``fs``, ``trial`` and the classes ``y``. Channels
    have no names there, so they are ``CH1`` and so on. Raises DareError where the rate is none.
    """
    if "data" not in names:
        return None
    runs = structs(matlab.load(path, {"data"}, {"X", "fs"}).get("data"))
    if not runs or not all(isinstance(run.get(name), Matrix) for run in runs for name in ("X", "fs")):
        return None
    sfreq = float(runs[0]["fs"].whole().ravel()[0])
    require_rate(path, sfreq)
    return Arrays("data", "time channel", ("",) * runs[0]["X"].shape[1], sfreq, "uV", "X", "trial", "y")


def _signals(path: Path, name: str, value: Value, arrays: Arrays) -> list[tuple[str, Matrix, dict[str, Any]]]:
    """Return (text, signal, the struct it is in or an empty one) of each signal of a variable."""
    holders = structs(value) if arrays.field else [{"": value}]
    signals = []
    for number, struct in enumerate(holders):
        text = f"{name} struct {number}" if len(holders) > 1 else name
        signal = struct.get(arrays.field)
        if not isinstance(signal, Matrix):
            member = f"member {arrays.field!r} of " if arrays.field else ""
            raise MissingError(f"{member}{text} is not there or no array of real numbers", path=path)
        signals.append((text, signal, struct))
    if not signals:
        raise MissingError(f"{name} is no struct with a member {arrays.field!r}", path=path)
    return signals


def _block(path: Path, text: str, matrix: Matrix, arrays: Arrays, begin: int) -> tuple[_Block, list[str]]:
    """Return (the matrix as a block from this sample on, the text of each of its trials)."""
    axes = arrays.axes.split()
    # MATLAB drops last axes of length 1.
    shape = matrix.shape + (1,) * (len(axes) - len(matrix.shape))
    has_shape = f"{text} is {' × '.join(map(str, matrix.shape)) or 'one number'}"
    if len(shape) != len(axes) or not math.prod(shape):
        raise DamagedError(f"{has_shape}, which is not {' × '.join(axes)}", path=path)
    channel = axes.index("channel")
    if shape[channel] != len(arrays.labels):
        others = [axis for axis, size in enumerate(shape) if size == len(arrays.labels)]
        if not others:
            raise DamagedError(f"{has_shape}, no axis of which has its {len(arrays.labels)} channels", path=path)
        axes[channel], axes[others[0]] = axes[others[0]], "channel"
    trial_axes = [axis for axis, name in enumerate(axes) if name not in ("channel", "time")]
    sizes = [shape[axis] for axis in trial_axes]
    indices = np.ndindex(*sizes)
    texts = [" ".join([text, *(f"{axes[a]} {i}" for a, i in zip(trial_axes, index, strict=True))]) for index in indices]
    time = axes.index("time")
    whole = Matrix(shape, lambda index: matrix.read(index[: len(matrix.shape)]).reshape(_sizes(shape, index)))
    order = (*trial_axes, axes.index("channel"), time)
    return _Block(whole, order, begin, shape[time], math.prod(sizes), " ".join(axes)), texts


def _sizes(shape: tuple[int, ...], index: tuple[slice, ...]) -> tuple[int, ...]:
    return tuple(len(range(*one.indices(size))) for one, size in zip(index, shape, strict=True))


def _read(blocks: list[_Block], rows: list[int], start: int, stop: int, scale: float) -> NDArray[np.float32]:
    """Return (rows × samples) of the blocks one after another, times ``scale``; a part of one block is in memory."""
    data = np.empty((len(rows), stop - start), np.float32)
    for block in blocks:
        first, end = max(block.begin, start), min(block.stop, stop)
        if first >= end:
            continue
        index = [slice(None)] * len(block.order)
        if block.num_trials == 1:
            offset = first
            index[block.order[-1]] = slice(first - block.begin, end - block.begin)
        else:
            # Of the outermost axis of trials no more than is asked for, as all of them need not fit into memory.
            each = block.length * block.num_trials // block.matrix.shape[block.order[0]]
            outer = (first - block.begin) // each
            offset = block.begin + outer * each
            index[block.order[0]] = slice(outer, -(-(end - block.begin) // each))
        signal = block.matrix.read(tuple(index)).transpose(block.order)
        trials = signal.reshape((-1, *signal.shape[-2:]))
        with np.errstate(over="ignore", invalid="ignore"):
            for number, trial in enumerate(trials):
                at = offset + number * block.length
                low, high = max(at, first), min(at + trial.shape[1], end)
                if low < high:
                    data[:, low - start : high - start] = trial[rows, low - at : high - at] * scale
    return data


def _events(path: Path, text: str, struct: dict[str, Any], arrays: Arrays, first: int) -> list[Event]:
    """Return the events listed beside a signal, in seconds from its first sample, which they count as ``first``."""
    if not arrays.onsets:
        return []
    onsets, codes = struct.get(arrays.onsets), struct.get(arrays.codes)
    if not isinstance(onsets, Matrix) or not isinstance(codes, Matrix):
        raise MissingError(f"{text} lacks {arrays.onsets!r} or {arrays.codes!r}, which list its events", path=path)
    samples, numbers = (np.asarray(one.whole(), np.float64).ravel() for one in (onsets, codes))
    if len(samples) != len(numbers) or not np.isfinite([*samples, *numbers]).all():
        raise DamagedError(f"{text} has {len(samples)} onsets of events and {len(numbers)} codes", path=path)
    onsets_s = ((samples - first) / arrays.sfreq).tolist()
    return [Event(onset_s, 0.0, digits(code)) for onset_s, code in zip(onsets_s, codes.whole().ravel(), strict=True)]


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Return a key by which ``x2`` comes before ``x10``."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]


FORMAT = Format(
    name="MAT",
    suffixes=(".mat",),
    claims=lambda _path, head: matlab.is_mat(head),
    parse=_by_itself,
    general=True,
    holds_text=True,
    in_bids=False,
)
