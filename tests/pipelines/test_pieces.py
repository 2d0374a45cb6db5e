"""A recording too long to be read at once gives the windows it would give whole."""

from pathlib import Path

import edfio
import numpy as np
import pytest

from tests.commands import plan_of, preprocess_by_hand, recordings
from tests.judges import noise_uv, samples, write_edf

pytest_plugins = ["tests.corpora_fixtures"]

QUANTUM_UV = 2**-5
LABELS = [f"EEG {name}" for name in "Fp1 Fp2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 Fz Cz Pz".split()]


ODD_RATE = ("sfreq_hz=250.02", "window_s=50", "stride_s=50")
"""Against 500 Hz its samples coincide only every 50 s, longer than a filter looks."""


@pytest.mark.slow
@pytest.mark.parametrize("settings", [(), ("stride_s=2.5",), ("sfreq_hz=250",), ODD_RATE])
def test_pieces_together_are_the_whole(tmp_path: Path, settings: tuple[str, ...]) -> None:
    write_edf(tmp_path / "raw" / "Subject91_1.edf", noise_uv(LABELS, 173, 500), 500)
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    preprocess_by_hand("eegmat", tmp_path / "raw", whole, settings, purpose="pretrain")
    preprocess_by_hand(
        "eegmat", tmp_path / "raw", pieces, ("shard_mb=0.2", *settings), purpose="pretrain",
        piece_samples=len(LABELS) * 500 * 47, piece_grid_s=10.0,
    )  # fmt: skip
    expected, found = samples(whole), samples(pieces)
    assert len(list(pieces.rglob("*.tar"))) > 1
    assert sorted(found) == sorted(expected)
    for key, sample in found.items():
        assert sample.start_s == expected[key].start_s
        # A sample that lies within 0.001 µV of the middle between two counts may be rounded either way.
        np.testing.assert_allclose(sample.data_uv, expected[key].data_uv, rtol=0, atol=QUANTUM_UV)
        assert np.mean(sample.data_uv != expected[key].data_uv) < 0.02
    assert recordings(pieces) == recordings(whole)


@pytest.mark.slow
def test_pieces_of_several_rates_and_repeats_are_the_whole(tmp_path: Path) -> None:
    rates = dict.fromkeys(LABELS, 500) | {"EEG T3": 200, "EEG Cz": 1000}
    # Of the two repeats one is its first in all but the last second.
    uv = {label: noise_uv([label], 173, rate)[label] for label, rate in rates.items()}
    late = uv["EEG O1"].copy()
    late[-500:] += 50
    channels = [*uv.items(), ("Fp1", uv["EEG Fp1"]), ("O1", late)]
    signals = [
        edfio.EdfSignal(data, len(data) / 173, label=label, physical_dimension="uV", physical_range=(-500, 500))
        for label, data in channels
    ]
    (tmp_path / "raw").mkdir()
    edfio.Edf(signals).write(tmp_path / "raw" / "Subject91_1.edf")
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    preprocess_by_hand("eegmat", tmp_path / "raw", whole, purpose="pretrain")
    in_pieces = {"piece_samples": len(LABELS) * 500 * 47, "piece_grid_s": 10.0}
    preprocess_by_hand("eegmat", tmp_path / "raw", pieces, ("shard_mb=0.2",), purpose="pretrain", **in_pieces)
    expected, found = samples(whole), samples(pieces)
    assert sorted(found) == sorted(expected)
    for key, sample in found.items():
        np.testing.assert_allclose(sample.data_uv, expected[key].data_uv, rtol=0, atol=QUANTUM_UV)
        absent = [name for name, row in zip(sample.fields["channels"], sample.data_uv, strict=True) if not row.any()]
        assert absent == ["O1"]
    assert recordings(pieces) == recordings(whole)


@pytest.mark.slow
@pytest.mark.parametrize("edges", ["drop", "pad"])
def test_pieces_share_the_events_without_loss(raw: Path, tmp_path: Path, edges: str) -> None:
    settings, whole, pieces = ("events=rows", f"edges={edges}"), tmp_path / "whole", tmp_path / "pieces"
    preprocess_by_hand("tuev", raw / "tuev", whole, settings)
    in_pieces = {"piece_samples": 23 * 250 * 13, "piece_grid_s": 5.0}
    preprocess_by_hand("tuev", raw / "tuev", pieces, ("shard_mb=0.05", *settings), **in_pieces)
    expected, found = samples(whole), samples(pieces)
    assert len(list(pieces.rglob("*.tar"))) > len(list(whole.rglob("*.tar")))
    assert sorted(found) == sorted(expected)
    for key, sample in found.items():
        assert (sample.start_s, sample.fields["label"]) == (expected[key].start_s, expected[key].fields["label"])
        np.testing.assert_allclose(sample.data_uv, expected[key].data_uv, rtol=0, atol=QUANTUM_UV)
    for path, row in recordings(whole).items():
        found_row = recordings(pieces)[path]
        assert (found_row["windows"], found_row["outcome"]) == (row["windows"], row["outcome"])
        assert "gives no window" not in found_row["reason"]


def test_event_after_the_last_whole_window_belongs_to_the_last_piece(tmp_path: Path) -> None:
    name = "edf/train/aaaaaaaa/aaaaaaaa_00000001"
    edf = write_edf(tmp_path / f"raw/{name}.edf", noise_uv(LABELS, 151, 250), 250)
    edf.with_suffix(".rec").write_text("0,12.0,13.0,1\n0,150.0,151.0,6\n")
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    preprocess_by_hand("tuev", tmp_path / "raw", whole, ("edges=pad",))
    preprocess_by_hand("tuev", tmp_path / "raw", pieces, ("edges=pad",), piece_samples=len(LABELS) * 250 * 75)
    assert plan_of(pieces)["recordings"][0]["pieces"] == 2
    assert {one.start_s for one in samples(pieces).values()} == {10.0, 148.0}
    assert samples(pieces).keys() == samples(whole).keys()
