"""How windows lie in a shard: keys, int16 samples, tar arithmetic and the index beside it."""

import hashlib
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from manifests.atomic_io import unreadable
from manifests.errors import DamagedError, RefusedError
from manifests.records import OtherVersionError, Schema

KEY_LENGTH = 92
"""Characters that the key of a window may have: with ``.eeg.npy`` it makes the 100 of a USTAR name."""

NPY_HEADER = 128
"""Bytes of a version 1 npy header for any array of two small dimensions."""

MOST_COUNTS = 32767
"""The largest that a sample can be in int16, and with a minus the smallest that one is."""

_BLOCK = 512
_CHECKSUM = slice(148, 154)
_DAMAGE = (
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    SyntaxError,
    TypeError,
    zlib.error,
    zipfile.BadZipFile,
)
"""What numpy and zipfile raise on an npz whose bytes are not those that were written."""

_RECORD = 20 * _BLOCK


def slugs(corpus: str, paths: list[str]) -> dict[str, str]:
    """Return the part of a window's key that is the recording's, of every path: unique, and short enough for USTAR."""
    room = KEY_LENGTH - len(corpus) - len("--000000")
    plain = {path: re.sub(r"[^A-Za-z0-9_-]", "_", str(PurePosixPath(path).with_suffix(""))) for path in paths}
    owners: dict[str, int] = {}
    for slug in plain.values():
        owners[slug] = owners.get(slug, 0) + 1

    def unique(path: str, slug: str) -> str:
        if owners[slug] == 1 and len(slug) <= room:
            return slug
        return f"{slug[: room - 9]}-{hashlib.sha256(path.encode(errors='surrogateescape')).hexdigest()[:8]}"

    return {path: unique(path, slug) for path, slug in plain.items()}


def sample_key(corpus: str, slug: str, window: int) -> str:
    """Return ``<corpus>-<recording>-<window:06d>``."""
    return f"{corpus}-{slug}-{window:06d}"


def quantise(scaled: NDArray[np.float32], counts: NDArray[np.int16]) -> int:
    """Round a signal in counts, in place, write it to ``counts`` and return how many samples had to be clipped.

    The rounding error is 1 / sqrt(12) counts rms.
    """
    np.rint(scaled, out=scaled)
    num_clipped = 0
    if scaled.size and max(scaled.max(), -scaled.min()) > MOST_COUNTS:
        num_clipped = int(np.count_nonzero(np.abs(scaled) > MOST_COUNTS))
        np.clip(scaled, -MOST_COUNTS, MOST_COUNTS, out=scaled)
    counts[...] = scaled
    return num_clipped


@lru_cache(maxsize=16)
def npy_header(shape: tuple[int, int]) -> bytes:
    """Return the bytes before the samples in a version 1 npy file of an int16 array, electrodes × samples."""
    stream = io.BytesIO()
    fields = {"descr": "<i2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    assert stream.tell() == NPY_HEADER
    return stream.getvalue()


def tar_header(name: str, num_bytes: int) -> bytes:
    """Return the block before a member in a USTAR archive: a plain file of nobody's, of no time."""
    header, spelt = bytearray(_nameless_header(num_bytes)), name.encode()
    header[: len(spelt)] = spelt
    # The checksum is the sum of all bytes, so a name adds its own.
    header[_CHECKSUM] = b"%06o" % (int(header[_CHECKSUM], 8) + sum(spelt))
    return bytes(header)


@lru_cache(maxsize=1024)
def _nameless_header(num_bytes: int) -> bytes:
    member = tarfile.TarInfo()
    member.size, member.mode = num_bytes, 0o444
    return member.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")


def member_size(num_bytes: int) -> int:
    """Return the bytes a tar member of this length takes: its header and its content in whole blocks."""
    return _BLOCK + -(-num_bytes // _BLOCK) * _BLOCK


def payload_offset() -> int:
    """Return where, from the start of its tar member, the int16 samples of a window begin."""
    return _BLOCK + NPY_HEADER


def tar_size(end: int) -> int:
    """Return the size of a tar whose last member ends at ``end``: two empty blocks, then whole records."""
    return -(-(end + 2 * _BLOCK) // _RECORD) * _RECORD


@dataclass(frozen=True)
class Spans:
    """The labelled spans that the windows of a shard touch: one row's after the other's, and in order of time.

    Those of row i end before ``stop[i]`` (n), where those of row i + 1 begin. ``onset_s`` is in seconds from the
    window's start, below 0 where the span began before it; ``duration_s`` is the whole span's; ``label`` its class.
    """

    stop: NDArray[np.int64]
    onset_s: NDArray[np.float64]
    duration_s: NDArray[np.float64]
    label: NDArray[np.int16]

    @classmethod
    def of(cls, rows: Sequence[Sequence[tuple[float, float, int]]]) -> Self:
        """Return the spans of rows, each as (onset, duration, label)."""
        onset_s, duration_s, label = (
            zip(*(span for row in rows for span in row), strict=True) if any(rows) else [()] * 3
        )
        stop = np.cumsum([len(row) for row in rows], dtype=np.int64)
        return cls(stop, np.array(onset_s, np.float64), np.array(duration_s, np.float64), np.array(label, np.int16))

    def of_row(self, row: int) -> list[tuple[float, float, int]]:
        """Return the spans of a row, each as (onset, duration, label)."""
        these = slice(self.stop[row - 1] if row else 0, self.stop[row])
        columns = (self.onset_s, self.duration_s, self.label)
        return list(zip(*(column[these].tolist() for column in columns), strict=True))

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return the spans of these rows."""
        return self.of([self.of_row(row) for row in rows.tolist()])


_SPANS = {f"span_{column.name}": column.name for column in fields(Spans)}
"""What the columns of spans are called in an index."""


@dataclass(frozen=True)
class Index:
    """Where every window of a shard lies and what it is, for reading without parsing the tar.

    ``offset`` (n + 1) points at the int16 samples, the last entry being the file's size; ``recording`` (n) counts
    into ``recordings`` and ``subjects``; ``start_s`` (n) seconds from the recording's first sample; ``label`` (n);
    ``scale`` (n, C) µV per count, 0 where the electrode is absent; ``crc32`` (n) of the int16 bytes; ``shape`` (C, T).
    ``spans`` are None where none were kept: the corpus's labels are no spans, or the index is of schema 1.
    """

    KIND: ClassVar[str] = "shard's index"

    offset: NDArray[np.int64]
    recording: NDArray[np.int32]
    window: NDArray[np.int32]
    start_s: NDArray[np.float64]
    label: NDArray[np.int32]
    scale: NDArray[np.float32]
    crc32: NDArray[np.uint32]
    recordings: NDArray[np.str_]
    subjects: NDArray[np.str_]
    shape: NDArray[np.int64]
    spans: Spans | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    @lru_cache
    def schema_of(cls) -> Schema:
        """Return the schema that the class's columns make."""
        known = {column.name for column in fields(cls)} - {"spans"} | _SPANS.keys()
        return Schema(cls.KIND, 2, frozenset(known), upgrades={1: dict})

    def to_bytes(self) -> bytes:
        """Return the index as an uncompressed npz: of schema 1 where there are no spans, as it always was."""
        columns, head = dict(vars(self)), self.schema_of().head()
        if spans := columns.pop("spans"):
            columns |= {name: getattr(spans, column) for name, column in _SPANS.items()}
        else:
            head["schema_version"] = 1
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **columns, **head)
        return stream.getvalue()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the index a file holds; DareError where it is missing, damaged or of another layout."""
        remedy = "make the set again with dare preprocess"
        try:
            # Opened here, as numpy leaves open what it finds damaged.
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            head = {name: found[name].item() for name in cls.schema_of().head() if name in found}
            columns = cls.schema_of().read(found | head)
            spans = {column: columns.pop(name) for name, column in _SPANS.items() if name in columns}
            return cls(**columns, spans=Spans(**spans) if spans else None)
        except OtherVersionError as problem:
            raise RefusedError(str(problem), path=path, remedy=problem.REMEDY) from None
        except OSError as problem:
            raise unreadable(path, problem, remedy) from problem
        except _DAMAGE as problem:
            raise DamagedError(f"the shard's index cannot be read ({problem})", path=path, remedy=remedy) from problem
