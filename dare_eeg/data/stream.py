"""Stream: the windows of a set as a pipeline of the webdataset library, for training loops of one's own."""

from collections.abc import Collection, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from tarfile import TarError
from typing import Any

import numpy as np
import webdataset as wds
from numpy.typing import NDArray

from dare_eeg.data.shards import open_splits
from manifests.errors import DamagedError, RefusedError, UsageError

Sample = dict[str, Any]


def webdataset(path: str | Path, split: str | Collection[str] = "train", shuffle: int = 0) -> wds.DataPipeline:
    """Return the windows that `open_shards` has, in its order, as a pipeline that reads the tars from end to end.

    It yields (µV, float32, electrodes × samples; label, -1 where there is none; key, the sample's name in its tar).
    With ``shuffle`` the tars come in a new order each time, and windows are drawn from so many held in memory. Ranks,
    and the workers of a DataLoader, share out the tars, or, where they are more than there are tars, the windows of
    each: a window comes once. Contents are not checked against their sums: `dare verify` does that.

    Raises DareError where there is no set, no such split or no tar, and for a ``shuffle`` below 0; as it is read, where
    a tar is cut short.
    """
    if shuffle < 0:
        raise UsageError(f"{shuffle} windows cannot be held", path="shuffle", remedy="give 0 or more")
    windows = open_splits(path, split)
    if strange := [entry.path for entry in windows.entries if not entry.path.endswith(".tar")]:
        raise RefusedError(
            "webdataset reads tars, and this set has none",
            path=windows.folder / strange[0],
            remedy="make it with dare preprocess --format webdataset or both, or read it with open_shards",
        )
    sizes = {str(windows.folder.absolute() / entry.path): entry.samples for entry in windows.entries}
    return wds.DataPipeline(
        partial(_tars, list(sizes)),
        wds.shuffle(len(sizes)) if shuffle else None,
        wds.tarfile_to_samples(),
        partial(_complete, sizes),
        wds.shuffle(shuffle) if shuffle else None,
        wds.decode(only=["eeg.npy", "json"]),  # of anything else it might unpickle what it decodes
        wds.map(_in_uv),
    )


def _tars(paths: list[str]) -> Iterator[Sample]:
    """Yield this worker's tars as webdataset names them; its own list of shards may not be empty, as a split may."""
    part, parts = _share()
    for path in paths if len(paths) < parts else paths[part::parts]:
        yield {"url": path}


def _share() -> tuple[int, int]:
    """Return which of how many readers this is, over the workers of all ranks."""
    rank, ranks, worker, workers = wds.utils.pytorch_worker_info()
    return rank + ranks * worker, ranks * workers


def _complete(sizes: dict[str, int], samples: Iterator[Sample]) -> Iterator[Sample]:
    """Yield this worker's samples; DamagedError where a tar cannot be read, or ends early, which tarfile never says."""
    part, parts = _share()
    if len(sizes) >= parts:
        part, parts = 0, 1  # its tars are its own
    try:
        for path, of_tar in groupby(samples, lambda sample: str(sample["__url__"])):
            found = 0
            for sample in of_tar:
                if found % parts == part:
                    yield sample
                found += 1
            if found != sizes[path]:
                raise DamagedError(
                    f"has {found} windows, the manifest says {sizes[path]}", path=path, remedy="see dare verify"
                )
    except TarError as problem:
        raise DamagedError(
            f"cannot be read ({problem.args[0]})", path=problem.args[-1], remedy="see dare verify"
        ) from problem


def _in_uv(sample: Sample) -> tuple[NDArray[np.float32], int, str]:
    facts = sample["json"]
    scale = np.array(facts["scale"], np.float32)
    return sample["eeg.npy"] * scale[:, None], int(facts["label"]), str(sample["__key__"])
