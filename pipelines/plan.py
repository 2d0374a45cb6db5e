"""Plan: which recording goes to which split and shard, decided before any signal is read."""

import math
from collections import defaultdict
from dataclasses import dataclass

from manifests import keyed, manifest
from manifests.errors import UsageError
from manifests.manifest import SPLITS, Format, RecordingRow, Split
from manifests.plan import Piece, Plan, PlannedRecording, PlannedShard, ScannedRecording, identity
from manifests.recipe import Recipe
from manifests.shard_format import slugs
from pipelines.scan import Tree
from pipelines.sides import apart_from_old
from pipelines.windows import count_on_a_grid

CODE_VERSION = 4
"""Version of the code that turns raw bytes into shard bytes; raised by every change that alters a shard."""

_LEAST_SUBJECTS = 3  # that a part to train, one to validate and one to test can be made of


@dataclass(frozen=True)
class SetOptions:
    """How a set is made of a plan, beside its recipe.

    ``overwrite`` replaces a set of another plan, ``append`` adds to it what is new, ``retry_failed`` builds shards anew
    in which a recording failed. A recording of more than ``piece_samples`` samples, over all channels (128 MB as
    float32), is cut into pieces, whole multiples of ``piece_grid_s`` seconds where strides divide that, so that an
    archive of pieces serves windows of other strides.
    """

    format: Format = "webdataset"
    overwrite: bool = False
    append: bool = False
    retry_failed: bool = False
    piece_samples: int = 1 << 25
    piece_grid_s: float = 60.0


@dataclass(frozen=True)
class Task:
    """One shard to build: its name (``train/000000``), its identity, and the pieces that it is made of."""

    shard: str
    identity: str
    format: Format
    pieces: list[Piece]


def make(tree: Tree, recipe: Recipe, options: SetOptions, old: Plan | None = None) -> Plan:
    """Return the plan, ready to be written as plan.json: every recording with its split, and its shard or its verdict.

    A keyed hash of its id decides on which side a subject is, so that a larger release leaves every subject where it
    was. Where the hash leaves valid empty, the subject with the smallest hash goes there, if there are two or more.
    Those with the largest hashes are held out for the test where the recipe has a ``test_share``.
    Where a set grows, the recordings and shards of its ``old`` plan stay as they are, their subjects keep their split,
    and new recordings go to new shards.
    """
    if options.format == "zarr" and recipe.edges != "drop":
        raise UsageError(
            f"with edges={recipe.edges} some windows are no part of a recording",
            path="--format zarr",
            remedy="take --format both or --set edges=drop",
        )
    before = old.recordings if old else []
    known = {one.path for one in before}
    scanned = [one for one in tree.recordings if one.path not in known]
    if old:
        scanned = apart_from_old(scanned, [one.scanned for one in before], recipe)
    sides: dict[str, Split] = {
        one.raw.subject: one.split for one in before if not one.raw.test and not one.scanned.outcome
    }
    splits, notes = _splits(scanned, recipe, sides)
    names = slugs(recipe.corpus, [*known, *(one.path for one in scanned)])
    limits, balance_notes = _balance(scanned, recipe) if recipe.balance else ({}, [])
    recordings = []
    for one in scanned:
        piece_s, pieces = cut_into_pieces(one, recipe, options)
        duration_s = round(one.duration_s, 6)
        recordings.append(
            PlannedRecording(
                scanned=one if duration_s == one.duration_s else one.model_copy(update={"duration_s": duration_s}),
                slug=names[one.path],
                split=splits[one.path],
                max_windows=limits.get(one.path, -1),
                piece_s=piece_s,
                pieces=pieces,
            )
        )
    recipe_sha256 = recipe.sha256()
    shards = dict(old.shards) if old else {}
    for name, parts in _shards(recordings, recipe, set(shards)).items():
        facts = [[part.recording.as_json(), part.number] for part in parts]
        shards[name] = PlannedShard(
            identity=identity(recipe_sha256, CODE_VERSION, options.format, facts),
            code_version=CODE_VERSION,
            pieces=[(part.recording.path, part.number) for part in parts],
        )
    return Plan(
        corpus=recipe.corpus,
        corpus_version=tree.version,
        format=options.format,
        recipe=recipe,
        recipe_sha256=recipe_sha256,
        whole=len(tree.recordings) == tree.num_found,
        recordings=[*before, *recordings],
        shards=shards,
        notes=list(dict.fromkeys([*(old.notes if old else []), *notes, *balance_notes])),
        withdrawn=tree.withdrawn,
    )


def cut_into_pieces(scanned: ScannedRecording, recipe: Recipe, options: SetOptions) -> tuple[float, int]:
    """Return (the seconds of signal, whole strides, that a recording is read in at once, in how many pieces).

    They are (0, 1) where it is read at once, as all are whose windows are balanced or wrap, since these depend on the
    whole recording. The last piece takes what is left, up to ``piece_grid_s`` more than a piece.
    """
    second = max(1.0, scanned.sfreq * len(scanned.channel_map))
    if recipe.balance or recipe.edges == "wrap" or scanned.duration_s * second <= options.piece_samples:
        return 0.0, 1
    grid_s = options.piece_grid_s
    unit_s = grid_s if (grid_s / recipe.stride_s).is_integer() else recipe.stride_s
    piece_s = max(1, int(options.piece_samples / second / unit_s)) * unit_s
    return piece_s, max(1, math.ceil((scanned.duration_s - grid_s) / piece_s))


def dump(plan: Plan) -> bytes:
    """Return the text of plan.json, whose sha256 is the plan's."""
    return manifest.dump(plan)


def tasks(plan: Plan) -> list[Task]:
    """Return the shards a plan asks for, in the order that --part counts by."""
    recordings = {one.path: one for one in plan.recordings}
    return [
        Task(
            shard=name,
            identity=plan.shards[name].identity,
            format=plan.format,
            pieces=[Piece(recording=recordings[path], number=number) for path, number in plan.shards[name].pieces],
        )
        for name in sorted(plan.shards, key=lambda name: (SPLITS.index(name.partition("/")[0]), name))
    ]


def row(recording: PlannedRecording) -> RecordingRow:
    """Return the row of a recording as it is known before its signal is read."""
    raw, scanned = recording.raw, recording.scanned
    return RecordingRow(
        path=raw.path,
        bytes=scanned.bytes,
        sha256="",
        subject=raw.subject,
        session=raw.session,
        split=recording.split,
        channel_map=scanned.channel_map,
        sfreq=scanned.sfreq,
        duration_s=scanned.duration_s,
        windows=0,
        outcome=scanned.outcome or "ok",
        notes=scanned.notes,
        reason=scanned.reason,
    )


def verdicts(plan: Plan) -> list[RecordingRow]:
    """Return the rows of the recordings that no shard is planned for, with the reason, and without sha256."""
    return [row(one) for one in plan.recordings if one.scanned.outcome]


def _splits(
    recordings: list[ScannedRecording], recipe: Recipe, sides: dict[str, Split]
) -> tuple[dict[str, Split], list[str]]:
    """Return the split of each recording by path, and notes; ``sides`` are those of subjects that have one."""
    subjects = {one.raw.subject for one in recordings if not one.raw.test and not one.outcome}
    hashes = {subject: keyed.share(subject, recipe.split_seed) for subject in sorted(subjects - sides.keys())}
    held = _largest(hashes, sides, recipe)
    left = {subject: share for subject, share in hashes.items() if subject not in held}
    known: dict[str, Split] = {subject: side for subject, side in sides.items() if side != "test"}
    if recipe.split == "rank":
        valid = _of_rank(left, known, recipe.valid_share, len(hashes) + len(sides))
    else:
        valid = {subject for subject, share in left.items() if share < recipe.valid_share}
    notes = []
    if recipe.valid_share and left and len(left | known) > 1 and not valid and "valid" not in known.values():
        valid = {min(left, key=lambda subject: left[subject])}
        notes.append(f"the hash left valid empty: it took {next(iter(valid))}, the smallest")
    if valid and len(valid) == len(left) and "train" not in known.values():
        kept = max(valid, key=lambda subject: left[subject])
        valid -= {kept}
        notes.append(f"the hash left train empty: it took {kept}, the largest")
    if recipe.test_share and hashes and not held and "test" not in sides.values():
        notes.append("test_share: too few subjects for a test part")

    def split(one: ScannedRecording) -> Split:
        subject = one.raw.subject
        if one.raw.test or subject in held:
            return "test"
        return sides.get(subject, "valid" if subject in valid else "train")

    return {one.path: split(one) for one in recordings}, notes


def _largest(hashes: dict[str, float], sides: dict[str, Split], recipe: Recipe) -> set[str]:
    """Return the subjects held out for the test: those with the largest hashes, of few subjects one at least.

    Two are always left, to train and to validate on.
    """
    total = len(hashes) + len(sides)
    if not recipe.test_share or total < _LEAST_SUBJECTS:
        return set()
    ranked = sorted(hashes, key=lambda subject: -hashes[subject])
    num_there = sum(side == "test" for side in sides.values())
    least = 0 if num_there else 1
    wanted = sum(hashes[subject] >= 1 - recipe.test_share for subject in ranked)
    if recipe.split == "rank":
        wanted = round(recipe.test_share * total) - num_there
    others = sum(side != "test" for side in sides.values())
    return set(ranked[: max(0, min(max(least, wanted), len(ranked) + others - 2))])


def _of_rank(hashes: dict[str, float], sides: dict[str, Split], share: float, total: int) -> set[str]:
    """Return the subjects with the smallest hashes, as many as bring valid nearest to its share of all subjects.

    It is one at least where there are two subjects or more, and never all of them. ``total`` counts those of the test,
    too.
    """
    wanted = min(max(1, round(share * total)), len(hashes) + len(sides) - 1) if share else 0
    missing = max(0, wanted - sum(side == "valid" for side in sides.values()))
    return set(sorted(hashes, key=lambda subject: hashes[subject])[:missing])


def _balance(recordings: list[ScannedRecording], recipe: Recipe) -> tuple[dict[str, int], list[str]]:
    """Return how many windows each recording may give, so that a subject has as many of each class, and notes.

    A subject without a recording of some class has nothing to be balanced against and keeps all windows.
    """
    if any(not one.raw.label and not one.outcome for one in recordings):
        raise UsageError(f"the classes of {recipe.corpus} come from events", path="balance", remedy="leave it false")
    subjects: defaultdict[str, defaultdict[str, list[ScannedRecording]]] = defaultdict(lambda: defaultdict(list))
    for one in recordings:
        if not one.outcome:
            subjects[one.raw.subject][one.raw.label].append(one)
    limits: dict[str, int] = {}
    notes = ["windows are balanced within each subject: as many of each class as of its rarest"]
    for subject, classes in subjects.items():
        if lacking := [name for name in recipe.classes if name not in classes]:
            notes.append(f"{subject} has no {', '.join(lacking)}: not balanced")
            continue
        rarest = min(sum(count_on_a_grid(one.duration_s, recipe) for one in group) for group in classes.values())
        for group in classes.values():
            limits |= {one.path: rarest // len(group) for one in group}
    return limits, notes


def _shards(recordings: list[PlannedRecording], recipe: Recipe, old: set[str]) -> dict[str, list[Piece]]:
    """Group each split's recordings and pieces, in a keyed order, into shards of about ``shard_mb``, after the old."""
    window_bytes = len(recipe.electrodes) * recipe.window_samples * 2
    shards: dict[str, list[Piece]] = {}
    for split in SPLITS:
        planned = [
            Piece(recording=one, number=number)
            for one in recordings
            if one.split == split and not one.scanned.outcome
            for number in range(one.pieces)
        ]
        room, number = 0.0, sum(shard.startswith(f"{split}/") for shard in old) - 1
        for position in keyed.permutation(keyed.key("shards", recipe.split_seed, split), len(planned)):
            piece = planned[position]
            duration_s = piece.recording.scanned.duration_s
            if room <= 0:
                room, number = recipe.shard_mb * 1e6, number + 1
            length_s = min(piece.recording.piece_s or duration_s, duration_s)
            room -= max(1, count_on_a_grid(length_s, recipe)) * window_bytes
            shards.setdefault(f"{split}/{number:06d}", []).append(piece)
    return shards
