"""What the Temple University Hospital corpora have in common."""

import re

_RELEASE = re.compile(r"(?:^|/)v(\d+\.\d+\.\d+)/")


def version(paths: list[str], pattern: re.Pattern[str], numbered: str, lettered: str) -> str:
    """Return the release a path names, else the one that the subject ids of ``pattern`` are of, "" for no path.

    Ids were numbers until the end of 2022 and are letters since.
    """
    if named := next(filter(None, map(_RELEASE.search, paths)), None):
        return named[1]
    match = next(filter(None, map(pattern.search, paths)), None)
    return "" if match is None else numbered if match["subject"].isdigit() else lettered
