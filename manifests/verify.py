"""Verify: does a shard set hold exactly what its manifest says?"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from zlib_ng.zlib_ng import crc32

from manifests.atomic_io import PARTIAL, sha256_file
from manifests.errors import DareError
from manifests.manifest import Manifest, Merged, MergedSource, ShardEntry, StoreEntry, load, sha256
from manifests.merge import MERGE_AGAIN
from manifests.shard_format import Index
from manifests.store import CHUNK, DAMAGE, Store, StoreIndex, measure

_REMEDY = "delete the set's folder and make it again with dare preprocess"


def verify(folder: Path, progress: Callable[[int, int], None]) -> list[str]:
    """Return one line for every fault of a set, or of every set of a merged one; none where all holds."""
    manifest = load(folder)
    if isinstance(manifest, Merged):
        return [fault for source in manifest.sources for fault in _source(folder / source.path, source, progress)]
    return _set(folder, manifest, progress)


def _source(folder: Path, source: MergedSource, progress: Callable[[int, int], None]) -> list[str]:
    try:
        faults = verify(folder, progress)
        if sha256(folder) != source.manifest_sha256:
            faults.append(f"{folder}: has changed since it was merged; {MERGE_AGAIN}")
    except DareError as problem:
        return [str(problem)]
    return faults


def _set(folder: Path, manifest: Manifest, progress: Callable[[int, int], None]) -> list[str]:
    faults = [
        f"{folder / name}: is missing or not the file that was written; make the set again with dare preprocess"
        for name, written in (("plan.json", manifest.plan_sha256), ("recordings.jsonl", manifest.recordings_sha256))
        if not (folder / name).exists() or sha256_file(folder / name) != written
    ]
    shards = [entry for split in manifest.splits.values() for entry in split.shards]
    stores = [entry for entry in manifest.stores if entry.path]
    checks = [(entry.path, partial(_shard, folder, entry, manifest)) for entry in shards]
    checks += [(entry.path, partial(_store, folder / entry.path, entry)) for entry in stores]
    for number, (path, check) in enumerate(checks, start=1):
        faults += [f"{folder / path}: {fault}" for fault in check()]
        progress(number, len(checks))
    faults += [f"{path}: is not in the manifest; delete it" for path in _strays(folder, {path for path, _ in checks})]
    counted = {name: sum(entry.samples for entry in split.shards) for name, split in manifest.splits.items()}
    for name, split in manifest.splits.items():
        labelled = sum(split.labels.values()) if manifest.recipe.classes else split.samples
        if not split.samples == counted[name] == labelled:
            faults.append(
                f"{folder}: split {name} counts {split.samples} windows, its shards {counted[name]}, labels {labelled}"
            )
    return faults


def _strays(folder: Path, known: set[str]) -> list[Path]:
    """Return the shards and stores that the manifest does not name, and what was left half written."""
    strays = []
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent) / name for name in sorted(folders + files)):
            strange = path.suffix in (".tar", ".zarr") and path.relative_to(folder).as_posix() not in known
            if strange or PARTIAL in path.name:
                strays.append(path)
        folders[:] = [name for name in folders if PARTIAL not in name and not name.endswith(".zarr")]
    return strays


def _shard(folder: Path, entry: ShardEntry, manifest: Manifest) -> list[str]:
    path = folder / entry.path
    in_tar = path.suffix == ".tar"
    index_path = path.with_suffix(".idx.npz") if in_tar else path
    if missing := sorted({file.name for file in (path, index_path) if not file.exists()}, reverse=True):
        return [f"{', '.join(missing)} is missing; make the set again with dare preprocess"]
    if (size := path.stat().st_size) != entry.bytes:
        return [f"has {size} bytes, the manifest says {entry.bytes}; {_REMEDY}"]
    if sha256_file(index_path) != entry.index_sha256:
        return [f"its index {index_path.name} is not the one that was written; {_REMEDY}"]
    index = (Index if in_tar else StoreIndex).read(index_path)
    faults = []
    if len(index) != entry.samples or tuple(index.shape) != (len(manifest.electrodes), manifest.window_samples):
        faults.append(f"its index has {len(index)} windows of {tuple(index.shape)}, the manifest another count")
    if in_tar and sha256_file(path) != entry.sha256:
        faults.append(f"its bytes are not those that were written ({_damaged(path, index)}); {_REMEDY}")
    return faults


def _store(path: Path, entry: StoreEntry) -> list[str]:
    if not path.is_dir():
        return ["is missing; make the set again with dare preprocess"]
    try:
        num_bytes, written = measure(path)
        if written == entry.sha256:
            return []
        return [f"its files are not those that were written ({_damage_of(path, num_bytes, entry)}); {_REMEDY}"]
    except DAMAGE as problem:
        return [f"cannot be read ({problem}); {_REMEDY}"]


def _damage_of(path: Path, num_bytes: int, entry: StoreEntry) -> str:
    """Say where a store is damaged: in samples, whose chunks have checksums, or elsewhere."""
    store = Store(path)
    bad = []
    for start in range(0, store.num_samples, CHUNK):
        try:
            store.read(start, min(start + CHUNK, store.num_samples))
        except DAMAGE:
            bad.append(start)
    if bad:
        return f"samples from {bad[0]} on, {len(bad)} of {-(-store.num_samples // CHUNK)} chunks"
    if num_bytes != entry.bytes:
        return f"{num_bytes} bytes, the manifest says {entry.bytes}"
    return "in what it says of its samples"


def _damaged(path: Path, index: Index) -> str:
    content = np.memmap(path, np.uint8, mode="r")
    num_bytes = 2 * int(np.prod(index.shape))
    bad = [
        position
        for position, (start, crc) in enumerate(zip(index.offset[:-1], index.crc32, strict=True))
        if crc32(content[start : start + num_bytes].data) != crc
    ]
    if not bad:
        return "outside the windows' samples"
    first = f"{index.recordings[index.recording[bad[0]]]} at {index.start_s[bad[0]]:g} s"
    return f"{len(bad)} of {len(index)} windows, the first {first}"
