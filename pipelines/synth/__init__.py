"""Small believable corpora, each in the folders, names and file formats of the real one."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from manifests.errors import DareError
from pipelines.synth import bcic, eegmmidb, tuab, tuev


class _Corpus(NamedTuple):
    write: Callable[[Path, int, float, int], list[Path]]
    subjects: range
    min_seconds: float


_CORPORA = {
    "tuab": _Corpus(tuab.write, range(4, 2001), 10.0),
    "tuev": _Corpus(tuev.write, range(4, 1001), 30.0),
    "bcic2b": _Corpus(bcic.write, range(1, 10), 10.0),
    "physionetmi": _Corpus(eegmmidb.write, range(1, 110), 20.0),
}


def write(corpus: str, out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write a synthetic corpus below ``out`` and return every file written, in order.

    ``subjects`` counts all splits together; ``seconds`` is the length of a recording, cut to whole seconds,
    and for bcic2b a trial for every eight of them. The same arguments give the same bytes. Raises DareError
    for an unknown corpus, for fewer or more subjects or a shorter recording than the corpus can have, and for
    an ``out`` in use.
    """
    if corpus not in _CORPORA:
        raise DareError(f"no synthetic corpus {corpus!r}: choose {', '.join(_CORPORA)}")
    wanted = _CORPORA[corpus]
    if subjects not in wanted.subjects:
        raise DareError(
            f"{corpus} is written with {wanted.subjects[0]} to {wanted.subjects[-1]} subjects, not {subjects}"
        )
    if not seconds >= wanted.min_seconds:
        raise DareError(f"{corpus} needs recordings of {wanted.min_seconds:g} s or longer, not {seconds:g} s")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DareError(f"{out} is not an empty folder: name a new one")
    return wanted.write(out, subjects, seconds, seed)
