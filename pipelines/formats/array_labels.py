"""Array labels: what a variable beside a signal says of its trials or samples, as events."""

import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from manifests.errors import DamagedError, MissingError
from pipelines.formats.matrix import Matrix, Value, digits
from pipelines.formats.sampled import runs
from pipelines.recording import Event, Segment


def spans(path: Path, name: str, value: Value, blocks: Sequence[Sequence[Segment]], sfreq: float) -> list[Event]:
    """Return an event for each span of one label, by the value of the variable of this name.

    It has one for each trial of the blocks, for each block, for each sample, or one for all. Raises DareError where it
    has another number of them, or is no list of labels.
    """
    trials = list(chain.from_iterable(blocks))
    first, num_samples = trials[0], trials[-1].stop - trials[0].start
    if isinstance(value, Matrix) and math.prod(value.shape) == num_samples > len(trials):
        found = runs(value.whole().ravel())
        return [Event(first.onset_s + start / sfreq, (stop - start) / sfreq, text) for start, stop, text in found]
    is_long = isinstance(value, Matrix) and math.prod(value.shape) > len(trials)
    texts = [] if is_long else _texts(path, name, value)
    if len(texts) == len(blocks):
        texts = [text for block, text in zip(blocks, texts, strict=True) for _ in block]
    texts = texts * len(trials) if len(texts) == 1 else texts
    if len(texts) != len(trials):
        count = math.prod(value.shape) if isinstance(value, Matrix) else len(texts)
        reason = f"{name} has {count} labels for {len(trials)} trials in {len(blocks)} variables"
        raise DamagedError(reason, path=path, remedy="axes in [layout.arrays] tells which of them are trials")
    pairs = zip(trials, texts, strict=True)
    return [Event(one.onset_s, (one.stop - one.start) / sfreq, text) for one, text in pairs]


def _texts(path: Path, name: str, value: Value) -> list[str]:
    if isinstance(value, Matrix):
        return [digits(one) for one in value.whole().ravel()]
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        held = [one for item in value for one in (item if isinstance(item, list) else [item])]
        return [" ".join(_texts(path, name, one)) if isinstance(one, Matrix) else str(one) for one in held]
    remedy = "label in [layout.arrays] names what has the labels"
    raise MissingError(f"has no labels {name!r}", path=path, remedy=remedy)
