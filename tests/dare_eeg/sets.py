"""Small shard sets written by hand with tarfile, ways to damage them, and short runs on them."""

import io
import json
import tarfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manifests.manifest import OUTCOMES, Manifest, RecordingRow, ShardEntry, SplitEntry, dump
from manifests.recipe import Recipe
from manifests.shard_format import Index
from tests.commands import dare

FOUR = ("C3", "CZ", "C4", "PZ")
QUANTUM_UV = 2.0**-5
NANO = ("--size", "nano", "--global-batch", 8, "--micro-batch", 4)


@dataclass(frozen=True)
class Window:
    """A window as it goes into a shard."""

    counts: NDArray[np.int16]
    subject: str = "tuh:a"
    recording: str = "a.edf"
    start_s: float = 0.0
    label: int = -1
    absent: tuple[int, ...] = ()

    @property
    def scale(self) -> NDArray[np.float32]:
        """µV per count by electrode."""
        scale = np.full(len(self.counts), QUANTUM_UV, np.float32)
        scale[list(self.absent)] = 0
        return scale


def recorded(
    subject: str, windows: int, samples: int = 1280, electrodes: int = 4, seed: int = 0, labels: Sequence[int] = ()
) -> list[Window]:
    """Return windows of one recording of a subject: rhythms that a network can learn, in noise of its own."""
    rng = np.random.default_rng([seed, *subject.encode()])
    time_s = np.arange(samples) / 256
    made = []
    for number in range(windows):
        phase = rng.uniform(0, 2 * np.pi, (electrodes, 1))
        data_uv = 40 * np.sin(2 * np.pi * 6 * time_s + phase) + 5 * rng.standard_normal((electrodes, samples))
        counts = np.rint(data_uv / QUANTUM_UV).astype(np.int16)
        label = labels[number] if labels else -1
        made.append(Window(counts, subject, f"{subject.partition(':')[2]}.edf", number * samples / 256, label))
    return made


def write_set(
    folder: Path,
    splits: dict[str, list[list[Window]]],
    electrodes: Sequence[str] = FOUR,
    sfreq: float = 256.0,
    classes: Sequence[str] = (),
    corpus: str = "tuab",
) -> Path:
    """Write a shard set, each split a list of shards, each a list of windows; return its folder."""
    found = next(window for shards in splits.values() for shard in shards for window in shard)
    recipe = Recipe(
        corpus=corpus, purpose="probe" if classes else "pretrain", namespace="tuh", electrodes=tuple(electrodes),
        missing="mask", reference="as recorded", sfreq_hz=sfreq, band_hz=(0.1, min(75.0, sfreq / 2)), notch_hz=0,
        classes=tuple(classes), window_s=found.counts.shape[1] / sfreq, stride_s=found.counts.shape[1] / sfreq,
        valid_share=0,
    )  # fmt: skip
    manifest = Manifest(
        corpus=corpus, corpus_version="3", recipe=recipe, recipe_sha256="", plan_sha256="",
        recordings_sha256="", versions={},
        electrodes=list(electrodes), sfreq=sfreq, window_samples=recipe.window_samples,
        splits={split: _split(folder, split, splits.get(split, [])) for split in ("train", "valid", "test")},
        signal={}, recordings=dict.fromkeys(OUTCOMES, 0), outcomes={outcome: {} for outcome in OUTCOMES},
        code_versions={}, choices={}, notes=[],
    )  # fmt: skip
    (folder / "manifest.json").write_bytes(dump(manifest))
    rows = [row for split, shards in splits.items() for row in _rows(split, [one for shard in shards for one in shard])]
    (folder / "recordings.jsonl").write_bytes(b"".join(json.dumps(row.as_json()).encode() + b"\n" for row in rows))
    return folder


def _rows(split: Any, windows: list[Window]) -> list[RecordingRow]:
    count = Counter((window.recording, window.subject) for window in windows)
    return [
        RecordingRow(
            path=path, bytes=0, sha256="", subject=subject, session="", split=split, channel_map={}, sfreq=256.0,
            duration_s=0, windows=number, outcome="ok", notes=(), reason="",
        )
        for (path, subject), number in count.items()
    ]  # fmt: skip


def _split(folder: Path, split: str, shards: list[list[Window]]) -> SplitEntry:
    entries = [_shard(folder, f"{split}/{number:06d}.tar", shard) for number, shard in enumerate(shards)]
    windows = [window for shard in shards for window in shard]
    return SplitEntry(
        shards=entries,
        subjects=sorted({window.subject for window in windows}),
        recordings=len({window.recording for window in windows}),
        samples=len(windows),
        hours=0,
        labels={},
    )


def _shard(folder: Path, name: str, windows: list[Window]) -> ShardEntry:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number, window in enumerate(windows):
            samples = io.BytesIO()
            np.save(samples, window.counts)
            sidecar = json.dumps({"subject": window.subject, "label": window.label, "scale": window.scale.tolist()})
            for suffix, content in ((".eeg.npy", samples.getvalue()), (".json", sidecar.encode())):
                member = tarfile.TarInfo(f"tuab-{number:06d}{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    with tarfile.open(path) as archive:
        starts = [member.offset_data + 128 for member in archive if member.name.endswith(".npy")]
    recordings = sorted({(window.recording, window.subject) for window in windows})
    index = Index(
        offset=np.array([*starts, path.stat().st_size]),
        recording=np.array([recordings.index((window.recording, window.subject)) for window in windows], np.int32),
        window=np.arange(len(windows), dtype=np.int32),
        start_s=np.array([window.start_s for window in windows]),
        label=np.array([window.label for window in windows], np.int32),
        scale=np.stack([window.scale for window in windows]),
        crc32=np.array([zlib.crc32(window.counts.tobytes()) for window in windows], np.uint32),
        recordings=np.array([recording for recording, _ in recordings]),
        subjects=np.array([subject for _, subject in recordings]),
        shape=np.array(windows[0].counts.shape),
    )
    path.with_suffix(".idx.npz").write_bytes(index.to_bytes())
    hashes = {"sha256": _sha256(path), "index_sha256": _sha256(path.with_suffix(".idx.npz"))}
    return ShardEntry(path=name, samples=len(windows), bytes=path.stat().st_size, **hashes)


def _sha256(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def flip_byte(path: Path, position: int) -> None:
    """Change one byte of a file."""
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


def truncate(path: Path, num_bytes: int) -> None:
    """Keep only the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:num_bytes])


def metrics_of(run: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics.jsonl without what the clock says."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("samples_per_s", "data_wait_s")} for line in lines]


def pretrained(shards: Path, run: Path, *options: object) -> Path:
    """Pretrain a nano network, which must go well, and return the folder of the run."""
    answer = dare("pretrain", "--shards", shards, "--out", run, *NANO, *options)
    assert answer.status == 0, answer.err
    return run


def tensors_of(states: Path) -> dict[str, Any]:
    """Return what a checkpoint file of DeepSpeed holds, with no class let through but its own three harmless ones."""
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    with torch.serialization.safe_globals([LossScaler, ZeroStageEnum, fragment_address]):
        return torch.load(states, weights_only=True)
