"""Adopt a plan: which plan a folder follows from now on: a new one, the one it has, that one grown, or another."""

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from manifests import records
from manifests.atomic_io import PARTIAL, create, write_bytes
from manifests.errors import DamagedError, RefusedError
from manifests.manifest import SPLITS, commonest
from manifests.plan import Plan
from manifests.recipe import Recipe
from pipelines import plan as planning
from pipelines.plan import CODE_VERSION, SetOptions
from pipelines.run_marker import ADOPTING, BUILDING, RunMarker, words
from pipelines.scan import Tree
from pipelines.sources import Source

_WAIT_S = 0.2
_WITHDRAWN = f"withdrawn{PARTIAL}"
"""How the name of a plan begins while a run replaces it; the end names the run. Where that run dies, it is put back."""

_PARTS_OF_A_SET = (*SPLITS, "zarr")


def adopt_plan(marker: RunMarker, tree: Tree, recipe: Recipe, source: Source, options: SetOptions) -> Plan:
    """Return the plan that the folder follows from now on, which is on its disk.

    In a new folder that is the plan made of the tree. Where a plan is there and plans the same recordings, it is kept;
    with ``append`` it gets the recordings that the tree has more; with ``overwrite`` the plan of the tree takes its
    place, and the old plan's shards are removed. Of several runs that start in one folder at once, one writes the plan
    and the others follow it. Raises DareError where no recording can be used, where the folder holds the set of another
    plan (naming what differs), another run is building in it, shards still to be made were planned by other code, or
    the folder is no set, which is never emptied. Subjects whom the plan there knows as withdrawn are in none that
    follows it.
    """
    wanted = _wanted(tree, recipe, source, options)
    wanted_text = planning.dump(wanted)
    path = marker.folder / "plan.json"
    while True:
        text = text_there(marker)
        if text is None:
            create(path, wanted_text)
            continue
        plan = wanted
        if text != wanted_text:
            plan = parsed(path, text)
            if plan.withdrawn != wanted.withdrawn:
                wanted = _wanted(tree.without(plan.withdrawn), recipe, source, options)
                wanted_text = planning.dump(wanted)
            difference = _difference(plan, wanted)
            if difference and not (options.overwrite or options.append):
                more = ", or add what is new with --append" if _only_grows(plan, wanted) else ""
                raise RefusedError(
                    f"holds shards of another plan ({difference})",
                    path=marker.folder,
                    remedy=f"choose another --out{',' if more else ' or'} replace it with --overwrite{more}",
                )
            others = _of_other_code(plan, marker.folder)
            if not options.overwrite:
                refuse_other_code(others, plan, marker.folder)
            if difference or others:
                new = (
                    _grown(marker.folder, plan, wanted, tree.without(plan.withdrawn), source, options)
                    if options.append
                    else wanted
                )
                if planning.dump(new) != planning.dump(plan):
                    _replace(marker, text, new, keep=options.append)
                    continue
        marker.turn(BUILDING)
        if _read(path) == text:
            return plan
        marker.turn(ADOPTING)


def recipe_there(folder: Path) -> Recipe | None:
    """Return the recipe that the set in a folder was planned by, None where there is no set.

    Raises DareError where its plan is damaged.
    """
    text = _read(folder / "plan.json") if folder.is_dir() else None
    return parsed(folder / "plan.json", text).recipe if text else None


def _wanted(tree: Tree, recipe: Recipe, source: Source, options: SetOptions) -> Plan:
    """Return the plan of a tree; DareError where no recording of it can be used."""
    if not tree.recordings:
        remedy = "name another --src or --out"
        raise RefusedError("every recording is of a subject who withdrew consent", path=source.folder, remedy=remedy)
    wanted = planning.make(tree, recipe, options)
    if not wanted.shards:
        reason = f"no recording can be used ({commonest(planning.verdicts(wanted))})"
        raise RefusedError(reason, path=source.folder, remedy="--dry-run says why of each")
    return wanted


def refuse_other_code(shards: Iterable[str], plan: Plan, folder: Path) -> None:
    """Raise DareError where one of these shards, still to be made, was planned by code that would make other bytes."""
    for shard in shards:
        planned = plan.shards[shard].code_version
        if planned != CODE_VERSION:
            raise RefusedError(
                f"{shard} is still to be made and was planned by code version {planned}",
                path=folder,
                remedy=f"this is {CODE_VERSION}, which makes other bytes: finish it with the dare-eeg that began it, "
                "or make the set anew with --overwrite",
            )


def text_there(marker: RunMarker) -> bytes | None:
    """Return the text of the plan in the folder, None where the folder is empty.

    A plan that a run is replacing is waited for; where that run has died, the old plan is put back. Raises DareError
    where the folder holds something else.
    """
    path = marker.folder / "plan.json"
    while True:
        names = marker.listing() | marker.listing()  # one alone may miss a file that is being renamed
        if (text := _read(path)) is not None:
            return text
        withdrawn = sorted(name for name in names if name.startswith(_WITHDRAWN))
        strange = sorted(name for name in names if PARTIAL not in name)
        if not withdrawn and "plan.json" not in strange:
            if strange:
                raise RefusedError(
                    f"holds files that are no shard set ({strange[0]} ...)",
                    path=marker.folder,
                    remedy="choose another --out or empty it",
                )
            return None
        living = marker.others()
        for name in withdrawn:
            if name.removeprefix(_WITHDRAWN) not in living:
                _put_back(marker.folder / name)
        time.sleep(_WAIT_S)


def _of_other_code(plan: Plan, folder: Path) -> list[str]:
    """Return the shards that are still to be made and that today's code would make otherwise than planned."""
    others = [name for name, shard in plan.shards.items() if shard.code_version != CODE_VERSION]
    return [name for name in others if not (folder / f"{name}.json").exists()]


def parsed(path: Path, text: bytes) -> Plan:
    """Return the plan that a text is; DareError where it is none."""
    remedy = "choose another --out or remove the folder"
    try:
        stored = json.loads(text)
    except ValueError:
        raise DamagedError("is no plan", path=path, remedy=remedy) from None
    return records.read(Plan, stored, path, remedy)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(marker: RunMarker, text: bytes, new: Plan, keep: bool) -> None:
    """Put ``new`` in the place of the plan of this text, and remove its shards unless they are to be kept.

    Where this run is killed in between, the next one puts the old plan back, and whatever shards were removed count as
    still to be made.
    """
    with plan_taken(marker, text) as taken:
        if taken:
            (marker.folder / "manifest.json").unlink(missing_ok=True)
            if not keep:
                _clear(marker.folder)
            write_bytes(marker.folder / "plan.json", planning.dump(new))
            taken.unlink()


@contextmanager
def plan_taken(marker: RunMarker, text: bytes) -> Iterator[Path | None]:
    """Take the plan of this text out of its place, and yield where it is: None where another run was quicker.

    First the plan is renamed: only one of several runs succeeds, and a run that is about to build by it no longer finds
    it and starts over. Then the marks of runs that already build are looked for; DareError where there is one. In this
    order one of two runs always notices the other. What lies there when the block ends goes back in its place; where
    this run is killed, the next one does that.
    """
    folder = marker.folder
    path, withdrawn = folder / "plan.json", folder / f"{_WITHDRAWN}{marker.owner}"
    try:
        path.rename(withdrawn)
    except FileNotFoundError:
        yield None
        return
    # What dead runs left is removed only now: before the rename it could have been the folder's only plan.
    for stale in folder.glob(f"{_WITHDRAWN}*"):
        if stale != withdrawn and stale.name.removeprefix(_WITHDRAWN) not in marker.others():
            stale.unlink(missing_ok=True)
    try:
        if withdrawn.read_bytes() == text:
            if busy := marker.others(BUILDING):
                raise RefusedError(
                    f"another run is at work in it ({words(busy[0])})",
                    path=folder,
                    remedy="wait for its end, or end it",
                )
            yield withdrawn
        else:
            yield None
    finally:
        _put_back(withdrawn)


def _put_back(withdrawn: Path) -> None:
    try:
        withdrawn.rename(withdrawn.with_name("plan.json"))
    except FileNotFoundError:
        return


def _clear(folder: Path) -> None:
    """Remove a set's shards, receipts first, so that a run killed halfway leaves shards that count as to be made."""
    for split in SPLITS:
        for receipt in (folder / split).glob("*.json"):
            receipt.unlink(missing_ok=True)
    (folder / "recordings.jsonl").unlink(missing_ok=True)
    for name in _PARTS_OF_A_SET:
        if (folder / name).exists():
            shutil.rmtree(folder / name)


def _grown(folder: Path, old: Plan, wanted: Plan, tree: Tree, source: Source, options: SetOptions) -> Plan:
    """Return the old plan with the recordings that are new, or that it left out and that have changed since.

    Its shards keep the code version they were planned by; new ones get today's. Raises DareError where recipe or format
    differ, or a recording of the old shards has vanished or changed.
    """
    remedy = "make the set again with --overwrite"
    if other := _otherwise(old, wanted):
        raise RefusedError(f"cannot be appended to: made with another {other}", path=folder, remedy=remedy)
    now = {one.path: one for one in wanted.recordings}
    gone = [one.path for one in old.recordings if one.path not in now and not source.holds(one.path)]
    others, read_otherwise = _changed(old, wanted)
    mended = {one.path for one in old.recordings if one.scanned.outcome and one.path in others}
    changed = [one.path for one in old.recordings if not one.scanned.outcome and one.path in others]
    for paths, what in ((gone, "vanished"), (changed, "changed")):
        if paths:
            raise RefusedError(
                f"cannot be appended to: {_some(paths)} {what} since", path=folder, remedy=f"put back, or {remedy}"
            )
    kept = [one for one in old.recordings if one.path not in mended]
    known = {one.path for one in kept}
    balanced = {one.raw.subject for one in kept if old.recipe.balance and not one.scanned.outcome}
    unbalanced = [path for path, one in now.items() if path not in known and one.raw.subject in balanced]
    if unbalanced:
        of = "of subjects whose windows are balanced already"
        raise RefusedError(f"cannot be appended to: {_some(unbalanced)} {of}", path=folder, remedy=remedy)
    if not now.keys() - known:
        return old
    kept_plan = old.model_copy(update={"recordings": kept, "notes": [*old.notes, *_read_otherwise(read_otherwise)]})
    return planning.make(tree, wanted.recipe, options, kept_plan)


def _changed(old: Plan, new: Plan) -> tuple[set[str], set[str]]:
    """Return the recordings of two plans that have changed, and those that today's code alone sees otherwise.

    What shards of older code hold stays as that code read it, so of theirs only the files are compared.
    """
    now = {one.path: one for one in new.recordings}
    older = {path for shard in old.shards.values() if shard.code_version != CODE_VERSION for path, _ in shard.pieces}
    differing = [one for one in old.recordings if one.path in now and one.differs(now[one.path])]
    changed = {one.path for one in differing if one.path not in older or one.has_other_files(now[one.path])}
    return changed, {one.path for one in differing} - changed


def _read_otherwise(paths: set[str]) -> list[str]:
    """Return a note on recordings of older shards that this code would read otherwise."""
    if not paths:
        return []
    return [f"{_some(sorted(paths))} of older shards are read otherwise today; --overwrite makes them so"]


def _difference(old: Plan, new: Plan) -> str:
    """Return what differs between two plans: recipe or format, else their recordings; "" where nothing does."""
    if other := _otherwise(old, new):
        return other
    before = {one.path: one for one in old.recordings}
    after = {one.path: one for one in new.recordings}
    changed = sorted(_changed(old, new)[0])
    more, fewer = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
    said = [(more, "new"), (fewer, "gone"), (changed, "changed")]
    return ", ".join(f"{_some(paths)} {what}" for paths, what in said if paths)


def _only_grows(old: Plan, new: Plan) -> bool:
    """Return whether recordings are new in a plan and nothing else differs, as --append wants it."""
    before, after = ({one.path for one in plan.recordings} for plan in (old, new))
    return not _otherwise(old, new) and before < after and not _changed(old, new)[0]


def _otherwise(old: Plan, new: Plan) -> str:
    """Return how two plans differ in recipe or format, "" where they do not."""
    if old.format != new.format:
        return f"format {old.format}, now {new.format}"
    theirs, ours = old.recipe, new.recipe
    fields = theirs.differences(ours)
    changes = ", ".join(
        f"{name} {_listed(getattr(theirs, name))}, now {_listed(getattr(ours, name))}" for name in fields
    )
    return f"recipe: {changes}" if fields else ""


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _some(paths: list[str]) -> str:
    return f"{len(paths)} recordings ({paths[0]}{' ...' if len(paths) > 1 else ''})"
