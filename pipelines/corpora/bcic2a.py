"""BCI Competition IV data set 2a: four movements imagined, over 22 electrodes that the files do not name."""

import re
from typing import ClassVar

from pipelines.corpora.base import Totals
from pipelines.corpora.bcic import Graz

# The official figure; 17 of them are labelled EEG.
_MONTAGE = tuple("Fz FC3 FC1 FCz FC2 FC4 C5 C3 C1 Cz C2 C4 C6 CP3 CP1 CPz CP2 CP4 P1 Pz P2 POz".split())


class Bcic2a(Graz):
    """Nine subjects with two sessions each."""

    CLASSES = ("left", "right", "feet", "tongue")
    TOTALS: ClassVar = {"": Totals(recordings=18, windows=5184)}
    GDF = re.compile(r"(?:^|/)(?P<stem>(?P<subject>A\d\d)(?P<session>[TE]))\.gdf$", re.IGNORECASE)
    BNCI = re.compile(r"(?:^|/)(?P<subject>A\d\d)(?P<session>[TE])\.mat$", re.IGNORECASE)
    COLUMNS = (*_MONTAGE, "EOG-left", "EOG-central", "EOG-right")
    CUE_S = 2.0
    MONTAGE = _MONTAGE
