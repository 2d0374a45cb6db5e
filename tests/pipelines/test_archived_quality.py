"""Archives know what is no EEG, as their raw recordings do."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import dare_eeg
from manifests import recipe as recipes
from pipelines import run
from pipelines.plan import SetOptions
from pipelines.sources import open_source
from pipelines.workers import Workers
from tests.commands import dare, recordings, unusable
from tests.judges import of_recording, samples
from tests.pipelines.poor_signals import (
    ELECTRODES,
    RANGE_UV,
    RELEASE,
    SFREQ,
    disconnected,
    made,
    noise_uv,
    partly_dead,
    recipe,
    tars,
    tree,
    written,
)


def garbage(folder: Path) -> Path:
    """Write a tree with a recording of each kind that is told apart."""
    src = tree(folder, partly_dead())
    written(src / "S3_rest.edf", disconnected(23.5, RANGE_UV))
    written(src / "S4_task.edf", noise_uv(2, sd_uv=9000.0), range_uv=60000.0)
    return src


@pytest.mark.parametrize(
    "settings", [(), ("--set", "max_dead_share=0.5", "--set", "window_s=4", "--set", "stride_s=4")]
)
@pytest.mark.parametrize("purpose", ["pretrain", "probe"])
@pytest.mark.parametrize("format", ["zarr", "both"])
def test_archive_is_cut_as_its_raw_files_are(
    tmp_path: Path, format: str, purpose: str, settings: tuple[str, ...]
) -> None:
    src = garbage(tmp_path)
    kept = made(src, tmp_path / "kept", "--format", format, purpose="probe")
    assert dare("verify", kept).status == 0
    anew = made(src, tmp_path / "anew", *settings, purpose=purpose)
    again = made(kept, tmp_path / "again", *settings, purpose=purpose)
    assert tars(again) == tars(anew)
    assert {path: row["notes"] for path, row in recordings(again).items()} == {
        path: row["notes"] for path, row in recordings(anew).items()
    }
    assert recordings(again)["S4_task.edf"]["outcome"] == "skipped"


def test_pieces_give_the_windows_of_the_whole(tmp_path: Path) -> None:
    signal_uv = noise_uv(10, seconds=400)
    signal_uv[:, 95 * SFREQ : 203 * SFREQ] = 0.0
    signal_uv[3, 300 * SFREQ : 340 * SFREQ] = RANGE_UV
    src = tree(tmp_path, signal_uv)
    whole = made(src, tmp_path)
    mine, source = recipes.load("mine", "pretrain", file=recipe(tmp_path)), open_source(src)
    options = SetOptions(piece_samples=len(ELECTRODES) * SFREQ * 100)
    tree_of = source.apart(source.scan(mine, lambda *_: None), mine)
    run.preprocess(tree_of, mine, source, tmp_path / "pieces", Workers(1), options, lambda *_: None)
    found, expected = samples(tmp_path / "pieces"), samples(whole)
    assert found.keys() == expected.keys()
    assert len(of_recording(whole, "S2_task.edf")) < 30
    for key, one in expected.items():
        assert one.fields == found[key].fields
        assert np.abs(one.counts.astype(int) - found[key].counts).max() <= 1


def test_stores_alone_are_read_with_dead_electrodes_absent(tmp_path: Path) -> None:
    src = garbage(tmp_path)
    in_tars, in_stores = (made(src, tmp_path / one, "--format", one) for one in ("webdataset", "zarr"))

    def windows(folder: Path) -> dict[tuple[str, float], NDArray[np.float32]]:
        found = dare_eeg.open_shards(folder, ("train", "valid"))
        return {(str(found.recordings[k]), float(found.start_s[k])): found[k][0] for k in range(len(found))}

    expected = windows(in_tars)
    assert expected.keys() == windows(in_stores).keys()
    assert any(not x_uv.any(axis=1).all() for x_uv in expected.values())
    for key, x_uv in windows(in_stores).items():
        np.testing.assert_array_equal(x_uv, expected[key])


def test_archive_from_before_is_cut_only_unchecked(tmp_path: Path) -> None:
    command = ("preprocess", "bcic2b", "--src", RELEASE / "shards" / "bcic2b", "--out", tmp_path, "--workers", 1)
    unusable(dare(*command), "was made with quality none, the recipe has checked", "--set quality=none")
    assert dare(*command, "--set", "quality=none").status == 0


def test_set_that_was_not_checked_grows_unchecked(tmp_path: Path) -> None:
    src = tree(tmp_path, disconnected(23.5, 0.0))
    folder = made(src, tmp_path, "--set", "quality=none")
    plan, tar = json.loads((folder / "plan.json").read_text()), tars(folder)
    written(src / "S3_rest.edf", disconnected(23.5, 0.0) + noise_uv(12, sd_uv=1.0))
    assert made(src, tmp_path, "--set", "quality=none", "--append") == folder
    assert plan["recipe"]["quality"] == "none"
    assert tar.items() <= tars(folder).items()
