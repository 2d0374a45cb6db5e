import math
import warnings

import mne
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dare_eeg.encoders.ours import PretrainedEncoder, load_encoder
from dare_eeg.encoders.weights import Provenance, save_encoder
from dare_eeg.network.blocks import initialise
from dare_eeg.network.heads import Adapter, FinetuneHead, MaxNormLinear, ProbeHead
from dare_eeg.network.model import SIZES, Encoder, Size
from dare_eeg.network.resample import resample
from manifests.electrodes import PRETRAIN_58, VOCABULARY
from manifests.errors import DareError
from tests.conftest import relative_error

SIZE = Size("custom", 32, 2, (2, 0, 0), 4)
BCIC = ("C5", "C3", "C1", "CZ", "C2", "C4", "C6")
RATES = [250, 200, 160, 500, 512, 128, 100, 173.61, 1000, 255.5]


@pytest.fixture
def pretrained():
    torch.manual_seed(2)
    encoder = Encoder(SIZE)
    initialise(encoder)
    provenance = Provenance(**vars(SIZE), electrodes=("C3", "CZ", "C4"))
    return PretrainedEncoder(encoder, provenance).eval().requires_grad_(False)


def part(state: dict, prefix: str) -> dict:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def test_published_checkpoint_reproduces_its_features_from_microvolts(golden):
    encoder = load_encoder(golden / "nano.ckpt")
    assert (encoder.electrodes, encoder.sfreq, encoder.patch) == (PRETRAIN_58, 256.0, 64)
    assert (encoder.size, encoder.unit_scale) == (SIZES["nano"], 1e-3)
    with np.load(golden / "nano_io.npz") as stored:
        features = encoder(stored["x"] * 1e3, PRETRAIN_58, 256)
        assert relative_error(features, stored["tgt_full"]) < 1e-5


@pytest.mark.parametrize("corpus", ["tuev", "tuab"])
def test_windows_of_any_length_reproduce_the_reference(golden, corpus):
    encoder = load_encoder(golden / f"nano_downstream_{corpus}.pth")
    with np.load(golden / f"nano_downstream_{corpus}.npz") as stored:
        features = encoder(stored["x58"] * 100, encoder.electrodes, encoder.sfreq)
        assert relative_error(features, stored["feat58"]) < 1e-5


def test_published_bcic2b_probe_reproduces_the_reference(golden):
    encoder = load_encoder(golden / "nano.ckpt", unit_scale=1.0)
    with np.load(golden / "nano_downstream_bcic2b.npz") as stored:
        given = {name: torch.from_numpy(stored[name]) for name in stored.files}
    adapter, head = Adapter(("C3", "CZ", "C4"), BCIC), ProbeHead(16, 1, 64, classes=2).eval()
    adapter.load_state_dict({"conv_layers.0.weight": given["conv_w_before"], "conv_layers.0.bias": given["conv_b"]})
    head.load_state_dict(
        {
            "layer1.weight": given["p1_w_before"],
            "layer1.bias": given["p1_b"],
            "layer2.weight": given["p2_w_before"],
            "layer2.bias": given["p2_b"],
        }
    )
    assert relative_error(encoder(given["x7"], BCIC, 256), given["feat7"]) < 1e-5
    adapted = adapter(given["x3"] / 10)
    features = encoder(adapted, adapter.electrodes, 256)
    logits = head(features)
    assert relative_error(adapted, given["conv_out"]) < 1e-5
    assert relative_error(features, given["feat3"]) < 1e-5
    assert relative_error(head.layer1(features.flatten(2)), given["probe1"]) < 1e-5
    assert relative_error(logits, given["logits"]) < 1e-5
    for weight, after in (
        (adapter.conv_layers[0].weight, "conv"),
        (head.layer1.weight, "p1"),
        (head.layer2.weight, "p2"),
    ):
        assert relative_error(weight, given[f"{after}_w_after"]) < 1e-6


@pytest.mark.parametrize(("corpus", "patches", "classes"), [("tuev", 15, 6), ("tuab", 31, 1)])
def test_published_classifiers_reproduce_the_reference(golden, corpus, patches, classes):
    state = torch.load(golden / f"nano_downstream_{corpus}.pth", weights_only=True)["model"]
    encoder = load_encoder(golden / f"nano_downstream_{corpus}.pth", unit_scale=1.0)
    adapter = Adapter([f"E{i}" for i in range(23)], encoder.electrodes, time_kernel=15, layers=2).eval()
    missing, unexpected = adapter.load_state_dict(part(state, "conv_head."), strict=False)
    assert (missing, unexpected) == ([], ["anti_alias.weight"])
    head = FinetuneHead(patches, 1, 64, classes).eval()
    head.load_state_dict(part(state, "classifier."), strict=True)
    with np.load(golden / f"nano_downstream_{corpus}.npz") as stored:
        adapted = adapter(torch.from_numpy(stored["x_uV"]) / 100)
        assert relative_error(adapted, stored["conv_out"]) < 1e-5
        features = encoder(adapted, adapter.electrodes, encoder.sfreq)
        assert relative_error(features, stored["feat"]) < 1e-5
        logits = head(features)
        assert relative_error(logits, stored["logits"]) < 1e-5
        if corpus == "tuev":
            weights, targets = torch.from_numpy(stored["class_weights"]), torch.from_numpy(stored["targets"])
            loss = F.cross_entropy(logits, targets, weight=weights, label_smoothing=0.1)
            assert relative_error(loss, stored["loss_ce_ls01"]) < 1e-5


def test_names_of_any_spelling_and_order_mean_the_same(pretrained):
    x = 50 * np.random.default_rng(0).standard_normal((2, 3, 512))
    want = pretrained(x, ["T7", "P8", "FP1"], 256.0)
    assert want.shape == (2, 8, 2, 32)
    assert not want.requires_grad
    torch.testing.assert_close(pretrained(x, ["T3", "EEG T6-REF", "Fp1."], 256), want)
    torch.testing.assert_close(
        pretrained(torch.tensor(x[:, [2, 0, 1]]), ["FP1", "T7", "P8"], 256), want, rtol=1e-5, atol=1e-5
    )


def test_unknown_electrodes_are_left_out_with_one_warning(pretrained):
    x = np.random.default_rng(1).standard_normal((2, 4, 256))
    with pytest.warns(UserWarning, match="left out: ECG EKG, A1") as caught:
        features = pretrained(x, ["C3", "ECG EKG", "C4", "A1"], 256)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(features, pretrained(x[:, [0, 2]], ["C3", "C4"], 256))


@pytest.mark.parametrize(
    ("electrodes", "shape", "reason"),
    [
        (["A1", "ECG"], (1, 2, 256), "none of A1, ECG"),
        ([], (1, 0, 256), "no electrodes"),
        (["T3", "T7"], (1, 2, 256), "more than once: T7"),
        (["C3", "C4"], (1, 3, 256), "is not"),
        (["C3", "C4"], (2, 256), "is not"),
        (["C3", "C4"], (1, 2, 63), "less than one patch"),
        (["C3", "C4"], (1, 2, 0), "cannot go|less than one patch"),
    ],
)
def test_input_that_cannot_be_encoded_is_refused(pretrained, electrodes, shape, reason):
    with pytest.raises(ValueError, match=reason):
        pretrained(np.zeros(shape), electrodes, 256)


@pytest.mark.parametrize("sfreq", [0, -250, 0.25, float("nan"), float("inf")])
def test_a_rate_that_no_eeg_has_is_refused_before_it_is_resampled(pretrained, sfreq):
    with pytest.raises(ValueError, match="is no rate of EEG in Hz"):
        pretrained(np.zeros((1, 2, 1000)), ["C3", "C4"], sfreq)


def test_epochs_of_mne_are_refused_with_the_way_to_their_array(pretrained):
    info = mne.create_info(["C3", "C4"], 256.0, "eeg")
    epochs = mne.EpochsArray(np.zeros((2, 2, 1024)), info, verbose="error")
    with pytest.raises(ValueError, match=r'EpochsArray is no array in µV: .* get_data\(picks="eeg"\) \* 1e6'):
        pretrained(epochs, epochs.ch_names, 256)


def test_absent_electrodes_take_no_part_whatever_their_rows_hold(pretrained):
    x = np.random.default_rng(2).standard_normal((2, 3, 500))
    present = np.array([[True, True, True], [True, False, True]])
    x[1, 1] = np.nan
    features = pretrained(x, ["C3", "CZ", "C4"], 250, present)
    alone = pretrained(x[1:, [0, 2]], ["C3", "C4"], 250)
    torch.testing.assert_close(features[1:], alone, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="present"):
        pretrained(x, ["C3", "CZ", "C4"], 250, present[:, :2])


def test_input_is_resampled_and_scaled(pretrained):
    time = {sfreq: np.arange(4 * sfreq) / sfreq for sfreq in (250, 256)}
    waves = {s: np.stack([np.sin(2 * np.pi * f * t) for f in (6, 10, 21)])[None] for s, t in time.items()}
    electrodes = ["C3", "CZ", "C4"]
    at_250, at_256 = (100 * torch.tensor(waves[s]) for s in (250, 256))
    features = pretrained(at_250, electrodes, 250)
    assert features.shape[1] == 16
    torch.testing.assert_close(features[:, 2:-2], pretrained(at_256, electrodes, 256)[:, 2:-2], rtol=1e-3, atol=1e-3)
    raw = pretrained.encoder((at_256 * 0.01).float(), torch.tensor([VOCABULARY.index(e) for e in electrodes]))
    torch.testing.assert_close(pretrained(at_256, electrodes, 256), raw)


def test_a_saved_encoder_loads_for_inference_and_for_training(tmp_path, pretrained):
    save_encoder(tmp_path / "encoder.safetensors", pretrained.encoder.state_dict(), pretrained.provenance)
    loaded = load_encoder(str(tmp_path))
    x = torch.randn(1, 3, 256)
    assert torch.equal(loaded(x, loaded.electrodes, 256), pretrained(x, ["C3", "CZ", "C4"], 256))
    assert not loaded.training
    loaded.requires_grad_(True)(x, loaded.electrodes, 250).sum().backward()
    assert loaded.encoder.patch_embed.proj.weight.grad.abs().sum() > 0


def test_size_and_scale_can_be_required(tmp_path, pretrained):
    path = tmp_path / "encoder.safetensors"
    save_encoder(path, pretrained.encoder.state_dict(), pretrained.provenance)
    wide = Size("mine", 32, 2, (2, 3, 3), 8)
    loaded = load_encoder(path, size=wide, unit_scale=0.5)
    assert (loaded.size, loaded.unit_scale) == (wide, 0.5)
    assert {block.attn.heads for block in loaded.encoder.blocks} == {8}
    for wrong, reason in (("base", "width 32, 2 summary tokens, 2 blocks but width 256"), ("huge", "nano, light")):
        with pytest.raises(DareError, match=reason):
            load_encoder(path, size=wrong)


@pytest.mark.parametrize("sfreq", RATES)
def test_resampling_keeps_band_limited_waves(sfreq):
    frequency = 0.6 * min(sfreq, 256) / 2
    time_in = torch.arange(round(6 * sfreq), dtype=torch.float64) / sfreq
    wave = torch.sin(2 * math.pi * frequency * time_in + 1)
    got = resample(wave[None, None], sfreq, 256)[0, 0]
    assert got.dtype == torch.float32
    assert len(got) == math.floor(len(wave) * 256 / sfreq)
    time_out = torch.arange(len(got), dtype=torch.float64) / 256
    error = (got - torch.sin(2 * math.pi * frequency * time_out + 1)).abs()
    assert error[200:-200].max() < 1e-3


@pytest.mark.parametrize("sfreq", [250, 200, 160, 500, 1000])
def test_resampling_agrees_with_mne_on_noise_below_both_limits(sfreq):
    noise = np.random.default_rng(3).standard_normal((2, 8 * sfreq))
    noise = mne.filter.filter_data(noise, sfreq, None, 40, verbose="error")
    # MNE's own padding rounds to powers of two, and its ratio of rates with them: half a second keeps it exact
    want = mne.filter.resample(noise, up=256, down=sfreq, npad=sfreq // 2, pad="reflect_limited", verbose="error")
    got = resample(torch.tensor(noise), sfreq, 256).double().numpy()
    assert got.shape == want.shape
    error = np.abs(got - want) / noise.std()
    assert error[:, 256:-256].max() < 0.01
    assert error.max() < 0.02


@pytest.mark.parametrize("sfreq", RATES)
@pytest.mark.parametrize("samples", [1, 2, 50, 1001])
def test_resampling_keeps_straight_lines_to_their_ends(sfreq, samples):
    line = 40 - torch.arange(samples, dtype=torch.float64)[None] / 3
    got = resample(line, sfreq, 256)
    assert got.shape[-1] == math.floor(samples * 256 / sfreq)
    want = 40 - torch.arange(got.shape[-1], dtype=torch.float64) * sfreq / 256 / (3 if samples > 1 else math.inf)
    torch.testing.assert_close(got[0].double(), want, rtol=1e-4, atol=1e-3)


def test_resampling_removes_what_the_lower_rate_cannot_hold():
    time = torch.arange(4096) / 512
    wave = torch.sin(2 * math.pi * 150 * time)[None]
    assert resample(wave, 512, 256)[..., 200:-200].abs().max() < 2e-3


def test_resampling_is_linear_and_differentiable():
    torch.manual_seed(0)
    a, b = torch.randn(2, 3, 500)
    torch.testing.assert_close(
        resample(2 * a - b, 200, 256), 2 * resample(a, 200, 256) - resample(b, 200, 256), rtol=1e-4, atol=1e-4
    )
    x, direction = a.clone().requires_grad_(True), torch.randn(3, 640)
    (resample(x, 200, 256) * direction).sum().backward()
    torch.testing.assert_close((x.grad * b).sum(), (resample(b, 200, 256) * direction).sum(), rtol=1e-3, atol=1e-3)


def test_equal_rates_change_nothing_and_impossible_ones_are_refused():
    x = torch.randn(1, 2, 100)
    assert torch.equal(resample(x, 256.0, 256), x)
    for rates in ((0, 256), (-250, 256), (math.nan, 256), (math.inf, 256)):
        with pytest.raises(ValueError, match="cannot go"):
            resample(x, *rates)
    with pytest.raises(ValueError, match=r"\(0, 2, 100\) cannot go"):
        resample(x[:0], 250, 256)


def test_limited_layers_shrink_long_rows_only_and_survive_two_forwards():
    layer = MaxNormLinear(4, 2, max_norm=0.5)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0, 4, 0], [0.1, 0, 0, 0]]))
    x = torch.ones(1, 4)
    (layer(x) + layer(2 * x)).sum().backward()
    torch.testing.assert_close(layer.weight.data, torch.tensor([[0.3, 0, 0.4, 0], [0.1, 0, 0, 0]]))
    torch.testing.assert_close(layer.weight.grad, torch.full((2, 4), 3.0))


def test_adapter_drops_whole_channels_in_training_only():
    torch.manual_seed(0)
    adapter = Adapter(["a", "b"], VOCABULARY, layers=2)
    out = adapter(torch.randn(8, 2, 40))
    assert out.shape == (8, 62, 40)
    dropped = (out == 0).all(dim=2)
    assert dropped.float().mean() == pytest.approx(0.1, abs=0.04)
    assert not (adapter.eval()(torch.randn(8, 2, 40)) == 0).all(dim=2).any()


@pytest.mark.parametrize(("layers", "time_kernel"), [(1, 15), (3, None), (0, None)])
def test_adapters_that_were_never_published_are_refused(layers, time_kernel):
    with pytest.raises(ValueError, match="no adapter"):
        Adapter(["C3"], ["C4"], time_kernel, layers)


@pytest.mark.parametrize("unit_scale", [0, -1.0, float("nan"), float("inf"), "x"])
def test_a_scale_that_is_none_is_refused(nano_run, unit_scale):
    with pytest.raises(ValueError, match="no positive number"):
        load_encoder(nano_run, unit_scale=unit_scale)
