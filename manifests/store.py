"""Store: a continuous recording on disk, one zarr array of int16 counts, electrodes × samples, and its facts."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from manifests import records
from manifests.atomic_io import atomic_folder, sha256_file
from manifests.manifest import Split
from manifests.notes import Note, prose
from manifests.records import Fields, Part, Record, added
from manifests.shard_format import Index

CHUNK = 1 << 12
"""Samples of all electrodes that are compressed together: some 16 s, few windows of 4 s and more touch two."""

CHUNKS_OF_A_FILE = 1 << 6

DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)
"""What zarr and its codecs raise on a store that is missing or whose bytes are not those that were written."""


class StoredStretch(Part):
    """A gapless stretch of a store: its samples, its time, and the part of it that windows may begin in."""

    onset_s: float
    start: int
    stop: int
    core: tuple[int, int]


class StoredRaw(Part):
    """What the raw file held that windows are cut by: its bytes, its rate (Hz), and its gapless segments."""

    bytes: int
    sha256: str
    sfreq: float
    electrodes: tuple[str, ...]
    first_sample: int
    segments: tuple[tuple[int, int, float], ...]


def _from_1(fields: Fields) -> Fields:
    """Turn prose into notes, those of the file and those of conditioning."""
    of_file, of_conditioning = fields["notes"]
    notes = [one for text in of_file for one in prose(text)]
    return fields | {"notes": notes, "conditioning": prose(of_conditioning)}


class StoredRecording(Record):
    """The facts of a store: what its samples are, and what else cutting windows from them takes.

    ``labels`` is the content, in base 64, of the file of labels; ``events``, those that can tell a class, are (onset in
    s, duration in s, text); ``clipped`` is the share of samples that int16 could not hold; ``dead`` are, by electrode,
    the (start, stop) in samples of the raw file in which it was dead; ``unfit`` says why the whole is no EEG.
    """

    KIND: ClassVar = "store"
    SCHEMA: ClassVar = 2
    UPGRADES: ClassVar = {1: _from_1}

    corpus: str
    recording: str
    subject: str
    session: str
    split: Split
    label: str
    label_file: str
    piece: int
    piece_s: float
    duration_s: float
    channel_map: dict[str, str]
    electrodes: tuple[str, ...]
    reference: str
    sfreq: float
    unit: Literal["uV"] = "uV"
    scale: tuple[float, ...]
    interpolated: tuple[str, ...]
    clipped: float
    stretches: tuple[StoredStretch, ...]
    labels: str
    events: tuple[tuple[float, float, str], ...]
    notes: tuple[Note, ...]
    conditioning: tuple[Note, ...]
    dead: dict[str, tuple[tuple[int, int], ...]] = added({}, absent={})
    unfit: tuple[Note, ...] = added((), absent=())
    raw: StoredRaw


def path_of(split: str, slug: str, piece: int, is_cut: bool) -> str:
    """Return where below a set the store of a recording lies, or of a piece where it is cut into several."""
    return f"zarr/{split}/{slug}{f'.{piece:03d}' if is_cut else ''}.zarr"


def write(path: Path, parts: list[NDArray[np.int16]], facts: StoredRecording) -> tuple[int, str]:
    """Write parts, joined in time, and facts as the store ``path``, whole or not at all; return `measure` of it.

    Same samples and facts, same bytes. Every chunk ends in a checksum; a file of the store is written in one go,
    so memory stays small. A store that is already there is replaced. Raises DareError where the system refuses.
    """
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    num_samples = sum(part.shape[1] for part in parts)
    width = CHUNK * max(1, min(CHUNKS_OF_A_FILE, -(-num_samples // CHUNK)))
    with atomic_folder(path) as partial:
        array = zarr.create_array(
            partial,
            shape=(len(parts[0]), num_samples),
            dtype="int16",
            chunks=(len(parts[0]), CHUNK),
            shards=(len(parts[0]), width),
            compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=2), Crc32cCodec()],
            fill_value=0,
            attributes=json.loads(json.dumps(facts.as_json(), sort_keys=True)),
            dimension_names=("electrode", "time"),
            config={"write_empty_chunks": True},
        )
        for start in range(0, num_samples, width):
            array[:, start : start + width] = _joined(parts, start, min(start + width, num_samples))
        return measure(partial)


def measure(path: Path) -> tuple[int, str]:
    """Return (bytes, sha256 over the names and contents of all files) of a store; OSError where it is missing."""
    files = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
    if not files:
        raise FileNotFoundError(f"{path}: is missing")
    digest = hashlib.sha256(json.dumps([(name, sha256_file(file)) for name, file in files]).encode())
    return sum(file.stat().st_size for _, file in files), digest.hexdigest()


class Store:
    """A store open for reading, with the chunks last read at hand.

    Opening and reading raise one of `DAMAGE`; that a file of the store is missing only a window's checksum or
    `measure` tells.
    """

    def __init__(self, path: Path) -> None:
        import zarr

        self._path = path
        self._array = zarr.open_array(path, mode="r")
        self._at_hand = 0, np.empty((self._array.shape[0], 0), np.int16)

    def facts(self) -> StoredRecording:
        """Return what was written beside the samples; DareError where that is none, or a newer version's."""
        remedy = "see dare verify, then make the archive again"
        return records.read(StoredRecording, dict(self._array.attrs), self._path, remedy)

    @property
    def num_samples(self) -> int:
        """How many samples each electrode has."""
        return int(self._array.shape[1])

    def read(self, start: int, stop: int) -> NDArray[np.int16]:
        """Return the samples from ``start`` to ``stop`` (exclusive), electrodes × samples; fewer where it ends."""
        first, counts = self._at_hand
        if not first <= start <= stop <= first + counts.shape[1]:
            first = start // CHUNK * CHUNK
            counts = np.asarray(self._array[:, first : -(-stop // CHUNK) * CHUNK])
            self._at_hand = first, counts
        return counts[:, start - first : stop - first]


@dataclass(frozen=True)
class StoreIndex(Index):
    """The index of a shard whose windows lie in stores alone.

    ``offset`` (n) is the sample of the store that a window begins with; ``store`` (n) counts into ``stores``, paths
    below the set.
    """

    KIND: ClassVar[str] = "shard's index of stores"

    store: NDArray[np.int32]
    stores: NDArray[np.str_]


def _joined(parts: list[NDArray[np.int16]], start: int, stop: int) -> NDArray[np.int16]:
    """Return the samples ``start`` to ``stop`` of all parts, one after the other."""
    found, before = [], 0
    for part in parts:
        length = part.shape[1]
        found.append(part[:, max(0, start - before) : max(0, stop - before)])
        before += length
    return np.concatenate(found, axis=1)
