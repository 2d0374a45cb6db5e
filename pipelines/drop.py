"""Drop: subjects who withdrew consent leave a set: its shards, stores, receipts, tables, plan and manifest."""

import difflib
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from manifests.atomic_io import canonical_json, partial_name, sha256_bytes, sync
from manifests.errors import LostError, MissingError, RefusedError, UsageError
from manifests.manifest import SPLITS, Merged, Receipt, load, load_receipt, load_set
from manifests.plan import Plan, PlannedRecording, PlannedShard, withdrawal
from manifests.store import path_of
from pipelines import plan as planning
from pipelines import rewrite
from pipelines.adopt_plan import parsed, plan_taken, text_there
from pipelines.run import fold, folded
from pipelines.run_marker import RunMarker, mark_run, remove_abandoned

_NOBODY = "a dropped subject"
"""What stands in a note of the plan where a dropped subject, or a recording of one, was named."""


@dataclass(frozen=True)
class Leaving:
    """What leaves a set with some subjects, and the plan without them.

    ``receipts`` are those of the shards that hold them, ``windows`` are counted by split, ``emptied`` are splits that
    are left without any.
    """

    subjects: tuple[str, ...]
    plan: Plan
    receipts: list[Receipt]
    recordings: int
    windows: dict[str, int]
    stores: int
    emptied: tuple[str, ...]
    is_done: bool
    is_finished: bool

    def text(self, folder: Path, is_dry: bool) -> str:
        """Return what leaves as lines a person reads."""
        names = ", ".join(self.subjects)
        if self.is_done:
            return f"{folder}: {names}: not in it, consent was withdrawn before"
        windows = ", ".join(f"{split} {count}" for split, count in self.windows.items()) or "none"
        lines = [
            f"{folder}: {names} {'would leave' if is_dry else 'left'}",
            f"  {self.recordings} recordings, windows: {windows}",
            f"  {len(self.receipts)} of {len(self.plan.shards)} shards written anew, {self.stores} stores removed",
        ]
        lines += [f"  {split} is left without windows" for split in self.emptied]
        if not self.is_finished:
            lines.append("  the set is not finished: dare preprocess goes on with it")
        return "\n".join(lines)


def drop(folder: Path, ids: Collection[str], is_dry: bool, progress: Callable[[int, int], None]) -> Leaving:
    """Take subjects (namespace:id, or the id alone) out of a set and return what left, or would where ``is_dry``.

    Shards that do not hold them keep every byte; in the others the windows that stay keep their bytes and order. The
    plan remembers the `withdrawal` of each, so that no later run brings one back. Killed at any instant, the same call
    ends it; what is done already is not done again. Raises DareError for a subject that is not there, for a merged
    set, where a shard is damaged, nothing would be left, or another run is at work.
    """
    if not folder.is_dir():
        raise MissingError("no such folder", path=folder, remedy="name the folder of a set")
    _refuse_merged(folder, ids)
    with mark_run(folder) as marker:
        text = text_there(marker)
        if text is None:
            raise MissingError("holds no shard set", path=folder)
        leaving = _leaving(folder, parsed(folder / "plan.json", text), ids)
        if is_dry:
            return leaving
        if not leaving.is_done:
            _put_plan(marker, text, leaving, progress)
        if not leaving.is_done and leaving.is_finished:
            fold(folder, leaving.plan, leaving.plan.recipe)
    remove_abandoned(folder)
    return leaving


def _put_plan(marker: RunMarker, text: bytes, leaving: Leaving, progress: Callable[[int, int], None]) -> None:
    """Put the plan without the subjects in the place of that of this text, and make the files of the set its own."""
    folder = marker.folder
    with plan_taken(marker, text) as taken:
        if taken is None:
            raise LostError("another run changed it meanwhile", path=folder, remedy="run the same command again")
        partial = folder / partial_name("plan.json")
        partial.write_bytes(planning.dump(leaving.plan))
        sync(partial)
        partial.replace(taken)  # from here on it is the new plan that goes back, be this run killed or not
        sync(folder)
        _take_out(folder, leaving, progress)


def _refuse_merged(folder: Path, ids: Collection[str]) -> None:
    """Raise RefusedError for a merged set, naming those of its sources that hold one of the subjects."""
    if not (folder / "manifest.json").exists() or not isinstance(merged := load(folder), Merged):
        return
    places = [folder / source.path for source in merged.sources]
    holding = ", ".join(str(place) for place in places if _holds(place, ids)) or "none"
    raise RefusedError(
        f"is merged of other sets and holds no window itself; these hold {', '.join(ids)}: {holding}",
        path=folder,
        remedy="drop from each of them, then merge again",
    )


def _holds(folder: Path, ids: Collection[str]) -> bool:
    manifest = load_set(folder)
    wanted = {*ids, *(f"{manifest.recipe.namespace}:{one}" for one in ids)}
    return any(wanted.intersection(split.subjects) for split in manifest.splits.values())


def _leaving(folder: Path, plan: Plan, ids: Collection[str]) -> Leaving:
    """Return what leaves a set of this plan with these subjects, and with those whose dropping was begun before.

    Raises DareError where that cannot be done.
    """
    subjects = tuple(dict.fromkeys(_subject(one, plan) for one in ids))
    new = _without(plan, subjects)
    paths = {name: folder / f"{name}.json" for name in plan.shards}
    receipts = [load_receipt(path) for path in paths.values() if path.exists()]
    before, gone = (_withdrawn(receipts, one) for one in (plan, new))
    for receipt in receipts:
        is_begun = any(row.subject in before for row in receipt.recordings)
        if receipt.identity != plan.shards[receipt.shard].identity and not is_begun:
            raise RefusedError("receipt of another plan", path=paths[receipt.shard], remedy=f"remove {folder}")
    rows = [(receipt.shard, row) for receipt in receipts for row in receipt.recordings]
    left, kept = Counter[str](), Counter[str]()
    for shard, row in rows:
        (left if row.subject in gone else kept)[shard.partition("/")[0]] += row.windows
    is_finished = len(receipts) == len(paths)
    if not (any(not one.scanned.outcome for one in new.recordings) and (kept.total() or not is_finished)):
        raise RefusedError("no window would be left", path=folder, remedy=f"remove {folder}, which holds nobody else")
    holding = [receipt for receipt in receipts if any(row.subject in gone for row in receipt.recordings)]
    for receipt in holding:
        if not rewrite.is_waiting(folder, receipt.shard):
            rewrite.check(folder, receipt, gone)
    planned = {one.path for one in plan.recordings if one.raw.subject in subjects}
    return Leaving(
        subjects=subjects,
        plan=new,
        receipts=holding,
        recordings=len(planned | {row.path for _, row in rows if row.subject in gone}),
        windows={split: left[split] for split in SPLITS if left[split]},
        stores=len(_unplanned_stores(folder, new)),
        emptied=tuple(split for split in SPLITS if left[split] and not kept[split] and is_finished),
        is_done=new == plan and not holding and folded(folder) is not None,
        is_finished=is_finished,
    )


def _subject(text: str, plan: Plan) -> str:
    """Return the subject, namespace:id, that is named; UsageError naming near ones where there is none."""
    known = {one.raw.subject for one in plan.recordings}
    for subject in (text, f"{plan.recipe.namespace}:{text}"):
        if subject in known or withdrawal(subject) in plan.withdrawn:
            return subject
    by_id = {name: subject for subject in sorted(known) for name in (subject, subject.partition(":")[2])}
    near = dict.fromkeys(by_id[name] for name in difflib.get_close_matches(text, by_id, n=3))
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known)[:5])} ..."
    raise UsageError(f"is not in the set; {hint}", path=f"--subject {text}")


def _withdrawn(receipts: list[Receipt], plan: Plan) -> set[str]:
    """Return the subjects that receipts name and a plan knows as withdrawn."""
    named = {row.subject for receipt in receipts for row in receipt.recordings}
    return {subject for subject in named if withdrawal(subject) in plan.withdrawn}


def _without(plan: Plan, subjects: Collection[str]) -> Plan:
    """Return the plan without the recordings of some subjects, whose `withdrawal` it has."""
    withdrawn = tuple(sorted({*plan.withdrawn, *map(withdrawal, subjects)}))
    if withdrawn == plan.withdrawn:
        return plan
    of = {one.path: one.raw.subject for one in plan.recordings if one.raw.subject in subjects}
    named = re.compile(rf"(?<![\w/.-])({'|'.join(map(re.escape, [*subjects, *of]))})(?![\w/-])")
    update = {
        "recordings": [_not_naming(one, named) for one in plan.recordings if one.path not in of],
        "shards": {name: _shard_without(shard, of) for name, shard in plan.shards.items()},
        "notes": [named.sub(_NOBODY, note) for note in plan.notes],
        "withdrawn": withdrawn,
    }
    return plan.model_copy(update=update)


def _not_naming(one: PlannedRecording, named: re.Pattern[str]) -> PlannedRecording:
    """Return a recording whose notes do not name what a pattern finds, as one whose bytes are those of another may."""
    notes = [
        note.model_copy(
            update={"says": named.sub(_NOBODY, note.says), "names": tuple(named.sub(_NOBODY, n) for n in note.names)}
        )
        for note in one.scanned.notes
    ]
    if notes == list(one.scanned.notes):
        return one
    return one.model_copy(update={"scanned": one.scanned.model_copy(update={"notes": tuple(notes)})})


def _shard_without(shard: PlannedShard, of: dict[str, str]) -> PlannedShard:
    """Return a shard without the pieces of some recordings, ``of`` a subject each: its identity says whose."""
    whose = sorted({withdrawal(of[path]) for path, _ in shard.pieces if path in of})
    if not whose:
        return shard
    identity = sha256_bytes(canonical_json([shard.identity, whose]))
    pieces = [(path, number) for path, number in shard.pieces if path not in of]
    return shard.model_copy(update={"identity": identity, "pieces": pieces})


def _take_out(folder: Path, leaving: Leaving, progress: Callable[[int, int], None]) -> None:
    """Make the files of a set those of its plan, receipts last; nothing that is done already is done again."""
    (folder / "manifest.json").unlink(missing_ok=True)
    (folder / "recordings.jsonl").unlink(missing_ok=True)
    rewrite.finish_waiting(folder)
    for store in _unplanned_stores(folder, leaving.plan):
        shutil.rmtree(store)
    for name in leaving.plan.shards:
        if not (folder / f"{name}.json").exists():  # to be made, so that what may be there was never whole
            for suffix in (".tar", ".idx.npz"):
                (folder / f"{name}{suffix}").unlink(missing_ok=True)
    for number, surveyed in enumerate(leaving.receipts, start=1):
        receipt = load_receipt(folder / f"{surveyed.shard}.json")
        subjects = _withdrawn([receipt], leaving.plan)
        if subjects:
            if receipt != surveyed:
                rewrite.check(folder, receipt, subjects)
            identity = leaving.plan.shards[receipt.shard].identity
            rewrite.rewrite(folder, receipt, subjects, identity, leaving.plan.recipe)
        progress(number, len(leaving.receipts))


def _unplanned_stores(folder: Path, plan: Plan) -> list[Path]:
    """Return the stores in a set that are of no recording of its plan."""
    planned = {
        folder / path_of(one.split, one.slug, number, bool(one.piece_s))
        for one in plan.recordings
        for number in range(one.pieces)
    }
    return [path for path in sorted(folder.glob("zarr/*/*.zarr")) if path not in planned]
