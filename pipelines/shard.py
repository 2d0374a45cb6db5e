"""Shard: windows become a tar and its index, hashed while they are written."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zlib_ng.zlib_ng import crc32

from manifests.atomic_io import atomic_write, begin_sync, sha256_bytes, write_bytes
from manifests.electrodes import derivation, split_reference
from manifests.manifest import ChannelSums, RecordingRow
from manifests.recipe import Recipe
from manifests.shard_format import (
    NPY_HEADER,
    Index,
    Spans,
    member_size,
    npy_header,
    payload_offset,
    sample_key,
    tar_header,
    tar_size,
)
from manifests.store import StoreIndex
from pipelines.windows import Window

SYNC_BYTES = 1 << 20
"""Bytes of a shard that are written before the system is asked to start putting them on the disk."""


@dataclass(frozen=True)
class RecordingWindows:
    """The windows that one recording gives to a shard, and what they have in common.

    ``scale`` is µV per count of each electrode, 0 where absent; ``shared`` are the fields of every sidecar, but that a
    window with dead electrodes has a scale of its own.
    """

    row: RecordingRow
    slug: str
    windows: list[Window]
    scale: NDArray[np.float32]
    shared: str

    @classmethod
    def of(
        cls, row: RecordingRow, slug: str, windows: list[Window], scale: NDArray[np.float32], recipe: Recipe
    ) -> "RecordingWindows":
        """Return the windows of a recording with what their sidecars share."""
        single = [label for name, label in row.channel_map.items() if not derivation(name)]
        references = {split_reference(label)[1] for label in single} - {""}
        shared = {
            "recording": row.path,
            "subject": row.subject,
            "session": row.session,
            "sfreq": recipe.sfreq_hz,
            "channels": list(recipe.electrodes),
            "reference": "/".join(sorted(references)) if recipe.reference == "as recorded" else recipe.reference,
            "unit": "uV",
            "scale": [float(one) for one in scale],
        }
        return cls(row, slug, windows, scale, json.dumps(shared, sort_keys=True))

    def scale_of(self, window: Window) -> NDArray[np.float32]:
        """Return µV per count in a window: 0 also of the electrodes that are dead in it."""
        if not window.dead:
            return self.scale
        scale = self.scale.copy()
        scale[list(window.dead)] = 0
        return scale

    def sidecar(self, window: Window, recipe: Recipe) -> bytes:
        """Return the JSON member of a window."""
        own = {
            "key": sample_key(recipe.corpus, self.slug, window.number),
            "start_s": round(window.start_s, 6),
            "label": window.label,
            "label_name": recipe.classes[window.label] if window.label >= 0 else "",
            "annotations": [
                {"onset_s": onset_s, "duration_s": duration_s, "label": label, "label_name": recipe.classes[label]}
                for onset_s, duration_s, label in _spans(window)
            ],
        }
        shared = self.shared
        if window.dead:
            scale = [float(one) for one in self.scale_of(window)]
            shared = json.dumps(json.loads(shared) | {"scale": scale}, sort_keys=True)
        return f"{json.dumps(own)[:-1]}, {shared[1:]}".encode()


@dataclass(frozen=True)
class Written:
    """What was written of a shard: bytes and sha256 of the tar, sha256 of its index, sums over each electrode, µV."""

    bytes: int
    sha256: str
    index_sha256: str
    signal: dict[str, ChannelSums]


def write(path: Path, windows: list[tuple[RecordingWindows, Window]], recipe: Recipe) -> Written:
    """Write the windows of a shard, in order, to ``path`` and its index beside it.

    Raises DareError where the system refuses to.
    """
    digest = hashlib.sha256()
    starts, crcs, begun = [0], [], 0
    sums = np.zeros((3, len(recipe.electrodes)))
    shape = (len(recipe.electrodes), recipe.window_samples)
    array_bytes = NPY_HEADER + 2 * shape[0] * shape[1]
    # One buffer serves all windows: tar header, npy header, int16 samples, and zeros up to a whole block.
    member = np.zeros(member_size(array_bytes), np.uint8)
    end = payload_offset() + 2 * shape[0] * shape[1]
    member[payload_offset() - NPY_HEADER : payload_offset()] = np.frombuffer(npy_header(shape), np.uint8)
    counts = member[payload_offset() : end].view("<i2").reshape(shape)
    with atomic_write(path) as partial, partial.open("wb") as stream:

        def put(part: Any) -> None:
            digest.update(part)
            stream.write(part)

        for one, window in windows:
            key, sidecar = sample_key(recipe.corpus, one.slug, window.number), one.sidecar(window, recipe)
            member[: payload_offset() - NPY_HEADER] = np.frombuffer(tar_header(f"{key}.eeg.npy", array_bytes), np.uint8)
            counts[...] = window.counts
            counts[list(window.dead)] = 0
            put(member.data)
            put(tar_header(f"{key}.json", len(sidecar)) + sidecar + bytes(-len(sidecar) % member_size(0)))
            starts.append(starts[-1] + len(member) + member_size(len(sidecar)))
            crcs.append(crc32(counts.data))
            add_window(sums, counts, one.scale_of(window))
            if starts[-1] - begun >= SYNC_BYTES:
                begun = begin_sync(stream, begun)
        put(bytes(tar_size(starts[-1]) - starts[-1]))
    offset = np.array([*(np.array(starts[:-1]) + payload_offset()), tar_size(starts[-1])], np.int64)
    index = Index(**_columns(windows, crcs, recipe), offset=offset).to_bytes()
    write_bytes(path.with_suffix(".idx.npz"), index)
    return Written(tar_size(starts[-1]), digest.hexdigest(), sha256_bytes(index), sums_by_electrode(sums, recipe))


def write_index(
    path: Path, windows: list[tuple[RecordingWindows, Window]], places: list[tuple[str, int]], recipe: Recipe
) -> Written:
    """Write the index of a shard whose windows lie in stores alone, each at a place: (store, first sample there)."""
    crcs, sums = [], np.zeros((3, len(recipe.electrodes)))
    for one, window in windows:
        counts = np.ascontiguousarray(window.counts)
        crcs.append(crc32(counts.data))
        add_window(sums, counts, one.scale_of(window))
    stores = sorted({store for store, _ in places})
    numbers = {store: number for number, store in enumerate(stores)}
    index = StoreIndex(
        **_columns(windows, crcs, recipe),
        offset=np.array([first for _, first in places], np.int64),
        store=np.array([numbers[store] for store, _ in places], np.int32),
        stores=np.array(stores, np.str_),
    ).to_bytes()
    write_bytes(path, index)
    return Written(len(index), sha256_bytes(index), sha256_bytes(index), sums_by_electrode(sums, recipe))


def _columns(windows: list[tuple[RecordingWindows, Window]], crcs: list[int], recipe: Recipe) -> dict[str, Any]:
    """Return what an index says of each window but where it lies."""
    subjects = {one.row.path: one.row.subject for one, _ in windows}
    recordings = sorted(subjects)
    numbers = {path: number for number, path in enumerate(recordings)}
    return {
        "recording": np.array([numbers[one.row.path] for one, _ in windows], np.int32),
        "window": np.array([window.number for _, window in windows], np.int32),
        "start_s": np.array([round(window.start_s, 6) for _, window in windows], np.float64),
        "label": np.array([window.label for _, window in windows], np.int32),
        "scale": np.stack([one.scale_of(window) for one, window in windows]),
        "crc32": np.array(crcs, np.uint32),
        "recordings": np.array(recordings, np.str_),
        "subjects": np.array([subjects[path] for path in recordings], np.str_),
        "shape": np.array([len(recipe.electrodes), recipe.window_samples], np.int64),
        # A corpus's labels are spans or not, for all of its windows.
        "spans": Spans.of([_spans(window) for _, window in windows]) if windows[0][1].spans is not None else None,
    }


def _spans(window: Window) -> list[tuple[float, float, int]]:
    """Return the spans that a window touches as they are written: onset from its start and duration in s, label."""
    # A rounding error below 0 is no -0.
    return [(round(one.onset_s, 6) + 0.0, round(one.duration_s, 6), one.label) for one in window.spans or ()]


def add_window(sums: NDArray[np.float64], counts: NDArray[np.int16], scale: NDArray[np.float32]) -> None:
    """Add a window to the number, sum and sum of squares (µV) of each electrode's samples."""
    data = counts.astype(np.float32)
    sums[0] += (scale > 0) * counts.shape[1]
    sums[1] += data @ np.ones(counts.shape[1], np.float32) * scale
    sums[2] += np.vecdot(data, data) * scale.astype(np.float64) ** 2


def sums_by_electrode(sums: NDArray[np.float64], recipe: Recipe) -> dict[str, ChannelSums]:
    """Return the sums, 3 × electrodes, by name of those that any window has."""
    return {
        name: ChannelSums(samples=int(num_samples), total=float(total), squares=float(squares))
        for name, num_samples, total, squares in zip(recipe.electrodes, *sums, strict=True)
        if num_samples
    }
