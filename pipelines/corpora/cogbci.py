"""COG-BCI (Hinss 2023): twelve recordings a session of workload, vigilance, conflict and rest, as EEGLAB files."""

import re

from manifests.recipe import Recipe
from pipelines.source import Source, Totals, no_arrays, no_cues

CLASSES: tuple[str, ...] = ()
TOTALS = {"": Totals(recordings=1044)}

_PATH = re.compile(
    r"(?:^|/)(?P<subject>sub-\d\d)/ses-(?P<session>S\d)/eeg/"
    r"(?:MATB(?:easy|med|diff)|(?:zero|one|two)BACK|PVT|Flanker|RS_(?:Beg|End)_E[OC])\.set$",
    re.IGNORECASE,  # RS_End_Ec
)


def version(paths: list[str]) -> str:
    """Return the one release there is."""
    return "2023"


def find(paths: list[str], recipe: Recipe) -> list[Source]:
    """Return every recording, all tasks alike."""
    return [
        Source(path=path, subject=f"{recipe.namespace}:{match['subject'].lower()}", session=match["session"].upper())
        for path in paths
        if (match := _PATH.search(path))
    ]


arrays = no_arrays
cues = no_cues
