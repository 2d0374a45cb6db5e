import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.pretrain import fixed_masks, plain_forward
from dare_eeg.network.blocks import Linear, RotaryTime, attend, initialise, linear, rotate
from dare_eeg.network.model import SIZES, Encoder, Network
from manifests.electrodes import PRETRAIN_58, ids
from tests.conftest import relative_error


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    width=st.integers(1, 40),
    out=st.integers(1, 40),
    skipped=st.integers(0, 2),
)
def test_linear_and_its_gradients_are_those_of_float64(shape, width, out, skipped):
    generator = torch.Generator().manual_seed(width * 41 + out)
    longer = (*shape[:-1], shape[-1] + skipped, width)
    sizes = (longer, (out, width), (out,))
    given_ = [torch.randn(size, generator=generator, requires_grad=True) for size in sizes]
    double = [each.detach().double().requires_grad_() for each in given_]
    wanted = torch.randn((*shape, out), generator=generator)
    results = []
    for (x, weight, bias), layer in ((given_, linear), (double, F.linear)):
        y = layer(x[..., skipped:, :], weight, bias)
        (y * wanted).sum().backward()
        results.append([y, x.grad, weight.grad, bias.grad])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want.float(), rtol=1e-4, atol=1e-4)


def test_a_frozen_layer_hands_gradients_on_and_takes_none():
    layer = Linear(4, 3).requires_grad_(False)
    x = torch.randn(2, 5, 4, requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(dim=0).expand_as(x))
    assert layer.weight.grad is None
    assert layer.bias.grad is None


def test_autocast_decides_the_precision_of_linear():
    layer, x = Linear(4, 3), torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert layer(x).dtype == torch.float32


@pytest.mark.parametrize("head_width", [16, 64])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_in_bfloat16_is_that_of_float32_within_its_precision(head_width, masked):
    generator = torch.Generator().manual_seed(0)
    mask = None
    if masked:
        mask = torch.rand((3, 1, 1, 20), generator=generator) < 0.5
        mask[..., 0] = True
    exact = [torch.randn((3, 2, 20, head_width), generator=generator, requires_grad=True) for _ in range(3)]
    rounded = [each.detach().bfloat16().requires_grad_() for each in exact]
    wanted = torch.randn((3, 2, 20, head_width), generator=generator)
    results = []
    for q, k, v in (rounded, exact):
        mixed = attend(q, k, v, mask)
        assert mixed.dtype == v.dtype
        (mixed.float() * wanted).sum().backward()
        results.append([mixed, q.grad, k.grad, v.grad])
    for got, want in zip(*results, strict=True):
        assert relative_error(got.float(), want.detach().numpy()) < 0.02
    if masked:
        denied = ~mask.expand(3, 2, 20, 20)[:, :, 0]
        assert not results[0][3][denied].any()


def test_rotation_turns_pairs_of_the_first_half_by_its_angles():
    embed = RotaryTime(16)
    x = torch.randn(2, 3, 5, 16, generator=torch.Generator().manual_seed(0))
    time = torch.tensor([0, 1, 7, 15, 40])
    turned = rotate(x, embed(time)).numpy()
    angle = (time.numpy()[:, None] / 2) * 10000.0 ** (-np.arange(0, 8, 2) / 8)
    even, odd = x.numpy()[..., 0:8:2], x.numpy()[..., 1:8:2]
    np.testing.assert_allclose(turned[..., 0:8:2], even * np.cos(angle) - odd * np.sin(angle), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(turned[..., 1:8:2], even * np.sin(angle) + odd * np.cos(angle), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(turned[..., 8:], x.numpy()[..., 8:])


def test_the_network_computes_what_plain_steps_do():
    torch.manual_seed(0)
    network, masks, electrode_ids = Network(SIZES["nano"]), fixed_masks(), torch.tensor(ids(PRETRAIN_58))
    x = torch.randn(2, 58, 1024)
    ours, plain = network(x, electrode_ids, masks), plain_forward(network, x, electrode_ids, masks)
    for name, value in vars(plain).items():
        if value is not None:
            assert relative_error(getattr(ours, name), value.detach().numpy()) < 1e-5, name


def test_a_layer_that_is_wrapped_computes_what_it_does_alone():
    torch.manual_seed(0)
    encoder, x, electrode_ids = Encoder(SIZES["nano"]), torch.randn(2, 6, 256), torch.arange(6)
    initialise(encoder)
    alone = encoder(x, electrode_ids).detach().numpy()
    attention = encoder.blocks[-1].attn
    attention.qkv = torch.nn.Sequential(attention.qkv)
    assert relative_error(encoder(x, electrode_ids), alone) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"])
def test_an_adapter_around_any_layer_of_the_last_block_changes_the_features(layer):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    encoder, x, electrode_ids = Encoder(SIZES["nano"]), torch.randn(2, 6, 256), torch.arange(6)
    initialise(encoder)
    plain = encoder(x, electrode_ids)
    adapters = peft.LoraConfig(target_modules=[f"blocks.1.{layer}"], init_lora_weights=False)  # else B is 0
    peft.inject_adapter_in_model(adapters, encoder)
    assert relative_error(encoder(x, electrode_ids), plain.detach().numpy()) > 0.01
    trained = {name for name, parameter in encoder.named_parameters() if "lora_" in name and parameter.requires_grad}
    encoder(x, electrode_ids).square().sum().backward()
    assert len(trained) == 2
    assert all(encoder.get_parameter(name).grad.abs().max() > 0 for name in trained)
