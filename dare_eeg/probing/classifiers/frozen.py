"""Frozen: the features that classifiers without a network are fitted on, computed once for all of them."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dare_eeg.data.shards import Windows
from dare_eeg.data.windows import AnyWindows
from dare_eeg.encoders.as_published import AsPublished
from dare_eeg.encoders.base import EEGEncoder, Prepared, sha256_of_weights
from dare_eeg.encoders.ours import PretrainedEncoder
from dare_eeg.encoders.own import OwnEncoder
from dare_eeg.encoders.zoo import ZooEncoder
from dare_eeg.probing.classifiers.cache import FeatureCache
from dare_eeg.probing.classifiers.projection import MOST, projection
from dare_eeg.probing.fit import Progress
from dare_eeg.probing.networks.training import device
from dare_eeg.probing.options import Pool, Precision
from manifests import manifest
from manifests.atomic_io import canonical_json, sha256_bytes
from manifests.errors import DareError, RefusedError, UsageError

_BATCH = 32

_VERSION = 1
"""Of the code that computes features: raised when it computes others, so that none that were kept are taken."""


def features(
    encoder: EEGEncoder,
    windows: AnyWindows,
    pool: Pool,
    progress: Progress,
    cache: FeatureCache | None = None,
    precision: Precision = "fp32",
) -> NDArray[np.float32]:
    """Return frozen features of all windows, a row each, pooled over their moments.

    By ``mean`` a row has S × D numbers, by ``mean+std`` twice as many, by ``flatten`` all, N × S × D; more than 5,000
    are projected to so many. They are computed on a GPU where there is one and, of the windows of a set, taken from
    the cache where it has them of this encoder, set, pool and precision. Electrodes that the encoder cannot read are
    left out. Raises UsageError where it can read none, RefusedError where it cannot compute in the precision.
    """
    encoder = encoder.to(device()).eval()
    known = encoder.known(windows.electrodes)
    if not known:
        raise UsageError(
            "none of its electrodes is the network's", path=windows.folder, remedy="probe it with --mode conv-linear"
        )
    encode = encoder.encode if precision == "fp32" else partial(_encoded_in_bf16, encoder)
    rows = _rows(encoder, encode, windows, known, pool, progress)
    facts = None if cache is None else _facts(encoder)
    if cache is not None and facts is not None and isinstance(windows, Windows):
        key = sha256_bytes(canonical_json(facts | _asked(windows, pool, precision)))[:32]
        return cache.table(key, len(windows), rows)
    table: NDArray[np.float32] | None = None
    done = 0
    for part in rows:
        table = np.empty((len(windows), part.shape[1]), np.float32) if table is None else table
        table[done : done + len(part)] = part
        done += len(part)
    assert table is not None
    return table


def _rows(
    encoder: EEGEncoder,
    encode: Callable[[Prepared], Tensor],
    windows: AnyWindows,
    known: list[int],
    pool: Pool,
    progress: Progress,
) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of some windows after the others."""
    electrodes = [windows.electrodes[row] for row in known]
    project = None
    for start in range(0, len(windows), _BATCH):
        numbers = np.arange(start, min(start + _BATCH, len(windows)))
        present = windows.present[numbers][:, known]
        with torch.no_grad():
            # Not called, as that warns of what `dare preprocess` was asked to leave in.
            prepared = encoder.prepare(windows.take(numbers)[:, known], electrodes, windows.sfreq, present)
            rows = _pooled(encode(prepared), pool).float().cpu().numpy()
        progress(start / len(windows))
        if rows.shape[1] > MOST:
            project = projection(rows.shape[1]) if project is None else project
            rows = rows @ project
        yield rows


def _encoded_in_bf16(encoder: EEGEncoder, prepared: Prepared) -> Tensor:
    """Return features (B, N, S, D), float32, of an encoder whose products are taken in bfloat16."""
    try:
        with torch.autocast(device().type, torch.bfloat16):
            return encoder.encode(prepared).float()
    except (RuntimeError, TypeError, DareError) as problem:  # what torch and numpy say of a type they do not compute in
        reason = " ".join(f"cannot compute in bf16: {problem}".split())
        remedy = "leave out --set precision=bf16"
        raise RefusedError(reason, path=encoder.identity.name, remedy=remedy) from problem


def _pooled(features: Tensor, pool: Pool) -> Tensor:
    """Return features (B, N, S, D) as rows (B, numbers)."""
    if pool == "flatten":
        return features.flatten(1)
    rows = features.mean(dim=1).flatten(1)
    return rows if pool == "mean" else torch.cat([rows, features.std(dim=1, correction=0).flatten(1)], dim=1)


def _asked(windows: Windows, pool: Pool, precision: Precision) -> dict[str, Any]:
    """Return what features depend on besides the encoder."""
    return {
        "version": _VERSION,
        "device": device().type,
        "pool": pool,
        "precision": precision,
        "set": manifest.sha256(windows.folder),
        "shards": [entry.path for entry in windows.entries],
        "subjects": sorted(windows.subject_names),
        "alignment": type(windows).__name__,
    }


def _facts(encoder: EEGEncoder) -> dict[str, Any] | None:
    """Return what tells an encoder from any other, None where it does not say who it is or is fed otherwise."""
    identity = encoder.identity
    facts = {"name": identity.name, "sha256": identity.sha256, "weights": sha256_of_weights(encoder)}
    if isinstance(encoder, OwnEncoder):
        return facts | {"code": encoder.file_sha256}
    if isinstance(encoder, ZooEncoder):
        return facts | encoder.form
    if isinstance(encoder, PretrainedEncoder):
        if isinstance(encoder, AsPublished):
            return None
        return facts | vars(encoder.size) | {"unit_scale": encoder.unit_scale, "sfreq": encoder.sfreq}
    return facts if identity.sha256 else None
