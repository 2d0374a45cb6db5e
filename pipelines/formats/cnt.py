"""CNT: NeuroScan's continuous recordings, read by MNE."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from manifests.errors import DareError
from manifests.notes import Note, note
from pipelines.formats import Format, begins
from pipelines.formats.mne_formats import MNE_ALONE, by_mne
from pipelines.formats.sampled import SampledFile, error_context

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
            with MNE_ALONE, error_context(path, "NeuroScan CNT"):
                # By "auto" the fifth letter of a label would mark its channel as bad.
                raw = mne.io.read_raw_cnt(path, data_format=data_format, header="new", verbose="error", **counted)
                middle = max(0, raw.n_times // 2 - _PROBE_SAMPLES // 2)
                probe_uv = raw.get_data(start=middle, stop=min(middle + _PROBE_SAMPLES, raw.n_times)) * 1e6
                spread_uv = float(np.median(probe_uv.std(axis=1)))
                rows = list(range(len(raw.ch_names)))
                notes = (note("sample type", "samples read as {names}", [data_format]),) * (data_format != "auto")
                if _PLAUSIBLE_SD_UV[0] <= spread_uv <= _PLAUSIBLE_SD_UV[1]:
                    return by_mne(path, "CNT", raw, rows, notes)
                implausible.append((raw, rows, (*notes, _implausible(spread_uv))))
        except DareError as problem:
            refusals.append(problem)
    if not implausible:
        raise refusals[0]
    raw, rows, notes = implausible[0]
    return by_mne(path, "CNT", raw, rows, notes)


def _implausible(spread_uv: float) -> Note:
    """Return a note on a median standard deviation that is not an EEG's."""
    if not math.isfinite(spread_uv):
        return note("no amplitude", "the median sd of its samples is no number")
    return note("amplitude", "the median sd of its samples is {sd_uv:.3g} µV, which no EEG has", sd_uv=spread_uv)


FORMAT = Format(name="CNT", suffixes=(".cnt",), claims=begins(b"Version 3"), parse=parse, in_bids=False)
