"""BCI Competition IV data set 2b: GDF sessions, the true labels of each in a .mat file of the same name."""

import io
import re
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from manifests.errors import DareError
from manifests.recipe import Recipe
from pipelines.recording import Recording
from pipelines.source import Source, Totals, no_arrays
from pipelines.windows import Cue

CLASSES: tuple[str, ...] = ("left", "right")
TOTALS = {"": Totals(recordings=45)}

_GDF = re.compile(r"(?:^|/)(?P<stem>B(?P<subject>\d\d)(?P<session>\d\d)(?P<kind>[TE]))\.gdf$", re.IGNORECASE)
_CUE_CLASSES = {"769": 1, "770": 2}
_UNKNOWN_CUE = "783"


def version(paths: list[str]) -> str:
    """Return the one release there is."""
    return "2008"


def find(paths: list[str], recipe: Recipe) -> list[Source]:
    """Return every session; the evaluation sessions (E) are test and need their labels from a .mat file."""
    mats = {PurePosixPath(path).stem.upper(): path for path in reversed(paths) if path.lower().endswith(".mat")}
    return [_source(path, match, mats, recipe) for path in paths if (match := _GDF.search(path))]


arrays = no_arrays


def cues(source: Source, recording: Recording, labels: bytes, recipe: Recipe) -> tuple[list[Cue], str]:
    """Return every cue with its class, rejected trials kept as in the published results.

    Labels come from the .mat where there is one, and must then agree with the cues in number and, in training
    sessions, one by one.
    """
    events = [event for event in recording.events if event.text in (*_CUE_CLASSES, _UNKNOWN_CUE)]
    told = [_CUE_CLASSES.get(event.text, 0) for event in events]
    truth = _classlabel(source.label_file, labels).tolist() if source.label_file else told
    if len(truth) != len(events):
        raise DareError(
            f"{source.path}: {len(events)} cues but {len(truth)} labels in {source.label_file}; get both files again"
        )
    if not events:
        raise DareError(f"{source.path}: holds no cue (769, 770 or 783); get the file again")
    for event, label, code in zip(events, truth, told, strict=True):
        if label not in (1, 2) or code not in (0, label):
            raise DareError(
                f"{source.path}: the cue at {event.onset_s:.3f} s is {event.text}, its label {label}; "
                f"check that {source.label_file or 'the file'} belongs to this session"
            )
    return [Cue(event.onset_s, label - 1) for event, label in zip(events, truth, strict=True)], ""


def _source(path: str, match: re.Match[str], mats: dict[str, str], recipe: Recipe) -> Source:
    stem = match["stem"].upper()
    evaluation = match["kind"].upper() == "E"
    lacks = f"true labels: there is no {stem}.mat below --src" if evaluation and stem not in mats else ""
    return Source(
        path=path,
        subject=f"{recipe.namespace}:B{match['subject']}",
        session=f"{match['session']}{match['kind'].upper()}",
        test=evaluation,
        label_file=mats.get(stem, ""),
        lacks=lacks,
    )


def _classlabel(name: str, content: bytes) -> NDArray[np.int64]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return np.ravel(loadmat(io.BytesIO(content), variable_names=["classlabel"])["classlabel"]).astype(np.int64)
    except (MatReadError, ValueError, TypeError, KeyError, NotImplementedError, OSError) as problem:
        raise DareError(f"{name}: holds no classlabel ({problem}); get the true labels again") from problem
