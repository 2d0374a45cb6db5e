"""Foreign: the formats that MNE reads for us: BrainVision, FIF and NeuroScan's CNT."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DareError
from pipelines.formats.sampled import SampledFile, in_blocks, named, stretches
from pipelines.recording import Event, Segment, describe_channel

_VOLTAGE_UNITS = ("V", "mV", "µV", "uV", "nV")
_JOINTS = ("new segment", "boundary")  # BrainVision's mark of a restart, and MNE's of recordings put end to end
_SKIP = "BAD_ACQ_SKIP"  # FIF: nothing was recorded; MNE fills in zeros

_CNT_FORMATS = ("auto", "int32", "int16")
_CNT_PLAUSIBLE_SD_UV = (0.1, 5000.0)
_CNT_PROBE_SAMPLES = 2000
_CNT_LARGE_BYTES = 2e9  # beyond, the place of the table of events, by which samples can be counted, overflows


def parse_brainvision(path: Path) -> SampledFile:
    """Return the layout of a BrainVision recording by its .vhdr; raises DareError where .eeg or .vmrk is missing."""
    import mne

    if path.suffix.lower() != ".vhdr":
        raise DareError(f"{path}: is the header of a BrainVision recording: give it the ending .vhdr")
    text = path.read_text("latin-1")
    for key in ("DataFile", "MarkerFile"):
        told = re.search(rf"^{key}\s*=\s*(.+?)\s*$", text, re.MULTILINE | re.IGNORECASE)
        if told and (Path(told[1]).name != told[1] or not path.with_name(told[1]).is_file()):
            raise DareError(f"{path}: its {key} {told[1]} is not beside it; put it there, or correct the name in it")
        if key == "DataFile" and not told:
            raise DareError(f"{path}: names no DataFile, which would hold its samples")
    with named(path, "BrainVision"):
        raw = mne.io.read_raw_brainvision(path, eog=(), preload=False, verbose="error")
        units = dict(raw._orig_units)
        # MNE takes an electrode without a place for something else, but leaves its unit.
        rows = [row for row, name in enumerate(raw.ch_names) if units.get(name) in _VOLTAGE_UNITS]
        return _sampled(path, "BrainVision", raw, rows, ())


def parse_fif(path: Path) -> SampledFile:
    """Return the layout of a FIF recording and of the files it is split into; only EEG channels lie on electrodes.

    Raises DareError for one of these files: their samples would be there twice.
    """
    import mne

    with named(path, "FIF"):
        first = _first_part(path)
        if first != path and first.is_file():
            whole = mne.io.read_raw_fif(first, allow_maxshield="yes", on_split_missing="warn", verbose="error")
            if path.resolve() in [Path(part).resolve() for part in whole.filenames if part]:
                raise DareError(f"{path}: is a part of {first.name} and read with it; nothing of it is lost")
        raw = mne.io.read_raw_fif(path, allow_maxshield="yes", on_split_missing="raise", preload=False, verbose="error")
        rows = [row for row, kind in enumerate(raw.get_channel_types()) if kind == "eeg"]
        return _sampled(path, "FIF", raw, rows, ())


def _first_part(path: Path) -> Path:
    """Return the file that a later part of a split recording would continue, by either way of naming parts."""
    name = re.sub(r"-\d+\.fif$", ".fif", path.name)
    return path.with_name(re.sub(r"(?<=_split-)\d+(?=_)", "01", name))


def parse_cnt(path: Path) -> SampledFile:
    """Return the layout of a NeuroScan recording.

    Its header does not say whether samples have two bytes or four, and what follows from its counts may be wrong: of
    the possible readings the first is taken whose amplitude is that of an EEG.
    """
    import mne

    refusals, implausible = [], []
    small = path.stat().st_size < _CNT_LARGE_BYTES
    for data_format in _CNT_FORMATS:
        counted: dict[str, Any] = {"recompute_n_samples": True} if small and data_format != "auto" else {}
        try:
            with named(path, "NeuroScan CNT"):
                raw = mne.io.read_raw_cnt(path, data_format=data_format, preload=False, verbose="error", **counted)
                middle = max(0, raw.n_times // 2 - _CNT_PROBE_SAMPLES // 2)
                probe_uv = raw.get_data(start=middle, stop=min(middle + _CNT_PROBE_SAMPLES, raw.n_times)) * 1e6
                spread_uv = float(np.median(probe_uv.std(axis=1)))
                rows = list(range(len(raw.ch_names)))
                note = f"samples read as {data_format}" if data_format != "auto" else ""
                if _CNT_PLAUSIBLE_SD_UV[0] <= spread_uv <= _CNT_PLAUSIBLE_SD_UV[1]:
                    return _sampled(path, "CNT", raw, rows, (note,) if note else ())
                implausible.append((raw, rows, f"{note or 'samples'}, though their median sd is {spread_uv:.3g} µV"))
        except DareError as problem:
            refusals.append(problem)
    if not implausible:
        raise refusals[0]
    raw, rows, note = implausible[0]
    return _sampled(path, "CNT", raw, rows, (note,))


def _sampled(path: Path, kind: str, raw: Any, rows: list[int], notes: tuple[str, ...]) -> SampledFile:
    """Return a file that reads spans of these channels of MNE's ``raw``, in V, as they are asked for."""
    sfreq = float(raw.info["sfreq"])
    names = [raw.ch_names[row] for row in rows]
    left_out = sorted(set(raw.get_channel_types()) - {"eeg"}) if len(rows) < len(raw.ch_names) else []
    if left_out:
        notes += (f"{len(raw.ch_names) - len(rows)} channels that are no EEG left out ({', '.join(left_out)})",)
    units = raw._orig_units or {}
    annotations = raw.annotations
    onsets_s = (np.asarray(annotations.onset, np.float64) - raw.first_time).tolist()
    found = zip(onsets_s, annotations.duration.tolist(), map(str, annotations.description), strict=True)
    events = sorted((Event(*one) for one in found), key=lambda event: event.onset_s)

    def load(places: list[int], start: int, stop: int) -> NDArray[np.float32]:
        picks = [rows[place] for place in places]
        order = np.argsort(np.argsort(picks))
        with named(path, kind):
            return in_blocks(
                lambda first, end: raw[sorted(picks), first:end][0][order] * 1e6,
                len(picks),
                len(raw.ch_names),
                start,
                stop,
            )

    return SampledFile(
        path=path,
        format=kind,
        channels=tuple(describe_channel(name, place, sfreq, units.get(name, "V")) for place, name in enumerate(names)),
        num_samples=int(raw.n_times),
        segments=_segments(events, int(raw.n_times), sfreq),
        events=tuple(event for event in events if event.text != _SKIP),
        notes=notes,
        load=load,
    )


def _segments(events: list[Event], num_samples: int, sfreq: float) -> tuple[Segment, ...]:
    """Return the stretches between joints and skips."""
    edges, skips = set(), []
    for event in events:
        if any(joint in event.text.lower() for joint in _JOINTS):
            edges.add(math.ceil(event.onset_s * sfreq - 1e-6))
        elif event.text == _SKIP:
            start = round(event.onset_s * sfreq)
            skips.append(range(start, start + round(event.duration_s * sfreq)))
    edges |= {edge for skip in skips for edge in (skip.start, skip.stop)}
    parts = stretches(edges, num_samples, sfreq)
    return tuple(part for part in parts if not any(part.start in skip for skip in skips))
