"""Schedules: learning rate, Adam's beta1 and the momentum copy's pace, as pure functions of the step."""

import math

WARM_UP = 0.2
"""Share of the steps in which the learning rate rises."""

MOMENTUM_START = 0.996


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the one-cycle rate: from half the peak to the peak, then to a sixteenth (Smith & Topin 2019)."""
    return _one_cycle(step, steps, peak / 2, peak, peak / 16)


def beta1(step: int, steps: int) -> float:
    """Return Adam's beta1, which the published recipe moves against the rate: 0.95 to 0.85 and back."""
    return _one_cycle(step, steps, 0.95, 0.85, 0.95)


def momentum(step: int, steps: int) -> float:
    """Return the share of the momentum copy that stays after a step: from 0.996 straight up to 1."""
    return MOMENTUM_START + (1 - MOMENTUM_START) * step / steps


def _one_cycle(step: int, steps: int, start: float, middle: float, end: float) -> float:
    turn, last = WARM_UP * steps - 1, steps - 1
    if step <= turn:
        return _cosine(start, middle, step / turn if turn > 0 else 1.0)
    return _cosine(middle, end, (step - turn) / (last - turn) if last > turn else 1.0)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
