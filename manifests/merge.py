"""Merge: one training set made of many by reference, no subject on two sides."""

import os
from dataclasses import dataclass
from pathlib import Path

from manifests.atomic_io import read_json, write_bytes
from manifests.electrodes import in_vocabulary
from manifests.errors import RefusedError, UsageError
from manifests.manifest import (
    SPLITS,
    Manifest,
    Merged,
    MergedSource,
    dump,
    load_rows,
    load_set,
    named,
    renamed,
    sha256,
    subjects_of,
)

MERGE_AGAIN = "run dare merge again, with --overwrite"


def merge(
    folders: list[Path], out: Path, weights: dict[str, float], exclude: tuple[str, ...] = (), overwrite: bool = False
) -> Merged:
    """Write ``out/manifest.json``, which refers to the sets and copies nothing, and return it.

    ``weights`` multiply a set's share of the training windows, by folder name. ``exclude`` are shard set folders, each
    with an optional ``:SPLIT``, whose subjects are left out of every split, under another name, too, where a recording
    of theirs is the very file. A subject that is in one set's valid and
    another's train is left out of that train. Raises DareError for a subject in one set's train and another's test,
    for one set named twice, for a weight that names no set, and, unless told to ``overwrite`` it, for another merged
    set in ``out``.
    """
    sets = {folder.name: (folder, load_set(folder)) for folder in folders}
    if len(sets) < len(folders):
        raise UsageError(
            "two sets have the same folder name", remedy="rename one, names tell sets apart in a merged one"
        )
    if strange := sorted(weights.keys() - sets.keys()):
        remedy = f"name one of {', '.join(sets)}"
        raise UsageError("names none of the sets", path=f"--weight {strange[0]}", remedy=remedy)
    others = {text: renamed(text, folders) for text in exclude}
    banned = {subject for text in exclude for subject in subjects_of(text) | others[text]}
    _refuse_leaks(sets, banned)
    held_out = {subject for _, manifest in sets.values() for subject in manifest.splits["valid"].subjects}
    manifests = [manifest for _, manifest in sets.values()]
    notes = [note for text in exclude if (note := takes_nobody_out(text, manifests)) and not others[text]]
    notes += [f"--exclude {text}: {said}" for text, names in others.items() if (said := of_renamed(names))]
    sources = []
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
    _refuse_what_is_there(out, dump(merged), overwrite)
    write_bytes(out / "manifest.json", dump(merged))
    return merged


def text(folder: Path, merged: Merged) -> str:
    """Return what a merged set holds to train on and to validate on, as lines a person reads.

    Raises DareError where a source of it is missing or damaged.
    """
    sets = {one.name: (one, load_set(folder / one.path)) for one in merged.sources}
    held = {name: _held(folder / one.path, manifest, one.exclude) for name, (one, manifest) in sets.items()}
    lines = [f"{folder}: {', '.join(sets)}"]
    for split in ("train", "valid"):
        parts = [of_set[split] for of_set in held.values()]
        subjects = set().union(*(part.subjects for part in parts))
        lines.append(
            _Part(sum(part.windows for part in parts), sum(part.hours for part in parts), subjects).text(split)
        )
    weighed = {name: one.weight * held[name]["train"].windows for name, (one, _) in sets.items()}
    for name, (one, _) in sets.items():
        share = weighed[name] / (sum(weighed.values()) or 1)
        weight = f" at weight {one.weight:g}" if one.weight != 1 else ""
        lines.append(f"  {name}{weight}: {share:.1%} of what is trained on")
        lines += [f"  {held[name][split].text(split)}" for split in ("train", "valid")]
        if sha256(folder / one.path) != one.manifest_sha256:
            lines.append(f"    has changed since it was merged; {MERGE_AGAIN}")
    if not any(of_set["train"].windows for of_set in held.values()):
        lines.append("  no window to train on: dare pretrain will refuse it; merge again and leave out fewer")
    elif not any(of_set["valid"].windows for of_set in held.values()):
        lines.append("  no window to validate on: an encoder will be that of its last step")
    return "\n".join(
        [
            *lines,
            *_signatures({name: manifest for name, (_, manifest) in sets.items()}),
            *(f"  {note}" for note in merged.notes),
        ]
    )


@dataclass(frozen=True)
class _Part:
    """What a split holds to train on: its windows, their hours, the subjects who are not left out."""

    windows: int
    hours: float
    subjects: set[str]

    def text(self, split: str) -> str:
        return f"  {split:5} {self.windows:7} windows  {len(self.subjects):4} subjects  {self.hours:8.2f} h"


def _held(folder: Path, manifest: Manifest, left_out: dict[str, list[str]]) -> dict[str, _Part]:
    window_h = manifest.window_samples / manifest.sfreq / 3600
    parts = {}
    for name in ("train", "valid"):
        split, out = manifest.splits[name], set(left_out.get(name, ()))
        windows = split.samples
        if out:
            windows -= sum(row.windows for row in load_rows(folder) if row.split == name and row.subject in out)
        parts[name] = _Part(windows, windows * window_h, set(split.subjects) - out)
    return parts


def _signatures(manifests: dict[str, Manifest]) -> list[str]:
    """Return a line for each signature, electrodes, rate and length: windows of one fill a batch together."""
    groups: dict[tuple[tuple[str, ...], float, int], list[str]] = {}
    for name, manifest in manifests.items():
        electrodes = tuple(manifest.electrodes[place] for place in in_vocabulary(manifest.electrodes))
        groups.setdefault((electrodes, manifest.sfreq, manifest.window_samples), []).append(name)
    how = "which fill a batch together" if len(groups) == 1 else "which take turns by whole batches"
    shapes = [(frozenset(electrodes), sfreq, samples) for electrodes, sfreq, samples in groups]
    lines = [f"  {len(groups)} signature{'s' * (len(groups) > 1)}, {how}:"]
    for (electrodes, sfreq, samples), names in groups.items():
        shape = f"{len(electrodes)} electrodes of the network, {sfreq:g} Hz, {samples / sfreq:g} s"
        if shapes.count((frozenset(electrodes), sfreq, samples)) > 1:
            shape += f", {' '.join(electrodes[:3])} ... in this order"
        lines.append(f"    {shape}: {', '.join(names)}")
    return lines


def _refuse_what_is_there(out: Path, content: bytes, overwrite: bool) -> None:
    """Raise UsageError where a folder holds a set, RefusedError where another merged one may not be replaced."""
    path = out / "manifest.json"
    there = read_json(path, "remove it") if path.exists() else None
    is_set = isinstance(there, dict) and there.get("kind", "set") == "set"
    if is_set or (out / "plan.json").exists():
        raise UsageError("is a shard set itself", path=out, remedy="choose another --out")
    if there is not None and not overwrite and path.read_bytes() != content:
        raise RefusedError(
            "holds another merged set", path=out, remedy="replace it with --overwrite, or choose another --out"
        )


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


def takes_nobody_out(text: str, manifests: list[Manifest]) -> str:
    """Return a warning where an exclusion, ``SET`` or ``SET:SPLIT``, takes nobody out of sets, "" where it does."""
    known = {subject for manifest in manifests for split in manifest.splits.values() for subject in split.subjects}
    excluded, subjects = named(text)
    if subjects & known:
        return ""
    reason = "none of its subjects is in them"
    for ids in excluded.recipe.unlinkable:
        if ids.concerns(subjects):
            reason = f"the ids of {ids.whose} part cannot be linked to {ids.others}"
    return f"--exclude {text} takes nobody out of the sets: {reason}"


def of_renamed(subjects: set[str]) -> str:
    """Return what is to be said of subjects whom files alone tell to be the same people, "" where there are none."""
    if not subjects:
        return ""
    return f"{len(subjects)} known by recordings that are the very files, under another name ({min(subjects)} ...)"
