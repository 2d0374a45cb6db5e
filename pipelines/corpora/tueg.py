"""TUH EEG Corpus: all recordings of the hospital, without labels; the other TUH corpora are parts of it."""

import re
from typing import ClassVar

from pipelines.corpora.base import Totals
from pipelines.corpora.tuh import MONTAGE, SESSION, STEM, SUBJECT, Temple


class Tueg(Temple):
    """Its v2 tree, and the v1 tree, where folders of montages come first."""

    TOTALS: ClassVar = {"2.0.0": Totals(recordings=69_652)}
    PATH = re.compile(rf"(?:^|/)edf/(?:{MONTAGE}/)?\d{{3}}/{SUBJECT}/{SESSION}/(?:{MONTAGE}/)?{STEM}")
