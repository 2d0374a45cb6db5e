"""Rewrite: a shard without some of its recordings, written beside the old one and then put in its place."""

import hashlib
import os
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from zlib_ng.zlib_ng import crc32

from manifests.atomic_io import atomic_write, begin_sync, sha256_bytes, sha256_file, sync
from manifests.errors import DamagedError
from manifests.manifest import Receipt, dump, load_receipt
from manifests.recipe import Recipe
from manifests.shard_format import NPY_HEADER, Index, member_size, payload_offset, tar_size
from manifests.store import DAMAGE, Store, StoreIndex, measure
from pipelines.shard import SYNC_BYTES, Written, add_window, sums_by_electrode

_NEXT = ".next"
"""What the name of a file ends in that is whole and waits to take the place of another; a receipt's is written last."""

_SIZE_FIELD = slice(124, 135)  # of a tar header, in octal digits

I = TypeVar("I", bound=Index)  # noqa: E741 - an index


def check(folder: Path, receipt: Receipt, subjects: Collection[str]) -> None:
    """Raise DamagedError where the files of a shard, but for stores of these subjects, are not what was written."""
    path = _path_of(folder, receipt)
    for file, written in ((path, receipt.sha256), (_index_of(path), receipt.index_sha256)):
        if receipt.samples and not (file.exists() and sha256_file(file) == written):
            raise _damaged(file)
    gone = _recordings_of(receipt, subjects)
    for store in receipt.stores if receipt.format == "zarr" else ():
        if store.path and store.recording not in gone and not _is_whole(folder / store.path, store.sha256):
            raise _damaged(folder / store.path)


def is_waiting(folder: Path, shard: str) -> bool:
    """Return whether a shard without some recordings is whole and waits to take the place of the old one."""
    return _next(folder / f"{shard}.json").exists()


def rewrite(folder: Path, receipt: Receipt, subjects: Collection[str], identity: str, recipe: Recipe) -> None:
    """Put in the place of a shard the same without the windows of some subjects, under a new identity.

    All others keep their bytes and order. Killed at any instant, it leaves the old shard whole, or one that
    `finish_waiting` finishes. Raises DareError where the system refuses to write, or a store is damaged.
    """
    gone = _recordings_of(receipt, subjects)
    path = _path_of(folder, receipt)
    written, labels = None, np.empty(0, np.int32)
    if receipt.samples:
        index = (StoreIndex if path.suffix == ".npz" else Index).read(_index_of(path))
        rows = np.flatnonzero(~np.isin(index.recordings, list(gone))[index.recording])
        labels = index.label[rows]
        if isinstance(index, StoreIndex):
            written = _write_index(folder, path, index, rows, recipe) if rows.size else None
        else:
            written = _write_tar(path, index, rows, recipe) if rows.size else None
    counted = Counter(recipe.classes[label] for label in labels if label >= 0)
    kept = {choice: {path: n for path, n in of.items() if path not in gone} for choice, of in receipt.changes.items()}
    new = receipt.model_copy(
        update={
            "identity": identity,
            "samples": len(labels),
            "bytes": written.bytes if written else 0,
            "sha256": written.sha256 if written else "",
            "index_sha256": written.index_sha256 if written else "",
            "labels": dict(sorted(counted.items())),
            "signal": written.signal if written else {},
            "recordings": [row for row in receipt.recordings if row.path not in gone],
            "changes": {choice: of for choice, of in kept.items() if of},
            "stores": tuple(one for one in receipt.stores if one.recording not in gone),
        }
    )
    old = folder / f"{receipt.shard}.json"
    times = old.stat()
    with atomic_write(_next(old)) as partial:
        partial.write_bytes(dump(new))
        # Raw files that were touched after this time are hashed when the set is made again.
        os.utime(partial, ns=(times.st_atime_ns, times.st_mtime_ns))
    _finish(_next(old))


def finish_waiting(folder: Path) -> None:
    """Put the shards that wait in a set in their places; what waits without its receipt was never whole and goes."""
    for receipt in folder.glob(f"*/*.json{_NEXT}"):
        _finish(receipt)
    for file in folder.glob(f"*/*{_NEXT}"):
        file.unlink()


def _finish(waiting: Path) -> None:
    """Put a shard whose receipt is waiting in the place of the old one, the receipt last."""
    path = waiting.with_suffix("")
    receipt = load_receipt(waiting)
    for file in (path.with_suffix(".tar"), path.with_suffix(".idx.npz")):
        if not receipt.samples:
            file.unlink(missing_ok=True)
        elif _next(file).exists():
            _next(file).replace(file)
    sync(path.parent)
    waiting.replace(path)
    sync(path.parent)


def _write_tar(path: Path, index: Index, rows: NDArray[np.int64], recipe: Recipe) -> Written:
    """Write the windows of these rows of a tar as the tar and the index that wait beside it."""
    digest, sums = hashlib.sha256(), np.zeros((3, len(recipe.electrodes)))
    num_electrodes, num_samples = index.shape.tolist()
    length = member_size(NPY_HEADER + 2 * num_electrodes * num_samples)
    starts, begun = [0], 0
    with atomic_write(_next(path)) as partial, partial.open("wb") as out, path.open("rb") as tar:

        def put(part: bytes) -> None:
            digest.update(part)
            out.write(part)

        for row in rows:
            tar.seek(int(index.offset[row]) - payload_offset())
            window, header = tar.read(length), tar.read(member_size(0))
            num_bytes = int(header[_SIZE_FIELD], 8)
            sidecar = header + tar.read(member_size(num_bytes) - len(header))
            put(window)
            put(sidecar)
            starts.append(starts[-1] + len(window) + len(sidecar))
            counts = np.frombuffer(window, "<i2", num_electrodes * num_samples, payload_offset())
            add_window(sums, counts.reshape(num_electrodes, num_samples), index.scale[row])
            if starts[-1] - begun >= SYNC_BYTES:
                begun = begin_sync(out, begun)
        size = tar_size(starts[-1])
        put(bytes(size - starts[-1]))
    offset = np.array([*(np.array(starts[:-1]) + payload_offset()), size], np.int64)
    content = replace(index, **_columns(index, rows), offset=offset).to_bytes()
    with atomic_write(_next(_index_of(path))) as partial:
        partial.write_bytes(content)
    return Written(size, digest.hexdigest(), sha256_bytes(content), sums_by_electrode(sums, recipe))


def _write_index(folder: Path, path: Path, index: StoreIndex, rows: NDArray[np.int64], recipe: Recipe) -> Written:
    """Write these rows of an index of stores as the index that waits beside it; DamagedError for a damaged store."""
    sums, length = np.zeros((3, len(recipe.electrodes))), int(index.shape[1])
    held = {number: Store(folder / str(index.stores[number])) for number in set(index.store[rows].tolist())}
    for row in rows:
        start = int(index.offset[row])
        try:
            counts = np.ascontiguousarray(held[int(index.store[row])].read(start, start + length))
        except DAMAGE:
            counts = np.empty((0, 0), np.int16)
        if crc32(counts.data) != index.crc32[row]:
            raise _damaged(folder / str(index.stores[index.store[row]]))
        add_window(sums, counts, index.scale[row])
    stores, store = _renumbered(index.stores, index.store[rows])
    columns = {**_columns(index, rows), "offset": index.offset[rows], "stores": stores, "store": store}
    content = replace(index, **columns).to_bytes()
    with atomic_write(_next(path)) as partial:
        partial.write_bytes(content)
    return Written(len(content), sha256_bytes(content), sha256_bytes(content), sums_by_electrode(sums, recipe))


def _columns(index: Index, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return the columns of these rows of an index, but for where the windows lie."""
    recordings, recording = _renumbered(index.recordings, index.recording[rows])
    subjects = dict(zip(index.recordings.tolist(), index.subjects.tolist(), strict=True))
    return {name: getattr(index, name)[rows] for name in ("window", "start_s", "label", "scale", "crc32")} | {
        "recording": recording,
        "recordings": recordings,
        "spans": index.spans and index.spans.take(rows),
        "subjects": np.array([subjects[path] for path in recordings.tolist()], np.str_),
    }


def _renumbered(names: NDArray[np.str_], numbers: NDArray[np.int32]) -> tuple[NDArray[np.str_], NDArray[np.int32]]:
    """Return those of the names that are counted into, and the numbers that count into these."""
    used, inverse = np.unique(numbers, return_inverse=True)
    return np.array(names[used].tolist(), np.str_), inverse.astype(np.int32)


def _recordings_of(receipt: Receipt, subjects: Collection[str]) -> set[str]:
    return {row.path for row in receipt.recordings if row.subject in subjects}


def _is_whole(store: Path, sha256: str) -> bool:
    try:
        return measure(store)[1] == sha256
    except DAMAGE:
        return False


def _damaged(path: Path) -> DamagedError:
    return DamagedError(
        "is missing or not what was written, and cannot be written anew without a subject",
        path=path,
        remedy="make the set again with dare preprocess, from raw recordings without that subject",
    )


def _path_of(folder: Path, receipt: Receipt) -> Path:
    return folder / f"{receipt.shard}.{'idx.npz' if receipt.format == 'zarr' else 'tar'}"


def _index_of(path: Path) -> Path:
    return path.with_suffix(".idx.npz") if path.suffix == ".tar" else path


def _next(path: Path) -> Path:
    return path.with_name(path.name + _NEXT)
