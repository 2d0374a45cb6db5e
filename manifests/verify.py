"""Verify: does a shard set hold exactly what its manifest says?"""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from manifests.durable import PARTIAL, sha256_file
from manifests.errors import DareError
from manifests.manifest import Manifest, Merged, MergedSource, ShardEntry, load, sha256
from manifests.shard_format import Index


def verify(folder: Path, progress: Callable[[int, int], None]) -> list[str]:
    """Return one line for every fault of a set, or of every set of a merged one; none where all holds."""
    whole = load(folder)
    if isinstance(whole, Merged):
        return [fault for source in whole.sources for fault in _source(folder / source.path, source, progress)]
    return _set(folder, whole, progress)


def _source(folder: Path, source: MergedSource, progress: Callable[[int, int], None]) -> list[str]:
    try:
        faults = verify(folder, progress)
        if sha256(folder) != source.manifest_sha256:
            faults.append(f"{folder}: has changed since it was merged; merge again")
    except DareError as problem:
        return [str(problem)]
    return faults


def _set(folder: Path, whole: Manifest, progress: Callable[[int, int], None]) -> list[str]:
    faults = [
        f"{folder / name}: is missing or not the file that was written; make the set again with dare preprocess"
        for name, written in (("plan.json", whole.plan_sha256), ("recordings.jsonl", whole.recordings_sha256))
        if not (folder / name).exists() or sha256_file(folder / name) != written
    ]
    entries = [entry for split in whole.splits.values() for entry in split.shards]
    for number, entry in enumerate(entries, start=1):
        faults += [f"{folder / entry.path}: {fault}" for fault in _shard(folder, entry, whole)]
        progress(number, len(entries))
    known = {entry.path for entry in entries}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if PARTIAL in name or (name.endswith(".tar") and name not in known):
            faults.append(f"{path}: is not in the manifest; delete it")
    counted = {name: sum(entry.samples for entry in split.shards) for name, split in whole.splits.items()}
    for name, split in whole.splits.items():
        labelled = sum(split.labels.values()) if whole.recipe.classes else split.samples
        if not split.samples == counted[name] == labelled:
            faults.append(
                f"{folder}: split {name} counts {split.samples} windows, its shards {counted[name]}, labels {labelled}"
            )
    return faults


def _shard(folder: Path, entry: ShardEntry, whole: Manifest) -> list[str]:
    path, index_path = folder / entry.path, (folder / entry.path).with_suffix(".idx.npz")
    if missing := [file.name for file in (path, index_path) if not file.exists()]:
        return [f"{', '.join(missing)} is missing; make the set again with dare preprocess"]
    remedy = "delete the set's folder and make it again with dare preprocess"
    if (size := path.stat().st_size) != entry.bytes:
        return [f"has {size} bytes, the manifest says {entry.bytes}; {remedy}"]
    if sha256_file(index_path) != entry.index_sha256:
        return [f"its index {index_path.name} is not the one that was written; {remedy}"]
    index = Index.read(index_path)
    faults = []
    if len(index) != entry.samples or tuple(index.shape) != (len(whole.electrodes), whole.window_samples):
        faults.append(f"its index has {len(index)} windows of {tuple(index.shape)}, the manifest another count")
    if sha256_file(path) != entry.sha256:
        faults.append(f"its bytes are not those that were written ({_damaged(path, index)}); {remedy}")
    return faults


def _damaged(path: Path, index: Index) -> str:
    content = np.memmap(path, np.uint8, mode="r")
    num_bytes = 2 * int(np.prod(index.shape))
    bad = [
        position
        for position, (start, crc) in enumerate(zip(index.offset[:-1], index.crc32, strict=True))
        if zlib.crc32(content[start : start + num_bytes].data) != crc
    ]
    if not bad:
        return "outside the windows' samples"
    first = f"{index.recordings[index.recording[bad[0]]]} at {index.start_s[bad[0]]:g} s"
    return f"{len(bad)} of {len(index)} windows, the first {first}"
