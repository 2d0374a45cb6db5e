import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dare_eeg
from dare_eeg.network.blocks import initialise, rotate
from dare_eeg.network.losses import measure, total
from dare_eeg.network.masks import Masks, Rules, draw
from dare_eeg.network.model import SIZES, Encoder, Network, Outputs, Size, cut_patches, infer_size
from manifests.electrodes import PRETRAIN_58, ids
from tests.conftest import relative_error

TINY = Size("custom", 32, 2, (2, 1, 2), 4)

PARAMETERS = {
    # encoder, predictor, reconstructor, contrastive head, trained, all
    "nano": (108_288, 108_484, 212_420, 164_608, 593_792, 702_088),
    "light": (1_206_272, 1_223_048, 1_222_728, 197_376, 3_849_408, 5_055_696),
    "small": (4_771_840, 4_870_928, 4_837_456, 262_912, 14_743_104, 19_514_976),
    "base": (6_352_128, 6_451_216, 6_416_976, 656_128, 19_876_416, 26_228_576),
    "deep": (25_287_168, 25_747_472, 25_547_856, 1_180_416, 77_762_880, 103_050_080),
}


def fixed_numbers(path: Path) -> set[str]:
    """Return where a file says what the network fixes: its rate of 256 Hz, its crop of 1024 samples, patches of 64."""
    said = set()
    for node in ast.walk(ast.parse(path.read_text())):
        is_rate_or_crop = isinstance(node, ast.Constant) and repr(node.value) in ("256.0", "1024")
        is_patch = isinstance(node, ast.BinOp) and "64" in (ast.unparse(node.left), ast.unparse(node.right))
        if is_rate_or_crop or is_patch or (isinstance(node, ast.Assign) and ast.unparse(node) == "PATCH = 64"):
            said.add(f"{path.name}: {ast.unparse(node)}")
    return said


def test_the_numbers_that_the_network_fixes_stand_once():
    said = set().union(*(fixed_numbers(path) for path in Path(dare_eeg.__file__).parent.rglob("*.py")))
    assert said == {"constants.py: 256.0", "constants.py: 1024", "constants.py: PATCH = 64"}


@pytest.fixture(scope="module")
def published(golden):
    """The network with the reference weights."""
    state = torch.load(golden / "nano.ckpt", weights_only=True)["state_dict"]
    network = Network(infer_size(state))
    network.load_state_dict(state, strict=True)
    return network


@pytest.fixture(scope="module", params=["nano", "nano_edge1", "nano_edge16"])
def case(request, golden):
    with np.load(golden / f"{request.param}_io.npz") as stored:
        return dict(stored)


def rough() -> Network:
    """Return a small network in which every tensor matters."""
    torch.manual_seed(3)
    network = Network(TINY)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad or parameter.dim() > 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.fixture
def tiny():
    """A small network with a batch of 5 electrodes and its masks."""
    network = rough()
    x = torch.randn(4, 6, 5 * 64)
    masks = draw(11, 5, 6, Rules(None))
    return network, x, torch.tensor(ids(["C3", "FP1", "O2", "T7", "CZ", "PZ"])), masks


def run_case(network: Network, case: dict) -> Outputs:
    masks = Masks(case["mask_x"], case["mask_x2"], case["mask_y"])
    return network(torch.tensor(case["x"]), torch.tensor(case["chan_ids"][0]), masks)


def tensors(outputs: Outputs) -> dict[str, torch.Tensor]:
    values = {field.name: getattr(outputs, field.name) for field in dataclasses.fields(outputs)}
    return {name: value for name, value in values.items() if value is not None}


def test_every_output_agrees_with_the_reference(published, case):
    outputs = run_case(published, case)
    reference = {"h_raw": "tgt_full", "proj1": "mc_proj1", "proj2": "mc_proj2"}
    for name, value in tensors(outputs).items():
        assert relative_error(value, case[reference.get(name, name)]) < 1e-5, name


def test_the_parts_agree_with_the_reference_on_their_own(published, case):
    x, electrode_ids = torch.tensor(case["x"]), torch.tensor(case["chan_ids"][0])
    parts = {
        "patch_embed": published.encoder.patch_embed(cut_patches(x))[:, :2, :4],
        "enc_full": published.encoder(x, electrode_ids),
        "tgt_masked": published.target_encoder(x, electrode_ids, torch.tensor(case["mask_x"])),
        "pred_nomask": published.predictor(torch.tensor(case["tgt_full"]), torch.arange(16), 16)[0],
    }
    for name, value in parts.items():
        assert relative_error(value, case[name]) < 1e-5, name


def test_losses_end_to_end_agree_with_the_reference(published, case):
    losses = measure(run_case(published, case), published.loss_mc.temperature)
    reference = {"anchor": "loss1", "reconstruction": "loss2", "mask": "loss3", "activation": "act_reg"}
    for part, name in reference.items():
        assert relative_error(getattr(losses, part), case[name]) < 1e-5, part
    assert relative_error(total(losses), case["total"]) < 1e-5


def test_gradients_agree_with_the_reference(published, golden):
    with np.load(golden / "nano_io.npz") as stored:
        outputs = run_case(published, dict(stored))
    published.zero_grad()
    total(measure(outputs, published.loss_mc.temperature)).backward()
    gradients = {name: p.grad for name, p in published.named_parameters() if p.grad is not None}
    with np.load(golden / "nano_grads.npz") as reference:
        assert gradients.keys() == set(reference.files)
        for name, gradient in gradients.items():
            assert relative_error(gradient, reference[name]) < 1e-5, name


def test_momentum_copy_moves_as_in_the_reference(golden):
    before = torch.load(golden / "nano.ckpt", weights_only=True)["state_dict"]
    after = torch.load(golden / "nano_after_step.ckpt", weights_only=True)["state_dict"]
    network = Network(SIZES["nano"])
    network.load_state_dict({**before, **{k: v for k, v in after.items() if k.startswith("encoder.")}})
    network.update_target(0.996)
    moved = network.target_encoder.state_dict()
    assert any(not torch.equal(moved[name], before[f"target_encoder.{name}"]) for name in moved)
    for name, value in moved.items():
        torch.testing.assert_close(value, after[f"target_encoder.{name}"], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", SIZES)
def test_parameter_counts_are_the_published_ones(name):
    with torch.device("meta"):
        network = Network(SIZES[name])
    parts = (network.encoder, network.predictor, network.reconstructor, network.loss_mc)
    counts = [sum(p.numel() for p in part.parameters()) for part in parts]
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    everything = sum(p.numel() for p in network.parameters())
    assert (*counts, trained, everything) == PARAMETERS[name]
    assert not any(p.requires_grad for p in network.target_encoder.parameters())


@pytest.mark.parametrize("size", [*SIZES.values(), TINY], ids=lambda size: size.name)
def test_size_is_inferred_from_a_state_dict(size):
    with torch.device("meta"):
        state = Network(size).state_dict()
    assert infer_size(state) == size
    target = {name: value for name, value in state.items() if name.startswith("target_encoder.")}
    alone = infer_size(target)
    assert alone == dataclasses.replace(size, depths=(size.depths[0], 0, 0))
    assert infer_size({name.removeprefix("target_encoder."): value for name, value in target.items()}) == alone


def test_a_state_dict_without_an_encoder_is_an_error():
    with pytest.raises(KeyError):
        infer_size({"predictor.mask_token": torch.zeros(1, 1, 1, 64)})


@pytest.mark.parametrize("init", ["fan_in", "published"])
def test_initial_weights_have_their_spread(init):
    torch.manual_seed(0)
    encoder = Encoder(SIZES["light"])
    initialise(encoder, init)
    spread = {"fan_in": 128**-0.5, "published": 0.02}[init]
    last = encoder.blocks[5]
    assert last.attn.qkv.weight.std().item() == pytest.approx(spread, rel=0.02)
    assert last.attn.proj.weight.std().item() == pytest.approx(spread / 12**0.5, rel=0.02)
    assert last.mlp.fc2.weight.std().item() == pytest.approx(
        {"fan_in": 512**-0.5, "published": 0.02}[init] / 12**0.5, rel=0.02
    )
    assert encoder.chan_embed.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert encoder.summary_token.std().item() == pytest.approx(0.02, rel=0.25)
    assert not last.attn.qkv.bias.any()
    assert not encoder.patch_embed.proj.bias.any()
    assert torch.equal(last.norm1.weight, torch.ones(128))


def test_momentum_copy_starts_equal_and_is_apart():
    network = Network(TINY)
    with torch.no_grad():
        network.encoder.summary_token.add_(1)
    torch.testing.assert_close(network.encoder.summary_token - 1, network.target_encoder.summary_token)


def test_what_absent_rows_hold_changes_no_output_and_no_loss(tiny):
    network, x, electrode_ids, masks = tiny
    present = torch.ones(4, 6, dtype=torch.bool)
    present[0, 2] = present[1, 0] = present[1, 5] = False
    present[3] = False
    noisy = torch.where(present[..., None], x, 100 * torch.randn_like(x))
    broken = torch.where(present[..., None], x, torch.nan)
    calm = network(x, electrode_ids, masks, present)
    assert torch.equal(calm.present_y, present[:, masks.mask_y % 6])
    for other in (noisy, broken):
        outputs = network(other, electrode_ids, masks, present)
        for name, value in tensors(outputs).items():
            assert torch.equal(value, getattr(calm, name)), name
        losses, expected = (measure(each, network.loss_mc.temperature) for each in (outputs, calm))
        assert losses == expected
        assert total(losses).isfinite()
    complete = network(noisy, electrode_ids, masks)
    assert not torch.allclose(complete.recon, calm.recon)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    present=st.lists(st.booleans(), min_size=24, max_size=24),
    masking=st.sampled_from(["published", "window", "fixed"]),
    spoilt=st.sampled_from([1e4, float("nan"), float("inf")]),
)
def test_nothing_depends_on_what_absent_rows_hold(seed, present, masking, spoilt):
    network = rough()
    present = torch.tensor(present).view(4, 6)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 6, 320, generator=generator)
    electrode_ids = torch.randperm(62, generator=generator)[:6]
    masks = draw(seed, 5, 6, Rules(None, masking), windows=4)
    calm, spoiled = (
        network(torch.where(present[..., None], x, rest), electrode_ids, masks, present)
        for rest in (torch.zeros(()), spoilt * torch.randn(4, 6, 320, generator=generator))
    )
    for name, value in tensors(spoiled).items():
        assert torch.equal(value, getattr(calm, name)), name
    assert measure(spoiled, network.loss_mc.temperature) == measure(calm, network.loss_mc.temperature)


@pytest.mark.parametrize("lacking", [False, True])
def test_one_mask_for_all_windows_is_that_mask_for_each(tiny, lacking):
    network, x, electrode_ids, masks = tiny
    present = torch.rand(4, 6, generator=torch.Generator().manual_seed(0)) < 0.7 if lacking else None
    each = Masks(*(np.stack([mask] * 4) for mask in vars(masks).values()))
    want, got = (network(x, electrode_ids, one, present) for one in (masks, each))
    for name, value in tensors(want).items():
        assert torch.equal(getattr(got, name), value), name


def test_every_window_is_masked_by_its_own_mask(tiny):
    network, x, electrode_ids, _ = tiny
    masks = draw(5, 5, 6, Rules(None, "window"), windows=4)
    together = tensors(network(x, electrode_ids, masks))
    for window in range(4):
        alone = network(x[window : window + 1], electrode_ids, Masks(*(mask[window] for mask in vars(masks).values())))
        for name, value in tensors(alone).items():
            torch.testing.assert_close(together[name][window : window + 1], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_encoder_with_absent_electrodes_is_the_encoder_without_them(tiny, masked):
    network, x, electrode_ids, _ = tiny
    kept = [0, 1, 3, 4]
    present = torch.zeros(4, 6, dtype=torch.bool)
    present[:, kept] = True
    rows = torch.arange(2, 5)[:, None]
    mask = rows * 6 + torch.arange(6) if masked else None
    fewer_mask = rows * 4 + torch.arange(4) if masked else None
    got = network.encoder(x, electrode_ids, mask, present)
    want = network.encoder(x[:, kept], electrode_ids[kept], fewer_mask)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_reconstructor_with_absent_targets_is_the_one_without_them(tiny):
    network, x, electrode_ids, masks = tiny
    comb, mask_y = network.encoder(x, electrode_ids), torch.tensor(masks.mask_y)
    present = torch.tensor([True, False, True, True, False, True]).expand(4, -1)
    there = present[0, mask_y % 6]
    assert 0 < there.sum() < len(there)
    got = network.reconstructor(comb, electrode_ids, mask_y, present)[:, there]
    want = network.reconstructor(comb, electrode_ids, mask_y[there])
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_a_row_with_no_electrode_is_the_summary_tokens_alone(tiny):
    network, x, electrode_ids, _ = tiny
    present = torch.ones(4, 6, dtype=torch.bool)
    present[2] = False
    features = network.encoder(x, electrode_ids, present_BC=present)
    assert torch.allclose(features[2], features[2, :1].expand_as(features[2]), atol=1e-6)
    assert not torch.allclose(features[1], features[1, :1].expand_as(features[1]), atol=1e-2)


def test_complete_windows_take_no_mask_and_the_masked_path_agrees(tiny, monkeypatch):
    network, x, electrode_ids, masks = tiny
    present = torch.ones(4, 6, dtype=torch.bool)
    present[3, 1] = False
    masked = network(x, electrode_ids, masks, present)
    attention, seen = torch.nn.functional.scaled_dot_product_attention, []

    def spy(*arguments, attn_mask):
        seen.append(attn_mask)
        return attention(*arguments, attn_mask=attn_mask)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    fast = network(x, electrode_ids, masks, torch.ones_like(present))
    assert seen
    assert all(mask is None for mask in seen)
    assert fast.present_y is None
    for name, value in tensors(fast).items():
        torch.testing.assert_close(getattr(masked, name)[:3], value[:3], rtol=1e-5, atol=1e-5)


def test_the_order_of_electrodes_does_not_matter(tiny):
    network, x, electrode_ids, masks = tiny
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    place = torch.argsort(order)
    reordered = Masks(*(m // 6 * 6 + place[m % 6].numpy() for m in (masks.mask_x, masks.mask_x2, masks.mask_y)))
    want = network(x, electrode_ids, masks)
    got = network(x[:, order], electrode_ids[order], reordered)
    for name, value in tensors(want).items():
        torch.testing.assert_close(getattr(got, name), value, rtol=1e-5, atol=1e-5)


def test_names_matter(tiny):
    network, x, electrode_ids, _ = tiny
    assert not torch.allclose(network.encoder(x, electrode_ids), network.encoder(x, electrode_ids.flip(0)))


def test_time_patches_are_encoded_apart(tiny):
    network, x, electrode_ids, _ = tiny
    longer = torch.cat((x, torch.randn(4, 6, 200)), dim=2)
    features = network.encoder(longer, electrode_ids)
    assert features.shape == (4, 8, 2, 32)
    torch.testing.assert_close(features[:, :5], network.encoder(x, electrode_ids), rtol=1e-5, atol=1e-5)


def test_less_than_a_patch_is_refused(tiny):
    network, x, electrode_ids, _ = tiny
    with pytest.raises(ValueError, match="63 samples"):
        network.encoder(x[..., :63], electrode_ids)


def test_long_windows_train_with_positions_beyond_the_published_16():
    torch.manual_seed(0)
    network = Network(TINY)
    outputs = network(torch.randn(2, 19, 31 * 64), torch.arange(19), draw(1, 31, 19))
    assert outputs.pred.shape == (2, 31, 2, 32)
    total(measure(outputs, network.loss_mc.temperature)).backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_rotation_tells_time_differences_only(tiny):
    embed = tiny[0].predictor.time_embed
    query, key = torch.randn(2, 1, 1, 1, 8)

    def score(query_time: int, key_time: int) -> float:
        turned = (rotate(x, embed(torch.tensor([t]))) for x, t in ((query, query_time), (key, key_time)))
        return float(torch.mul(*turned).sum())

    assert score(7, 3) == pytest.approx(score(24, 20), abs=1e-5)
    assert score(7, 3) != pytest.approx(score(7, 4), abs=1e-3)


def test_reference_electrodes_are_the_pretraining_ones(golden):
    with np.load(golden / "nano_io.npz") as stored:
        assert stored["chan_ids"][0].tolist() == ids(PRETRAIN_58)
