"""An encoder with a head is trained by braindecode's own tools."""

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dare_eeg
from manifests.errors import UsageError
from tests.dare_eeg.encoders.zoo import CHANNELS, NAMES


@pytest.mark.slow
def test_braindecodes_classifier_trains_ours_and_theirs(saved: Any, nano_run: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from braindecode import EEGClassifier
    rng = np.random.default_rng(0)
    y = np.arange(16) % 2
    x_uv = (20 * rng.normal(size=(16, len(NAMES), 800)) + 10 * y[:, None, None]).astype(np.float32)
    for place in (nano_run, f"braindecode:cbramod@{saved('cbramod')[1]}"):
        for is_frozen in (True, False):
            torch.manual_seed(0)
            encoder = dare_eeg.load_encoder(place).requires_grad_(not is_frozen)
            module = dare_eeg.braindecode_model(encoder, len(NAMES), 800, 2, 200.0, CHANNELS)
            before = copy.deepcopy(module.state_dict())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                net = EEGClassifier(module, train_split=None, lr=1e-3, batch_size=8, max_epochs=2, classes=[0, 1])
                net.set_params(verbose=0)
                net.fit(x_uv, y)
                assert net.predict(x_uv).shape == (16,)
                assert net.predict_proba(x_uv).shape == (16, 2)
            assert len(net.history) == 2
            moved = {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
            assert "final_layer.weight" in moved
            assert any(name.startswith("encoder.") for name in moved) != is_frozen
    with pytest.raises(UsageError, match="can read none of EKG"):
        dare_eeg.braindecode_model(encoder, 1, 800, 2, 200.0, [{"ch_name": "EKG"}])
    with pytest.raises(UsageError, match="of which chs_info names 19"):
        dare_eeg.braindecode_model(encoder, 3, 800, 2, 200.0, CHANNELS)
