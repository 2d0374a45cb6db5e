"""Schedule: the learning rate and Adam's beta1 of each step of a fit, pure functions of the step."""

import math
from dataclasses import dataclass

from dare_eeg.probing.options import Schedule

_BETA1 = 0.9


@dataclass(frozen=True)
class Rates:
    """How the rate goes in ``steps`` steps: up to ``lr`` in ``warm_up`` of them, then by a cosine to ``min_lr``.

    ``one-cycle`` (Smith & Topin 2019) rises by a cosine from a 25th of it and moves beta1 from 0.95 to 0.85 and back;
    ``cosine`` rises straight from 0.
    """

    schedule: Schedule
    steps: int
    warm_up: float
    lr: float
    min_lr: float

    def at(self, step: int) -> tuple[float, float]:
        """Return the rate and beta1 of a step."""
        if self.schedule == "cosine":
            rise = round(self.warm_up)
            if step < rise:
                return self.lr * step / max(1, rise - 1), _BETA1
            return _cosine(self.lr, self.min_lr, (step - rise) / (self.steps - rise)), _BETA1
        turn, last = max(0.0, self.warm_up - 1), self.steps - 1
        if step <= turn:
            share = step / turn if turn else 1.0
            return _cosine(self.lr / 25, self.lr, share), _cosine(0.95, 0.85, share)
        share = (step - turn) / (last - turn)
        return _cosine(self.lr, self.min_lr, share), _cosine(0.85, 0.95, share)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
