"""Independent judges: tarfile, MNE and edfio say what a shard or a recording should hold."""

import io
import json
import tarfile
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import edfio
import mne
import numpy as np
from numpy.typing import NDArray

from manifests.electrodes import canonical

TEN_TWENTY_19: tuple[str, ...] = tuple("FP1 FP2 F7 F3 FZ F4 F8 T7 C3 CZ C4 T8 P7 P3 PZ P4 P8 O1 O2".split())
"""The electrodes of the 10-20 system."""


class Sample(NamedTuple):
    """A window as its two members in the tar tell of it."""

    counts: NDArray[np.int16]
    fields: dict[str, Any]

    @property
    def data_uv(self) -> NDArray[np.float64]:
        return self.counts * np.array(self.fields["scale"])[:, None]

    @property
    def start_s(self) -> float:
        return float(self.fields["start_s"])

    @property
    def label_name(self) -> str:
        return str(self.fields["label_name"])


def members(tar: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return the members of a tar in order, each with its content."""
    with tarfile.open(tar, "r:") as archive:
        return [(info, archive.extractfile(info).read()) for info in archive]  # type: ignore[union-attr]


def samples(folder: Path) -> dict[str, Sample]:
    """Return every window of a set by key, sorted by recording and time."""
    found = {}
    for tar in sorted(folder.rglob("*.tar")):
        for (array, counts), (sidecar, fields) in list(pairwise(members(tar)))[::2]:
            key = array.name.removesuffix(".eeg.npy")
            assert sidecar.name == f"{key}.json"
            assert key not in found
            found[key] = Sample(np.load(io.BytesIO(counts), allow_pickle=False), json.loads(fields))
    return dict(sorted(found.items(), key=lambda pair: (pair[1].fields["recording"], pair[1].start_s)))


def of_recording(folder: Path, path: str) -> list[Sample]:
    """Return the windows of one recording in order of time."""
    return [sample for sample in samples(folder).values() if sample.fields["recording"] == path]


def read_raw(path: Path) -> mne.io.BaseRaw:
    """Return a recording as MNE reads it."""
    reader = mne.io.read_raw_gdf if path.suffix == ".gdf" else mne.io.read_raw_edf
    with warnings.catch_warnings():
        # Trends at 1 Hz among signals at 250 Hz, as in the real files.
        warnings.simplefilter("ignore", RuntimeWarning)
        return reader(path, preload=True, verbose="error")


def scalp_uv(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the channels of a recording in µV by the canonical names of their electrodes."""
    raw = read_raw(path)
    return {canonical(label): samples for label, samples in zip(raw.ch_names, raw.get_data() * 1e6, strict=True)}


def seconds(path: Path) -> float:
    """Return how long a recording lasts by its header."""
    raw = mne.io.read_raw_edf(path, verbose="error")
    return raw.n_times / raw.info["sfreq"]


def conditioned_uv(
    path: Path, electrodes: Sequence[str], band_hz: tuple[float, float], notch_hz: float, sfreq_hz: float
) -> NDArray[np.float64]:
    """Return a recording, electrodes × samples in µV, as MNE alone reads, filters and resamples it.

    Half a second of padding at either end makes the padded length times the ratio of the rates whole; with another,
    MNE stretches time.
    """
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    labels = {canonical(label): label for label in reversed(raw.ch_names)}
    raw.pick([labels[name] for name in electrodes])
    raw.filter(*band_hz, verbose="error")
    raw.notch_filter(notch_hz, verbose="error")
    raw.resample(sfreq_hz, npad=round(raw.info["sfreq"]) // 2, verbose="error")
    return 1e6 * raw.get_data(picks=[labels[name] for name in electrodes])


def write_edf(
    path: Path,
    channels: dict[str, NDArray[np.float64]],
    sfreq_hz: float,
    annotations: Sequence[tuple[float, float, str]] = (),
    range_uv: float = 3276.7,
) -> Path:
    """Write channels in µV by edfio, as EDF+ where there are annotations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    signals = [
        edfio.EdfSignal(data, sfreq_hz, label=label, physical_dimension="uV", physical_range=(-range_uv, range_uv))
        for label, data in channels.items()
    ]
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(*one) for one in annotations] or None).write(path)
    return of_its_own(path)


def of_its_own(path: Path) -> Path:
    """Name an EDF's patient after its path, as equal files under two names would be copies."""
    content = bytearray(path.read_bytes())
    patient = f"X X X {path.parent.name}_{path.stem}".encode("ascii", "replace").replace(b"?", b"_")
    content[8:88] = patient[:80].ljust(80)
    path.write_bytes(content)
    return path


def noise_uv(labels: Sequence[str], seconds: float, sfreq_hz: float, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Return white noise of 20 µV for every label."""
    rng = np.random.default_rng(seed)
    return {label: 20 * rng.standard_normal(round(seconds * sfreq_hz)) for label in labels}
