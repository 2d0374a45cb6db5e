"""An ideal spherical head: where the electrodes of the 10-10 system sit and how far a source reaches.

The midline from Fpz to Oz is cut every 18 degrees, the ring through Fpz, T7 and Oz likewise, and each row of
electrodes lies on the arc from its midline point to its point on the ring (Oostenveld & Praamstra 2001).
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from manifests.electrodes import canonical

Vector = NDArray[np.float64]

_STEP_RAD = np.deg2rad(18.0)
_ROWS_FRONT_TO_BACK = ("FP", "AF", "F", "FC FT", "C T", "CP TP", "P", "PO", "O", "I")
_ROWS = {name: row for row, names in enumerate(_ROWS_FRONT_TO_BACK) for name in names.split()}
_CLINICAL_SITES = {"A1": "T9", "A2": "T10", "T1": "FT9", "T2": "FT10", "LOC": "AF9", "ROC": "AF10"}
"""Sites outside the 10-10 system, by their nearest 10-10 neighbour."""


def directions(electrodes: Sequence[str]) -> Vector:
    """Return the unit vectors (C, 3) of electrodes: x to the right, y to the front, z up.

    Old names are resolved. Raises KeyError for a name outside the 10-10 system.
    """
    return np.stack([_direction(canonical(name)) for name in electrodes])


def reach(electrodes: Sequence[str], site: str, width_rad: float = 0.5) -> Vector:
    """Return the gains (C,) of a source under ``site``: 1 at the site, Gaussian in the angle from it."""
    cosine = np.clip(directions(electrodes) @ directions([site])[0], -1.0, 1.0)
    return np.asarray(np.exp(-0.5 * (np.arccos(cosine) / width_rad) ** 2))


def spatial_mixing(electrodes: Sequence[str], length_rad: float = 0.8) -> Vector:
    """Return the matrix (C, C) that correlates independent sources by exp(-angle / length) over the scalp."""
    heading = directions(electrodes)
    angle = np.arccos(np.clip(heading @ heading.T, -1.0, 1.0))
    # Two electrodes of one site would make the matrix singular; a hundredth of own noise keeps them apart.
    correlation = 0.99 * np.exp(-angle / length_rad)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(np.linalg.cholesky(correlation))


def _direction(name: str) -> Vector:
    site = re.fullmatch(r"([A-Z]+?)(Z|\d+)", _CLINICAL_SITES.get(name, name))
    if site is None or site[1] not in _ROWS:
        raise KeyError(f"not a site of the 10-10 system: {name}")
    row, column = _ROWS[site[1]], site[2]
    midline = _on_sphere(0.0, np.pi / 2 - (4 - row) * _STEP_RAD)
    if column == "Z":
        return midline
    side = 1 if int(column) % 2 == 0 else -1
    ring = _on_sphere(side * (row + 1) * _STEP_RAD, _STEP_RAD)
    # The short rows Fp and O have only their ring electrodes, numbered 1 and 2.
    share = 1.0 if site[1] in ("FP", "O") else (int(column) + 1) // 2 / 4
    return _along_arc(midline, ring, share)


def _on_sphere(azimuth_rad: float, elevation_rad: float) -> Vector:
    level = np.cos(elevation_rad)
    return np.array([level * np.sin(azimuth_rad), level * np.cos(azimuth_rad), np.sin(elevation_rad)])


def _along_arc(start: Vector, stop: Vector, share: float) -> Vector:
    angle = np.arccos(start @ stop)
    weights = np.sin([(1 - share) * angle, share * angle]) / np.sin(angle)
    return np.asarray(weights @ np.stack([start, stop]))
