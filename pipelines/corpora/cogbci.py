"""COG-BCI (Hinss 2023): twelve recordings a session of workload, vigilance, conflict and rest, as EEGLAB files."""

import re
from typing import ClassVar

from manifests.plan import RawRecording
from manifests.recipe import Recipe
from pipelines.corpora.base import Corpus, Totals

_PATH = re.compile(
    r"(?:^|/)(?P<subject>sub-\d\d)/ses-(?P<session>S\d)/eeg/"
    r"(?:MATB(?:easy|med|diff)|(?:zero|one|two)BACK|PVT|Flanker|RS_(?:Beg|End)_E[OC])\.set$",
    re.IGNORECASE,  # RS_End_Ec
)


class CogBci(Corpus):
    """Recordings of 29 subjects in three sessions each, taken as unlabelled."""

    RELEASE = "2023"
    TOTALS: ClassVar = {"": Totals(recordings=1044)}

    def find(self, paths: list[str], recipe: Recipe) -> list[RawRecording]:
        """Return every recording, all tasks alike."""
        return [
            RawRecording(
                path=path, subject=f"{recipe.namespace}:{match['subject'].lower()}", session=match["session"].upper()
            )
            for path in paths
            if (match := _PATH.search(path))
        ]
