"""Archive: continuous recordings kept as zarr stores, and read again in the place of the raw ones."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.durable import read_json
from manifests.errors import DareError
from manifests.manifest import StoreEntry, load_set
from manifests.notes import Note, prose, text
from manifests.recipe import Recipe
from manifests.store import DAMAGE, Store, measure, path_of, write
from pipelines import corpora
from pipelines.recording import Event, Recording, Segment
from pipelines.scan import Scanned, Tree, corpus_of, of_windows
from pipelines.signal import Conditioned
from pipelines.source import Source
from pipelines.windows import Stretch, Window

SIGNAL_FIELDS = (
    "namespace",
    "electrodes",
    "missing",
    "reference",
    "sfreq_hz",
    "band_hz",
    "notch_hz",
    "quantum_uv",
)
"""What a recipe says of the signal and not of windows: in an archive it is settled."""


@dataclass(frozen=True)
class Part:
    """A recording, or a piece of one, before windows are cut: what an archive keeps of it.

    Of ``recording`` it keeps the events that can tell a class and not the samples; ``labels`` is the content of the
    file of labels.
    """

    recording: Recording
    conditioned: Conditioned
    labels: bytes


def keep(out: Path, planned: dict[str, Any], part: Part, sha256: str, recipe: Recipe) -> StoreEntry:
    """Write what was read of a planned recording as its store below the set ``out``; ``sha256`` is the raw file's.

    Raises DareError where it cannot be written.
    """
    path = path_of(planned["split"], planned["slug"], planned["piece"], bool(planned["piece_s"]))
    parts = [stretch.counts for stretch in part.conditioned.stretches]
    nothing = np.zeros((len(recipe.electrodes), 0), np.int16)
    num_bytes, written = write(out / path, parts or [nothing], _facts(planned, part, sha256, recipe))
    return StoreEntry(
        recording=planned["path"], piece=planned["piece"], path=path, bytes=num_bytes, sha256=written, failure=""
    )


def keep_failure(planned: dict[str, Any], reason: str) -> StoreEntry:
    """Return the entry of a recording that has no store, which says why."""
    return StoreEntry(recording=planned["path"], piece=planned["piece"], path="", bytes=0, sha256="", failure=reason)


def place(stretches: list[Stretch], window: Window, recipe: Recipe) -> int:
    """Return the sample of a store, which holds these stretches, that a window begins with.

    Raises ValueError for a window that is not there as it is: padded, or wrapped about an end.
    """
    before = 0
    for stretch in stretches:
        start = round((window.start_s - stretch.onset_s) * recipe.sfreq_hz)
        if start >= 0 and np.array_equal(stretch.counts[:, start : start + recipe.window_samples], window.counts):
            return before + start
        before += stretch.counts.shape[1]
    raise ValueError(f"the window at {window.start_s:g} s is no part of the recording")


def is_archive(src: Path) -> bool:
    """Return whether ``src`` is a shard set, and so an archive or nothing that can be preprocessed."""
    return (src / "plan.json").is_file()


def scan(src: Path, recipe: Recipe, progress: Callable[[int, int], None]) -> Tree:
    """Return the recordings of an archive as `pipelines.scan.scan` returned them when it was made.

    Raises DareError where it is unfinished, holds no stores, or was made with another signal than the recipe's.
    """
    archive = _opened(src)
    _refuse_other_signal(archive.whole.recipe, recipe, src)
    rows = archive.plan["recordings"]
    paths = sorted({path for row in rows for path in (row["path"], row["label_file"]) if path})
    skips = {source.path: source.skip for source in corpus_of(recipe).find(paths, recipe)}
    order = {path: number for number, path in enumerate(skips)}
    rows = sorted(rows, key=lambda row: order.get(row["path"], len(order)))  # what was appended lies among the others
    scanned = [_scanned(row, skips.get(row["path"]), archive.whole.recipe, recipe) for row in rows]
    progress(len(scanned), len(scanned))
    return Tree(scanned, archive.whole.corpus_version, 0, len(scanned) if archive.plan["whole"] else 0)


def read(src: Path, planned: dict[str, Any]) -> Part:
    """Return what an archive keeps of a planned recording, or of the piece that is meant.

    Raises DareError where it has not got it, where reading it failed before, and where the store is damaged.
    """
    entry = _opened(src).entries.get((planned["path"], planned["piece"]))
    if entry is None:
        raise DareError("is not in the archive as a whole or in pieces like these; take it from its raw file")
    if entry.failure:
        raise DareError(entry.failure)
    remedy = f"see dare verify {src}, then make the archive again"
    try:
        is_whole = measure(src / entry.path)[1] == entry.sha256
        store = Store(src / entry.path)
        facts = store.attributes
        stretches = [
            Stretch(one["onset_s"], store.read(one["start"], one["stop"]), range(*one["core"]))
            for one in facts["stretches"]
        ]
    except DAMAGE as problem:
        raise DareError(f"{src / entry.path}: cannot be read ({problem}); {remedy}") from problem
    if not is_whole:
        raise DareError(f"{src / entry.path}: its bytes are not those that were written; {remedy}")
    if facts["piece_s"] != planned["piece_s"]:
        raise DareError(
            f"was archived in pieces of {facts['piece_s']:g} s, where these windows need {planned['piece_s']:g} s; "
            "take it from its raw file"
        )
    return _part(facts, stretches)


def raw_sha256(src: Path, path: str) -> str:
    """Return the sha256 of the raw file that an archive's recording was read from."""
    return str(_opened(src).rows[path]["sha256"])


class _Archive:
    """A finished shard set that holds stores."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.whole = folder, load_set(folder)
        if self.whole.format == "webdataset":
            raise DareError(f"{folder}: is a shard set without an archive; make it with --format zarr or both")
        self.entries = {(entry.recording, entry.piece): entry for entry in self.whole.stores}

    @cached_property
    def plan(self) -> dict[str, Any]:
        """The plan that it was made by."""
        return dict(read_json(self.folder / "plan.json", "make the archive again with dare preprocess"))

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """What became of every raw recording, by path."""
        lines = (self.folder / "recordings.jsonl").read_text().splitlines()
        return {row["path"]: row for row in map(json.loads, lines)}


def _opened(folder: Path) -> _Archive:
    path = folder / "manifest.json"
    return _opened_as_it_is(folder, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=1)
def _opened_as_it_is(folder: Path, mtime_ns: int) -> _Archive:
    return _Archive(folder)


def _refuse_other_signal(made: Recipe, recipe: Recipe, src: Path) -> None:
    if made.corpus != recipe.corpus:
        raise DareError(f"{src}: is an archive of {made.corpus}, not of {recipe.corpus}; name that corpus")
    for name in SIGNAL_FIELDS:
        theirs, ours = getattr(made, name), getattr(recipe, name)
        if theirs != ours:
            raise DareError(
                f"{src}: was made with {name} {_told(theirs)}, the recipe has {_told(ours)}; "
                f"--set {name}={_told(theirs)}, or start from the raw recordings"
            )


def _told(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_told, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _scanned(row: dict[str, Any], skip: Note | None, made: Recipe, recipe: Recipe) -> Scanned:
    """Return a recording with the verdict of today's recipe, or with that of the archive where it was left out."""
    kept = ("path", "subject", "session", "label", "label_file")
    facts = {name: row[name] for name in kept}
    told = {"montage": tuple(row["montage"]), "unused": row.get("unused", {})}
    source = Source(**facts, **told, test=row["split"] == "test", skip=skip)
    if skip:
        return Scanned(source, row["bytes"], row["fingerprint"], outcome="skipped", reason=skip.text)
    outcome, reason = row["outcome"], row["reason"]
    if not outcome:
        outcome, said = of_windows(source, row["duration_s"], recipe)
        reason = text(said)
    elif made != recipe:
        reason = f"not in the archive: {reason}"
    return Scanned(
        source=source,
        bytes=row["bytes"],
        fingerprint=row["fingerprint"],
        sfreq=row["sfreq"],
        duration_s=row["duration_s"],
        channel_map=row["channel_map"],
        label_sha256=row["label_sha256"],
        outcome=outcome,
        reason=reason,
    )


def _facts(planned: dict[str, Any], part: Part, sha256: str, recipe: Recipe) -> dict[str, Any]:
    """Return the attributes of a store: what the samples are, and what else cutting windows from them takes."""
    recording, conditioned = part.recording, part.conditioned
    kept = ("subject", "session", "split", "label", "label_file", "piece", "piece_s", "duration_s", "channel_map")
    ends = np.cumsum([0, *(stretch.counts.shape[1] for stretch in conditioned.stretches)]).tolist()
    return {
        "corpus": recipe.corpus,
        "recording": planned["path"],
        **{name: planned[name] for name in kept},
        "electrodes": list(recipe.electrodes),
        "reference": recipe.reference,
        "sfreq": recipe.sfreq_hz,
        "unit": "uV",
        "scale": np.where(conditioned.present, recipe.quantum_uv, 0).astype(np.float32).tolist(),
        "interpolated": list(conditioned.interpolated),
        "clipped": conditioned.clipped,
        "stretches": [
            {"onset_s": stretch.onset_s, "start": start, "stop": stop, "core": [stretch.core.start, stretch.core.stop]}
            for stretch, start, stop in zip(conditioned.stretches, ends[:-1], ends[1:], strict=True)
        ],
        "labels": b64encode(part.labels).decode(),
        "events": [
            [event.onset_s, event.duration_s, event.text]
            for event in recording.events
            if corpora.of(recipe).understands(event.text, recipe)
        ],
        "notes": [[one.text for one in recording.notes], conditioned.note],
        "raw": {
            "bytes": planned["bytes"],
            "sha256": sha256,
            "sfreq": recording.sfreq,
            "electrodes": list(recording.electrodes),
            "first_sample": recording.first_sample,
            "segments": [[segment.start, segment.stop, segment.onset_s] for segment in recording.segments],
        },
    }


def _part(facts: dict[str, Any], stretches: list[Stretch]) -> Part:
    raw = facts["raw"]
    notes, note = facts["notes"]
    recording = Recording(
        electrodes=tuple(raw["electrodes"]),
        data_uv=_no_samples(raw["electrodes"]),
        sfreq=raw["sfreq"],
        events=tuple(Event(*event) for event in facts["events"]),
        segments=tuple(Segment(*segment) for segment in raw["segments"]),
        notes=tuple(one for told in notes for one in prose(told)),
        first_sample=raw["first_sample"],
    )
    present = np.array(facts["scale"]) > 0
    conditioned = Conditioned(stretches, present, tuple(facts["interpolated"]), facts["clipped"], note)
    return Part(recording, conditioned, b64decode(facts["labels"]))


def _no_samples(electrodes: list[str]) -> NDArray[np.float32]:
    return np.zeros((len(electrodes), 0), np.float32)
