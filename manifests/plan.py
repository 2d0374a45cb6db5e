"""Plan: what plan.json holds: every recording as it was found, its split and shard, what each shard is made of."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from manifests.atomic_io import canonical_json, sha256_bytes
from manifests.manifest import BY_OTHERS, SPLITS, Format, Split
from manifests.notes import Note, from_prose, text
from manifests.recipe import Recipe
from manifests.records import Fields, Part, Record, added


class RawRecording(Part):
    """A raw recording as the tree it lies in tells of it, before a byte of it is read; ``path`` is below --src.

    ``label`` is the class of the whole recording, "" where events carry the classes; ``label_file`` the file, below
    --src, that holds its labels; ``montage`` names the file's channels in order, where its own labels do not tell;
    ``unused`` says by label which are no usable electrodes, and why. ``skip`` says why the recipe has no use for it,
    ``lacks`` what it cannot do without; neither is written.
    """

    path: str
    subject: str
    session: str
    test: bool = False
    label: str = ""
    label_file: str = ""
    montage: tuple[str, ...] = ()
    unused: dict[str, str] = added({}, absent={})
    skip: Note | None = added(None, absent=None, exclude=True)
    lacks: Note | None = added(None, absent=None, exclude=True)


class ScannedRecording(Part):
    """A recording and what its header says; ``outcome`` is "" where it is fit to be read, else ``notes`` say why not.

    ``bytes`` and ``fingerprint`` are of all its files; ``sfreq`` (Hz) is that of the channels to be read, and
    ``channel_map`` has the file's label of each electrode that is there.
    """

    raw: RawRecording
    bytes: int
    fingerprint: str
    label_sha256: str = ""
    sfreq: float = 0.0
    duration_s: float = 0.0
    channel_map: dict[str, str] = Field(default_factory=dict)
    outcome: Literal["", "skipped", "failed"] = ""
    notes: tuple[Note, ...] = ()

    @property
    def path(self) -> str:
        """Its path below --src."""
        return self.raw.path

    @property
    def reason(self) -> str:
        """Why it is not fit to be read, "" where it is."""
        return text(self.notes)


class PlannedRecording(Part):
    """A recording and what is planned for it before any signal is read.

    ``slug`` begins the keys of its windows, of which it gives ``max_windows`` at most (-1: all). It is read in
    ``pieces`` of ``piece_s`` seconds of signal (0: at once).
    """

    scanned: ScannedRecording
    slug: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    split: Split
    max_windows: int
    piece_s: float
    pieces: int

    @property
    def raw(self) -> RawRecording:
        """The recording as the tree tells of it."""
        return self.scanned.raw

    @property
    def path(self) -> str:
        """Its path below --src."""
        return self.scanned.raw.path

    def has_other_files(self, now: "PlannedRecording") -> bool:
        """Return whether the recording's files, or what its tree says of it, have changed between two plans of it."""
        scanned = any(getattr(self.scanned, name) != getattr(now.scanned, name) for name in _OF_FILES)
        return scanned or any(
            getattr(self.raw, name) != getattr(now.raw, name) for name in self.raw.model_fields_set - _NOT_COMPARED
        )

    def differs(self, now: "PlannedRecording") -> bool:
        """Return whether two plans say other things of the recording, if by the same code then because it has changed.

        What depends on the other recordings of the tree is not compared, nor are fields that the older code lacked.
        """
        pairs = ((self.raw, now.raw), (self.scanned, now.scanned), (self, now))
        by_others = any(one.kind in BY_OTHERS for both in (self, now) for one in both.scanned.notes)
        not_compared = _NOT_COMPARED | {"outcome"} if by_others else _NOT_COMPARED
        return any(
            getattr(one, name) != getattr(other, name)
            for one, other in pairs
            for name in one.model_fields_set - not_compared
        )


_OF_FILES = ("bytes", "fingerprint", "label_sha256")

_NOT_COMPARED = {"raw", "scanned", "skip", "lacks", "notes", "slug", "split", "max_windows"}
"""Fields that are not compared: parts with fields of their own, fields that are never written, notes, which each
version words differently, and what depends on the other recordings.
"""


@dataclass(frozen=True)
class Piece:
    """A piece of a recording, or all of it where it is not cut: ``number`` counts from 0."""

    recording: PlannedRecording
    number: int

    @property
    def is_cut(self) -> bool:
        """Whether the recording is read in pieces."""
        return bool(self.recording.piece_s)

    @property
    def start_s(self) -> float:
        """Seconds of the file's signal at which it begins."""
        return self.number * self.recording.piece_s

    @property
    def stop_s(self) -> float:
        """Seconds of the file's signal at which it ends; the last piece ends with the recording."""
        is_last = self.number + 1 == self.recording.pieces
        return float("inf") if is_last else self.start_s + self.recording.piece_s


class PlannedShard(Part):
    """A shard: what it is made of as one hash, the code version it was planned by, its pieces as (path, number)."""

    identity: str
    code_version: int
    pieces: list[tuple[str, int]]


def identity(recipe_sha256: str, code_version: int, format: Format, pieces: list[Any]) -> str:
    """Return what a shard is made of, as one hash: of contents and not of times, so that a copied tree has the same."""
    return sha256_bytes(canonical_json([recipe_sha256, code_version, format, pieces]))


def withdrawal(subject: str) -> str:
    """Return by what a set remembers, without the id, that a subject (namespace:id) withdrew consent: its sha256."""
    return sha256_bytes(subject.encode(errors="surrogateescape"))


def _from_1(fields: Fields) -> Fields:
    """Give every recording its scanned facts in a table of their own, and every shard its identity and code version."""
    rows = {row["path"]: row for row in fields["recordings"]}
    facts = (fields["recipe_sha256"], fields["code_version"], fields["format"])
    shards = {
        name: {
            "identity": identity(*facts, [rows[path] | {"piece": piece} for path, piece in pieces]),
            "code_version": fields["code_version"],
            "pieces": pieces,
        }
        for name, pieces in fields["shards"].items()
    }
    kept = {name: value for name, value in fields.items() if name != "code_version"}
    return kept | {"recordings": [_recording_from_1(row) for row in rows.values()], "shards": shards}


def _recording_from_1(row: Fields) -> Fields:
    row = from_prose(row) | {"test": row["split"] == "test"}
    del row["reason"]
    raw = {name: row.pop(name) for name in RawRecording.model_fields.keys() & row.keys()}
    scanned = {name: row.pop(name) for name in ScannedRecording.model_fields.keys() & row.keys()}
    return row | {"scanned": scanned | {"raw": raw}}


_SHARD = re.compile(rf"({'|'.join(SPLITS)})/\d{{6,}}")


class Plan(Record):
    """What plan.json holds; ``whole`` says whether it plans all of the corpus that was found.

    ``withdrawn`` has the `withdrawal` of each subject that was dropped, of whom no recording is planned again.
    """

    KIND: ClassVar = "plan"
    SCHEMA: ClassVar = 2
    UPGRADES: ClassVar = {1: _from_1}

    corpus: str
    corpus_version: str
    format: Format
    recipe: Recipe
    recipe_sha256: str
    whole: bool
    recordings: list[PlannedRecording] = Field(min_length=1)
    shards: dict[str, PlannedShard]
    notes: list[str]
    withdrawn: tuple[str, ...] = added((), absent=())

    @model_validator(mode="after")
    def _shards_are_of_its_recordings(self) -> "Plan":
        num_pieces = {one.path: one.pieces for one in self.recordings}
        for name, shard in self.shards.items():
            if not _SHARD.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a shard")
            for path, number in shard.pieces:
                if not 0 <= number < num_pieces.get(path, 0):
                    raise ValueError(f"shard {name} is made of piece {number} of {path}, which is not planned")
        return self
