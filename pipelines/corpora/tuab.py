"""TUH Abnormal EEG Corpus: the folder a recording lies in says its split and its class."""

import re
from typing import ClassVar

from pipelines.corpora.base import Totals
from pipelines.corpora.tuh import Temple


class Tuab(Temple):
    """Its v2 and v3 trees; a patient may be in both classes of train."""

    CLASSES = ("normal", "abnormal")
    TOTALS: ClassVar = dict.fromkeys(("2", "3"), Totals(recordings=2993, windows=409_455))
    NUMBERED, LETTERED = "2", "3"
    PATH = re.compile(
        # The innermost folders that fit: a copy of the tree may lie in folders of such names itself.
        r"^(?:.*/)?(?P<split>train|eval)/(?P<label>normal|abnormal)/\d\d_tcp_\w+/(?:[^/]+/)*"
        r"(?P<subject>[a-z]{8}|\d{8})_s(?P<session>\d{3})(?:_t\d{3})?\.(?i:edf)$"
    )
