"""Inspect: what a raw recording or a raw tree holds, as plain facts."""

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from manifests import recipe as recipes
from manifests.errors import DareError, MissingError
from pipelines.corpora import CORPORA
from pipelines.formats import readers, triggers
from pipelines.scan import list_files


def recording(path: Path) -> dict[str, Any]:
    """Return the facts of one recording: format, length, gaps, events, and each channel's name, rate, unit and sd.

    Raises DareError where the file cannot be read.
    """
    try:
        return _recording(path)
    except DareError as problem:
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
    paths = list_files(src)
    corpora = {}
    for name, corpus in CORPORA.items():
        sources = corpus.find(paths, recipes.load(name))
        if sources:
            corpora[name] = {
                "version": corpus.version(paths),
                "recordings": len(sources),
                "subjects": len({source.subject for source in sources}),
                "test": sum(source.test for source in sources),
            }
    endings = Counter(PurePosixPath(path).suffix.lower() or "none" for path in paths)
    return {"path": str(src), "files": dict(sorted(endings.items())), "corpora": corpora}


def text(facts: dict[str, Any]) -> str:
    """Return the facts as lines a person reads."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{name}: {len(value)}")
            lines += ["  " + "  ".join(f"{key} {item}" for key, item in row.items()) for row in value]
        elif isinstance(value, dict):
            lines += [f"{name}:", *(f"  {key}: {item}" for key, item in value.items())]
        else:
            lines.append(f"{name}: {'; '.join(value) if isinstance(value, list) else value}")
    return "\n".join(lines)
