"""Plan: which recording goes to which split and shard, settled before any byte of signal is read."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from manifests import keyed
from manifests.durable import canonical_json, sha256_bytes
from manifests.errors import DareError
from manifests.manifest import SPLITS, Format, RecordingRow
from manifests.recipe import Recipe
from manifests.shard_format import slugs
from pipelines.scan import Scanned, Tree
from pipelines.windows import count_on_a_grid

CODE_VERSION = 3
"""Version of the way from raw bytes to shard bytes; raised by every change that alters a shard."""

PIECE_SAMPLES = 1 << 25
"""Samples, over all channels, that are read at once (128 MB as float32): a longer recording is cut into pieces."""

MINUTE_S = 60.0
"""Pieces are whole minutes where strides divide one, so that an archive of pieces serves windows of other strides."""

Plan = dict[str, Any]
"""What plan.json holds."""


@dataclass(frozen=True)
class Task:
    """One shard to build: its name (``train/000000``), its identity, and what it is made of.

    ``recordings`` are rows of plan.json, each with the ``piece`` of the recording that is meant.
    """

    shard: str
    identity: str
    recordings: list[dict[str, Any]]
    format: Format


def make(tree: Tree, recipe: Recipe, format: Format = "webdataset", old: Plan | None = None) -> Plan:
    """Return the plan, ready to be written as plan.json: every recording, its split, its shard or its verdict.

    Splits are by subject through a keyed hash of the subject's id, so a larger release leaves every subject where it
    was; a valid split that the hash leaves empty takes the subject with the smallest hash, where there are two.
    Where a set grows, the recordings of its ``old`` plan stay as they are in every respect, their subjects keep their
    side, and the others go to shards of their own.
    """
    if format == "zarr" and recipe.edges != "drop":
        raise DareError(
            f"--format zarr: with edges={recipe.edges} some windows are no part of a recording; "
            "take --format both or --set edges=drop"
        )
    before = old["recordings"] if old else []
    known = {row["path"] for row in before}
    recordings = [one for one in tree.recordings if one.source.path not in known]
    sides = {row["subject"]: row["split"] for row in before if row["split"] != "test" and not row["outcome"]}
    splits, notes = _splits(recordings, recipe, sides)
    names = slugs(recipe.corpus, [*known, *(one.source.path for one in recordings)])
    limits, balance_notes = _balance(recordings, recipe) if recipe.balance else ({}, [])
    rows = [
        {
            "path": scanned.source.path,
            "slug": names[scanned.source.path],
            "bytes": scanned.bytes,
            "fingerprint": scanned.fingerprint,
            "subject": scanned.source.subject,
            "session": scanned.source.session,
            "split": splits[scanned.source.path],
            "label": scanned.source.label,
            "label_file": scanned.source.label_file,
            "montage": list(scanned.source.montage),
            "unused": scanned.source.unused,
            "label_sha256": scanned.label_sha256,
            "max_windows": limits.get(scanned.source.path, -1),
            "piece_s": (piece_s := _piece_s(scanned, recipe)),
            "pieces": _num_pieces(scanned.duration_s, piece_s),
            "sfreq": scanned.sfreq,
            "duration_s": round(scanned.duration_s, 6),
            "channel_map": scanned.channel_map or {},
            "outcome": scanned.outcome,
            "reason": scanned.reason,
        }
        for scanned in recordings
    ]
    return {
        "corpus": recipe.corpus,
        "corpus_version": tree.version,
        "code_version": CODE_VERSION,
        "format": format,
        "recipe": recipe.model_dump(mode="json"),
        "recipe_sha256": recipe.sha256(),
        "whole": len(tree.recordings) == tree.num_found,
        "recordings": [*before, *rows],
        "shards": _shards(rows, recipe, old["shards"] if old else {}),
        "notes": list(dict.fromkeys([*(old["notes"] if old else []), *notes, *balance_notes])),
    }


def dump(plan: Plan) -> bytes:
    """Return the text of plan.json, whose sha256 is the plan's."""
    return canonical_json(plan)


def tasks(plan: Plan) -> list[Task]:
    """Return the shards a plan asks for, in the order that --part counts by."""
    rows = {row["path"]: row for row in plan["recordings"]}
    found = []
    for shard in sorted(plan["shards"], key=lambda name: (SPLITS.index(name.partition("/")[0]), name)):
        recordings = [rows[path] | {"piece": piece} for path, piece in plan["shards"][shard]]
        found.append(Task(shard, _identity(plan, recordings), recordings, plan["format"]))
    return found


def verdicts(plan: Plan) -> list[RecordingRow]:
    """Return the rows of the recordings that no shard is planned for, with the reason; unread, they have no sha256."""
    kept = RecordingRow.model_fields.keys() - {"sha256", "windows"}
    return [
        RecordingRow(**{name: row[name] for name in kept}, sha256="", windows=0)
        for row in plan["recordings"]
        if row["outcome"]
    ]


def _splits(recordings: list[Scanned], recipe: Recipe, sides: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the split of each recording by path, and notes; ``sides`` are those of subjects that have one."""
    subjects = {one.source.subject for one in recordings if not one.source.test and not one.outcome}
    hashes = {subject: keyed.share(subject, recipe.split_seed) for subject in sorted(subjects - sides.keys())}
    valid = {subject for subject, share in hashes.items() if share < recipe.valid_share}
    notes = []
    if recipe.valid_share and hashes and len(hashes | sides) > 1 and not valid and "valid" not in sides.values():
        valid = {min(hashes, key=lambda subject: hashes[subject])}
        notes.append(f"the hash left valid empty: it took {next(iter(valid))}, the smallest")
    if valid and len(valid) == len(hashes) and "train" not in sides.values():
        kept = max(valid, key=lambda subject: hashes[subject])
        valid -= {kept}
        notes.append(f"the hash left train empty: it took {kept}, the largest")

    def split(one: Scanned) -> str:
        if one.source.test:
            return "test"
        return sides.get(one.source.subject, "valid" if one.source.subject in valid else "train")

    return {one.source.path: split(one) for one in recordings}, notes


def _balance(recordings: list[Scanned], recipe: Recipe) -> tuple[dict[str, int], list[str]]:
    """Return how many windows each recording may give, so that a subject has as many of each class, and notes.

    A subject without a recording of some class has nothing to be balanced against and keeps all windows.
    """
    if any(not one.source.label and not one.outcome for one in recordings):
        raise DareError(f"balance: the classes of {recipe.corpus} come from events; leave it false")
    subjects: defaultdict[str, defaultdict[str, list[Scanned]]] = defaultdict(lambda: defaultdict(list))
    for one in recordings:
        if not one.outcome:
            subjects[one.source.subject][one.source.label].append(one)
    limits: dict[str, int] = {}
    notes = ["windows are balanced within each subject: as many of each class as of its rarest"]
    for subject, classes in subjects.items():
        if lacking := [name for name in recipe.classes if name not in classes]:
            notes.append(f"{subject} has no {', '.join(lacking)}: not balanced")
            continue
        rarest = min(sum(count_on_a_grid(one.duration_s, recipe) for one in group) for group in classes.values())
        for group in classes.values():
            limits |= {one.source.path: rarest // len(group) for one in group}
    return limits, notes


def _piece_s(scanned: Scanned, recipe: Recipe) -> float:
    """Return the seconds of signal, whole strides, that a recording is read in at once; 0 where all of it is.

    Balanced recordings are thinned as a whole, and windows that wrap need both ends of one; such corpora are short.
    """
    second = max(1.0, scanned.sfreq * len(scanned.channel_map or {}))
    if recipe.balance or recipe.edges == "wrap" or scanned.duration_s * second <= PIECE_SAMPLES:
        return 0.0
    unit_s = MINUTE_S if (MINUTE_S / recipe.stride_s).is_integer() else recipe.stride_s
    return max(1, int(PIECE_SAMPLES / second / unit_s)) * unit_s


def _num_pieces(duration_s: float, piece_s: float) -> int:
    """Return how many pieces a recording is read in; the last takes what is left, up to a minute more than a piece."""
    return max(1, math.ceil((duration_s - MINUTE_S) / piece_s)) if piece_s else 1


def _shards(rows: list[dict[str, Any]], recipe: Recipe, old: dict[str, Any]) -> dict[str, list[tuple[str, int]]]:
    """Group each split's recordings and pieces, in a keyed order, into shards of about ``shard_mb``, after the old."""
    window_bytes = len(recipe.electrodes) * recipe.window_samples * 2
    shards: dict[str, list[tuple[str, int]]] = dict(old)
    for split in SPLITS:
        planned = [
            (row["path"], piece, min(row["piece_s"] or row["duration_s"], row["duration_s"]))
            for row in rows
            if row["split"] == split and not row["outcome"]
            for piece in range(row["pieces"])
        ]
        room, number = 0.0, sum(shard.startswith(f"{split}/") for shard in old) - 1
        for position in keyed.permutation(keyed.key("shards", recipe.split_seed, split), len(planned)):
            path, piece, duration_s = planned[position]
            if room <= 0:
                room, number = recipe.shard_mb * 1e6, number + 1
            room -= max(1, count_on_a_grid(duration_s, recipe)) * window_bytes
            shards.setdefault(f"{split}/{number:06d}", []).append((path, piece))
    return shards


def _identity(plan: Plan, rows: list[dict[str, Any]]) -> str:
    """Return what a shard is made of, as one hash; content stands for time, so that a copied tree is the same."""
    return sha256_bytes(canonical_json([plan["recipe_sha256"], plan["code_version"], plan["format"], rows]))
