"""Piece: one recording, or a piece of it, and a recipe -> labelled windows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.atomic_io import sha256_files
from manifests.errors import DamagedError, DareError, MissingError, RefusedError, UnfitError
from manifests.notes import Note, note, text
from manifests.plan import Piece, PlannedRecording, RawRecording, ScannedRecording
from manifests.recipe import Recipe
from manifests.shard_format import slugs
from pipelines import corpora, reading, scan
from pipelines.conditioned import ConditionedRecording
from pipelines.conditioning import is_notched
from pipelines.dead_spans import dead_in
from pipelines.formats.readers import GET_AGAIN, files_of
from pipelines.plan import SetOptions, cut_into_pieces
from pipelines.recording import Recording
from pipelines.sources.raw import RawTree
from pipelines.windows import LabelledSpan, Window, at_cues, happened, on_a_grid, quiet, thin, with_spans

CLIPPED_SHARE = 0.001
"""Share of clipped samples above which a recording is reported."""

Changes = dict[str, int]
"""How many windows of a recording each choice of the recipe made other than the raw file alone would."""


@dataclass(frozen=True)
class Cut:
    """What a recording, or a piece of one, gives under a recipe.

    Each of ``windows`` has ``counts`` (int16, electrodes × samples), ``start_s`` (seconds from the recording's first
    sample), ``label`` (a number of the recipe's classes, -1 where there is none), a ``number``, and ``spans``, the
    labelled spans that it touches, each with ``onset_s`` and ``end_s`` from the window's start and ``label``; None
    where labels are no spans. ``scale`` is µV per count of each electrode, 0 where the recording does not have it.
    ``notes`` are what was found in the recording, a ``text`` each; ``changes`` says how many windows each choice of
    the recipe changed.
    """

    windows: list[Window]
    scale: NDArray[np.float32]
    notes: tuple[Note, ...]
    changes: Changes


def cut(path: Path | str, recipe: Recipe) -> Iterator[Cut]:
    """Yield the windows of any raw file, whatever tree it lies in, in order of time: at once, or piece by piece.

    A recipe is what ``manifests.recipe.load`` returns. Labels are those that its corpus finds in the file, its path and
    what lies beside it, or in the tables of the BIDS tree that it lies in; a recipe without classes needs none. Raises
    DareError where the file cannot be read, gives nothing under this recipe, or tells no labels.
    """
    place = Path(path).absolute()
    source, raw = _found(place, recipe)
    own = raw.path
    try:
        scanned = scan.Headers(source.folder, recipe).scanned(raw)
        _refuse_unfit(scanned, source, recipe)
        piece_s, num_pieces = cut_into_pieces(scanned, recipe, SetOptions())
        slug = slugs(recipe.corpus, [own])[own]
        planned = PlannedRecording(
            scanned=scanned, slug=slug, split="train", max_windows=-1, piece_s=piece_s, pieces=num_pieces
        )
        for number in range(num_pieces):
            piece = Piece(recording=planned, number=number)
            held = source.read(piece, recipe)
            if held.unfit and num_pieces == 1:
                raise UnfitError(text(held.unfit))
            yield windows_of(held, piece, recipe)
    except DareError as problem:
        remedy = GET_AGAIN if isinstance(problem, DamagedError) else "cut another file, or this one by another recipe"
        raise problem.about(path, place, own).or_else(remedy) from problem


def _found(place: Path, recipe: Recipe) -> tuple[RawTree, RawRecording]:
    """Return the tree that a file lies in, and what its path, and tables on the way to it, tell of the recording.

    That is a BIDS tree where the recipe is for one, and where there is none the whole disk, as the folders that a file
    lies in may say what its name does not.
    """
    corpus, anchor = scan.corpus_of(recipe), Path(place.anchor)
    files: list[Path] = []
    for root in place.parents if recipe.layout and recipe.layout.bids else ():
        files += sorted(root.glob("*"))
        paths = [file.relative_to(root).as_posix() for file in files]
        own = place.relative_to(root).as_posix()
        if raw := next((one for one in corpus.find(paths, recipe) if one.path == own), None):
            return RawTree(root), corpus.apply_tables([raw], root, paths)[0]
    beside = [file.relative_to(anchor).as_posix() for file in (sorted(place.parent.glob("*")) or [place])]
    own = place.relative_to(anchor).as_posix()
    nameless = RawRecording(path=own, subject=f"{recipe.namespace}:", session="")
    return RawTree(anchor), next((one for one in corpus.find(beside, recipe) if one.path == own), nameless)


def sha256(path: Path | str) -> str:
    """Return the hash of a recording's files, as recordings.jsonl has it; OSError where they cannot be read."""
    return sha256_files(files_of(Path(path)))


def windows_of(held: ConditionedRecording, piece: Piece, recipe: Recipe) -> Cut:
    """Return the windows of a conditioned recording, or of a piece of one; DareError where labels do not fit it."""
    noted = (*held.recording.notes, *held.conditioned.notes)
    if held.unfit:
        return Cut([], np.zeros(len(recipe.electrodes), np.float32), (*_of_part(held.unfit, piece), *noted), {})
    is_one_label = piece.recording.raw.label or not recipe.classes
    found = (_of_one_label if is_one_label else _at_events)(held, piece, recipe)
    alive, of_dead, num_dead = _without_dead(found.windows, held, recipe)
    calm, of_rejected = _not_rejected(alive, recipe)
    kept, of_balance = _balanced(calm, piece.recording.max_windows)
    changes = found.changes | {
        "quality": num_dead,
        "reject_uv": len(alive) - len(calm),
        "balance": len(calm) - len(kept),
        **_changed_signal(len(kept), held, piece, recipe),
    }
    return Cut(
        windows=with_spans(kept, found.spans, recipe),
        scale=np.where(held.conditioned.present, recipe.quantum_uv, 0).astype(np.float32),
        notes=(*noted, *found.notes, *of_dead, *of_rejected, *of_balance, *_of_signal(held, recipe)),
        changes={choice: count for choice, count in changes.items() if count},
    )


@dataclass(frozen=True)
class _Found:
    """Windows with their labels, before any is left out; the recording's spans, None where its labels are no spans."""

    windows: list[Window]
    spans: list[LabelledSpan] | None
    notes: list[Note]
    changes: Changes


def _of_one_label(held: ConditionedRecording, piece: Piece, recipe: Recipe) -> _Found:
    """Return the windows of a recording that has one label, or none, on a grid."""
    label = recipe.classes.index(piece.recording.raw.label) if recipe.classes else -1
    first = piece.number * round(piece.recording.piece_s / min(recipe.stride_s, recipe.window_s))
    return _Found(on_a_grid(held.conditioned.segments, label, recipe, first), None, [], {})


def _at_events(held: ConditionedRecording, piece: Piece, recipe: Recipe) -> _Found:
    """Return the windows at the labelled moments of a recording, and the spans that its labels last."""
    corpus, raw, recording = corpora.of(recipe), piece.recording.raw, held.recording
    cues, unused = corpus.cues(raw, recording, held.labels, recipe)
    span_s = _true_s(recording, piece.start_s), _true_s(recording, piece.stop_s)
    windows, lost, num_beyond = at_cues(held.conditioned.segments, cues, span_s, recipe)
    changes = {"edges": num_beyond}
    if recipe.events != "rows":
        rows, _ = corpus.cues(raw, recording, held.labels, recipe.model_copy(update={"events": "rows"}))
        changes["events"] = abs(len(rows) - len(cues))
    return _Found(windows, corpus.spans(raw, recording, held.labels, recipe), [*unused, *lost], changes)


def _without_dead(
    windows: list[Window], held: ConditionedRecording, recipe: Recipe
) -> tuple[list[Window], list[Note], int]:
    """Return (the windows to keep, notes on those with dead electrodes, how many are other for them).

    For pretraining windows that are dead in most electrodes are left out, in others the dead are absent; for probing
    all windows are kept as they are.
    """
    starts_s = [window.start_s for window in windows]
    as_recorded = held.conditioned.present & ~np.isin(recipe.electrodes, held.conditioned.interpolated)
    dead = dead_in(starts_s, held.dead, held.recording, recipe) & as_recorded
    is_touched = dead.any(axis=1)
    if not is_touched.any():
        return windows, [], 0
    is_dead = dead.sum(axis=1) > held.conditioned.present.sum() / 2
    names = [recipe.electrodes[row] for row in np.flatnonzero(dead[~is_dead].any(axis=0))]
    to_pretrain = recipe.purpose == "pretrain"
    done, absent = ("left out", "absent there") if to_pretrain else ("kept", "kept")
    which = "{count} of {total} windows"
    dead_for = f"flat or at a rail for {100 * recipe.max_dead_share:g}% of the time or more"
    notes = happened(
        note(
            "dead windows",
            f"most electrodes of {which} are {dead_for}: {done}",
            count=int(is_dead.sum()),
            total=len(windows),
        ),
        note(
            "dead electrodes",
            f"{{names}} in {which} {dead_for}: {absent}",
            names,
            count=int((is_touched & ~is_dead).sum()),
            total=len(windows),
        ),
    )
    if not to_pretrain:
        return windows, notes, 0
    kept = [
        replace(window, dead=tuple(np.flatnonzero(rows).tolist())) if rows.any() else window
        for window, rows, is_lost in zip(windows, dead, is_dead, strict=True)
        if not is_lost
    ]
    return kept, notes, int(is_touched.sum())


def _of_part(unfit: tuple[Note, ...], piece: Piece) -> tuple[Note, ...]:
    """Return why a piece is no EEG; where it is not the whole recording, which may be well, with its seconds."""
    if not piece.is_cut:
        return unfit
    part_s = min(piece.stop_s, piece.recording.scanned.duration_s) - piece.start_s
    says = "not used is a part of {part_s:.0f} s: "
    return tuple(
        one.model_copy(update={"says": says + one.says, "figures": one.figures | {"part_s": part_s}}) for one in unfit
    )


def _not_rejected(windows: list[Window], recipe: Recipe) -> tuple[list[Window], list[Note]]:
    """Return (the windows that `reject_uv` leaves, a note on the others)."""
    kept = quiet(windows, recipe)
    says = "{count} of {total} windows reach {limit_uv:g} µV: rejected"
    figures = {"count": len(windows) - len(kept), "total": len(windows), "limit_uv": recipe.reject_uv}
    return kept, happened(note("rejected windows", says, **figures))


def _balanced(windows: list[Window], most: int) -> tuple[list[Window], list[Note]]:
    """Return (at most so many of the windows, all where that is negative; a note where some are left out)."""
    if not 0 <= most < len(windows):
        return windows, []
    says = "{count} of {total} windows kept to balance the classes"
    return thin(windows, most), [note("balanced windows", says, count=most, total=len(windows))]


def _of_signal(held: ConditionedRecording, recipe: Recipe) -> list[Note]:
    """Return notes on what was clipped and interpolated."""
    clipped, interpolated = held.conditioned.clipped, held.conditioned.interpolated
    notes = [_clipped(clipped, recipe)] if clipped > CLIPPED_SHARE else []
    return [*notes, note("interpolated", "interpolated: {names}", interpolated)] if interpolated else notes


def _changed_signal(num_windows: int, held: ConditionedRecording, piece: Piece, recipe: Recipe) -> Changes:
    """Return in how many of the windows the signal is other than recorded, by choice."""
    conditioned = held.conditioned
    return {
        "notch_hz": num_windows * is_notched(piece.recording.scanned.sfreq, recipe),
        "reference": num_windows * (recipe.reference != "as recorded"),
        "missing": num_windows * bool(conditioned.interpolated or not conditioned.present.all()),
    }


def _refuse_unfit(scanned: ScannedRecording, source: RawTree, recipe: Recipe) -> None:
    """Raise DareError for a file that is not fit to be cut, or cannot be opened and so has no fingerprint."""
    if scanned.outcome == "skipped":
        raise RefusedError(scanned.reason)
    if not scanned.fingerprint:
        raise MissingError(scanned.reason, remedy="name a file that is there")
    if scanned.outcome:
        reading.read_header(source.folder, scanned.raw, recipe)  # raises what the scan found
        raise MissingError(scanned.reason, remedy="put its labels where the corpus has them, or cut it without classes")


def _true_s(recording: Recording, signal_s: float) -> float:
    """Return the time, gaps counted, of a time in the file's signal; an end of the file is beyond all time."""
    sample = signal_s * recording.sfreq - recording.first_sample
    if signal_s <= 0:
        return -float("inf")
    for segment in recording.segments:
        if sample < segment.stop:
            return segment.onset_s + max(0.0, sample - segment.start) / recording.sfreq
    return float("inf")


def _clipped(share: float, recipe: Recipe) -> Note:
    says = "{share:.2%} of samples clipped at ±{top_uv:.0f} µV: widen with --set quantum_uv={wider_uv:g}"
    top_uv, wider_uv = 32767 * recipe.quantum_uv, 4 * recipe.quantum_uv
    return note("clipped", says, share=share, top_uv=top_uv, wider_uv=wider_uv)
