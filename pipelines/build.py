"""Build: one task becomes one shard, its index and its receipt."""

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from manifests import keyed
from manifests.durable import sha256_file, write_bytes
from manifests.electrodes import split_reference
from manifests.errors import DareError
from manifests.manifest import Format, Receipt, RecordingRow, StoreEntry, dump
from manifests.notes import text
from manifests.recipe import Recipe
from pipelines import archive, corpora, reading, shard
from pipelines.archive import Part
from pipelines.formats.registry import files_of
from pipelines.plan import Task
from pipelines.recording import Recording
from pipelines.shard import Samples
from pipelines.signal import condition, is_notched, margin_s
from pipelines.source import Source
from pipelines.windows import NO_WINDOW, Stretch, Window, at_cues, on_a_grid, quiet, thin

CLIPPED_SHARE = 0.001
"""Share of clipped samples above which a recording is reported."""

REACH_S = 60.0
"""Seconds by which windows may reach beyond a piece, and more where a recipe's do: so that theirs change no sample."""

Changes = dict[str, int]
"""How many windows of a recording each choice of the recipe made other than the raw file alone would."""


@dataclass(frozen=True)
class _Done:
    """What a recording came to: its row, its samples where it has any, its store where it is archived."""

    row: RecordingRow
    samples: Samples | None = None
    stretches: list[Stretch] = field(default_factory=list)
    changes: Changes = field(default_factory=dict)
    store: StoreEntry | None = None


def build(task: Task, recipe: Recipe, src: Path, out: Path, lost: frozenset[str] = frozenset()) -> Receipt:
    """Read, condition, cut and quantise the task's recordings, and write shard, index and, last, receipt.

    A recording that cannot be used becomes a row with its reason; the others go on, as they do without those in
    ``lost``, which killed a worker before. Raises DareError only where the output cannot be written.
    """
    done = [_process(planned, recipe, src, out, task.format, planned["path"] in lost) for planned in task.recordings]
    given = [(one, one.samples, window) for one in done if one.samples for window in one.samples.windows]
    order = keyed.permutation(keyed.key("windows", recipe.split_seed, task.shard), len(given))
    shuffled = [given[number] for number in order]
    samples = [(of_recording, window) for _, of_recording, window in shuffled]
    written = None
    if samples and task.format == "zarr":
        places = [(one.store.path, archive.place(one.stretches, w, recipe)) for one, _, w in shuffled if one.store]
        written = shard.write_index(out / f"{task.shard}.idx.npz", samples, places, recipe)
    elif samples:
        written = shard.write(out / f"{task.shard}.tar", samples, recipe)
    labels = Counter(recipe.classes[window.label] for _, window in samples if window.label >= 0)
    receipt = Receipt(
        shard=task.shard,
        identity=task.identity,
        samples=len(given),
        bytes=written.bytes if written else 0,
        sha256=written.sha256 if written else "",
        index_sha256=written.index_sha256 if written else "",
        labels=dict(sorted(labels.items())),
        signal=written.signal if written else {},
        recordings=[one.row for one in done],
        changes=_by_choice([(one.row.path, one.changes) for one in done]),
        format=task.format,
        stores=[one.store for one in done if one.store],
    )
    write_bytes(out / f"{task.shard}.json", dump(receipt))
    return receipt


def _process(planned: dict[str, Any], recipe: Recipe, src: Path, out: Path, format: Format, is_lost: bool) -> _Done:
    kept = ("path", "bytes", "subject", "session", "split", "channel_map", "sfreq", "duration_s")
    facts: dict[str, Any] = {name: planned[name] for name in kept} | {"sha256": "", "windows": 0}
    store = None
    try:
        if is_lost:
            raise DareError("killed the worker that built it, most likely for want of memory")
        facts["sha256"] = _sha256_of(src, planned)
        part = archive.read(src, planned) if archive.is_archive(src) else _read(planned, recipe, src)
    except Exception as problem:
        reason = _reason(src / planned["path"], problem)
        store = archive.keep_failure(planned, reason) if format != "webdataset" else None
        return _Done(RecordingRow(**facts, outcome="failed", reason=reason), store=store)
    if format != "webdataset":
        store = archive.keep(out, planned, part, facts["sha256"], recipe)
    try:
        windows, notes, changes = _windows(part, planned, recipe)
    except Exception as problem:
        reason = _reason(src / planned["path"], problem)
        return _Done(RecordingRow(**facts, outcome="failed", reason=reason), store=store)
    if not windows:
        reason = "; ".join([NO_WINDOW, *notes])
        return _Done(RecordingRow(**facts, outcome="skipped", reason=reason), changes=changes, store=store)
    row = RecordingRow(**facts | {"windows": len(windows)}, outcome="ok", reason="; ".join(notes))
    samples = Samples.of(row, planned["slug"], windows, part.conditioned.present, recipe)
    return _Done(row, samples, part.conditioned.stretches, changes, store)


def _reason(path: Path, problem: Exception) -> str:
    """Return why a recording failed, as its row says it."""
    if isinstance(problem, DareError | OSError):
        return str(problem).removeprefix(f"{path}: ")
    return f"unexpected {type(problem).__name__}: {problem}; report it with this file's header"


def _sha256_of(src: Path, planned: dict[str, Any]) -> str:
    """Return the hash of a raw recording; raises DareError where it is not as long as when it was planned."""
    path = src / planned["path"]
    if archive.is_archive(src):
        return archive.raw_sha256(src, planned["path"])
    if sum(file.stat().st_size for file in files_of(path)) != planned["bytes"]:
        raise DareError("has changed since it was scanned; run the same command again")
    return _sha256(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, mtime_ns: int) -> str:
    """Return the hash of a raw file, taken once for all its pieces that a worker builds."""
    return sha256_file(path)


def _read(planned: dict[str, Any], recipe: Recipe, src: Path) -> Part:
    """Return what a raw recording, or a piece of one, holds, conditioned."""
    start_s, stop_s = _span_s(planned)
    around_s = margin_s(planned["sfreq"], recipe) + max(REACH_S, recipe.window_s + abs(recipe.offset_s))
    recording = reading.read(src, _source(planned), recipe, start_s - around_s, stop_s + around_s)
    conditioned = condition(recording, _as_referenced(planned, recipe), start_s, stop_s, planned["channel_map"])
    labels = (src / planned["label_file"]).read_bytes() if planned["label_file"] else b""
    return Part(recording, conditioned, labels)


def _source(planned: dict[str, Any]) -> Source:
    known = ("path", "subject", "session", "label", "label_file")
    facts = {name: planned[name] for name in known}
    return Source(**facts, montage=tuple(planned["montage"]), unused=planned.get("unused", {}))


def _span_s(planned: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds of signal that a piece begins and ends with; the last ends with the recording."""
    start_s = planned["piece"] * planned["piece_s"]
    is_last = planned["piece"] + 1 == planned["pieces"]
    return start_s, float("inf") if is_last else start_s + planned["piece_s"]


def _windows(part: Part, planned: dict[str, Any], recipe: Recipe) -> tuple[list[Window], list[str], Changes]:
    """Return (the windows, notes, changes by choice) of a recording or a piece of one."""
    corpus = corpora.of(recipe)
    source = _source(planned)
    start_s, stop_s = _span_s(planned)
    recording, conditioned = part.recording, part.conditioned
    notes = [*(one.text for one in recording.notes), conditioned.note]
    changes: Counter[str] = Counter()
    if source.label or not recipe.classes:
        label = recipe.classes.index(source.label) if recipe.classes else -1
        first = planned["piece"] * round(planned["piece_s"] / min(recipe.stride_s, recipe.window_s))
        windows = on_a_grid(conditioned.stretches, label, recipe, first)
    else:
        cues, unused = corpus.cues(source, recording, part.labels, recipe)
        span_s = _true_s(recording, start_s), _true_s(recording, stop_s)
        windows, lost, changes["edges"] = at_cues(conditioned.stretches, cues, span_s, recipe)
        notes += [text(unused), text(lost)]
        if recipe.events != "rows":
            rows, _ = corpus.cues(source, recording, part.labels, recipe.model_copy(update={"events": "rows"}))
            changes["events"] = abs(len(rows) - len(cues))
    kept = quiet(windows, recipe)
    changes["reject_uv"] = len(windows) - len(kept)
    if changes["reject_uv"]:
        notes.append(f"{changes['reject_uv']} of {len(windows)} windows reach {recipe.reject_uv:g} µV: rejected")
    if 0 <= planned["max_windows"] < len(kept):
        notes.append(f"{planned['max_windows']} of {len(kept)} windows kept to balance the classes")
        changes["balance"] = len(kept) - planned["max_windows"]
        kept = thin(kept, planned["max_windows"])
    if conditioned.clipped > CLIPPED_SHARE:
        notes.append(_clipped(conditioned.clipped, recipe))
    if conditioned.interpolated:
        notes.append(f"interpolated: {', '.join(conditioned.interpolated)}")
    changes["notch_hz"] = len(kept) * is_notched(planned["sfreq"], recipe)
    changes["reference"] = len(kept) * (recipe.reference != "as recorded")
    changes["missing"] = len(kept) * bool(conditioned.interpolated or not conditioned.present.all())
    return kept, [note for note in notes if note], +changes


def _as_referenced(planned: dict[str, Any], recipe: Recipe) -> Recipe:
    """Return the recipe, as recorded where a file's electrodes are referenced to linked ears as it wants them."""
    references = {split_reference(label)[1] for label in planned["channel_map"].values()}
    if recipe.reference == "linked ears" and references == {"LE"}:
        return recipe.model_copy(update={"reference": "as recorded"})
    return recipe


def _true_s(recording: Recording, signal_s: float) -> float:
    """Return the time, gaps counted, of a time in the file's signal; an end of the file is beyond all time."""
    sample = signal_s * recording.sfreq - recording.first_sample
    if signal_s <= 0:
        return -float("inf")
    for segment in recording.segments:
        if sample < segment.stop:
            return segment.onset_s + max(0.0, sample - segment.start) / recording.sfreq
    return float("inf")


def _clipped(share: float, recipe: Recipe) -> str:
    top, wider = 32767 * recipe.quantum_uv, 4 * recipe.quantum_uv
    return f"{share:.2%} of samples clipped at ±{top:.0f} µV: widen with --set quantum_uv={wider:g}"


def _by_choice(recordings: list[tuple[str, Changes]]) -> dict[str, dict[str, int]]:
    """Return, by choice, the windows of each recording that it changed."""
    table: dict[str, dict[str, int]] = {}
    for path, changes in recordings:
        for choice, windows in changes.items():
            of_choice = table.setdefault(choice, {})
            of_choice[path] = of_choice.get(path, 0) + windows
    return {choice: dict(sorted(table[choice].items())) for choice in sorted(table)}
