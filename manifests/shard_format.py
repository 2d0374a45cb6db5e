"""How windows lie in a shard: keys, int16 samples, tar arithmetic and the index beside it."""

import hashlib
import io
import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DareError

KEY_LENGTH = 92
"""Characters a sample key may have: with ``.eeg.npy`` it makes the 100 of a USTAR name."""

NPY_HEADER = 128
"""Bytes of a version 1 npy header for any array of two small dimensions."""

_BLOCK = 512
_DAMAGE = (
    OSError,
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
    """Return the recording part of the sample key of every path: unique, and short enough for USTAR."""
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


def quantise(x_uv: NDArray[np.float32], quantum_uv: float) -> tuple[NDArray[np.int16], int]:
    """Return (int16 counts of ``quantum_uv``, number of samples that had to be clipped).

    The rounding error is ``quantum_uv / sqrt(12)`` µV rms.
    """
    counts = np.rint(x_uv / np.float32(quantum_uv))
    clipped = int(np.count_nonzero(np.abs(counts) > 32767))
    return np.clip(counts, -32767, 32767).astype(np.int16), clipped


def npy_bytes(counts: NDArray[np.int16]) -> bytes:
    """Return a C × T int16 window as a version 1 npy file, 128 bytes of header before the samples."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(counts), version=(1, 0), allow_pickle=False)
    content = stream.getvalue()
    assert len(content) == NPY_HEADER + counts.nbytes
    return content


def sidecar_bytes(fields: dict[str, Any]) -> bytes:
    """Return the JSON member of a sample."""
    return json.dumps(fields, sort_keys=True, allow_nan=False).encode()


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
class Index:
    """Where every sample of a shard lies and what it is, for reading without parsing the tar.

    ``offset`` (n + 1) points at the int16 samples, the last entry being the file's size; ``recording`` (n) counts
    into ``recordings`` and ``subjects``; ``start_s`` (n) seconds from the recording's first sample; ``label`` (n);
    ``scale`` (n, C) µV per count, 0 where the electrode is absent; ``crc32`` (n) of the int16 bytes; ``shape`` (C, T).
    """

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

    def __len__(self) -> int:
        return len(self.label)

    def to_bytes(self) -> bytes:
        """Return the index as an uncompressed npz."""
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **vars(self))
        return stream.getvalue()

    @classmethod
    def read(cls, path: Path) -> "Index":
        """Return the index a file holds; DareError where it is missing, damaged or of another layout."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})
        except _DAMAGE as problem:
            raise DareError(
                f"{path}: the shard's index cannot be read ({problem}); make the set again with dare preprocess"
            ) from problem
