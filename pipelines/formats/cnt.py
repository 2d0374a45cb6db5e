"""CNT: NeuroScan's continuous recordings, read by MNE."""

from pathlib import Path
from typing import Any

import numpy as np

from manifests.errors import DareError
from pipelines.formats import Format, begins
from pipelines.formats.foreign import by_mne
from pipelines.formats.sampled import SampledFile, named

_SAMPLE_TYPES = ("auto", "int32", "int16")
_PLAUSIBLE_SD_UV = (0.1, 5000.0)
_PROBE_SAMPLES = 2000
_LARGE_BYTES = 2e9  # beyond, the place of the table of events, by which samples can be counted, overflows


def parse(path: Path) -> SampledFile:
    """Return the layout of a NeuroScan recording.

    Its header does not say whether samples have two bytes or four, and what follows from its counts may be wrong: of
    the possible readings the first is taken whose amplitude is that of an EEG.
    """
    import mne

    refusals, implausible = [], []
    small = path.stat().st_size < _LARGE_BYTES
    for data_format in _SAMPLE_TYPES:
        counted: dict[str, Any] = {"recompute_n_samples": True} if small and data_format != "auto" else {}
        try:
            with named(path, "NeuroScan CNT"):
                raw = mne.io.read_raw_cnt(path, data_format=data_format, preload=False, verbose="error", **counted)
                middle = max(0, raw.n_times // 2 - _PROBE_SAMPLES // 2)
                probe_uv = raw.get_data(start=middle, stop=min(middle + _PROBE_SAMPLES, raw.n_times)) * 1e6
                spread_uv = float(np.median(probe_uv.std(axis=1)))
                rows = list(range(len(raw.ch_names)))
                note = f"samples read as {data_format}" if data_format != "auto" else ""
                if _PLAUSIBLE_SD_UV[0] <= spread_uv <= _PLAUSIBLE_SD_UV[1]:
                    return by_mne(path, "CNT", raw, rows, (note,) if note else ())
                implausible.append((raw, rows, f"{note or 'samples'}, though their median sd is {spread_uv:.3g} µV"))
        except DareError as problem:
            refusals.append(problem)
    if not implausible:
        raise refusals[0]
    raw, rows, note = implausible[0]
    return by_mne(path, "CNT", raw, rows, (note,))


FORMAT = Format(name="CNT", suffixes=(".cnt",), claims=begins(b"Version 3"), parse=parse, in_bids=False)
