"""Build: one task becomes one shard, its index and its receipt."""

import zlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests import keyed
from manifests.durable import atomic_write, sha256_file, write_bytes
from manifests.electrodes import split_reference
from manifests.errors import DareError
from manifests.manifest import ChannelSums, Receipt, RecordingRow, dump
from manifests.recipe import Recipe
from manifests.shard_format import (
    NPY_HEADER,
    Index,
    member_size,
    npy_bytes,
    payload_offset,
    quantise,
    sample_key,
    sidecar_bytes,
    tar_size,
)
from pipelines import readers
from pipelines.corpora import CORPORA
from pipelines.plan import Task
from pipelines.recording import Recording
from pipelines.signal import condition, margin_s
from pipelines.source import Source
from pipelines.windows import Window, at_cues, on_a_grid, thin

CLIPPED_SHARE = 0.001
"""Share of clipped samples above which a recording is reported."""


@dataclass(frozen=True)
class _Sample:
    key: str
    counts: NDArray[np.int16]
    scale: NDArray[np.float32]
    start_s: float
    label: int
    row: RecordingRow
    window: int
    sidecar: bytes


def build(task: Task, recipe: Recipe, src: Path, out: Path) -> Receipt:
    """Read, condition, cut and quantise the task's recordings, and write shard, index and, last, receipt.

    A recording that cannot be used becomes a row with its reason; the others go on. Raises DareError only where the
    output cannot be written.
    """
    samples: list[_Sample] = []
    rows: list[RecordingRow] = []
    for planned in task.recordings:
        row, cut = _process(planned, recipe, src)
        rows.append(row)
        samples += cut
    order = keyed.permutation(keyed.key("windows", recipe.split_seed, task.shard), len(samples))
    shuffled = [samples[position] for position in order]
    tar, index = out / f"{task.shard}.tar", out / f"{task.shard}.idx.npz"
    if shuffled:
        _write_tar(tar, shuffled)
        write_bytes(index, _index(shuffled, recipe).to_bytes())
    receipt = Receipt(
        shard=task.shard,
        identity=task.identity,
        samples=len(shuffled),
        bytes=tar.stat().st_size if shuffled else 0,
        sha256=sha256_file(tar) if shuffled else "",
        index_sha256=sha256_file(index) if shuffled else "",
        labels=dict(sorted(Counter(recipe.classes[one.label] for one in shuffled if one.label >= 0).items())),
        signal=_signal(shuffled, recipe),
        recordings=rows,
    )
    write_bytes(out / f"{task.shard}.json", dump(receipt))
    return receipt


def _process(planned: dict[str, Any], recipe: Recipe, src: Path) -> tuple[RecordingRow, list[_Sample]]:
    path = src / planned["path"]
    start_s = planned["piece"] * planned["piece_s"]
    stop_s = start_s + planned["piece_s"] if planned["piece_s"] else float("inf")
    kept = ("path", "bytes", "subject", "session", "split", "channel_map", "sfreq", "duration_s")
    facts: dict[str, Any] = {name: planned[name] for name in kept} | {"sha256": "", "windows": 0}
    try:
        facts["sha256"] = _sha256(path, path.stat().st_mtime_ns)
        around_s = margin_s(planned["sfreq"], recipe) + recipe.window_s
        recording = readers.read(path, recipe.electrodes, start_s - around_s, stop_s + around_s)
        windows, present, notes = _windows(recording, planned, (start_s, stop_s), recipe, src)
    except (DareError, OSError) as problem:
        reason = str(problem).removeprefix(f"{path}: ")
        return RecordingRow(**facts, outcome="failed", reason=reason), []
    except Exception as problem:
        reason = f"unexpected {type(problem).__name__}: {problem}; report it with this file's header"
        return RecordingRow(**facts, outcome="failed", reason=reason), []
    if not windows:
        reason = "; ".join(["gives no window", *notes])
        return RecordingRow(**facts, outcome="skipped", reason=reason), []
    return _quantised(facts, planned["slug"], windows, present, notes, recipe)


@lru_cache(maxsize=64)
def _sha256(path: Path, mtime_ns: int) -> str:
    """Return the hash of a raw file, taken once for all its pieces that a worker builds."""
    return sha256_file(path)


def _windows(
    recording: Recording, planned: dict[str, Any], span_s: tuple[float, float], recipe: Recipe, src: Path
) -> tuple[list[Window], NDArray[np.bool_], list[str]]:
    """Return (windows, electrodes present, notes) of one recording or the piece of it that a span of time is."""
    notes = list(recording.notes)
    stretches, present, absent = condition(recording, recipe, *span_s)
    first = planned["piece"] * round(planned["piece_s"] / min(recipe.stride_s, recipe.window_s))
    notes.append(absent)
    if not recipe.classes:
        windows = on_a_grid(stretches, -1, recipe, first)
    elif planned["label"]:
        windows = on_a_grid(stretches, recipe.classes.index(planned["label"]), recipe, first)
    else:
        source = Source(planned["path"], planned["subject"], planned["session"], label_file=planned["label_file"])
        labels = (src / source.label_file).read_bytes() if source.label_file else b""
        cues, unused = CORPORA[recipe.corpus].cues(source, recording, labels, recipe)
        windows, lost = at_cues(stretches, cues, recipe)
        notes += [unused, lost]
    if planned["max_windows"] >= 0 and planned["max_windows"] < len(windows):
        notes.append(f"{planned['max_windows']} of {len(windows)} windows kept to balance the classes")
        windows = thin(windows, planned["max_windows"])
    return windows, present, [note for note in notes if note]


def _quantised(
    facts: dict[str, Any],
    slug: str,
    windows: list[Window],
    present: NDArray[np.bool_],
    notes: list[str],
    recipe: Recipe,
) -> tuple[RecordingRow, list[_Sample]]:
    counted = [quantise(window.data_uv, recipe.quantum_uv) for window in windows]
    share = sum(clipped for _, clipped in counted) / (len(windows) * present.sum() * recipe.window_samples)
    if share > CLIPPED_SHARE:
        top = 32767 * recipe.quantum_uv
        notes.append(
            f"{share:.2%} of samples clipped at ±{top:.0f} µV: widen with --set quantum_uv={4 * recipe.quantum_uv:g}"
        )
    row = RecordingRow(**facts | {"windows": len(windows)}, outcome="ok", reason="; ".join(notes))
    scale = np.where(present, recipe.quantum_uv, 0).astype(np.float32)
    shared = _shared_fields(row, scale, recipe)
    samples = []
    for window, (counts, _) in zip(windows, counted, strict=True):
        key, start_s = sample_key(recipe.corpus, slug, window.number), round(window.start_s, 6)
        label_name = recipe.classes[window.label] if window.label >= 0 else ""
        own = {"key": key, "start_s": start_s, "label": window.label, "label_name": label_name}
        sidecar = sidecar_bytes(shared | own)
        samples.append(_Sample(key, counts, scale, start_s, window.label, row, window.number, sidecar))
    return row, samples


def _write_tar(path: Path, samples: list[_Sample]) -> None:
    from webdataset.writer import TarWriter

    with (
        atomic_write(path) as partial,
        partial.open("wb") as stream,
        TarWriter(stream, user="", group="", mtime=0, encoder=False) as tar,
    ):
        for sample in samples:
            tar.write({"__key__": sample.key, "eeg.npy": npy_bytes(sample.counts), "json": sample.sidecar})


def _shared_fields(row: RecordingRow, scale: NDArray[np.float32], recipe: Recipe) -> dict[str, Any]:
    """Return what the JSON members of a recording's samples have in common."""
    references = {split_reference(label)[1] for label in row.channel_map.values()} - {""}
    return {
        "recording": row.path,
        "subject": row.subject,
        "session": row.session,
        "sfreq": recipe.sfreq_hz,
        "channels": list(recipe.electrodes),
        "reference": "average" if recipe.reference == "average" else "/".join(sorted(references)),
        "unit": "uV",
        "scale": [float(one) for one in scale],
        "annotations": [],
    }


def _index(samples: list[_Sample], recipe: Recipe) -> Index:
    """Return where each sample lies: pure arithmetic on member sizes, the last offset being the file's size."""
    recordings = sorted({sample.row.path for sample in samples})
    numbers = {path: number for number, path in enumerate(recordings)}
    subjects = {sample.row.path: sample.row.subject for sample in samples}
    sizes = [member_size(NPY_HEADER + sample.counts.nbytes) + member_size(len(sample.sidecar)) for sample in samples]
    starts = np.cumsum([0, *sizes])
    return Index(
        offset=np.array([*(starts[:-1] + payload_offset()), tar_size(int(starts[-1]))], np.int64),
        recording=np.array([numbers[sample.row.path] for sample in samples], np.int32),
        window=np.array([sample.window for sample in samples], np.int32),
        start_s=np.array([sample.start_s for sample in samples], np.float64),
        label=np.array([sample.label for sample in samples], np.int32),
        scale=np.stack([sample.scale for sample in samples]),
        crc32=np.array([zlib.crc32(np.ascontiguousarray(sample.counts).data) for sample in samples], np.uint32),
        recordings=np.array(recordings, np.str_),
        subjects=np.array([subjects[path] for path in recordings], np.str_),
        shape=np.array([len(recipe.electrodes), recipe.window_samples], np.int64),
    )


def _signal(samples: list[_Sample], recipe: Recipe) -> dict[str, ChannelSums]:
    """Return, by electrode, the sums from which the manifest tells mean and deviation."""
    num_samples, total, squares = np.zeros((3, len(recipe.electrodes)))
    for sample in samples:
        data_uv = sample.counts * sample.scale[:, None].astype(np.float64)
        num_samples += (sample.scale > 0) * data_uv.shape[1]
        total += data_uv.sum(axis=1)
        squares += np.einsum("ct,ct->c", data_uv, data_uv)
    return {
        name: ChannelSums(samples=int(num_samples[row]), total=float(total[row]), squares=float(squares[row]))
        for row, name in enumerate(recipe.electrodes)
        if num_samples[row]
    }
