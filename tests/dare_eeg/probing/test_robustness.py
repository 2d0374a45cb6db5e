"""Spoiled windows are spoiled as they say, the same for every row, and rows are asked of them as they were fitted."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dare_eeg import open_shards
from dare_eeg.data.shards import Windows
from dare_eeg.probing.classifiers.search import ClassifierFitter
from dare_eeg.probing.tables import robustness
from dare_eeg.probing.tables.robustness import Robustness
from dare_eeg.probing.views.interpolation import interpolated
from dare_eeg.probing.views.spoiling import SPOILINGS, Kind, SpoiledView, Spoiling
from dare_eeg.running.ranks import Ranks
from tests.commands import Answer, dare
from tests.dare_eeg.sets import Window, write_set

NOISE: tuple[Kind, ...] = ("white noise", "1/f noise")
RATE = 128


@pytest.fixture(scope="module")
def windows(tuab: Path) -> Windows:
    return open_shards(tuab, "test")


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight subjects whose two classes differ in a strong rhythm over C3, beside a weak common one."""
    rng, shards = np.random.default_rng(0), []
    time_s = np.arange(4 * RATE) / RATE
    for subject in range(8):
        made = []
        for number in range(12):
            x_uv = 10 * rng.standard_normal((4, len(time_s)))
            x_uv[0] += 40 * (number % 2) * np.sin(2 * np.pi * 10 * time_s + rng.uniform(0, 6))
            counts = np.rint(x_uv * 32).astype(np.int16)
            made.append(Window(counts, f"tuh:{subject}", f"{subject}.edf", 4.0 * number, number % 2))
        shards.append(made)
    folder = tmp_path_factory.mktemp("sets") / "apart"
    splits = {"train": shards[:5], "valid": shards[5:6], "test": shards[6:]}
    return write_set(folder, splits, sfreq=RATE, classes=("normal", "abnormal"))


def ask(shards: Path, out: Path, *options: object) -> Answer:
    answer = dare(
        "probe", "tuab", "--shards", shards, "--protocol", "official", "--out", out, "--resamples", 5, *options
    )
    assert answer.status == 0, answer.err
    return answer


def ask_here(shards: Path, baseline: str, *options: object) -> Answer:
    """Ask for a row of the ladder in the folder that we are in."""
    named = ("--shards", shards, "--protocol", "official", "--resamples", 2)
    return dare("probe", "tuab", *named, "--baselines", baseline, *options)


def measured(row: Path) -> tuple[float, dict[tuple[str, float], float]]:
    """Return the clean figure of a row, and those of spoiled windows by kind and level."""
    found: dict[str, Any] = json.loads((row / "robustness.json").read_text())
    return found["clean"]["mean"], {(one["kind"], one["level"]): one["figure"]["mean"] for one in found["points"]}


def spoiled(of: Windows, kind: Kind, level: float, is_interpolated: bool = False) -> SpoiledView:
    return SpoiledView(of, np.arange(len(of)), Spoiling(kind, level), is_interpolated)


def taken(view: SpoiledView | Windows) -> NDArray[np.float32]:
    return view.take(np.arange(len(view)))


@pytest.mark.parametrize(
    ("kind", "level"), [("electrodes dropped", 0), ("time masked", 0), *((k, np.inf) for k in NOISE)]
)
def test_windows_that_are_spoiled_by_nothing_are_as_they_were(windows: Windows, kind: Kind, level: float) -> None:
    view = spoiled(windows, kind, level)
    np.testing.assert_array_equal(taken(view), taken(windows))
    np.testing.assert_array_equal(view.present, windows.present)


def test_electrodes_are_dropped_for_a_whole_recording_and_more_are_the_same_and_others(windows: Windows) -> None:
    views = [spoiled(windows, "electrodes dropped", share) for share in (0.25, 0.5, 0.75, 1.0)]
    there = [view.present for view in views]
    for name in sorted(set(windows.recordings.tolist())):
        assert {len(np.unique(one[windows.recordings == name], axis=0)) for one in there} == {1}
    assert len(np.unique(there[1], axis=0)) == len(set(windows.recordings.tolist())) > 1
    for more, fewer in pairwise(there):
        assert (more >= fewer).all()
    assert [one.sum(axis=1).tolist() for one in there] == [[23 - lost] * len(windows) for lost in (6, 12, 17, 22)]
    x_uv = taken(views[1])
    assert (x_uv[~there[1]] == 0).all()
    np.testing.assert_array_equal(x_uv[there[1]], taken(windows)[there[1]])


def test_dropped_electrodes_are_interpolated_from_those_that_stay(windows: Windows) -> None:
    absent = spoiled(windows, "electrodes dropped", 0.5)
    view = spoiled(windows, "electrodes dropped", 0.5, is_interpolated=True)
    assert view.present.all()
    x_uv, there = taken(view), absent.present
    np.testing.assert_array_equal(x_uv[there], taken(windows)[there])
    assert (x_uv[~there].std(axis=-1) > 0).all()
    even = np.ones((1, 3, 5), np.float32) * np.array([[[2.0], [0.0], [4.0]]], np.float32)
    found = interpolated(even, np.array([[True, False, True]]), ("C3", "CZ", "C4"))
    np.testing.assert_allclose(found[0, 1], 3.0, rtol=0.01)  # midway between the two
    near = interpolated(even, np.array([[True, False, True]]), ("C3", "C1", "C4"))
    assert (near[0, 1] < 2.5).all()
    nowhere = interpolated(even, np.array([[True, False, True]]), ("X1", "X2", "X3"))
    np.testing.assert_allclose(nowhere[0, 1], 3.0)


def test_time_is_masked_in_quarters_of_a_second_at_all_electrodes(windows: Windows) -> None:
    for share in (0.25, 0.75):
        x_uv = taken(spoiled(windows, "time masked", share))
        pieces = x_uv.reshape(len(x_uv), x_uv.shape[1], -1, round(windows.sfreq / 4))
        lost = (pieces == 0).all(axis=(1, 3))
        assert set(lost.mean(axis=1).tolist()) == {share}
        kept = np.where(lost[:, None, :, None], 0, taken(windows).reshape(pieces.shape))
        np.testing.assert_array_equal(pieces, kept)
        assert len(np.unique(lost, axis=0)) == len(windows)


@pytest.mark.parametrize("kind", NOISE)
def test_noise_has_the_power_that_it_says_at_each_electrode_and_the_colour(windows: Windows, kind: Kind) -> None:
    clean = taken(windows)
    for snr_db in (10.0, -10.0):
        noise = taken(spoiled(windows, kind, snr_db)).astype(np.float64) - clean
        found_db = 10 * np.log10(clean.var(axis=-1, dtype=np.float64) / noise.var(axis=-1))
        np.testing.assert_allclose(found_db, snr_db, atol=1e-3)
    power = (np.abs(np.fft.rfft(noise, axis=-1)) ** 2).mean(axis=(0, 1))
    frequencies = np.fft.rfftfreq(clean.shape[-1], 1 / windows.sfreq)
    slopes = np.polyfit(np.log(frequencies[10:]), np.log(power[10:]), 1)
    assert slopes[0] == pytest.approx(-1.0 if kind == "1/f noise" else 0.0, abs=0.1)


@pytest.mark.slow
def test_rows_are_asked_of_the_same_spoiled_windows_and_less_is_left_of_what_is_spoiled(
    apart: Path, tmp_path: Path
) -> None:
    encoder = ("--encoder", "scratch", "--size", "nano", "--robustness")
    answer = ask(apart, tmp_path, *encoder, "--baselines", "majority,band-power-logistic,tangent-space")
    for row in ("scratch-nano-linear", "majority", "band-power-logistic", "tangent-space"):
        clean, points = measured(tmp_path / row)
        results = json.loads((tmp_path / row / "results.json").read_text())
        assert clean == results["metrics"]["window"]["balanced_accuracy"]["mean"]
        assert list(points) == [(one.kind, one.level) for one in SPOILINGS]
        if row == "majority":
            assert {clean, *points.values()} == {0.5}
    clean, points = measured(tmp_path / "band-power-logistic")
    assert clean > 0.95
    assert points["white noise", -10.0] < 0.7 < points["white noise", 20.0]
    assert points["electrodes dropped", 0.75] < clean - 0.1
    assert json.loads((tmp_path / "band-power-logistic" / "robustness.json").read_text())["dropped"] == "interpolated"
    assert json.loads((tmp_path / "scratch-nano-linear" / "robustness.json").read_text())["dropped"] == "absent"
    with (tmp_path / "robustness.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    best = max(("band-power-logistic", "tangent-space"), key=lambda row: measured(tmp_path / row)[0])
    shown = {row["row"] for row in rows}
    assert shown == {"scratch-nano-linear", best} == set(json.loads((tmp_path / "robustness.json").read_text()))
    assert len(rows) == 2 * (1 + len(SPOILINGS))
    assert (tmp_path / "robustness.png").read_bytes().startswith(b"\x89PNG")
    assert "| white noise, 0 dB " in answer.out
    figure = (tmp_path / "robustness.json").read_bytes()
    for gone in (tmp_path / best / "robustness.json", tmp_path / "robustness.json"):
        gone.unlink()
    ask(apart, tmp_path, *encoder, "--baselines", "majority")  # the best one is not asked
    assert (tmp_path / "robustness.json").read_bytes() == figure


@pytest.mark.slow
def test_a_best_baseline_that_wants_what_is_not_installed_is_left_out_of_the_figure(
    apart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ask_here(apart, "csp-lda").status == 0
    monkeypatch.setitem(sys.modules, "pyriemann.tangentspace", None)
    answer = ask_here(apart, "majority", "--robustness", "--json")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["mode"] == "majority"
    assert "probes/tuab/csp-lda: not in the figure of robustness: pyriemann is not installed" in answer.err


@pytest.mark.slow
def test_all_that_is_spoiled_is_what_the_first_process_does_while_the_others_wait_however_long(
    apart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_waited_for, told = False, []
    first_does, measure = Ranks.first_does, robustness.measure

    def waited_for(ranks: Ranks, work: Callable[[], object]) -> object:
        nonlocal is_waited_for
        is_waited_for = True
        made = first_does(ranks, work)
        is_waited_for = False
        return made

    def measured_then(*arguments: Any) -> Robustness:
        told.append(is_waited_for)
        return measure(*arguments)

    monkeypatch.setattr(Ranks, "first_does", waited_for)
    monkeypatch.setattr(robustness, "measure", measured_then)
    monkeypatch.chdir(tmp_path)
    assert ask_here(apart, "majority", "--robustness").status == 0
    assert told == [True, True]  # as a row, and as the best baseline


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--encoder", "scratch", "--size", "nano", "--seeds", 2, "--set", "centre=subject"),
        ("--encoder", "scratch", "--size", "nano", "--mode", "conv-linear", "--epochs", 1),
        ("--baselines", "band-power-forest"),
    ],
)
def test_a_row_that_is_done_is_asked_by_the_fits_that_it_kept(
    apart: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[object, ...]
) -> None:
    ask(apart, tmp_path / "at once", *options, "--robustness")
    ask(apart, tmp_path / "later", *options)
    monkeypatch.setattr(ClassifierFitter, "__call__", None)
    monkeypatch.setattr("dare_eeg.probing.modes.trained.fit_network", None)
    answer = ask(apart, tmp_path / "later", *options, "--robustness")
    assert "done before by the same encoder, set and options; kept" in answer.err
    told = (tmp_path / "later" / "robustness.json").read_bytes()
    assert told == (tmp_path / "at once" / "robustness.json").read_bytes()
    assert "levels" not in ask(apart, tmp_path / "later", *options, "--robustness").err


@pytest.mark.slow
def test_fits_of_another_question_are_not_asked_for_the_robustness_of_results_that_lie_there(
    apart: Path, tmp_path: Path
) -> None:
    options = ("--encoder", "scratch", "--size", "nano", "--mode", "conv-linear", "--protocol", "official")
    for out, epochs in (("at once", 1), ("other", 3)):
        ask(apart, tmp_path / out, *options, "--epochs", epochs, "--robustness")
    row = shutil.copytree(tmp_path / "at once", tmp_path / "row")
    (row / "robustness.json").unlink()
    shutil.copytree(tmp_path / "other" / "fits", row / "fits", dirs_exist_ok=True)  # as a probe leaves that was killed
    ask(apart, row, *options, "--epochs", 1, "--robustness")
    assert (row / "robustness.json").read_bytes() == (tmp_path / "at once" / "robustness.json").read_bytes()
    assert measured(row) != measured(tmp_path / "other")


@pytest.mark.slow
def test_robustness_of_other_results_is_measured_anew(apart: Path, tmp_path: Path) -> None:
    options = ("--baselines", "band-power-logistic", "--protocol", "kfold", "--robustness")
    ask(apart, tmp_path, *options)
    clean, points = measured(tmp_path)
    ask(apart, tmp_path, *options, "--repeats", 2)
    found = json.loads((tmp_path / "robustness.json").read_text())
    assert len(found["clean"]["repeats"]) == 2 == len(found["points"][0]["figure"]["repeats"])
    assert found["points"][0]["figure"]["repeats"][0] == points["electrodes dropped", 0.25]
    assert found["clean"]["repeats"][0] == clean
