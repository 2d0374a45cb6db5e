"""Positions: where on the head electrodes are, from the table of the 10-05 system in ``positions.tsv``."""

from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from manifests.electrodes import canonical

_NOWHERE = (np.nan, np.nan, np.nan)


def positions(names: Sequence[str]) -> NDArray[np.float64]:
    """Return the head coordinates (n, 3) of electrodes in metres, aliases resolved: x right, y to the nose, z up.

    They are those of one template head (Colin27), not of a subject's. A name without a place on it, such as a
    derivation, is a row of NaN.
    """
    return np.array([_table().get(canonical(name), _NOWHERE) for name in names]).reshape(-1, 3)


@cache
def _table() -> dict[str, tuple[float, ...]]:
    lines = (resources.files("manifests") / "positions.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {name: tuple(map(float, place)) for name, *place in rows}
