"""Objective: which parts a network is trained for, and on what; the published ablations by their number."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Objective:
    """What pretraining asks of a network: all of it, unless a part is taken away or replaced.

    ``anchor`` and ``second_view`` say whether their parts count in the loss. Targets of the reconstruction are
    layer-normed patches, or ``raw_targets``; it reads the prediction of all time patches, ``combined`` with the
    encoder's own features where they are visible, or the ``prediction`` alone.
    """

    anchor: bool = True
    second_view: bool = True
    raw_targets: bool = False
    reconstruct_from: Literal["combined", "prediction"] = "combined"

    @classmethod
    def of_case(cls, case: int) -> "Objective":
        """Return the objective of a published ablation, 1 to 4, or the whole one, 5."""
        return _CASES[case]


WHOLE = Objective()

_CASES = {
    1: Objective(anchor=False),
    2: Objective(raw_targets=True),
    3: Objective(reconstruct_from="prediction"),
    4: Objective(second_view=False),
    5: WHOLE,
}
