"""BCI Competition IV data set 2b: left or right hand imagined, over three bipolar derivations."""

import re
from typing import ClassVar

from pipelines.corpora.base import Totals
from pipelines.corpora.bcic import Graz


class Bcic2b(Graz):
    """Nine subjects with five sessions each, which the BNCI has as one file of training and one of evaluation."""

    CLASSES = ("left", "right")
    TOTALS: ClassVar = {"2008": Totals(recordings=45, windows=6520), "BNCI": Totals(recordings=18, windows=6520)}
    GDF = re.compile(r"(?:^|/)(?P<stem>(?P<subject>B\d\d)(?P<session>\d\d[TE]))\.gdf$", re.IGNORECASE)
    BNCI = re.compile(r"(?:^|/)(?P<subject>B\d\d)(?P<session>[TE])\.mat$", re.IGNORECASE)
    COLUMNS = ("C3", "Cz", "C4", "EOG:ch01", "EOG:ch02", "EOG:ch03")
    CUE_S = 3.0
