"""BIDS: the EEG recordings of a Brain Imaging Data Structure tree, by the entities in their names (Pernet 2019)."""

import re

_PATH = re.compile(
    r"sub-(?P<subject>[^/_]+)/(?:ses-(?P<session>[^/_]+)/)?eeg/"
    r"sub-(?P=subject)_(?(session)ses-(?P=session)_)task-(?P<label>[^/_]+)_(?:[a-z]+-[^/_]+_)*"
    r"eeg\.(?i:edf|bdf|set|vhdr|fif)"
)
_SUFFIX = re.compile(r"_eeg\.\w+$")


def match(path: str) -> dict[str, str] | None:
    """Return subject, session and, as label, the task of a recording; None for any other path below the tree's root.

    What lies in derivatives/ or sourcedata/ is no raw recording. ``channels.tsv`` is not asked: a channel marked bad
    there is read as it was recorded.
    """
    found = _PATH.fullmatch(path)
    return found and found.groupdict(default="")


def stem(path: str) -> str:
    """Return the beginning that a recording's path shares with those of its ``_events.tsv`` and ``_channels.tsv``."""
    return _SUFFIX.sub("", path)
