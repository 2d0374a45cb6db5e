"""Reference: of which sum of a file's electrodes each row of a set is made.

A row is an electrode as recorded, a bipolar derivation, or a spherical spline through the others (Perrin 1989); what is
common to all rows, an average or the linked ears, is taken off each.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from manifests.electrodes import LINKED_EARS, derivation
from manifests.errors import MissingError
from manifests.recipe import Recipe

Weights = dict[str, float]
"""A sum over electrodes of the file, by name."""


@dataclass(frozen=True)
class Montage:
    """The sum behind each of the recipe's electrodes, None where it is absent, and the sum taken off them all."""

    rows: tuple[Weights | None, ...]
    common: Weights
    interpolated: tuple[str, ...]


def montage(usable: Collection[str], recipe: Recipe, planned: Collection[str] | None = None) -> Montage:
    """Return how the usable electrodes of a file become the recipe's, or those of them that are ``planned``.

    Raises DareError where none does, or where the recipe requires one, or a reference, that is not there.
    """
    wanted = recipe.electrodes if planned is None else planned
    rows = {name: _as_recorded(name, usable) if name in wanted else None for name in recipe.electrodes}
    absent = [name for name, row in rows.items() if row is None]
    if len(absent) == len(rows):
        raise MissingError("no usable electrode")
    if recipe.missing in ("require", "published-strict") and absent:
        raise MissingError(f"lacks {', '.join(absent)}", remedy="take the recording with --set missing=mask")
    splines: dict[str, Weights] = {}
    if recipe.missing == "interpolate":
        splines = _splines(tuple(name for name in rows if name not in absent), tuple(absent))
    return Montage(tuple((rows | splines).values()), _common(rows, usable, recipe), tuple(splines))


def _as_recorded(name: str, usable: Collection[str]) -> Weights | None:
    if name in usable:
        return {name: 1.0}
    pair = derivation(name)
    if pair and all(part in usable for part in pair):
        return dict(zip(pair, (1.0, -1.0), strict=True))
    return None


def _common(rows: dict[str, Weights | None], usable: Collection[str], recipe: Recipe) -> Weights:
    if recipe.reference == "average":
        recorded = [name for name, row in rows.items() if row == {name: 1.0}]
        return dict.fromkeys(recorded, 1 / max(1, len(recorded)))
    if recipe.reference == "linked ears":
        if lacking := [name for name in LINKED_EARS if name not in usable]:
            raise MissingError(
                f"lacks {', '.join(lacking)} of the linked ears", remedy="choose another with --set reference=average"
            )
        return dict.fromkeys(LINKED_EARS, 0.5)
    return {}


@lru_cache(maxsize=64)
def _splines(present: tuple[str, ...], absent: tuple[str, ...]) -> dict[str, Weights]:
    """Return the weights over the present of each absent electrode, of those that have a place on the head."""
    import mne

    places = mne.channels.make_standard_montage("colin27_1005")
    spelt = {name.upper(): name for name in places.ch_names}
    known, wanted = ([name for name in names if name in spelt] for names in (present, absent))
    if len(known) < 4 or not wanted:
        return {}
    info = mne.create_info([spelt[name] for name in known + wanted], 1.0, "eeg")
    unit = np.eye(len(known) + len(wanted), len(known))
    raw = mne.io.RawArray(unit, info, verbose="error").set_montage(places)
    raw.info["bads"] = [spelt[name] for name in wanted]
    weights: NDArray[np.float64] = raw.interpolate_bads(reset_bads=False, verbose="error").get_data()[len(known) :]
    return {name: dict(zip(known, row.tolist(), strict=True)) for name, row in zip(wanted, weights, strict=True)}
