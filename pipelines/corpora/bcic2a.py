"""BCI Competition IV data set 2a: four movements imagined, over 22 electrodes that the files do not name."""

import re

from pipelines.corpora.bcic import Graz
from pipelines.source import Totals

CLASSES: tuple[str, ...] = ("left", "right", "feet", "tongue")
TOTALS = {"": Totals(recordings=18, windows=5184)}

# The official figure of the montage; 17 of them are labelled EEG.
_MONTAGE = tuple("Fz FC3 FC1 FCz FC2 FC4 C5 C3 C1 Cz C2 C4 C6 CP3 CP1 CPz CP2 CP4 P1 Pz P2 POz".split())

_GRAZ = Graz(
    CLASSES,
    gdf=re.compile(r"(?:^|/)(?P<stem>(?P<subject>A\d\d)(?P<session>[TE]))\.gdf$", re.IGNORECASE),
    bnci=re.compile(r"(?:^|/)(?P<subject>A\d\d)(?P<session>[TE])\.mat$", re.IGNORECASE),
    columns=(*_MONTAGE, "EOG-left", "EOG-central", "EOG-right"),
    cue_s=2.0,
    montage=_MONTAGE,
)

version = _GRAZ.version
find = _GRAZ.find
arrays = _GRAZ.arrays
cues = _GRAZ.cues
understands = _GRAZ.understands
