"""Archive: continuous recordings kept as zarr stores, and read again in the place of the raw ones."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from manifests import records
from manifests.errors import DamagedError, DareError, MissingError, RefusedError, UnfitError, UsageError
from manifests.manifest import RecordingRow, StoreEntry, load_rows, load_set
from manifests.notes import Note, note
from manifests.plan import Piece, Plan, PlannedRecording, ScannedRecording
from manifests.recipe import Recipe
from manifests.store import (
    DAMAGE,
    Store,
    StoredRaw,
    StoredRecording,
    StoredStretch,
    measure,
    path_of,
    write,
)
from pipelines import corpora, quality, sides
from pipelines.conditioned import ConditionedRecording
from pipelines.conditioning import Conditioned
from pipelines.recording import Event, Recording, Segment
from pipelines.scan import Tree, corpus_of, of_windows
from pipelines.windows import ConditionedSegment, Window

SIGNAL_FIELDS = (
    "namespace",
    "electrodes",
    "missing",
    "reference",
    "sfreq_hz",
    "band_hz",
    "notch_hz",
    "quantum_uv",
    *quality.MEASURED,
)
"""What a recipe says of the signal and not of windows: in an archive it is settled."""


@dataclass(frozen=True)
class Archive:
    """The recordings that a finished shard set keeps as stores."""

    folder: Path

    def scan(self, recipe: Recipe, progress: Callable[[int, int], None]) -> Tree:
        """Return the recordings as the scan of the raw tree returned them when the archive was made.

        Raises DareError where it is unfinished, holds no stores, or was made with another signal than the recipe's.
        """
        kept = _opened(self.folder)
        _refuse_other_signal(kept.manifest.recipe, recipe, self.folder)
        recordings = [one.scanned for one in kept.plan.recordings]
        paths = sorted({path for one in recordings for path in (one.path, one.raw.label_file) if path})
        found = {raw.path: raw.skip for raw in corpus_of(recipe).find(paths, recipe)}
        order = {path: number for number, path in enumerate(found)}
        recordings.sort(key=lambda one: order.get(one.path, len(order)))  # what was appended lies among the others
        scanned = [_scanned(one, kept.manifest.recipe, recipe, found.get(one.path)) for one in recordings]
        progress(len(scanned), len(scanned))
        return Tree(scanned, kept.manifest.corpus_version, 0, len(scanned) if kept.plan.whole else 0)

    def apart(self, tree: Tree, recipe: Recipe) -> Tree:
        """Return a scanned tree without the training recordings of subjects of the test part; it keeps no copies."""
        return sides.apart(tree, recipe, None)

    def read(self, piece: Piece, _recipe: Recipe) -> ConditionedRecording:
        """Return what the archive keeps of a planned recording, or of the piece that is meant.

        Raises DareError where it has not got it, where reading it failed before, and where the store is damaged.
        """
        entry = _opened(self.folder).entries.get((piece.recording.path, piece.number))
        if entry is None:
            raise MissingError(
                "is not in the archive as a whole or in pieces like these", remedy="take it from its raw file"
            )
        if entry.failure:
            was_skipped = _opened(self.folder).rows[piece.recording.path].outcome == "skipped"
            raise (UnfitError if was_skipped else MissingError)(entry.failure)
        path, remedy = self.folder / entry.path, f"see dare verify {self.folder}, then make the archive again"
        try:
            is_whole = measure(path)[1] == entry.sha256
            store = Store(path)
            facts = store.facts()
            segments = [
                ConditionedSegment(one.onset_s, store.read(one.start, one.stop), range(*one.core))
                for one in facts.stretches
            ]
        except DareError:
            raise
        except DAMAGE as problem:
            raise DamagedError(f"cannot be read ({problem})", path=path, remedy=remedy) from problem
        if not is_whole:
            raise DamagedError("its bytes are not those that were written", path=path, remedy=remedy)
        if facts.piece_s != piece.recording.piece_s:
            raise RefusedError(
                f"was archived in pieces of {facts.piece_s:g} s, "
                f"where these windows need {piece.recording.piece_s:g} s",
                remedy="take it from its raw file",
            )
        return _conditioned(facts, segments)

    def sha256(self, recording: PlannedRecording) -> str:
        """Return the hash of the raw file that a recording was read from."""
        return _opened(self.folder).rows[recording.path].sha256

    def holds(self, path: str) -> bool:
        """Return whether the archive was made of such a recording."""
        return path in _opened(self.folder).rows

    def is_as_read(self, _row: RecordingRow, _read_ns: int) -> bool:
        """Return True: what an archive holds is checked whenever it is read."""
        return True

    def raw_folder(self, asked_by: str) -> Path:
        """Raise DareError: raw files are not here."""
        reason = f"looks at raw recordings, and {self.folder} is a set"
        raise UsageError(reason, path=asked_by, remedy="name the raw tree that it was made of by --src")


def keep(out: Path, piece: Piece, held: ConditionedRecording, sha256: str, recipe: Recipe) -> StoreEntry:
    """Write what was read of a planned recording as its store below the set ``out``; ``sha256`` is the raw file's.

    Raises DareError where it cannot be written.
    """
    recording = piece.recording
    path = path_of(recording.split, recording.slug, piece.number, piece.is_cut)
    parts = [segment.counts for segment in held.conditioned.segments]
    nothing = np.zeros((len(recipe.electrodes), 0), np.int16)
    num_bytes, written = write(out / path, parts or [nothing], _facts(piece, held, sha256, recipe))
    return StoreEntry(
        recording=recording.path, piece=piece.number, path=path, bytes=num_bytes, sha256=written, failure=""
    )


def keep_failure(piece: Piece, reason: str) -> StoreEntry:
    """Return the entry of a recording that has no store, which says why."""
    return StoreEntry(recording=piece.recording.path, piece=piece.number, path="", bytes=0, sha256="", failure=reason)


def place(segments: list[ConditionedSegment], window: Window, recipe: Recipe) -> int:
    """Return the sample of a store, which holds these segments, that a window begins with.

    Raises ValueError for a window that is not there as it is: padded, or wrapped about an end.
    """
    before = 0
    for segment in segments:
        start = round((window.start_s - segment.onset_s) * recipe.sfreq_hz)
        if start >= 0 and np.array_equal(segment.counts[:, start : start + recipe.window_samples], window.counts):
            return before + start
        before += segment.counts.shape[1]
    raise ValueError(f"the window at {window.start_s:g} s is no part of the recording")


class _Kept:
    """A finished shard set that holds stores."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.manifest = folder, load_set(folder)
        if self.manifest.format == "webdataset":
            raise RefusedError(
                "is a shard set without an archive", path=folder, remedy="make it with --format zarr or both"
            )
        self.entries = {(entry.recording, entry.piece): entry for entry in self.manifest.stores}

    @cached_property
    def plan(self) -> Plan:
        """The plan that it was made by."""
        return records.load(Plan, self.folder / "plan.json", "make the archive again with dare preprocess")

    @cached_property
    def rows(self) -> dict[str, RecordingRow]:
        """What became of every raw recording, by path."""
        return {row.path: row for row in load_rows(self.folder)}


def _opened(folder: Path) -> _Kept:
    path = folder / "manifest.json"
    return _opened_as_it_is(folder, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=1)
def _opened_as_it_is(folder: Path, _mtime_ns: int) -> _Kept:
    return _Kept(folder)


def _refuse_other_signal(made: Recipe, recipe: Recipe, src: Path) -> None:
    if made.corpus != recipe.corpus:
        raise RefusedError(
            f"is an archive of {made.corpus}, not of {recipe.corpus}", path=src, remedy="name that corpus"
        )
    for name in SIGNAL_FIELDS:
        theirs, ours = getattr(made, name), getattr(recipe, name)
        if theirs != ours:
            raise RefusedError(
                f"was made with {name} {_as_setting(theirs)}, the recipe has {_as_setting(ours)}",
                path=src,
                remedy=f"--set {name}={_as_setting(theirs)}, or start from the raw recordings",
            )
    for name in ("unit", "scale"):
        theirs, ours = (getattr(one.layout, name) if one.layout else "" for one in (made, recipe))
        if theirs != ours:
            raise RefusedError(
                f"was made with layout.{name} {theirs!r}, the recipe has {ours!r}",
                path=src,
                remedy=f"--set layout.{name}={theirs}, or start from the raw recordings",
            )
    theirs, ours = (one.layout.labels if one.layout else "" for one in (made, recipe))
    if theirs != ours and "trigger" in (theirs, ours):
        raise RefusedError(
            f"keeps the events of labels = {theirs!r}, the recipe has {ours!r}",
            path=src,
            remedy=f"--set layout.labels={theirs}, or start from the raw recordings",
        )


def _as_setting(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_as_setting, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _scanned(one: ScannedRecording, made: Recipe, recipe: Recipe, skip: Note | None) -> ScannedRecording:
    """Return a recording with the verdict of today's recipe, or with that of the archive where it was left out."""
    one = one.model_copy(update={"raw": one.raw.stated()}).stated()
    if skip:
        return ScannedRecording(
            raw=one.raw, bytes=one.bytes, fingerprint=one.fingerprint, outcome="skipped", notes=(skip,)
        )
    if not one.outcome:
        outcome, notes = of_windows(one.raw, one.duration_s, recipe)
        return one.model_copy(update={"outcome": outcome, "notes": notes})
    if not made.differences(recipe):
        return one
    return one.model_copy(update={"notes": (note("not archived", "not in the archive: {names}", [one.reason]),)})


def _facts(piece: Piece, held: ConditionedRecording, sha256: str, recipe: Recipe) -> StoredRecording:
    """Return the facts of a store: what the samples are, and what else cutting windows from them takes."""
    recording, conditioned, planned = held.recording, held.conditioned, piece.recording
    ends = np.cumsum([0, *(segment.counts.shape[1] for segment in conditioned.segments)]).tolist()
    return StoredRecording(
        corpus=recipe.corpus,
        recording=planned.path,
        subject=planned.raw.subject,
        session=planned.raw.session,
        split=planned.split,
        label=planned.raw.label,
        label_file=planned.raw.label_file,
        piece=piece.number,
        piece_s=planned.piece_s,
        duration_s=planned.scanned.duration_s,
        channel_map=planned.scanned.channel_map,
        electrodes=recipe.electrodes,
        reference=recipe.reference,
        sfreq=recipe.sfreq_hz,
        scale=tuple(np.where(conditioned.present, recipe.quantum_uv, 0).astype(np.float32).tolist()),
        interpolated=conditioned.interpolated,
        clipped=conditioned.clipped,
        stretches=tuple(
            StoredStretch(onset_s=one.onset_s, start=start, stop=stop, core=(one.core.start, one.core.stop))
            for one, start, stop in zip(conditioned.segments, ends[:-1], ends[1:], strict=True)
        ),
        labels=b64encode(held.labels).decode(),
        events=tuple(
            (event.onset_s, event.duration_s, event.text)
            for event in recording.events
            if corpora.of(recipe).is_label_event(event.text)
        ),
        notes=recording.notes,
        conditioning=conditioned.notes,
        dead=held.dead,
        unfit=held.unfit,
        raw=StoredRaw(
            bytes=planned.scanned.bytes,
            sha256=sha256,
            sfreq=recording.sfreq,
            electrodes=recording.electrodes,
            first_sample=recording.first_sample,
            segments=tuple((one.start, one.stop, one.onset_s) for one in recording.segments),
        ),
    )


def _conditioned(facts: StoredRecording, segments: list[ConditionedSegment]) -> ConditionedRecording:
    recording = Recording(
        electrodes=facts.raw.electrodes,
        data_uv=np.zeros((len(facts.raw.electrodes), 0), np.float32),
        sfreq=facts.raw.sfreq,
        events=tuple(Event(*event) for event in facts.events),
        segments=tuple(Segment(*segment) for segment in facts.raw.segments),
        notes=facts.notes,
        first_sample=facts.raw.first_sample,
    )
    present = np.array(facts.scale) > 0
    conditioned = Conditioned(segments, present, facts.interpolated, facts.clipped, facts.conditioning)
    return ConditionedRecording(recording, conditioned, b64decode(facts.labels), facts.dead, facts.unfit)
