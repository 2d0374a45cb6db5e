"""BrainVision: a header in text, .vhdr, that names the samples and the markers beside it; read by MNE."""

import re
from pathlib import Path

from manifests.errors import MissingError, RefusedError
from pipelines.formats import Format, begins
from pipelines.formats.mne_formats import by_mne
from pipelines.formats.sampled import SampledFile, error_context

_VOLTAGE_UNITS = ("V", "mV", "µV", "uV", "nV")


def parse(path: Path) -> SampledFile:
    """Return the layout of a BrainVision recording by its .vhdr; raises DareError where .eeg or .vmrk is missing."""
    import mne

    if path.suffix.lower() != ".vhdr":
        raise RefusedError("is the header of a BrainVision recording: give it the ending .vhdr", path=path)
    text = path.read_text("latin-1")
    for key in ("DataFile", "MarkerFile"):
        named = re.search(rf"^{key}\s*=\s*(.+?)\s*$", text, re.MULTILINE | re.IGNORECASE)
        if named and (Path(named[1]).name != named[1] or not path.with_name(named[1]).is_file()):
            raise MissingError(
                f"its {key} {named[1]} is not beside it", path=path, remedy="put it there, or correct the name in it"
            )
        if key == "DataFile" and not named:
            raise MissingError("names no DataFile, which would hold its samples", path=path)
    with error_context(path, "BrainVision"):
        raw = mne.io.read_raw_brainvision(path, eog=(), preload=False, verbose="error")
        units = dict(raw._orig_units)
        # MNE takes an electrode without a place for something else, but leaves its unit.
        rows = [row for row, name in enumerate(raw.ch_names) if units.get(name) in _VOLTAGE_UNITS]
        return by_mne(path, "BrainVision", raw, rows, ())


FORMAT = Format(
    name="BrainVision",
    suffixes=(".vhdr",),
    claims=begins(b"Brain Vision Data Exchange Header", b"BrainVision Data Exchange Header"),
    parse=parse,
    companions={".eeg": "samples", ".dat": "samples", ".vmrk": "markers"},
    holds_text=True,
)
