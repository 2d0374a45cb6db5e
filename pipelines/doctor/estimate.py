"""Prospect: what a tree promises as a whole: is it complete, what would other choices change, how long is a run."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

from manifests.errors import DareError
from manifests.plan import ScannedRecording
from manifests.recipe import Recipe
from manifests.shard_format import NPY_HEADER, member_size
from pipelines import channels, corpora, reading
from pipelines.conditioning import condition
from pipelines.doctor.signal_quality import DIPS_DB, MAINS_HZ, STANDS_OUT_DB
from pipelines.scan import Tree

Facts = dict[str, Any]
"""What the doctor says, of strings, numbers, lists and dicts: as --json prints it."""

_MISSING = ("mask", "require", "interpolate", "published-strict")
_REFERENCES = ("as recorded", "average", "linked ears")
_TIMED_S = 300.0
_SIDECAR_BYTES = 400  # of a window's JSON, and then for every electrode
_SIDECAR_ELECTRODE_BYTES = 20


def complete(tree: Tree, recipe: Recipe) -> str:
    """Say how many of the release's recordings lie here, "" where nobody published how many there are."""
    known = corpora.of(recipe).totals(tree.version)
    if not known:
        return ""
    published = f"; cut as published they give {known.windows:,} windows" if known.windows else ""
    return known.completeness(f"{recipe.corpus} {tree.version}".strip(), tree.num_found) + published


def choices(tree: Tree, rows: list[Facts], recipe: Recipe) -> Facts:
    """Return, by recipe field, what is contested, what the tree says to it, and how many recordings others would skip.

    ``rows`` are those of `pipelines.doctor.scan_quality.scan_quality`.
    """
    headers = [held for one in tree.recordings if (held := tree.channels.get(one.path, ()))]
    kinds = {id(held): held for held in headers}
    counts = Counter(map(id, headers))

    def would_skip(field: str, values: tuple[str, ...]) -> dict[str, int]:
        others = {value: recipe.model_copy(update={field: value}) for value in values}
        return {
            value: sum(counts[kind] for kind, held in kinds.items() if channels.fit(held, other).notes)
            for value, other in others.items()
            if _possible(other)
        }

    references: Counter[str] = Counter()
    for kind, held in kinds.items():
        named = {channel.reference for channel in held if channel.electrode in recipe.needed} - {""}
        references["/".join(sorted(named)) or "not named"] += counts[kind]
    levels = {line: [row["mains_db"][str(line)] or 0.0 for row in rows] for line in MAINS_HZ}
    return {
        "missing": {
            "value": recipe.missing,
            "recordings_lacking": sum(bool(row["missing"]) for row in rows),
            "would_skip": would_skip("missing", _MISSING),
        },
        "reference": {
            "value": recipe.reference,
            "references": dict(sorted(references.items())),
            "would_skip": would_skip("reference", _REFERENCES),
        },
        "notch_hz": {
            "value": recipe.notch_hz,
            "stands_out": {str(line): sum(db >= STANDS_OUT_DB for db in levels[line]) for line in MAINS_HZ},
            "notched_before": {str(line): sum(db <= DIPS_DB for db in levels[line]) for line in MAINS_HZ},
        },
    }


def expected(tree: Tree, rows: list[Facts], recipe: Recipe, src: Path, workers: int) -> Facts:
    """Return how many windows, bytes and minutes a run would come to; minutes are extrapolated from a timed sample."""
    windows = dict.fromkeys(("train", "valid", "test"), 0)
    for row in rows:
        windows[row["split"]] += row["windows"]
    num_electrodes = len(recipe.electrodes)
    sidecar_bytes = _SIDECAR_BYTES + _SIDECAR_ELECTRODE_BYTES * num_electrodes
    window_bytes = member_size(NPY_HEADER + 2 * num_electrodes * recipe.window_samples) + member_size(sidecar_bytes)
    usable = [one for one, row in zip(tree.recordings, rows, strict=True) if row["outcome"] == "ok"]
    work_s = sum(_num_samples(one, one.duration_s) for one in usable) * _pace_s(usable, recipe, src)
    return {
        "windows": windows,
        "bytes": sum(windows.values()) * window_bytes,
        "hours": round(sum(one.duration_s for one in usable) / 3600, 3),
        "minutes": round(work_s / workers / 60, 4),
        "workers": workers,
    }


def _possible(recipe: Recipe) -> bool:
    try:
        channels.check(recipe)
    except DareError:
        return False
    return True


def _num_samples(scanned: ScannedRecording, duration_s: float) -> float:
    return max(1.0, duration_s * scanned.sfreq * len(scanned.channel_map))


def _pace_s(usable: list[ScannedRecording], recipe: Recipe, src: Path) -> float:
    """Return the seconds that reading and conditioning take here for a sample of a channel.

    A short, a middling and a long recording are timed; the first goes once before, for what is prepared only once.
    """
    ranked = sorted(usable, key=lambda one: one.duration_s)
    chosen = [ranked[len(ranked) * part // 4] for part in (1, 2, 3)] if ranked else []
    spent_s, num_samples = 0.0, 0.0
    for number, scanned in enumerate([*chosen[:1], *chosen]):
        begun_s = time.perf_counter()
        try:
            condition(reading.read(src, scanned.raw, recipe, 0.0, _TIMED_S), recipe)
        except (DareError, OSError):
            continue  # a run tells what the stretches did not show
        if number:
            spent_s += time.perf_counter() - begun_s
            num_samples += _num_samples(scanned, min(scanned.duration_s, _TIMED_S))
    return spent_s / num_samples if num_samples else 0.0
