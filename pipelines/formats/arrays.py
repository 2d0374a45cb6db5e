"""Arrays: how a file of bare numbers (MAT 5 or 7.3) holds a recording, which nothing in the file says."""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError, MissingError, RefusedError
from pipelines.formats import Format, matlab
from pipelines.formats.matrix import Matrix, Value, digits, structs
from pipelines.formats.sampled import SampledFile
from pipelines.recording import Event, Segment, describe_channel, require_rate


@dataclass(frozen=True)
class Arrays:
    """The layout of a recording in a file of arrays.

    ``variables`` is a regular expression of the names that hold signal, each matched whole, taken in natural order
    (``x2`` before ``x10``); ``axes`` names the axes of each, ``time`` and ``channel`` among them (``"channel time
    target block"``): every index of the others is a trial. Where the variable is a struct, or a cell of structs,
    ``field`` is its member with the signal, ``onsets`` the one with 1-based samples of events and ``codes`` with their
    numbers. Every trial, variable and struct is a segment of its own, spanned by an event whose text is the variable's
    name and then axis and 0-based index, as in ``data target 3 block 0``, or, of several structs, ``data struct 3``.
    Segments follow one another: their onsets count seconds of signal. ``labels`` name the channels in order, ``sfreq``
    is in Hz; ``unit`` as in a file's header. Where not the axis named but another has as many entries as there are
    channels, that one is taken.
    """

    variables: str
    axes: str
    labels: tuple[str, ...]
    sfreq: float
    unit: str = "uV"
    field: str = ""
    onsets: str = ""
    codes: str = ""


@dataclass(frozen=True)
class _Block:
    """A matrix with signal: ``order`` are its axes as trials..., channel, time, ``begin`` its first sample's place."""

    matrix: Matrix
    order: tuple[int, ...]
    begin: int
    length: int
    num_trials: int

    @property
    def stop(self) -> int:
        return self.begin + self.num_trials * self.length


def parse(path: Path, arrays: Arrays) -> SampledFile:
    """Return the layout of a MAT file by what is known of its arrays.

    Raises DareError where no variable is named so, or one has other axes or members, and where the file is damaged.
    """
    names = sorted((name for name in matlab.names(path) if re.fullmatch(arrays.variables, name)), key=_natural)
    if not names:
        listed = ", ".join(matlab.names(path)[:5]) or "none"
        raise MissingError(f"no variable is named like {arrays.variables!r}", path=path, remedy=f"there are {listed}")
    values = matlab.load(path, names, {arrays.field, arrays.onsets, arrays.codes} - {""})
    blocks: list[_Block] = []
    segments: list[Segment] = []
    events: list[Event] = []
    for name in names:
        for text, value, struct in _signals(path, name, values.get(name), arrays):
            block, trials = _block(path, text, value, arrays, blocks[-1].stop if blocks else 0)
            begin_s = block.begin / arrays.sfreq
            for number, trial in enumerate(trials):
                start = block.begin + number * block.length
                segments.append(Segment(start, start + block.length, start / arrays.sfreq))
                events.append(Event(start / arrays.sfreq, block.length / arrays.sfreq, trial))
            events += [replace(one, onset_s=one.onset_s + begin_s) for one in _events(path, text, struct, arrays)]
            blocks.append(block)
    scale = describe_channel("", 0, arrays.sfreq, arrays.unit).scale_to_uv

    def load(rows: list[int], start: int, stop: int) -> NDArray[np.float32]:
        return _read(blocks, rows, start, stop, 1.0 if math.isnan(scale) else scale)

    return SampledFile(
        path=path,
        format="MAT",
        channels=tuple(
            describe_channel(label, place, arrays.sfreq, arrays.unit) for place, label in enumerate(arrays.labels)
        ),
        num_samples=blocks[-1].stop,
        segments=tuple(segments),
        events=tuple(sorted(events, key=lambda event: event.onset_s)),
        notes=(),
        load=load,
        num_records=len(segments),
    )


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
        remedy="it can be read only as part of a corpus that knows them",
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
    has_shape = f"{text} is {' × '.join(map(str, matrix.shape))}"
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
    return _Block(whole, order, begin, shape[time], math.prod(sizes)), texts


def _sizes(shape: tuple[int, ...], index: tuple[slice, ...]) -> tuple[int, ...]:
    return tuple(len(range(*one.indices(size))) for one, size in zip(index, shape, strict=True))


def _read(blocks: list[_Block], rows: list[int], start: int, stop: int, scale: float) -> NDArray[np.float32]:
    """Return (rows × samples) of the blocks one after another, times ``scale``; one block at a time is in memory."""
    data = np.empty((len(rows), stop - start), np.float32)
    for block in blocks:
        first, end = max(block.begin, start), min(block.stop, stop)
        if first >= end:
            continue
        span = slice(first - block.begin, end - block.begin) if block.num_trials == 1 else slice(None)
        index = [slice(None)] * len(block.order)
        index[block.order[-1]] = span
        signal = block.matrix.read(tuple(index)).transpose(block.order)
        trials = signal.reshape((block.num_trials, *signal.shape[-2:]))
        offset = block.begin + (span.start or 0)
        with np.errstate(over="ignore", invalid="ignore"):
            for number, trial in enumerate(trials):
                at = offset + number * block.length
                low, high = max(at, first), min(at + trial.shape[1], end)
                if low < high:
                    data[:, low - start : high - start] = trial[rows, low - at : high - at] * scale
    return data


def _events(path: Path, text: str, struct: dict[str, Any], arrays: Arrays) -> list[Event]:
    """Return the events that a struct lists beside its signal, in seconds from its first sample."""
    if not arrays.onsets:
        return []
    onsets, codes = struct.get(arrays.onsets), struct.get(arrays.codes)
    if not isinstance(onsets, Matrix) or not isinstance(codes, Matrix):
        raise MissingError(f"{text} lacks {arrays.onsets!r} or {arrays.codes!r}, which list its events", path=path)
    samples, numbers = (np.asarray(one.whole(), np.float64).ravel() for one in (onsets, codes))
    if len(samples) != len(numbers) or not np.isfinite([*samples, *numbers]).all():
        raise DamagedError(f"{text} has {len(samples)} onsets of events and {len(numbers)} codes", path=path)
    onsets_s = ((samples - 1) / arrays.sfreq).tolist()
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
