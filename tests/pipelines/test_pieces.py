"""A recording too long to be read at once gives the windows it would give whole."""

from pathlib import Path

import numpy as np
import pytest

from pipelines import plan
from tests.commands import preprocess, recordings
from tests.judges import noise_uv, samples, write_edf

pytest_plugins = ["tests.corpora_fixtures"]

QUANTUM_UV = 2**-5
LABELS = [f"EEG {name}" for name in "Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz".split()]


ODD_RATE = ("--set", "sfreq_hz=250.02", "--set", "window_s=50", "--set", "stride_s=50")
"""Against 500 Hz its samples coincide only every 50 s, longer than a filter looks."""


@pytest.mark.parametrize("options", [(), ("--set", "stride_s=2.5"), ("--set", "sfreq_hz=250"), ODD_RATE])
def test_pieces_together_are_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    write_edf(tmp_path / "raw" / "Subject91_1.edf", noise_uv(LABELS, 173, 500), 500)
    command = ("eegmat", tmp_path / "raw")
    whole = preprocess(*command, tmp_path / "whole", "--for", "pretrain", *options)
    monkeypatch.setattr(plan, "PIECE_SAMPLES", len(LABELS) * 500 * 47)
    pieces = preprocess(*command, tmp_path / "pieces", "--for", "pretrain", "--set", "shard_mb=0.2", *options)
    expected, found = samples(whole), samples(pieces)
    assert len(list(pieces.rglob("*.tar"))) > 1
    assert sorted(found) == sorted(expected)
    for key, sample in found.items():
        assert sample.start_s == expected[key].start_s
        # A sample that lies within 0.001 µV of the middle between two counts may be rounded either way.
        np.testing.assert_allclose(sample.data_uv, expected[key].data_uv, rtol=0, atol=QUANTUM_UV)
        assert np.mean(sample.data_uv != expected[key].data_uv) < 0.02
    assert recordings(pieces) == recordings(whole)


@pytest.mark.parametrize("edges", ["drop", "pad"])
def test_pieces_share_the_events_without_loss(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edges: str
) -> None:
    command, options = ("tuev", raw / "tuev"), ("--set", "events=rows", "--set", f"edges={edges}")
    whole = preprocess(*command, tmp_path / "whole", *options)
    monkeypatch.setattr(plan, "PIECE_SAMPLES", 23 * 250 * 13)
    pieces = preprocess(*command, tmp_path / "pieces", "--set", "shard_mb=0.05", *options)
    expected, found = samples(whole), samples(pieces)
    assert len(list(pieces.rglob("*.tar"))) > len(list(whole.rglob("*.tar")))
    assert sorted(found) == sorted(expected)
    for key, sample in found.items():
        assert (sample.start_s, sample.fields["label"]) == (expected[key].start_s, expected[key].fields["label"])
        np.testing.assert_allclose(sample.data_uv, expected[key].data_uv, rtol=0, atol=QUANTUM_UV)
    for path, row in recordings(whole).items():
        assert recordings(pieces)[path]["windows"] == row["windows"]
