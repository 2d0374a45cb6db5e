"""Schedules, judged by the scheduler that the published recipe used."""

import numpy as np
import pytest
import torch

from dare_eeg.training import schedule


def one_cycle(steps: int, peak: float) -> list[tuple[float, float]]:
    """Return (learning rate, beta1) of every step by torch's scheduler."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak, total_steps=steps, pct_start=0.2, div_factor=2, final_div_factor=8,
        base_momentum=0.85, max_momentum=0.95,
    )  # fmt: skip
    told = []
    for _ in range(steps):
        told.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"][0]))
        optimizer.step()
        if len(told) < steps:
            cycle.step()
    return told


@pytest.mark.parametrize("steps", [6, 7, 10, 33, 1000])
@pytest.mark.parametrize("peak", [5e-4, 2e-3])
def test_rate_and_beta1_are_those_of_one_cycle_at_every_step(steps: int, peak: float) -> None:
    for step, (rate, beta1) in enumerate(one_cycle(steps, peak)):
        assert schedule.learning_rate(step, steps, peak) == pytest.approx(rate, rel=1e-9), step
        assert schedule.beta1(step, steps) == pytest.approx(beta1, rel=1e-9), step


def test_rate_goes_from_half_the_peak_to_it_and_to_a_sixteenth() -> None:
    rates = [schedule.learning_rate(step, 100, 5e-4) for step in range(100)]
    assert (rates[0], max(rates), rates[-1]) == pytest.approx((2.5e-4, 5e-4, 3.125e-5))
    assert rates.index(max(rates)) == 19


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_the_shortest_runs_have_rates_within_the_cycle(steps: int) -> None:
    for step in range(steps):
        assert 1 / 16 <= schedule.learning_rate(step, steps, 1.0) <= 1
        assert 0.85 <= schedule.beta1(step, steps) <= 0.95


def test_momentum_rises_straight_from_its_start_to_one() -> None:
    paces = [schedule.momentum(step, 50) for step in range(51)]
    np.testing.assert_allclose(paces, np.linspace(0.996, 1.0, 51), rtol=1e-12)
