"""What a shard set holds: the row of every recording, the receipt of every shard, the manifest of the whole."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from manifests import records
from manifests.atomic_io import canonical_json, read_json, sha256_bytes, unreadable
from manifests.errors import DamagedError, RefusedError, UsageError
from manifests.notes import Note, counted, from_prose, one_line
from manifests.recipe import Recipe
from manifests.records import Fields, Part, Record, added

ORDER_VERSION = 1
"""Version of the training order over a set; raised when the same plan would give another order."""

OUTCOMES: tuple["Outcome", ...] = ("ok", "skipped", "failed")
SPLITS = ("train", "valid", "test")

SAME_BYTES, SAME_RUN, TESTED = "same bytes", "same run", "subject of the test"
BY_OTHERS = frozenset((SAME_BYTES, SAME_RUN, TESTED))
"""Kinds of notes on recordings that are left out because of other recordings of the tree."""

Split = Literal["train", "valid", "test"]
Outcome = Literal["ok", "skipped", "failed"]
Format = Literal["webdataset", "zarr", "both"]
"""Windows in tars, continuous recordings in zarr stores, or both."""


class RecordingRow(Part):
    """What became of one raw recording; ``reason``, empty only where it is ok and has windows, is its notes' text."""

    path: str
    bytes: int
    sha256: str
    subject: str
    session: str
    split: Split
    channel_map: dict[str, str]
    sfreq: float
    duration_s: float
    windows: int
    outcome: Outcome
    notes: tuple[Note, ...]
    reason: str


class ChannelSums(Part):
    """Sums over the windows of a shard in which an electrode is present, in µV."""

    samples: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: "ChannelSums") -> "ChannelSums":
        return ChannelSums(
            samples=self.samples + other.samples,
            total=self.total + other.total,
            squares=self.squares + other.squares,
        )


def below(path: str) -> str:
    """Return a path of a file of a set, as its manifest names it; ValueError where it would lead out of the set."""
    parts = PurePosixPath(path).parts
    if "\\" in path or ".." in parts or parts[:1] == ("/",):
        raise ValueError(f"{path!r} leads out of the set: its manifest may name files of its own alone")
    return path


Below = Annotated[str, AfterValidator(below)]
"""A path below the folder of a set."""


class StoreEntry(Part):
    """The store of a recording, or of a piece of one: its path below the set, bytes, and sha256 over its files.

    ``failure`` says why there is none, and is empty where there is one.
    """

    recording: str
    piece: int
    path: Below
    bytes: int
    sha256: str
    failure: str


class Receipt(Record):
    """Proof that one shard is whole: written last, after the shard and its index are on disk."""

    KIND: ClassVar = "receipt"
    SCHEMA: ClassVar = 2
    UPGRADES: ClassVar = {1: lambda fields: fields | {"recordings": [*map(from_prose, fields["recordings"])]}}

    shard: str
    identity: str
    samples: int
    bytes: int
    sha256: str
    index_sha256: str
    labels: dict[str, int]
    signal: dict[str, ChannelSums]
    recordings: list[RecordingRow]
    changes: dict[str, dict[str, int]]
    """By choice of the recipe, the windows of each recording that it made other than the raw file alone would."""
    format: Format = "webdataset"
    stores: tuple[StoreEntry, ...] = ()


class ShardEntry(Part):
    """One shard of a split: its tar's path below the set, its windows, bytes and sha256, its index's sha256.

    Where windows lie in stores alone there is no tar: then path, bytes and sha256 are the index's. ``samples`` counts
    the windows, which are the samples of a network, here and in a receipt and a split.
    """

    path: Below
    samples: int
    bytes: int
    sha256: str
    index_sha256: str


class SplitEntry(Part):
    """One split: its shards, its subjects, and what they add up to."""

    shards: list[ShardEntry]
    subjects: list[str]
    recordings: int
    samples: int
    hours: float
    labels: dict[str, int]


def _from_1(fields: Fields) -> Fields:
    """Count the recordings of each outcome, and the shards, all of which were made by code version 3."""
    recordings = {outcome: sum(reasons.values()) for outcome, reasons in fields["outcomes"].items()}
    num_shards = sum(len(split["shards"]) for split in fields["splits"].values())
    return fields | {"recordings": recordings, "code_versions": {"3": num_shards}}


class Manifest(Record):
    """What a shard set holds, written last and only from receipts.

    ``recordings`` counts those that ended ok, skipped and failed; ``outcomes`` counts them by outcome and by what their
    notes say, ``code_versions`` how many shards with windows each code version made. ``withdrawn`` is
    the plan's.
    """

    KIND: ClassVar = "manifest"
    SCHEMA: ClassVar = 2
    UPGRADES: ClassVar = {1: _from_1}

    kind: Literal["set"] = "set"
    order_version: int = ORDER_VERSION
    corpus: str
    corpus_version: str
    recipe: Recipe
    recipe_sha256: str
    plan_sha256: str
    recordings_sha256: str
    versions: dict[str, str]
    electrodes: list[str]
    sfreq: float
    unit: Literal["uV"] = "uV"
    window_samples: int
    splits: dict[str, SplitEntry]
    signal: dict[str, dict[str, float]]
    recordings: dict[str, int]
    outcomes: dict[str, dict[str, int]]
    code_versions: dict[str, int]
    choices: dict[str, dict[str, int]]
    """By choice of the recipe, how many recordings and windows it changed."""
    notes: list[str]
    format: Format = "webdataset"
    stores: tuple[StoreEntry, ...] = ()
    withdrawn: tuple[str, ...] = added((), absent=())


class MergedSource(Part):
    """One set of a merged one: where it lies, how it weighs, whose windows are left out of which split."""

    name: str
    path: str
    manifest_sha256: str
    weight: float = Field(gt=0)
    exclude: dict[str, list[str]]


class Merged(Record):
    """A training set made of others by reference; paths, of folders of sets, are relative to its own."""

    KIND: ClassVar = "merged set"

    kind: Literal["merged"] = "merged"
    order_version: int = ORDER_VERSION
    sources: list[MergedSource]
    notes: list[str]


def load(folder: Path) -> Manifest | Merged:
    """Return the manifest of a set or of a merged one; DareError where there is none or it does not hold."""
    path = folder / "manifest.json"
    remedy = "an unfinished set is finished by running dare preprocess again, a missing one made by it"
    fields = read_json(path, remedy)
    kind = fields.get("kind") if isinstance(fields, dict) else None
    if kind == "merged":
        return records.read(Merged, fields, path, remedy)
    return records.read(Manifest, fields, path, remedy)


def load_set(folder: Path) -> Manifest:
    """Return the manifest of a single set; DareError for a merged one."""
    manifest = load(folder)
    if isinstance(manifest, Merged):
        raise RefusedError("is a merged set, one set is needed", path=folder, remedy="name one of its sources")
    return manifest


def load_receipt(path: Path) -> Receipt:
    """Return the receipt a file holds; DareError where it is missing or none."""
    return records.load(Receipt, path, "delete it and run dare preprocess again")


def load_rows(folder: Path) -> list[RecordingRow]:
    """Return what became of every raw recording of a set; DareError where recordings.jsonl is missing or damaged."""
    path, remedy = folder / "recordings.jsonl", "make the set again with dare preprocess"
    try:
        stored = [json.loads(line) for line in path.read_bytes().splitlines()]
    except OSError as problem:
        raise unreadable(path, problem, remedy) from problem
    except ValueError as problem:
        raise DamagedError(f"unreadable ({problem})", path=path, remedy=remedy) from problem
    return [records.read(RecordingRow, row if "notes" in row else from_prose(row), path, remedy) for row in stored]


def dump(record: Record) -> bytes:
    """Return a record as canonical JSON."""
    return canonical_json(record.as_json())


def sha256(folder: Path) -> str:
    """Return the sha256 of a set's manifest file."""
    load(folder)
    return sha256_bytes((folder / "manifest.json").read_bytes())


def subjects_of(text: str) -> set[str]:
    """Return the subjects of ``SET`` or ``SET:SPLIT``, SET being a shard set's folder."""
    return named(text)[1]


def named(text: str) -> tuple[Manifest, set[str]]:
    """Return the manifest and the subjects of ``SET`` or ``SET:SPLIT``, SET being a shard set's folder.

    Raises DareError where there is no such set, or no such split of it.
    """
    folder, splits = _place(text)
    manifest = load_set(folder)
    return manifest, {subject for split in splits for subject in manifest.splits[split].subjects}


def renamed(text: str, sets: Iterable[Path]) -> set[str]:
    """Return the subjects of sets who have a recording of ``SET`` or ``SET:SPLIT``, the very file, under another name.

    Raises DareError where a set, or its recordings.jsonl, is missing or damaged.
    """
    folder, splits = _place(text)
    load_set(folder)
    theirs = {row.sha256: row.subject for row in load_rows(folder) if row.windows and row.split in splits}
    ours = (row for one in sets for row in load_rows(one) if row.windows and row.sha256)
    return {row.subject for row in ours if theirs.get(row.sha256, row.subject) != row.subject}


def _place(text: str) -> tuple[Path, tuple[str, ...]]:
    """Return the folder and the splits that ``SET`` or ``SET:SPLIT`` names; UsageError for one that there is not."""
    folder, _, split = text.rpartition(":")
    if split in SPLITS:
        return Path(folder), (split,)
    if folder and not Path(text).exists() and (Path(folder) / "manifest.json").exists():
        raise UsageError(f"has no split {split!r}", path=folder, remedy=f"name one of {', '.join(SPLITS)}")
    return Path(text), SPLITS


def text(folder: Path, manifest: Manifest) -> str:
    """Return what a set holds as lines a person reads."""
    release = f"{manifest.corpus} {manifest.corpus_version}".strip()
    lines = [
        f"{folder}: {release}, {len(manifest.electrodes)} electrodes, {manifest.sfreq:g} Hz, "
        f"{manifest.window_samples / manifest.sfreq:g} s"
    ]
    facts = {"licence": manifest.recipe.licence, "citation": manifest.recipe.citation}
    lines += [f"  {name}: {fact}" for name, fact in facts.items() if fact]
    for name in SPLITS:
        split = manifest.splits[name]
        labels = ", ".join(f"{label} {count}" for label, count in split.labels.items())
        lines.append(
            f"  {name:5} {split.samples:7} windows  {len(split.subjects):4} subjects  {split.recordings:5} recordings"
            f"  {split.hours:8.2f} h  {len(split.shards):4} shards  {labels}".rstrip()
        )
    found = {label for split in manifest.splits.values() for label, count in split.labels.items() if count}
    lines += [f"  {name}: a class without a window" for name in manifest.recipe.classes if name not in found]
    for outcome in OUTCOMES:
        lines.append(f"  {outcome}: {manifest.recordings[outcome]} recordings")
        lines += [f"    {count}: {reason}" for reason, count in manifest.outcomes[outcome].items() if reason]
    for choice, changed in manifest.choices.items():
        value = getattr(manifest.recipe, choice, "as it was then")
        lines.append(f"  {choice} {value}: changes {changed['windows']} windows of {changed['recordings']} recordings")
    if manifest.withdrawn:
        lines.append(f"  dropped: {len(manifest.withdrawn)} subjects who withdrew consent")
    return "\n".join(map(one_line, [*lines, *(f"  {note}" for note in manifest.notes)]))


def choices(receipts: list[Receipt]) -> dict[str, dict[str, int]]:
    """Return how many recordings and windows each choice of the recipe changed, over all shards."""
    table: dict[str, Counter[str]] = {}
    for receipt in receipts:
        for choice, recordings in receipt.changes.items():
            table.setdefault(choice, Counter()).update(recordings)
    return {name: {"recordings": len(table[name]), "windows": table[name].total()} for name in sorted(table)}


def outcomes(rows: list[RecordingRow]) -> dict[str, dict[str, int]]:
    """Return how many recordings ended ok, skipped and failed, by what there is to tell of them."""
    return {outcome: counted(row.notes for row in rows if row.outcome == outcome) for outcome in OUTCOMES}


def commonest(rows: list[RecordingRow]) -> str:
    """Return how many recordings were not used for the commonest reason, and that, or all reasons that all share.

    What is left out because of another recording says nothing: why that one is not used is the reason.
    """
    told = [row for row in rows if BY_OTHERS.isdisjoint(one.kind for one in row.notes)] or rows
    counts = outcomes(told)
    reasons = {reason: n for outcome in ("failed", "skipped") for reason, n in counts[outcome].items()}
    if not reasons:
        return "nothing was planned"
    most = max(reasons.values())
    named = [reason for reason, count in reasons.items() if count == most]
    return f"{most} of {len(rows)}: {'; '.join(named if most == len(told) else named[:1])}"


def split_entry(receipts: list[Receipt], window_h: float) -> SplitEntry:
    """Return what the shards of one split add up to, whose windows last ``window_h`` hours each."""
    rows = [row for receipt in receipts for row in receipt.recordings if row.windows]
    labels: Counter[str] = Counter()
    for receipt in receipts:
        labels.update(receipt.labels)
    num_windows = sum(receipt.samples for receipt in receipts)
    fields = ("samples", "bytes", "sha256", "index_sha256")
    shards: list[dict[str, Any]] = [
        {"path": f"{receipt.shard}.{'idx.npz' if receipt.format == 'zarr' else 'tar'}"}
        | {name: getattr(receipt, name) for name in fields}
        for receipt in receipts
        if receipt.samples
    ]
    return SplitEntry(
        shards=[ShardEntry(**shard) for shard in shards],
        subjects=sorted({row.subject for row in rows}),
        recordings=len({row.path for row in rows}),
        samples=num_windows,
        hours=round(num_windows * window_h, 6),
        labels=dict(sorted(labels.items())),
    )
