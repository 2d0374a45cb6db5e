import dataclasses

import numpy as np
import pytest
import torch

from dare_eeg.network.losses import (
    activation,
    anchor,
    contrast,
    effective_rank,
    measure,
    reconstruction,
    target_variance,
    total,
)
from dare_eeg.network.model import Outputs
from tests.conftest import relative_error

TEMPERATURE = torch.tensor(0.1)


def some_outputs(windows: int) -> Outputs:
    generator = torch.Generator().manual_seed(5)
    shapes = {"h_raw": (4, 2, 8), "h": (4, 2, 8), "y": (6, 64), "z1": (3, 2, 8), "z2": (3, 2, 8)}
    shapes |= {"pred": (4, 2, 8), "comb": (4, 2, 8), "recon": (6, 64), "proj1": (16,), "proj2": (16,)}
    drawn = {name: torch.randn(windows, *shape, generator=generator) for name, shape in shapes.items()}
    return Outputs(**drawn, present_y=torch.rand(windows, 6, generator=generator) < 0.7)


def first(outputs: Outputs, windows: int) -> Outputs:
    return Outputs(**{f.name: getattr(outputs, f.name)[:windows] for f in dataclasses.fields(outputs)})


@pytest.mark.parametrize("case", ["nano", "nano_edge1", "nano_edge16"])
def test_parts_agree_with_the_reference(golden, case):
    with np.load(golden / f"{case}_io.npz") as stored:
        given = {name: torch.from_numpy(stored[name]) for name in stored.files}
    parts = {
        "loss1": anchor(given["pred"], given["h"]),
        "loss2": reconstruction(given["recon"], given["y"]),
        "loss3": contrast(given["mc_proj1"], given["mc_proj2"], TEMPERATURE),
        "act_reg": activation(given["z1"], given["z2"]),
    }
    for name, value in parts.items():
        assert relative_error(value, given[f"{name}_f64"]) < 1e-5, name


def test_total_weighs_the_parts():
    losses = measure(some_outputs(4), TEMPERATURE)
    expected = losses.reconstruction + losses.anchor + 0.1 * losses.mask + 1e-4 * losses.activation
    assert float(total(losses)) == pytest.approx(float(expected), rel=1e-6)


def test_padded_windows_count_nowhere():
    outputs = some_outputs(7)
    padded = measure(outputs, TEMPERATURE, torch.tensor([1.0, 1, 1, 1, 0, 0, 0]))
    alone = measure(first(outputs, 4), TEMPERATURE)
    for field in dataclasses.fields(alone):
        assert float(getattr(padded, field.name)) == pytest.approx(float(getattr(alone, field.name)), rel=1e-5)


def test_weights_of_one_change_nothing():
    outputs = dataclasses.replace(some_outputs(5), present_y=None)
    weighted, plain = measure(outputs, TEMPERATURE, torch.ones(5)), measure(outputs, TEMPERATURE)
    for field in dataclasses.fields(plain):
        assert float(getattr(weighted, field.name)) == pytest.approx(float(getattr(plain, field.name)), rel=1e-5)


def test_only_present_targets_are_reconstructed():
    outputs = some_outputs(5)
    loss = reconstruction(outputs.recon, outputs.y, outputs.present_y)
    expected = (outputs.recon - outputs.y)[outputs.present_y].square().mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_nothing_to_count_is_zero_and_has_a_gradient():
    recon = torch.randn(2, 3, 64, requires_grad=True)
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    reconstruction(recon, torch.randn(2, 3, 64), nothing).backward()
    assert torch.equal(recon.grad, torch.zeros_like(recon))
    assert measure(some_outputs(3), TEMPERATURE, torch.zeros(3)).mask == 0
    assert reconstruction(torch.zeros(2, 0, 64), torch.zeros(2, 0, 64)) == 0


def test_contrast_tells_the_right_partner_from_the_wrong_one():
    views = torch.eye(4, 16)
    assert float(contrast(views, views, TEMPERATURE)) < 1e-3
    assert float(contrast(views, views.roll(1, dims=0), TEMPERATURE)) > 9
    assert float(contrast(views, 3 * views, TEMPERATURE)) == pytest.approx(float(contrast(views, views, TEMPERATURE)))
    assert contrast(views[:1], -views[:1], TEMPERATURE) == 0


def test_effective_rank_counts_directions():
    full = torch.cat((torch.eye(6), -torch.eye(6)))
    assert float(effective_rank(full)) == pytest.approx(6, rel=1e-6)
    assert float(effective_rank(full[:, :1] * torch.ones(6))) == pytest.approx(1, abs=1e-6)
    assert float(effective_rank(torch.ones(3, 4, 2, 6))) == 1
    uneven = full * torch.tensor([1.0, 0.5, 0, 0, 0, 0])
    assert float(effective_rank(uneven)) == pytest.approx(np.exp(-0.8 * np.log(0.8) - 0.2 * np.log(0.2)))


def test_target_variance_is_zero_at_collapse_and_ignores_means():
    features = torch.randn(50, 16, 2, 8, generator=torch.Generator().manual_seed(0))
    assert float(target_variance(3 * features + 100)) == pytest.approx(9, rel=0.05)
    assert float(target_variance(features[:1, :1, :1].expand(50, 16, 2, 8))) == pytest.approx(0, abs=1e-12)


def _contrast_of_a_rank(rank: int, store: str, views: torch.Tensor, results: str) -> None:
    torch.distributed.init_process_group("gloo", store=torch.distributed.FileStore(store, 2), rank=rank, world_size=2)
    mine = views[:, rank::2].clone().requires_grad_()
    loss = contrast(mine[0], mine[1], TEMPERATURE, across_ranks=True)
    loss.backward()
    torch.save((loss.detach(), mine.grad), f"{results}{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_contrast_all_windows_as_one_does(tmp_path):
    views = torch.randn(2, 10, 32, generator=torch.Generator().manual_seed(0))
    whole = views.clone().requires_grad_()
    loss = contrast(whole[0], whole[1], TEMPERATURE)
    loss.backward()
    given = (str(tmp_path / "store"), views, str(tmp_path / "rank"))
    torch.multiprocessing.spawn(_contrast_of_a_rank, given, nprocs=2)
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert float(sum(part for part, _ in ranks)) / 2 == pytest.approx(loss.item(), rel=1e-6)
    for rank, (_, gradient) in enumerate(ranks):
        # An optimizer step takes the mean over ranks.
        torch.testing.assert_close(gradient / 2, whole.grad[:, rank::2], rtol=1e-5, atol=1e-7)
    alone = contrast(views[0, ::2], views[1, ::2], TEMPERATURE)
    assert alone.item() < loss.item() - 0.1
