"""Inspect: what a raw recording, a file of bare numbers or a raw tree holds, and which layout would read it."""

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from manifests import recipe as recipes
from manifests.errors import DareError, MissingError
from pipelines.contents import contents
from pipelines.corpora import CORPORA
from pipelines.first_recipe import layout_of
from pipelines.formats import readers, triggers
from pipelines.path_pattern import ending
from pipelines.recording import Header
from pipelines.survey import known_electrodes, survey

_LISTED, _SHOWN = 40, 24
"""Counts that a line holds, and lines of a table."""


def recording(path: Path) -> dict[str, Any]:
    """Return the facts of one recording: format, length, gaps, events, and each channel's name, rate, unit and sd.

    Of a file that no format reads as it is, because it says nothing of its channels, they are what is in it and the
    layout to write. Raises DareError where the file cannot be read.
    """
    try:
        return _recording(path)
    except DareError as problem:
        with suppress(DareError, OSError):
            if held := contents(path):
                return {"path": str(path), "not_read_as_it_is": problem.reason} | held
        raise problem.or_else(readers.GET_AGAIN) from problem


def _recording(path: Path) -> dict[str, Any]:
    header = readers.read_header(path)
    facts: dict[str, Any] = {
        "path": str(path),
        "format": header.format,
        "duration_s": header.duration_s,
        "channels": [
            {"label": one.label, "electrode": one.electrode, "sfreq": one.sfreq, "unit": one.unit}
            for one in header.channels
        ],
    }
    if not header.channels:
        return facts | {"notes": [one.text for one in header.notes]}
    read = readers.read(path)
    signal_uv = np.concatenate([read.data_uv[:, s.start : s.stop] for s in read.segments] or [read.data_uv], axis=1)
    spread_uv = [round(float(row.std()), 2) if np.isfinite(row).all() else None for row in signal_uv]
    sd_uv = dict(zip(read.electrodes, spread_uv, strict=True))
    for channel in facts["channels"]:
        channel["sd_uv"] = sd_uv.get(channel["electrode"])
    told = read.notes if read.events else (*read.notes, *triggers.noticed(readers.open_file(path)))
    return facts | {
        "segments": [{"onset_s": s.onset_s, "duration_s": (s.stop - s.start) / read.sfreq} for s in read.segments],
        "events": dict(sorted(Counter(event.text for event in read.events).items())),
        "notes": sorted({one.text for one in told}),
    }


def tree(src: Path) -> dict[str, Any]:
    """Return the facts of a raw tree: its files by ending, and what of which corpus is in it.

    Raises DareError for a folder that is missing or empty, and for a shard set that is not finished.
    """
    if (src / "plan.json").exists():
        raise MissingError("is a shard set that is not finished", path=src, remedy="run dare preprocess again")
    found = survey(src)
    corpora = {}
    most = 0
    for name, corpus in CORPORA.items():
        sources = corpus.find(found.paths, recipes.load(name))
        if sources:
            most = max(most, len(sources))
            corpora[name] = {
                "version": corpus.version(found.paths),
                "recordings": len(sources),
                "subjects": len({source.subject for source in sources}),
                "test": sum(source.test for source in sources),
            }
    endings = Counter(ending(path).lower() or "none" for path in found.paths)
    headers = found.recordings.values()
    known = set(known_electrodes(found.electrodes))
    facts: dict[str, Any] = {
        "path": str(src),
        "files": dict(sorted(endings.items())),
        "corpora": corpora,
        "bids": found.is_bids,
        "recordings": found.num_likely,
        "headers_read": len(headers),
        "hours": round(sum(header.duration_s for header in headers) / 3600, 3),
        "formats": dict(Counter(header.format for header in headers).most_common()),
        "rates": {f"{rate:g} Hz": count for rate, count in found.rates.most_common()},
        "electrodes": {name: count for name, count in found.electrodes.items() if name in known},
        "other_channels": {name: count for name, count in found.electrodes.items() if name not in known},
        "units": dict(Counter(unit or "none" for header in headers for unit in _units(header))),
        "mains": {f"{line} Hz": count for line, count in found.loud_mains.items()},
        "labels": {
            " ".join(filter(None, (one.where, one.column))): dict(one.texts.most_common()) for one in found.labels
        },
        "tables": found.tables,
        "unread": found.faults,
    }
    if not headers:
        first = {ending(path): path for path in reversed(found.unknown)}
        return facts | {"contents": {path: held for path in first.values() if (held := _contents(src / path))}}
    return facts if 2 * most > found.num_likely else facts | {"layout": layout_of(found)}


def _units(header: Header) -> set[str]:
    return {one.unit for one in header.channels if not one.fault}


def _contents(path: Path) -> dict[str, Any]:
    try:
        return contents(path)
    except (DareError, OSError):
        return {}


def text(facts: dict[str, Any]) -> str:
    """Return the facts as lines a person reads."""
    lines = []
    for key, value in facts.items():
        name = key.replace("_", " ") if key != "duration_s" else key
        if name == "layout":
            lines += ["layout that would read it:", *_indented("\n".join(value))]
        elif name == "contents":
            lines += [line for path, held in value.items() for line in (f"{path}:", *_indented(text(held)))]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{name}: {len(value)}")
            lines += ["  " + "  ".join(f"{what} {item}" for what, item in row.items()) for row in value]
        elif isinstance(value, dict):
            lines += _of_table(name, value)
        elif value not in (None, ""):
            lines.append(f"{name}: {_plain(value)}")
    return "\n".join(lines)


def _indented(lines: str) -> list[str]:
    return [f"  {line}" for line in lines.splitlines()]


def _of_table(name: str, value: dict[str, Any]) -> list[str]:
    """Return the lines of a table: counts of things in one, anything else in one each; none where it is empty."""
    items = list(value.items())
    if items and all(isinstance(item, int) for item in value.values()) and name not in ("files", "events"):
        same = set(value.values())
        if len(same) == 1 and len(items) > 1:
            return [f"{name}: {', '.join(value)}, each in {same.pop()}"]
        more = f" and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
        return [f"{name}: {', '.join(f'{key} in {item}' for key, item in items[:_LISTED])}{more}"]
    shown = [f"  {key}: {_plain(item)}" for key, item in items[:_SHOWN]]
    left = [f"  and {len(items) - _SHOWN} more"] if len(items) > _SHOWN else []
    return [f"{name}:", *shown, *left] if items else []


def _plain(value: Any) -> str:
    """Return a value without the marks of Python."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items() if item not in ("", [], {}))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
