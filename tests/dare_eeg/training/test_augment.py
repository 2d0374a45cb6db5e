import numpy as np
import pytest
import torch

from dare_eeg.network.masks import draw as draw_masks
from dare_eeg.network.model import SIZES, Network
from dare_eeg.training.augment import AugmentationStrength, draw

STRONG = AugmentationStrength(electrode_drop=0.3, time_drop=0.2, noise=0.5, gain=0.4)
NONE = AugmentationStrength(0, 0, 0, 0)


def test_a_slot_is_disturbed_alike_whatever_stands_beside_it():
    together, alone, other = (draw(7, slots, 5, 640, STRONG) for slots in ([4, 5, 6], [5], [50]))
    for name, value in vars(together).items():
        np.testing.assert_array_equal(value[1:2], getattr(alone, name))
        assert not np.array_equal(value[1:2], getattr(other, name))
    assert not np.array_equal(draw(8, [5], 5, 640, STRONG).noise, alone.noise)


def test_strengths_are_kept():
    augmentation = draw(1, range(300), 10, 500, STRONG)
    dropped = augmentation.factor == 0
    assert dropped.mean() == pytest.approx(0.3, abs=0.03)
    gains = np.log(augmentation.factor[~dropped])
    assert np.abs(gains).max() <= 0.4 + 1e-6
    assert gains.std() == pytest.approx(0.8 / 12**0.5, rel=0.05)
    silent = (~augmentation.kept).sum(axis=1)
    assert silent.max() <= 100
    assert silent.mean() == pytest.approx(50, abs=5)
    assert (np.abs(np.diff(augmentation.kept.astype(int), axis=1)).sum(axis=1) <= 2).all()  # one stretch
    loudness = augmentation.noise.std(axis=(1, 2))
    assert loudness.max() <= 0.5 * 1.05
    assert loudness.mean() == pytest.approx(0.25, abs=0.03)
    white = augmentation.noise / loudness[:, None, None]
    assert np.mean(white**4) == pytest.approx(3, abs=0.05)
    assert abs(np.mean(white[..., 1:] * white[..., :-1])) < 0.01


def test_no_strength_changes_nothing():
    x = torch.randn(4, 5, 640)
    assert torch.equal(draw(0, range(4), 5, 640, NONE)(x), x)


def test_noise_is_in_units_of_the_electrode():
    x = torch.randn(2, 3, 4000) * torch.tensor([1.0, 10, 100])[:, None]
    augmentation = draw(3, [1, 2], 3, 4000, AugmentationStrength(0, 0, 0.5, 0))
    added = (augmentation(x) - x).std(dim=-1) / x.std(dim=-1)
    np.testing.assert_allclose(added, augmentation.noise.std(axis=-1), rtol=1e-3)


def test_what_the_views_must_reach_stays_clean():
    torch.manual_seed(0)
    network, x, masks = Network(SIZES["nano"]), torch.randn(2, 6, 1024), draw_masks(1, 16, 6)
    seen = draw(0, [0, 1], 6, 1024, STRONG)(x)
    clean, noisy = (network(x, torch.arange(6), masks, seen_BCT=each) for each in (None, seen))
    assert torch.equal(clean.h, noisy.h)
    assert torch.equal(clean.y, noisy.y)
    only_seen = network(seen, torch.arange(6), masks)
    for name in ("z1", "z2", "pred", "recon"):
        assert torch.equal(getattr(noisy, name), getattr(only_seen, name))
        assert not torch.allclose(getattr(noisy, name), getattr(clean, name))
