"""FIF: the format of Neuromag and of MNE, which reads it, split into several files where it is long."""

import re
from pathlib import Path

from manifests.errors import RefusedError
from pipelines.formats import Format, begins
from pipelines.formats.mne_formats import by_mne
from pipelines.formats.sampled import SampledFile, error_context


def parse(path: Path) -> SampledFile:
    """Return the layout of a FIF recording and of the files it is split into; only EEG channels lie on electrodes.

    Raises DareError for one of these files: their samples would be there twice.
    """
    import mne

    with error_context(path, "FIF"):
        first = _first_part(path)
        if first != path and first.is_file():
            whole = mne.io.read_raw_fif(first, allow_maxshield="yes", on_split_missing="warn", verbose="error")
            if path.resolve() in [Path(part).resolve() for part in whole.filenames if part]:
                raise RefusedError(
                    f"is a part of {first.name} and read with it", path=path, remedy="nothing of it is lost"
                )
        raw = mne.io.read_raw_fif(path, allow_maxshield="yes", on_split_missing="raise", preload=False, verbose="error")
        parts = tuple(path.with_name(Path(part).name) for part in raw.filenames[1:] if part)
        _require_own(path, parts)
        rows = [row for row, kind in enumerate(raw.get_channel_types()) if kind == "eeg"]
        return by_mne(path, "FIF", raw, rows, (), parts)


def _require_own(path: Path, parts: tuple[Path, ...]) -> None:
    """Raise DareError where a part that the file names may be that of another recording, whose first part is there.

    Parts keep the names that they were written by, also where files are renamed.
    """
    for number, part in enumerate(parts, 1):
        first, own = _first_part(part), path.with_name(f"{path.stem}-{number}.fif")
        for other in (first, own):
            if first != path and other not in (path, part) and other.is_file():
                remedy = "rename all parts as they were, or save the recording again"
                raise RefusedError(
                    f"continues in {part.name}, but {other.name} lies beside it", path=path, remedy=remedy
                )


def _first_part(path: Path) -> Path:
    """Return the file that a later part of a split recording would continue, by either way of naming parts."""
    name = re.sub(r"-\d+\.fif$", ".fif", path.name)
    return path.with_name(re.sub(r"(?<=_split-)\d+(?=_)", "01", name))


FORMAT = Format(
    name="FIF",
    suffixes=(".fif",),
    claims=begins(b"\0\0\0\x64\0\0\0\x1f\0\0\0\x14"),  # the tag of a file's identity, which comes first
    parse=parse,
)
