"""Same signal: recordings of two subjects whose windows are equal, as those of one file under two headers are."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.manifest import Receipt
from manifests.shard_format import Index
from manifests.store import StoreIndex

_ENOUGH = 3
"""Equal windows that two recordings must share: one may be of silence, and two of many millions equal by chance."""

_COMMON = 8
"""A checksum of more windows than these is that of a flat line, which says nothing of whose it is."""


def same_signal(folder: Path, receipts: Iterable[Receipt]) -> list[str]:
    """Return a line for each two subjects who share windows, by the checksums in the indexes of a set's shards."""
    names: list[tuple[str, str, str]] = []
    crcs, owners = [], []
    for receipt in (one for one in receipts if one.samples):
        index = _index(folder, receipt)
        split = receipt.shard.partition("/")[0]
        begin = len(names)
        names += [
            (str(path), str(subject), split) for path, subject in zip(index.recordings, index.subjects, strict=True)
        ]
        crcs.append(index.crc32)
        owners.append(index.recording.astype(np.int64) + begin)
    if not crcs:
        return []
    shared = _shared(np.concatenate(crcs), np.concatenate(owners))
    lines: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for (one, other), count in sorted(shared.items()):
        (path, subject, split), (other_path, other_subject, other_split) = names[one], names[other]
        if subject != other_subject and count >= _ENOUGH:
            text = f"{count} windows of {path} ({split}) are those of {other_path} ({other_split})"
            lines[subject, other_subject].append(text)
    return [
        f"{a} and {b} share a signal: {texts[0]}{' ...' if len(texts) > 1 else ''}" for (a, b), texts in lines.items()
    ]


def _index(folder: Path, receipt: Receipt) -> Index:
    """Return the index of a shard."""
    kind = StoreIndex if receipt.format == "zarr" else Index
    return kind.read(folder / f"{receipt.shard}.idx.npz")


def _shared(crcs: NDArray[np.uint32], owners: NDArray[np.int64]) -> Counter[tuple[int, int]]:
    """Return how many checksums each two recordings have in common."""
    order = np.argsort(crcs, kind="stable")
    crcs, owners = crcs[order], owners[order]
    begins = np.flatnonzero(np.concatenate(([True], crcs[1:] != crcs[:-1])))
    ends = np.append(begins[1:], len(crcs))
    shared: Counter[tuple[int, int]] = Counter()
    for begin, end in zip(begins[ends - begins > 1], ends[ends - begins > 1], strict=True):
        if end - begin <= _COMMON:
            shared.update(combinations(sorted(set(owners[begin:end].tolist())), 2))
    return shared
