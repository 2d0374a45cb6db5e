"""BCI Competition IV data set 2b: left or right hand imagined, over three bipolar derivations."""

import re

from pipelines.corpora.bcic import Graz
from pipelines.source import Totals

CLASSES: tuple[str, ...] = ("left", "right")
TOTALS = {"2008": Totals(recordings=45, windows=6520), "BNCI": Totals(recordings=18, windows=6520)}

_GRAZ = Graz(
    CLASSES,
    gdf=re.compile(r"(?:^|/)(?P<stem>(?P<subject>B\d\d)(?P<session>\d\d[TE]))\.gdf$", re.IGNORECASE),
    # One file for the three sessions of training, one for the two of evaluation.
    bnci=re.compile(r"(?:^|/)(?P<subject>B\d\d)(?P<session>[TE])\.mat$", re.IGNORECASE),
    columns=("C3", "Cz", "C4", "EOG:ch01", "EOG:ch02", "EOG:ch03"),
    cue_s=3.0,
)

version = _GRAZ.version
find = _GRAZ.find
arrays = _GRAZ.arrays
cues = _GRAZ.cues
understands = _GRAZ.understands
