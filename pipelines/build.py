"""Build: one task becomes one shard, its index and its receipt."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from manifests import keyed
from manifests.atomic_io import write_bytes
from manifests.errors import DareError, LostError, UnfitError
from manifests.manifest import Outcome, Receipt, RecordingRow, StoreEntry, dump
from manifests.notes import Note, note, prose, text
from manifests.plan import Piece
from manifests.recipe import Recipe
from pipelines import plan, shard
from pipelines.piece import Changes, windows_of
from pipelines.plan import Task
from pipelines.shard import RecordingWindows
from pipelines.sources import Source, archive, open_source
from pipelines.windows import ConditionedSegment

NO_WINDOW = note("no window", "gives no window")
"""Why a recording, or a piece of one, that could be read is left out."""


@dataclass(frozen=True)
class _Done:
    """What a recording came to: its row, its windows where it gives any, its store where it is archived."""

    row: RecordingRow
    given: RecordingWindows | None = None
    segments: list[ConditionedSegment] = field(default_factory=list)
    changes: Changes = field(default_factory=dict)
    store: StoreEntry | None = None


def build(task: Task, recipe: Recipe, src: Path, out: Path, lost: frozenset[str] = frozenset()) -> Receipt:
    """Read, condition, cut and quantise the task's recordings, and write shard, index and, last, receipt.

    A recording that cannot be used becomes a row with its reason; the others go on, as they do without those in
    ``lost``, which killed a worker before. Raises DareError only where the output cannot be written.
    """
    source = open_source(src)
    done = [_process(piece, recipe, source, out, task, piece.recording.path in lost) for piece in task.pieces]
    in_order = [(one, one.given, window) for one in done if one.given for window in one.given.windows]
    order = keyed.permutation(keyed.key("windows", recipe.split_seed, task.shard), len(in_order))
    shuffled = [in_order[number] for number in order]
    windows = [(given, window) for _, given, window in shuffled]
    written = None
    if windows and task.format == "zarr":
        places = [(one.store.path, archive.place(one.segments, w, recipe)) for one, _, w in shuffled if one.store]
        written = shard.write_index(out / f"{task.shard}.idx.npz", windows, places, recipe)
    elif windows:
        written = shard.write(out / f"{task.shard}.tar", windows, recipe)
    labels = Counter(recipe.classes[window.label] for _, window in windows if window.label >= 0)
    receipt = Receipt(
        shard=task.shard,
        identity=task.identity,
        samples=len(windows),
        bytes=written.bytes if written else 0,
        sha256=written.sha256 if written else "",
        index_sha256=written.index_sha256 if written else "",
        labels=dict(sorted(labels.items())),
        signal=written.signal if written else {},
        recordings=[one.row for one in done],
        changes=_by_choice([(one.row.path, one.changes) for one in done]),
        format=task.format,
        stores=tuple(one.store for one in done if one.store),
    )
    write_bytes(out / f"{task.shard}.json", dump(receipt))
    return receipt


def _process(piece: Piece, recipe: Recipe, source: Source, out: Path, task: Task, is_lost: bool) -> _Done:
    row, store = plan.row(piece.recording), None
    path = source.folder / piece.recording.path
    try:
        if is_lost:
            raise LostError("killed the worker that built it, most likely for want of memory")
        row = row.model_copy(update={"sha256": source.sha256(piece.recording)})
        held = source.read(piece, recipe)
    except Exception as problem:
        outcome: Outcome = "skipped" if isinstance(problem, UnfitError) else "failed"
        ended = _ended(row, outcome, prose(_reason(path, problem)))
        store = archive.keep_failure(piece, ended.reason) if task.format != "webdataset" else None
        return _Done(ended, store=store)
    if task.format != "webdataset":
        store = archive.keep(out, piece, held, row.sha256, recipe)
    try:
        cut = windows_of(held, piece, recipe)
    except Exception as problem:
        return _Done(_ended(row, "failed", prose(_reason(path, problem))), store=store)
    if not cut.windows:
        notes = cut.notes if held.unfit else (NO_WINDOW, *cut.notes)
        return _Done(_ended(row, "skipped", notes), changes=cut.changes, store=store)
    row = _ended(row, "ok", cut.notes).model_copy(update={"windows": len(cut.windows)})
    given = RecordingWindows.of(row, piece.recording.slug, cut.windows, cut.scale, recipe)
    return _Done(row, given, held.conditioned.segments, cut.changes, store)


def _ended(row: RecordingRow, outcome: Outcome, notes: tuple[Note, ...]) -> RecordingRow:
    return row.model_copy(update={"outcome": outcome, "notes": notes, "reason": text(notes)})


def _reason(path: Path, problem: Exception) -> str:
    """Return why a recording failed, as its row says it."""
    if isinstance(problem, DareError):
        return str(problem.about("", path))
    if isinstance(problem, OSError):
        return str(problem)
    return f"unexpected {type(problem).__name__}: {problem}; report it with this file's header"


def _by_choice(recordings: list[tuple[str, Changes]]) -> dict[str, dict[str, int]]:
    """Return, by choice, the windows of each recording that it changed."""
    table: dict[str, dict[str, int]] = {}
    for path, changes in recordings:
        for choice, windows in changes.items():
            of_choice = table.setdefault(choice, {})
            of_choice[path] = of_choice.get(path, 0) + windows
    return {choice: dict(sorted(table[choice].items())) for choice in sorted(table)}
