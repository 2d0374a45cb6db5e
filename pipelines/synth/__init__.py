"""Small believable corpora, each in the folders, names and file formats of the real one."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from manifests.errors import UsageError
from pipelines.synth import (
    bcic,
    bnci,
    chbmit,
    eegmat,
    eegmmidb,
    emotion,
    hgd,
    m3cv,
    sleepedf,
    ssvep,
    tuab,
    tuar,
    tueg,
    tuev,
    tusl,
    tusz,
    workload,
)


class _Corpus(NamedTuple):
    write: Callable[[Path, int, float, int], list[Path]]
    subjects: range
    min_seconds: float


_CORPORA = {
    "tuab": _Corpus(tuab.write, range(4, 2001), 10.0),
    "tuev": _Corpus(tuev.write, range(4, 1001), 30.0),
    "bcic2b": _Corpus(bcic.write_2b, range(1, 10), 10.0),
    "physionetmi": _Corpus(eegmmidb.write, range(1, 110), 20.0),
    "tusz": _Corpus(tusz.write, range(4, 10_001), 30.0),
    "tuar": _Corpus(tuar.write, range(2, 10_001), 45.0),
    "tusl": _Corpus(tusl.write, range(2, 10_001), 36.0),
    "tueg": _Corpus(tueg.write, range(1, 10_001), 10.0),
    "bcic2a": _Corpus(bcic.write_2a, range(1, 10), 10.0),
    "bcic2a-bnci": _Corpus(bnci.write_2a, range(1, 10), 10.0),
    "bcic2b-bnci": _Corpus(bnci.write_2b, range(1, 10), 10.0),
    "hgd": _Corpus(hgd.write, range(1, 15), 31.0),
    "sleepedf": _Corpus(sleepedf.write, range(1, 81), 10.0),
    "chbmit": _Corpus(chbmit.write, range(1, 24), 40.0),
    "eegmat": _Corpus(eegmat.write, range(1, 37), 10.0),
    "seed": _Corpus(emotion.write_seed, range(1, 16), 10.0),
    "seediv": _Corpus(emotion.write_seediv, range(1, 16), 10.0),
    "tsu": _Corpus(ssvep.write, range(1, 36), 12.0),
    "m3cv": _Corpus(m3cv.write, range(1, 107), 16.0),
    "pbciw": _Corpus(workload.write_pbciw, range(1, 16), 10.0),
    "cogbci": _Corpus(workload.write_cogbci, range(1, 30), 10.0),
}


def write(corpus: str, out: Path, subjects: int, seconds: float, seed: int) -> list[Path]:
    """Write a synthetic corpus below ``out`` and return every file written, in order.

    ``subjects`` counts all splits together; ``seconds`` is the length of a recording, cut to whole seconds. For every
    eight of them bcic2a and bcic2b have a trial, and for each of them sleepedf an epoch of half a minute; eegmat rests
    three times as long, and no film of seed and seediv is shorter than 10 s. The same arguments give the same bytes.
    Raises DareError for an unknown corpus, for fewer or more subjects or a shorter recording than the corpus can have,
    and for an ``out`` in use.
    """
    if corpus not in _CORPORA:
        raise UsageError("no synthetic corpus", path=corpus, remedy=f"choose {', '.join(_CORPORA)}")
    wanted = _CORPORA[corpus]
    if subjects not in wanted.subjects:
        remedy = f"give {wanted.subjects[0]} to {wanted.subjects[-1]}"
        raise UsageError(f"is not written with {subjects} subjects", path=corpus, remedy=remedy)
    if not seconds >= wanted.min_seconds:
        remedy = f"give {wanted.min_seconds:g} s or longer"
        raise UsageError(f"is not written with recordings of {seconds:g} s", path=corpus, remedy=remedy)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("is not an empty folder", path=out, remedy="name a new one")
    return wanted.write(out, subjects, seconds, seed)
