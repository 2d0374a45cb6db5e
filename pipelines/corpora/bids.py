"""BIDS: the EEG recordings of a Brain Imaging Data Structure tree, by the entities in their names (Pernet 2019)."""

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from manifests.errors import LostError
from manifests.plan import RawRecording
from pipelines.corpora import tables
from pipelines.formats.registry import formats

_PATH = re.compile(
    r"sub-(?P<subject>[^/_]+)/(?:ses-(?P<session>[^/_]+)/)?eeg/"
    r"sub-(?P=subject)_(?(session)ses-(?P=session)_)task-(?P<label>[^/_]+)_(?:[a-z]+-[^/_]+_)*"
    rf"eeg(?i:{'|'.join(re.escape(suffix) for one in formats() if one.in_bids for suffix in one.suffixes)})"
)
_SUFFIX = re.compile(r"_eeg\.\w+$")

Tables = Mapping[PurePosixPath, list[PurePosixPath]]
"""Tables of one kind by the folder that they lie in."""


def match(path: str) -> dict[str, str] | None:
    """Return subject, session and, as label, the task of a recording; None for any other path below the tree's root.

    What lies in derivatives/ or sourcedata/ is no raw recording.
    """
    found = _PATH.fullmatch(path)
    return found and found.groupdict(default="")


def stem(path: str) -> str:
    """Return the beginning that a recording's path shares with those of its ``_events.tsv`` and ``_channels.tsv``."""
    return _SUFFIX.sub("", path)


def with_channels(recordings: list[RawRecording], src: Path, paths: list[str]) -> list[RawRecording]:
    """Return the recordings with the channels that their ``channels.tsv`` says are bad or no EEG.

    Raises DareError where such a table cannot be read or names no channels.
    """
    there = tables_of(paths, "_channels.tsv")
    unused = cache(lambda table: _unused(src / table))  # a table higher up is that of many recordings
    found = ["" if raw.skip else inherited(raw.path, there) for raw in recordings]
    return [
        one.model_copy(update={"unused": unused(table)}) if table else one
        for one, table in zip(recordings, found, strict=True)
    ]


def tables_of(paths: list[str], suffix: str) -> Tables:
    """Return the tables of one kind, ``_events.tsv``, among all paths below the tree's root."""
    there: defaultdict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for path in paths:
        if path.endswith(suffix):
            there[PurePosixPath(path).parent].append(PurePosixPath(path))
    return there


def inherited(path: str, there: Tables) -> str:
    """Return the table that holds for a recording by the inheritance principle, "" where there is none.

    It is the nearest, beside the recording or in a folder above, whose every entity the recording has.
    """
    entities = set(PurePosixPath(path).name.split("_"))
    for folder in PurePosixPath(path).parents:
        fitting = [table for table in there.get(folder, []) if entities.issuperset(table.name.split("_")[:-1])]
        if fitting:
            return str(max(fitting, key=lambda table: table.name.count("_")))
    return ""


def _unused(path: Path) -> dict[str, str]:
    """Return, by label, why a channel of this table is no usable electrode; n/a says nothing."""
    remedy = "mend it, or remove it to use all channels"
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise LostError(f"cannot be read ({problem.strerror})", path=path, remedy=remedy) from None
    found = {}
    for row in tables.rows(str(path), content, ["name"], ["type", "status"], remedy):
        kind = row["type"].upper()
        if row["status"].lower() == "bad":
            found[row["name"]] = "bad by channels.tsv"
        elif kind not in ("", "N/A", "EEG"):
            found[row["name"]] = f"{kind} by channels.tsv"
    return found
