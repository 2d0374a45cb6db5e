"""Contents: what a file of bare numbers or a table holds, and which layout would read it."""

import csv
import io
import itertools
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from manifests.errors import DareError
from pipelines.formats import matlab
from pipelines.formats.matrix import Matrix, structs
from pipelines.formats.packed import is_packed, unpack

TABLES = (".csv", ".tsv", ".txt")
"""Endings of text that may be a table."""

BARE = (".mat", ".npy", ".npz")
"""Endings of files of bare numbers."""

_HEAD_BYTES = 1 << 16
_LOOKED = 200  # rows that tell of which kind a column is
_SIGNAL_COLUMNS, _SIGNAL_ROWS = 2, 100  # at least, of a table that holds a recording
_LEAST_HZ, _MS = 20.0, 1000.0
_MEMBERS = frozenset("X x y Y data eeg EEG signal signals trial trials fs srate chan chanlocs label labels".split())
_RATE = re.compile(r"(?:fs|hz|s?rate|sfreq|sampl\w*)(?:_?hz)?", re.IGNORECASE)
_TIME = re.compile(r"(?:time\w*|t|seconds?|secs?|ms)", re.IGNORECASE)
_AXES = {1: "time", 2: "channel time"}

_LABEL = re.compile(r"(?:.*[ _.])?(?:labels?|markers?|events?|stim\w*|trigger|task|class|condition|y)", re.IGNORECASE)
_AS_LABELS = 'with labels = "annotations" and classes its texts are labels'

Facts = dict[str, Any]


def contents(path: Path) -> Facts:
    """Return what a file holds that says nothing of its channels: variables or columns, and a layout; {} for others.

    A packed one is unpacked. Raises DareError where a MAT file or a packed one is damaged.
    """
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        head = file.read(1024)
    if is_packed(path, head):
        place = unpack(path, head)
        return contents(place.file)
    if matlab.is_mat(head):
        return _of_arrays("MAT", _of_mat(path))
    if suffix in (".npy", ".npz"):
        return _of_arrays("NumPy", _of_numpy(path))
    return _of_table(path) if suffix in TABLES else {}


def is_signal(held: Facts) -> bool:
    """Return whether the contents of a file are most likely a recording."""
    return bool(held.get("channels"))


def table_columns(path: Path) -> list[str]:
    """Return the names of the columns of a table of text, none where it is no table."""
    with suppress(OSError, csv.Error, DareError), path.open("rb") as file:
        head = file.read(1024)
        place = unpack(path, head) if is_packed(path, head) else None
        rows = _rows(place.file if place else path)
        if len(rows) > 1 and len(rows[0]) > 1 and len(rows[0]) == len(rows[1]) and not any(map(_is_number, rows[0])):
            return [cell.strip() for cell in rows[0]]
    return []


# --- arrays -----------------------------------------------------------------------------------------------------------


def _of_mat(path: Path) -> Facts:
    names = matlab.names(path)
    held: Facts = matlab.load(path, names, _MEMBERS)
    return {name: held.get(name) for name in names}


def _of_numpy(path: Path) -> Facts:
    with suppress(ValueError, OSError):
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        arrays = {"array": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
        return {name: _plain(array) for name, array in arrays.items()}
    return {}


def _plain(array: np.ndarray[Any, Any]) -> Any:
    return [str(one) for one in array.ravel()] if array.dtype.kind in "US" else Matrix(array.shape, array.__getitem__)


def _of_arrays(kind: str, held: Facts) -> Facts:
    """Return what variables a file has, and the layout of the one that is most likely the signal; {} without any."""
    if not held:
        return {}
    variables = {name: _said(value) for name, value in held.items()}
    signals = {
        (name, field): value.shape
        for name, found in held.items()
        for field, value in [("", found), *[pair for one in structs(found)[:1] for pair in one.items()]]
        if isinstance(value, Matrix) and sum(size > 1 for size in value.shape) > 1
    }
    facts: Facts = {"format": kind, "variables": variables}
    if not signals:
        return facts
    (name, field), shape = max(signals.items(), key=lambda pair: int(np.prod(pair[1])))
    axes = _axes(shape)
    channels = shape[axes.split().index("channel")]
    named = next((v for v in held.values() if _are_texts(v) and len(v) == channels), None)
    rates = [v for n, v in held.items() if _RATE.fullmatch(n) and isinstance(v, Matrix) and np.prod(v.shape) == 1]
    rate = float(rates[0].whole().ravel()[0]) if rates else 0.0
    lines = [
        "[layout.arrays]",
        f"variables = {_quoted(re.escape(name))}  # a regular expression: the largest array",
        *[f"field = {_quoted(field)}"] * bool(field),
        f'axes = "{axes}"  # guessed from {_shape(shape)}: look that they are',
        _channels_line(named or [], channels),
        f"sfreq_hz = {rate:g}" if rate else "sfreq_hz = 0  # the file does not say: state it",
    ]
    sizes = dict(zip(axes.split(), shape, strict=True))
    trials = int(np.prod([size for axis, size in sizes.items() if axis not in ("channel", "time")]))
    is_beside = trials > 1 and not field
    labels = [one for one, value in held.items() if is_beside and value is not named and _length(value) == trials]
    lines += [f"# label = {_quoted(one)}  # one for each of {trials} trials: {_AS_LABELS}" for one in labels]
    return facts | {"channels": named or _numbered(channels), "layout": lines}


def _length(value: object) -> int:
    """Return how many entries a list of texts or numbers has, 0 for all else."""
    if isinstance(value, Matrix):
        return int(np.prod(value.shape)) if max(value.shape, default=0) == np.prod(value.shape) else 0
    return len(value) if isinstance(value, list) and _are_texts(value) else 0


def _channels_line(named: list[str], count: int) -> str:
    names = ", ".join(map(_quoted, named or _numbered(count)))
    return f"channels = [{names}]" + ("" if named else "  # the file does not say: name them in its order")


def _numbered(count: int) -> list[str]:
    return [f"CH{number + 1}" for number in range(count)]


def _axes(shape: tuple[int, ...]) -> str:
    """Return what the axes of a signal most likely are: the longest is time, and trials stand first or last."""
    longest = int(np.argmax(shape))
    others = ["trial", "block", "set", "part"]
    names = [""] * len(shape)
    names[longest] = "time"
    names[longest - 1 if longest else 1] = "channel"
    left = iter(others)
    return " ".join(name or next(left, "more") for name in names)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _said(value: Any) -> str:
    if isinstance(value, Matrix):
        number = float(value.whole().ravel()[0]) if np.prod(value.shape) == 1 else None
        return _shape(value.shape) if number is None else f"{number:g}"
    if isinstance(value, str):
        return f"text {value[:40]!r}"
    if held := structs(value):
        members = ", ".join(f"{name} {_said(one)}" for name, one in held[0].items())
        return f"{len(held)} structs of {members or 'members of other names'}"
    if _are_texts(value):
        return f"{len(value)} texts: {', '.join(value[:8])}"
    return "something else"


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


# --- tables -----------------------------------------------------------------------------------------------------------


def _of_table(path: Path) -> Facts:
    names, rows = table_columns(path), _rows(path)
    if not names:
        return {}
    body = [dict(zip(names, row, strict=False)) for row in rows[1:]]
    numeric = [name for name in names if body and all(_is_number(row.get(name, "")) for row in body)]
    num_rows = _num_lines(path) - 1
    facts: Facts = {"format": "table", "rows": num_rows}
    if len(numeric) < _SIGNAL_COLUMNS or num_rows < _SIGNAL_ROWS:
        columns = {name: _values([row.get(name, "") for row in body]) for name in names}
        return facts | {"columns": columns, "layout": _label_layout(path, names)}
    time = next((name for name in numeric if _TIME.fullmatch(name)), "")
    labels = [name for name in names if name != time and _LABEL.fullmatch(name)]
    signal = [name for name in numeric if name not in (time, *labels)]
    times = [float(row[time].replace(",", ".")) for row in body] if time else []
    steps = np.diff(times)
    step = float(np.median(steps)) if len(steps) else 0.0
    is_ms = bool(step) and 1 / step < _LEAST_HZ
    rate = (_MS if is_ms else 1.0) / step if step > 0 else 0.0
    columns = {name: "numbers" if name in numeric else "text" for name in names}
    lines = [
        "[layout.arrays]",
        f"columns = [{', '.join(map(_quoted, signal))}]  # leave out what is no electrode",
        *[f"time = {_quoted(time)}"] * bool(time),
        *['time_unit = "ms"'] * is_ms,
        f"sfreq_hz = {rate:.6g}  # by its times" if rate else "sfreq_hz = 0  # the file does not say: state it",
        'unit = "uV"  # the file does not say: uV, mV or V',
        *[f"# label = {_quoted(name)}  # {_AS_LABELS}" for name in labels],
    ]
    return facts | {"columns": columns, "channels": signal, "layout": lines}


def _label_layout(path: Path, names: list[str]) -> list[str]:
    """Return the layout that takes labels from a table: of events where it has onsets, else of recordings."""
    lower = {name.lower(): name for name in names}
    if "onset" in lower:
        label = next((lower[name] for name in ("trial_type", "label", "value", "event") if name in lower), names[-1])
        named = f"onset = {_quoted(lower['onset'])}, label = {_quoted(label)}"
        return ['labels = "events"', f'events = {{ file = "{{path}}{path.suffix}", {named} }}']
    files = next((name for name in names if re.search(r"file|path|^recording$", name, re.IGNORECASE)), "")
    people = next((name for name in names if re.search(r"subj|partic|person|patient|^id$", name, re.IGNORECASE)), "")
    key = f"path = {_quoted(files)}" if files else f"subject = {_quoted(people or names[0])}"
    return [
        'labels = "recordings"',
        f'recordings = {{ file = "{path.name}", {key}, label = {_quoted(names[-1])} }}  # choose the column of labels',
    ]


def _values(cells: list[str]) -> str:
    found = dict.fromkeys(cell.strip() for cell in cells)
    return f"{len(found)} different, such as {', '.join(itertools.islice(found, 3))}"


def _rows(path: Path) -> list[list[str]]:
    """Return the first rows of a table, split by the tab, semicolon or comma that its first line has most of."""
    with path.open("rb") as file:
        text = file.read(_HEAD_BYTES).decode("utf-8-sig", "replace")
    lines = io.StringIO(text if len(text) < _HEAD_BYTES else text.rpartition("\n")[0], newline="")
    first = text.partition("\n")[0]
    delimiter = max("\t;,", key=first.count)
    return [row for row in itertools.islice(csv.reader(lines, delimiter=delimiter), _LOOKED) if any(row)]


def _num_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


def _is_number(cell: str) -> bool:
    with suppress(ValueError):
        float(cell.replace(",", "."))
        return True
    return False


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
