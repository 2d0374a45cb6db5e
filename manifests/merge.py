"""Merge: one training set made of many by reference, no subject on two sides."""

import os
from pathlib import Path

from manifests.atomic_io import write_bytes
from manifests.errors import RefusedError, UsageError
from manifests.manifest import SPLITS, Manifest, Merged, MergedSource, dump, load_set, named, sha256, subjects_of


def merge(folders: list[Path], out: Path, weights: dict[str, float], exclude: tuple[str, ...] = ()) -> Merged:
    """Write ``out/manifest.json``, which refers to the sets and copies nothing, and return it.

    ``weights`` multiply a set's share of the training windows, by folder name. ``exclude`` are shard set folders, each
    with an optional ``:SPLIT``, whose subjects are left out of every split. A subject that is in one set's valid and
    another's train is left out of that train. Raises DareError for a subject in one set's train and another's test,
    for one set named twice and for a weight that names no set.
    """
    sets = {folder.name: (folder, load_set(folder)) for folder in folders}
    if len(sets) < len(folders):
        raise UsageError(
            "two sets have the same folder name", remedy="rename one, names tell sets apart in a merged one"
        )
    if strange := sorted(weights.keys() - sets.keys()):
        remedy = f"name one of {', '.join(sets)}"
        raise UsageError("names none of the sets", path=f"--weight {strange[0]}", remedy=remedy)
    if (out / "plan.json").exists():
        raise UsageError("is a shard set itself", path=out, remedy="choose another --out")
    banned = {subject for text in exclude for subject in subjects_of(text)}
    _refuse_leaks(sets, banned)
    held_out = {subject for _, manifest in sets.values() for subject in manifest.splits["valid"].subjects}
    notes, sources = [_unmatched(text, sets) for text in exclude], []
    notes = [note for note in notes if note]
    for name, (folder, manifest) in sorted(sets.items()):
        left_out = {split: sorted(banned & set(manifest.splits[split].subjects)) for split in SPLITS}
        left_out["train"] = sorted((banned | held_out) & set(manifest.splits["train"].subjects))
        left_out = {split: subjects for split, subjects in left_out.items() if subjects}
        notes += [f"{name}: {len(s)} subjects left out of {split}" for split, s in left_out.items()]
        sources.append(
            MergedSource(
                name=name,
                path=Path(os.path.relpath(folder.resolve(), out.resolve())).as_posix(),
                manifest_sha256=sha256(folder),
                weight=weights.get(name, 1.0),
                exclude=left_out,
            )
        )
    merged = Merged(sources=sources, notes=notes)
    write_bytes(out / "manifest.json", dump(merged))
    return merged


def _refuse_leaks(sets: dict[str, tuple[Path, Manifest]], banned: set[str]) -> None:
    for name, (_, one) in sets.items():
        for other_name, (_, other) in sets.items():
            shared = set(one.splits["train"].subjects) & set(other.splits["test"].subjects) - banned
            if shared and name != other_name:
                raise RefusedError(
                    f"{len(shared)} subjects of its train are in the test of {other_name} ({sorted(shared)[0]} ...)",
                    path=name,
                    remedy=f"leave them out with --exclude {other_name}:test, given its folder",
                )


def _unmatched(text: str, sets: dict[str, tuple[Path, Manifest]]) -> str:
    """Return a warning where an exclusion takes nobody out, "" where it does."""
    known = {
        subject for _, manifest in sets.values() for split in manifest.splits.values() for subject in split.subjects
    }
    excluded, subjects = named(text)
    if subjects & known:
        return ""
    reason = "none of its subjects is in them"
    for ids in excluded.recipe.unlinkable:
        if ids.concerns(subjects):
            reason = f"the ids of {ids.whose} part cannot be linked to {ids.others}"
    return f"--exclude {text} takes nobody out of the sets: {reason}"
