"""BrainVision: a header in text, .vhdr or V-Amp's .ahdr, that names the samples and the markers beside it."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DamagedError, MissingError, RefusedError
from manifests.notes import Note, note
from pipelines.formats import Format
from pipelines.formats.brainvision_text import Settings, decoded, markers_of, settings_of
from pipelines.formats.companions import beside, require_own
from pipelines.formats.sampled import SampledFile, error_context, in_blocks, stretches
from pipelines.recording import Channel, describe_channel, require_rate

_HEADERS = (".vhdr", ".ahdr", ".avhdr")
_COMPANIONS = {"DataFile": (".eeg", ".dat", ".avg", ".seg"), "MarkerFile": (".vmrk", ".amrk", ".avmrk")}
_FIRST_LINE = re.compile(r"\s*Brain ?Vision( V-Amp)?[\w ]* Data[\w ]* Header", re.IGNORECASE)
_DTYPES = {"INT_16": "i2", "UINT_16": "u2", "INT_32": "i4", "IEEE_FLOAT_32": "f4"}
_SHIFTS = ("DataOffset", "ChannelOffset", "SegmentHeaderSize", "TrailerSize")
"""Bytes that are no samples, which no recorder is known to write; MNE reads them as samples."""

_LOST_MU = re.compile(r"(?:[^\x00-\x7f]|\?){1,3}V")
"""A unit whose µ was lost between code pages: of the prefixes of a volt it alone is no ASCII."""

_DECIMALS = re.compile(r"\d+(?:e[+-]?\d+)?", re.IGNORECASE)


class _Stored(NamedTuple):
    """The samples as they are in the file, (channels of the file, samples), and what is to be said of their number."""

    samples: NDArray[Any]
    notes: tuple[Note, ...]


def parse(path: Path) -> SampledFile:
    """Return the layout of a BrainVision recording by its header.

    Channels whose unit is no voltage are left out. Raises DareError where the samples or the markers that it names are
    not there or may be another recording's, and where the header contradicts itself or its samples.
    """
    if path.suffix.lower() not in _HEADERS:
        raise RefusedError("is the header of a BrainVision recording: give it the ending .vhdr", path=path)
    text = decoded(path.read_bytes())
    settings = settings_of(text)
    data, markers = _companion(path, settings, "DataFile"), _companion(path, settings, "MarkerFile")
    if data is None:
        raise MissingError("names no DataFile, which would hold its samples", path=path)
    sfreq = 1e6 / (_number(path, settings, "SamplingInterval") or math.nan)
    require_rate(path, sfreq)
    described = _channels(path, settings, sfreq)
    rows = [row for row, (channel, _) in enumerate(described) if not math.isnan(channel.scale_to_uv)]
    first_line = _FIRST_LINE.match(text)
    has_one_more = path.suffix.lower() == ".ahdr" or bool(first_line and first_line[1])  # that V-Amp leaves out
    with error_context(path, "BrainVision"):
        stored = _stored(path, data, settings, len(described) + has_one_more)
    samples = stored.samples
    events, edges, notes = markers_of(markers.read_bytes(), sfreq) if markers else ((), set(), ())
    step = int(_number(path, settings, "SegmentDataPoints", 0))
    edges |= set(range(0, samples.shape[1], step)) if step > 0 else set()
    if len(rows) < len(described):
        says = "{channels} channels that are no EEG left out ({names})"
        notes = (note("no EEG", says, ["misc"], channels=len(described) - len(rows)), *notes)
    to_uv = np.array([described[row][1] for row in rows])

    def load(places: list[int], start: int, stop: int) -> NDArray[np.float32]:
        picks, scale = [rows[place] for place in places], to_uv[places, None]
        return in_blocks(lambda first, end: samples[picks, first:end] * scale, len(picks), len(samples), start, stop)

    return SampledFile(
        path=path,
        format="BrainVision",
        channels=tuple(described[row][0] for row in rows),
        num_samples=samples.shape[1],
        segments=stretches(edges, samples.shape[1], sfreq),
        events=events,
        notes=(*stored.notes, *notes),
        load=load,
        files=(data, *filter(None, [markers])),
    )


def _number(path: Path, settings: Settings, key: str, default: float = math.nan) -> float:
    """Return a number of the common infos; DareError where it is none, or missing without a ``default``."""
    digits = settings.get("common infos", {}).get(key.lower(), "") or str(default)
    try:
        number = float(digits.replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DamagedError(f"cannot be read as BrainVision: its {key} is missing or no number", path=path)
    return number


@lru_cache(maxsize=4096)
def _name(path: Path, key: str, _mtime_ns: int) -> str:
    """Return the name of the companion that another header has, "" where it cannot be told."""
    try:
        return _named(path, settings_of(decoded(path.read_bytes())), key)
    except OSError:
        return ""


def _named(path: Path, settings: Settings, key: str) -> str:
    """Return the name of a companion; ``$b`` in it stands for the header's own."""
    return settings.get("common infos", {}).get(key.lower(), "").replace("$b", path.stem)


def _companion(path: Path, settings: Settings, key: str) -> Path | None:
    """Return the file that a header names, None where it names none."""
    name = _named(path, settings, key)
    if not name:
        return None
    file = beside(path, name)
    if file is None:
        raise MissingError(
            f"its {key} {name} is not beside it", path=path, remedy="put it there, or correct the name in it"
        )
    require_own(path, file, _COMPANIONS[key], _HEADERS, lambda other: _name(other, key, other.stat().st_mtime_ns))
    return file


def _channels(path: Path, settings: Settings, sfreq: float) -> list[tuple[Channel, float]]:
    """Return each channel, and µV per stored number; what is no voltage has NaN as its ``scale_to_uv``."""
    infos, count = settings.get("channel infos", {}), _number(path, settings, "NumberOfChannels")
    if not infos or count != len(infos) or infos.keys() != {f"ch{number + 1}" for number in range(len(infos))}:
        says = f"describes {len(infos)} channels and says that it has {count:g}, numbered from 1"
        raise DamagedError(says, path=path)
    channels: list[tuple[Channel, float]] = []
    for number in range(len(infos)):
        name, _, resolution, unit, *more = [*infos[f"ch{number + 1}"].split(","), "", "", ""]
        if _DECIMALS.fullmatch(unit.strip()):  # what was cut is a decimal comma
            resolution, unit = f"{resolution}.{unit}", more[0]
        unit = unit.strip() or "µV"
        place = sum(not math.isnan(channel.scale_to_uv) for channel, _ in channels)
        label = name.replace(r"\1", ",")
        channel = describe_channel(label, place, sfreq, "µV" if _LOST_MU.fullmatch(unit) else unit)
        try:
            scale = float(resolution.strip() or 1)
        except ValueError:
            scale = 0.0
        if not math.isfinite(scale) or scale == 0:
            channel, scale = replace(channel, fault=f"scaled by {resolution.strip()!r}, which is no scale"), 0.0
        channels.append((channel, scale * channel.scale_to_uv))
    return channels


def _stored(path: Path, data: Path, settings: Settings, num_channels: int) -> _Stored:
    """Return the samples of a file of so many channels; raises DareError where it holds others than the header says."""
    common, binary = settings["common infos"], settings.get("binary infos", {})
    if common.get("datatype", "TIMEDOMAIN").upper() != "TIMEDOMAIN":
        raise RefusedError(f"holds {common['datatype']}, which is no signal in time", path=path)
    is_vectorized = common["dataorientation"].upper() == "VECTORIZED"
    stated = int(_number(path, settings, "DataPoints", 0))
    if common.get("dataformat", "BINARY").upper() == "ASCII":
        samples, rest = _numbers(data, settings.get("ascii infos", {}), is_vectorized), 0
        if len(samples) != num_channels:
            raise DamagedError(f"holds {len(samples)} channels, its header says {num_channels}", path=data)
    else:
        if odd := [key for key in _SHIFTS if binary.get(key.lower(), "0") != "0"]:
            raise RefusedError(f"has a {odd[0]}, which nothing here reads", path=path, remedy="export it without")
        order = ">" if binary.get("usebigendianorder", "NO").upper() == "YES" else "<"
        dtype = np.dtype(order + _DTYPES[binary["binaryformat"].upper()])
        size = data.stat().st_size
        held, rest = divmod(size, dtype.itemsize * num_channels)
        if held == 0:
            raise DamagedError(f"has {size} bytes, not one sample of each of {num_channels} channels", path=data)
        if is_vectorized and (rest or stated not in (0, held)):
            says = f"has {size} bytes, not {num_channels} channels of {stated or held} samples"
            raise DamagedError(says, path=data, remedy="get it again")
        samples = np.memmap(data, dtype, "r", 0, (num_channels, held) if is_vectorized else (held, num_channels))
        samples = samples if is_vectorized else samples.T
    notes = []
    if samples.shape[1] < stated:
        says = "{names} is cut: {whole} of {stated} samples are whole"
        notes.append(note("cut samples", says, [data.name], whole=samples.shape[1], stated=stated))
    elif rest:
        notes.append(note("trailing bytes", "{bytes} bytes after the last whole sample ignored", bytes=rest))
    return _Stored(samples, tuple(notes))


def _numbers(data: Path, infos: Mapping[str, str], is_vectorized: bool) -> NDArray[np.float64]:
    """Return (channels, samples) of a text: a line for each channel where it is vectorized, else for each sample."""
    has_comma = infos.get("decimalsymbol", ".") == ","
    text = decoded(data.read_bytes())
    lines = re.split(r"\r\n|\n|\r", text.replace(",", ".") if has_comma else text)[int(infos.get("skiplines", 0)) :]
    split = [re.split(r"[\s;]+" if has_comma else r"[\s;,]+", line.strip()) for line in lines if line.strip()]
    values = np.array([row[int(infos.get("skipcolumns", 0)) :] for row in split], np.float64)
    return values if is_vectorized else values.T


def _claims(path: Path, head: bytes) -> bool:
    """Return whether a file is a header, by its first line or, where that is lost, by its ending and first section."""
    text = decoded(head[:4096])
    return bool(_FIRST_LINE.match(text)) or (path.suffix.lower() in _HEADERS and "[common infos]" in text.lower())


FORMAT = Format(
    name="BrainVision",
    suffixes=_HEADERS,
    claims=_claims,
    parse=parse,
    companions=dict.fromkeys(_COMPANIONS["DataFile"], "samples") | dict.fromkeys(_COMPANIONS["MarkerFile"], "markers"),
    holds_text=True,
)
