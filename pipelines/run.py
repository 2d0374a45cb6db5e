"""Run: from --src to a whole shard set, by any number of workers, in any number of goes."""

import platform
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from manifests import __version__
from manifests.atomic_io import json_lines, partial_name, sha256_bytes, sha256_file, write_bytes
from manifests.errors import DareError, RefusedError, UsageError
from manifests.manifest import (
    OUTCOMES,
    SPLITS,
    ChannelSums,
    Manifest,
    Receipt,
    RecordingRow,
    SplitEntry,
    choices,
    commonest,
    dump,
    load_receipt,
    load_set,
    outcomes,
    split_entry,
)
from manifests.notes import text
from manifests.plan import Plan, withdrawal
from manifests.recipe import Recipe
from pipelines import corpora
from pipelines import plan as planning
from pipelines.adopt_plan import adopt_plan, refuse_other_code
from pipelines.build import NO_WINDOW
from pipelines.plan import SetOptions, Task
from pipelines.run_marker import mark_run, remove_abandoned
from pipelines.same_signal import same_signal
from pipelines.scan import Tree
from pipelines.sources import Source
from pipelines.workers import Workers, built

_PACKAGES = ("mne", "numpy", "scipy", "webdataset", "zarr")


def preprocess(
    tree: Tree,
    recipe: Recipe,
    source: Source,
    folder: Path,
    workers: Workers,
    options: SetOptions,
    progress: Callable[[int, int], None],
) -> Manifest | None:
    """Build every shard that has no receipt yet and fold the receipts into the manifest.

    Any number of runs may do so at once, from any hosts: each builds its part, or what the others have left.
    Returns None where shards of other parts are still to come. Raises DareError where the folder holds another plan's
    shards (see `adopt_plan`) or cannot be written, where shards are left to other code, and where no recording gave a
    window.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError("is a file", path=folder, remedy="choose another --out")
    with mark_run(folder) as marker, _ended_by_sigterm():
        plan = adopt_plan(marker, tree, recipe, source, options)
        tasks = planning.tasks(plan)
        index, parts = workers.part
        mine = [task for number, task in enumerate(tasks) if number % parts == index - 1]
        if options.retry_failed:
            _withdraw_failed(mine, plan, folder)
        done = {task.shard for task in tasks if (folder / f"{task.shard}.json").exists()}
        todo = [task for task in mine if task.shard not in done or not _done(task, plan, folder, source)]
        for receipt in built(todo, recipe, source.folder.resolve(), folder.resolve(), workers):
            done.add(receipt.shard)
            progress(len(done), len(tasks))
            marker.check()
        if not _all_done(tasks, folder):
            return None
        # Written anew, perhaps by newer code, the manifest would be another than sets and runs refer to.
        manifest = (None if todo else folded(folder)) or fold(folder, plan, recipe)
    remove_abandoned(folder)
    return manifest


def folded(folder: Path) -> Manifest | None:
    """Return the manifest that a folder has, None where it has none of this plan and these recordings."""
    try:
        manifest = load_set(folder)
        written = (sha256_file(folder / name) for name in ("plan.json", "recordings.jsonl"))
        return manifest if (manifest.plan_sha256, manifest.recordings_sha256) == tuple(written) else None
    except (DareError, OSError):
        return None


def fold(folder: Path, plan: Plan, recipe: Recipe) -> Manifest:
    """Write recordings.jsonl and, last, manifest.json, from the receipts of all planned shards."""
    receipts = [_own_receipt(task, plan, folder) for task in planning.tasks(plan)]
    rows = _whole([row for receipt in receipts for row in receipt.recordings] + planning.verdicts(plan))
    if not any(row.windows for row in rows):
        reason = f"no recording gave a window ({commonest(rows)})"
        remedy = "mend that in the recordings or the recipe, then look with --dry-run"
        raise RefusedError(reason, path=folder, remedy=remedy)
    table = json_lines(row.as_json() for row in rows)
    write_bytes(folder / "recordings.jsonl", table)
    splits = {
        split: split_entry([r for r in receipts if r.shard.startswith(f"{split}/")], recipe.window_s / 3600)
        for split in SPLITS
    }
    manifest = Manifest(
        corpus=recipe.corpus,
        corpus_version=plan.corpus_version,
        recipe=recipe,
        recipe_sha256=recipe.sha256(),
        plan_sha256=sha256_file(folder / "plan.json"),
        recordings_sha256=sha256_bytes(table),
        versions={name: version(name) for name in _PACKAGES}
        | {
            "dare-eeg": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
        },
        electrodes=list(recipe.electrodes),
        sfreq=recipe.sfreq_hz,
        window_samples=recipe.window_samples,
        splits=splits,
        signal=_statistics(receipts, recipe),
        recordings={outcome: sum(row.outcome == outcome for row in rows) for outcome in OUTCOMES},
        outcomes=outcomes(rows),
        choices=choices(receipts),
        notes=[
            *plan.notes,
            *_emptied(plan, splits),
            *_only_subject(splits, recipe),
            *same_signal(folder, receipts),
            *_against_published(plan, splits, recipe),
        ],
        format=plan.format,
        code_versions=_code_versions(plan, receipts),
        stores=tuple(sorted((one for r in receipts for one in r.stores), key=lambda one: (one.recording, one.piece))),
        withdrawn=plan.withdrawn,
    )
    write_bytes(folder / "manifest.json", dump(manifest))
    return manifest


def _whole(rows: list[RecordingRow]) -> list[RecordingRow]:
    """Return one row a recording, in order of path: that of its pieces together, where it was cut."""
    pieces: dict[str, list[RecordingRow]] = {}
    for row in rows:
        pieces.setdefault(row.path, []).append(row)
    return [_together(pieces[path]) for path in sorted(pieces)]


def _together(rows: list[RecordingRow]) -> RecordingRow:
    """Return the sum of a recording's pieces; it is ok where one of them is, and keeps the notes of all."""
    worst_last = sorted(rows, key=lambda row: OUTCOMES.index(row.outcome))
    notes = list({one.text: one for row in worst_last for one in row.notes}.values())
    if worst_last[0].outcome == "ok":
        notes = [one for one in notes if one.kind != NO_WINDOW.kind]
    settled = {"windows": sum(row.windows for row in rows), "notes": tuple(notes), "reason": text(notes)}
    return worst_last[0].model_copy(update=settled)


def _code_versions(plan: Plan, receipts: list[Receipt]) -> dict[str, int]:
    """Return how many shards with windows each code version made."""
    made = Counter(str(plan.shards[receipt.shard].code_version) for receipt in receipts if receipt.samples)
    return dict(sorted(made.items()))


def _emptied(plan: Plan, splits: dict[str, SplitEntry]) -> list[str]:
    """Return a line for each part that was planned and got no window."""
    planned = {one.split: one.raw.subject for one in plan.recordings if not one.scanned.outcome}
    return [
        f"{split} is empty: its recordings, such as those of {planned[split]}, gave no window; mend them, or choose "
        "others with --set split_seed=N"
        for split in SPLITS
        if split in planned and not splits[split].samples
    ]


def _only_subject(splits: dict[str, SplitEntry], recipe: Recipe) -> list[str]:
    subjects = splits["train"].subjects
    alone = recipe.valid_share and len(subjects) == 1 and not splits["valid"].subjects
    return [f"{subjects[0]} is the only subject: valid is empty"] if alone else []


def _against_published(plan: Plan, splits: dict[str, SplitEntry], recipe: Recipe) -> list[str]:
    """Return notes on what the release is known to hold and the set has, unless part of it was asked for."""
    known = corpora.of(recipe).totals(plan.corpus_version)
    if not known or not plan.whole:
        return []
    found, windows = len(plan.recordings), sum(split.samples for split in splits.values())
    notes = [known.completeness(f"{recipe.corpus} {plan.corpus_version}".strip(), found)]
    if found == known.recordings and recipe.purpose == "probe" and known.windows not in (0, windows):
        notes.append(f"{windows:,} windows against {known.windows:,} published (by the published way of cutting)")
    return notes


def _done(task: Task, plan: Plan, folder: Path, source: Source) -> bool:
    """Return whether a shard has its receipt, and its recordings are those that it was made of."""
    path = folder / f"{task.shard}.json"
    if not path.exists():
        return False
    receipt, written_ns = _own_receipt(task, plan, folder), path.stat().st_mtime_ns
    for row in receipt.recordings:
        if not source.is_as_read(row, written_ns):
            raw = source.folder / row.path
            raise RefusedError(
                f"has changed since {path} was written", path=raw, remedy=f"remove {folder} and make the set again"
            )
    return True


def _own_receipt(task: Task, plan: Plan, folder: Path) -> Receipt:
    path = folder / f"{task.shard}.json"
    receipt = load_receipt(path)
    if receipt.identity != task.identity:
        if any(withdrawal(row.subject) in plan.withdrawn for row in receipt.recordings):
            raise RefusedError(
                "still holds a subject who is being dropped", path=path, remedy="run the same dare drop again"
            )
        raise RefusedError("receipt of another plan", path=path, remedy=f"remove {folder} and make the set again")
    return receipt


def _all_done(tasks: list[Task], folder: Path) -> bool:
    """Return whether every shard has its receipt now."""
    paths = [folder / f"{task.shard}.json" for task in tasks]
    missing = [path for path in paths if not path.exists()]
    for split in {path.parent for path in missing if path.parent.exists()}:
        probe = split / partial_name("probe")  # a network disk tells what is new once one has changed the folder
        probe.touch()
        probe.unlink()
    return all(path.exists() for path in missing)


def _withdraw_failed(tasks: list[Task], plan: Plan, folder: Path) -> None:
    """Remove the receipts, and first the manifest, of shards in which a recording failed: they are built anew."""
    paths = {task.shard: folder / f"{task.shard}.json" for task in tasks}
    failed = [
        shard
        for shard, path in paths.items()
        if path.exists() and any(row.outcome == "failed" for row in load_receipt(path).recordings)
    ]
    refuse_other_code(failed, plan, folder)
    if failed:
        (folder / "manifest.json").unlink(missing_ok=True)
    for shard in failed:
        paths[shard].unlink()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, which batch systems send, end the run as Ctrl-C does: workers ended, what is finished kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _statistics(receipts: list[Receipt], recipe: Recipe) -> dict[str, dict[str, float]]:
    """Return mean and standard deviation, µV, of each electrode over the windows that have it."""
    table = {}
    for name in recipe.electrodes:
        sums = sum((r.signal.get(name, ChannelSums()) for r in receipts), start=ChannelSums())
        if sums.samples:
            mean = sums.total / sums.samples
            variance = max(0.0, sums.squares / sums.samples - mean**2)
            table[name] = {
                "mean_uv": round(mean, 6),
                "sd_uv": round(variance**0.5, 6),
                "samples": sums.samples,
            }
    return table
