"""Run: from --src to a whole shard set, by any number of workers, in any number of goes."""

import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from manifests import manifest
from manifests.durable import json_lines, read_json, sha256_bytes, sha256_file, sweep, write_bytes
from manifests.errors import DareError
from manifests.manifest import SPLITS, ChannelSums, Manifest, Receipt, RecordingRow
from manifests.recipe import Recipe
from pipelines import plan as planning
from pipelines.build import build
from pipelines.plan import Task
from pipelines.scan import Tree

_PACKAGES = ("mne", "numpy", "scipy", "webdataset")


@dataclass(frozen=True)
class Workers:
    """Who builds: ``count`` processes here, or those of a dask scheduler (its address or scheduler file).

    ``part`` (i, n) takes the i-th of every n shards, for job arrays that know of no scheduler.
    """

    count: int = 1
    scheduler: str = ""
    part: tuple[int, int] = (1, 1)


def preprocess(
    tree: Tree,
    recipe: Recipe,
    src: Path,
    folder: Path,
    workers: Workers,
    progress: Callable[[int, int], None],
    retry_failed: bool = False,
    overwrite: bool = False,
) -> Manifest | None:
    """Build every shard that has no receipt yet and fold the receipts into the manifest.

    Returns None where shards of other parts are still to come. Raises DareError where the folder holds another plan's
    shards or cannot be written, and where no recording gave a window.
    """
    plan = planning.make(tree, recipe)
    if not plan["shards"]:
        raise DareError(f"{src}: no recording can be used ({_commonest(planning.verdicts(plan, src))})")
    planning.settle(folder, plan, overwrite)
    tasks = planning.tasks(plan)
    if retry_failed:
        _withdraw_failed(tasks, folder)
    done = {task.shard for task in tasks if _done(task, folder, src)}
    index, parts = workers.part
    mine = [task for number, task in enumerate(tasks) if number % parts == index - 1 and task.shard not in done]
    for receipt in _built(mine, recipe, src.resolve(), folder.resolve(), workers):
        done.add(receipt.shard)
        progress(len(done), len(tasks))
    if not all((folder / f"{task.shard}.json").exists() for task in tasks):
        return None
    return fold(folder, plan, recipe, src)


def fold(folder: Path, plan: dict[str, Any], recipe: Recipe, src: Path) -> Manifest:
    """Write recordings.jsonl and, last, manifest.json, from the receipts of all planned shards."""
    receipts = [_receipt(folder / f"{task.shard}.json") for task in planning.tasks(plan)]
    sweep(folder)
    rows = _whole([row for receipt in receipts for row in receipt.recordings] + planning.verdicts(plan, src))
    if not any(row.windows for row in rows):
        raise DareError(f"{folder}: no recording gave a window ({_commonest(rows)})")
    table = json_lines([row.model_dump(mode="json") for row in rows])
    write_bytes(folder / "recordings.jsonl", table)
    whole = Manifest(
        corpus=recipe.corpus,
        corpus_version=plan["corpus_version"],
        recipe=recipe,
        recipe_sha256=plan["recipe_sha256"],
        plan_sha256=planning.plan_hash(plan),
        recordings_sha256=sha256_bytes(table),
        versions={name: version(name) for name in _PACKAGES}
        | {
            "dare-eeg": version("dare-eeg"),
            "python": platform.python_version(),
            "machine": platform.machine(),
        },
        electrodes=list(recipe.electrodes),
        sfreq=recipe.sfreq_hz,
        window_samples=recipe.window_samples,
        splits={
            split: manifest.split_entry(
                [r for r in receipts if r.shard.startswith(f"{split}/")], recipe.window_s / 3600
            )
            for split in SPLITS
        },
        signal=_statistics(receipts, recipe),
        outcomes=manifest.outcomes(rows),
        choices=manifest.choices(receipts),
        notes=plan["notes"],
    )
    write_bytes(folder / "manifest.json", manifest.dump(whole))
    return whole


def _whole(rows: list[RecordingRow]) -> list[RecordingRow]:
    """Return one row a recording, in order of path: that of its pieces together, where it was cut."""
    pieces: dict[str, list[RecordingRow]] = {}
    for row in rows:
        pieces.setdefault(row.path, []).append(row)
    return [_together(pieces[path]) for path in sorted(pieces)]


def _together(rows: list[RecordingRow]) -> RecordingRow:
    """Return the sum of a recording's pieces; it is ok as soon as one is, and keeps what befell the others."""
    worst_last = sorted(rows, key=lambda row: ("ok", "skipped", "failed").index(row.outcome))
    reasons = dict.fromkeys(row.reason for row in worst_last if row.reason)
    return worst_last[0].model_copy(update={"windows": sum(row.windows for row in rows), "reason": "; ".join(reasons)})


def _done(task: Task, folder: Path, src: Path) -> bool:
    """Return whether a shard has its receipt; a recording touched since is hashed to see that it is the same."""
    path = folder / f"{task.shard}.json"
    if not path.exists():
        return False
    receipt = _receipt(path)
    if receipt.identity != task.identity:
        raise DareError(f"{path}: receipt of another plan; make the set again with --overwrite")
    for row in receipt.recordings:
        raw = src / row.path
        touched = raw.exists() and raw.stat().st_mtime_ns > path.stat().st_mtime_ns
        if touched and row.sha256 and sha256_file(raw) != row.sha256:
            raise DareError(f"{raw}: has changed since {path} was written; remove {folder} and make the set again")
    return True


def _withdraw_failed(tasks: list[Task], folder: Path) -> None:
    """Remove the receipts, and first the manifest, of shards in which a recording failed: they are built anew."""
    paths = [folder / f"{task.shard}.json" for task in tasks]
    failed = [
        path for path in paths if path.exists() and any(row.outcome == "failed" for row in _receipt(path).recordings)
    ]
    if failed:
        (folder / "manifest.json").unlink(missing_ok=True)
    for path in failed:
        path.unlink()


def _receipt(path: Path) -> Receipt:
    remedy = "delete it and run dare preprocess again"
    try:
        return Receipt.model_validate(read_json(path, remedy))
    except ValidationError as problem:
        raise DareError(f"{path}: is no receipt ({problem.error_count()} faults); {remedy}") from None


def _built(tasks: list[Task], recipe: Recipe, src: Path, folder: Path, workers: Workers) -> Iterator[Receipt]:
    """Yield receipts as shards get done: here where one worker is asked for, else on dask."""
    if not tasks:
        return
    if not workers.scheduler and min(workers.count, len(tasks)) == 1:
        yield from (build(task, recipe, src, folder) for task in tasks)
        return
    from distributed import KilledWorker, as_completed

    lost = []
    with _client(workers, len(tasks)) as client:
        futures = {client.submit(build, task, recipe, src, folder, pure=False): task for task in tasks}
        for future in as_completed(futures):
            try:
                yield future.result()
            except KilledWorker:
                lost.append(futures[future].shard)
    if lost:
        raise DareError(
            f"{folder / lost[0]}: {len(lost)} shards killed every worker that built them, most likely for want of "
            "memory; run the same command again with fewer --workers, what is finished is kept"
        )


@contextmanager
def _client(workers: Workers, num_tasks: int) -> Iterator[Any]:
    """Yield a dask client of the scheduler that was named, or of processes started here and ended afterwards."""
    import dask
    from distributed import Client, LocalCluster

    if workers.scheduler:
        by_file = Path(workers.scheduler).is_file()
        try:
            client = Client(**{"scheduler_file" if by_file else "address": workers.scheduler})
        except (OSError, ValueError) as problem:
            raise DareError(f"--scheduler {workers.scheduler}: cannot be reached ({problem}); is it running?") from None
        with client:
            yield client
        return
    # With dask's own allocator settings every large array is mapped and unmapped anew: slower than one process.
    tuned = {name: str(1 << 30) for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")}
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": tuned}),
        LocalCluster(
            n_workers=min(workers.count, num_tasks),
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


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


def _commonest(rows: list[RecordingRow]) -> str:
    counts = manifest.outcomes(rows)
    reasons = {reason: n for outcome in ("failed", "skipped") for reason, n in counts[outcome].items()}
    if not reasons:
        return "nothing was planned"
    reason = max(reasons, key=lambda one: reasons[one])
    return f"{reasons[reason]} of {len(rows)}: {reason}"
