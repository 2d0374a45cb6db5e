"""Fits are kept: a row that was killed goes on by fit, and none of another question is taken."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from dare_eeg.probing.fit import FoldFit
from dare_eeg.probing.fits import KeptFits, Place
from dare_eeg.running.one_run import only_run_in
from dare_eeg.running.ranks import ALONE
from tests.commands import Answer, contents, dare, unusable
from tests.dare_eeg.sets import flip_byte, truncate

WAYS = {
    "linear": ("--mode", "linear", "--protocol", "loso"),
    "conv-linear": ("--mode", "conv-linear", "--protocol", "loso", "--epochs", 1),
    "finetune": ("--mode", "finetune", "--epochs", 1, "--seeds", 2),
    "scratch": ("--protocol", "loso", "--seeds", 2),
    "baseline": ("--baselines", "band-power-logistic", "--protocol", "loso", "--repeats", 2),
}


def ask(shards: Path, run: Path, out: Path, way: str, *options: object) -> Answer:
    named = {"scratch": ("--encoder", "scratch", "--size", "nano"), "baseline": ()}.get(way, ("--encoder", run))
    return dare("probe", "bcic2b", "--shards", shards, *named, "--out", out, "--resamples", 5, *WAYS[way], *options)


def killed_after(patch: pytest.MonkeyPatch, fits: int) -> None:
    """Have the user interrupt a probe once so many fits are on disk."""
    keep, kept = KeptFits.keep, list[Place]()

    def until(self: KeptFits, place: Place, fit: FoldFit) -> None:
        if len(kept) == fits:
            raise KeyboardInterrupt
        keep(self, place, fit)
        kept.append(place)

    patch.setattr(KeptFits, "keep", until)


def fits_of(out: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(out / "fits").items() if name.endswith(".safetensors")}


@pytest.fixture(scope="module")
def of_linear(bcic2b: Path, nano_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """A row of three fits, and what was said of it."""
    out = tmp_path_factory.mktemp("rows") / "linear"
    answer = ask(bcic2b, nano_run, out, "linear")
    assert answer.status == 0, answer.err
    return out, answer


@pytest.fixture
def row(of_linear: tuple[Path, Answer], tmp_path: Path) -> Path:
    """A copy of it to do harm to."""
    return Path(shutil.copytree(of_linear[0], tmp_path / "row"))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_was_killed_goes_on_by_fit_with_equal_predictions(
    bcic2b: Path, nano_run: Path, tmp_path: Path, way: str
) -> None:
    assert ask(bcic2b, nano_run, tmp_path / "whole", way).status == 0
    with pytest.MonkeyPatch.context() as patch:
        killed_after(patch, 1)
        assert ask(bcic2b, nano_run, tmp_path / "killed", way).status == 130
    (first,) = fits_of(tmp_path / "killed")
    before = (tmp_path / "killed" / "fits" / first).stat()
    assert ask(bcic2b, nano_run, tmp_path / "killed", way).status == 0
    assert (tmp_path / "killed" / "fits" / first).stat() == before
    assert len(fits_of(tmp_path / "killed")) == len(fits_of(tmp_path / "whole")) > 1
    for name in ("predictions.csv", "results.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["flip", "cut", "text"])
def test_a_damaged_fit_is_told_and_made_again(bcic2b: Path, nano_run: Path, row: Path, harm: str) -> None:
    told = (row / "predictions.csv").read_bytes()
    path = row / "fits" / Place(0, 0, 1).file
    if harm == "flip":
        flip_byte(path, path.stat().st_size - 9)
    elif harm == "cut":
        truncate(path, 300)
    else:
        path.write_bytes(b"no fit")
    (row / "results.json").unlink()
    answer = ask(bcic2b, nano_run, row, "linear")
    assert answer.status == 0
    assert re.search("damaged", answer.err)
    assert (row / "predictions.csv").read_bytes() == told


@pytest.mark.slow
def test_fits_of_another_question_go_and_more_repeats_keep_those_there_are(
    bcic2b: Path, nano_run: Path, row: Path
) -> None:
    first = fits_of(row)
    answer = ask(bcic2b, nano_run, row, "linear", "--repeats", 2)
    assert "removed" not in answer.err
    assert fits_of(row).items() >= first.items()
    answer = ask(bcic2b, nano_run, row, "linear", "--set", "classifier=ridge")
    assert f"{row / 'fits'}: 6 fits of another question, or damaged, are removed" in answer.err
    assert len(fits_of(row)) == 3


@pytest.mark.slow
def test_fits_are_of_an_encoder_by_whichever_path_it_is_named(
    bcic2b: Path, nano_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(bcic2b, nano_run, tmp_path, "conv-linear").status == 0
    first = fits_of(tmp_path)
    monkeypatch.chdir(nano_run.parent)
    answer = ask(bcic2b, Path(nano_run.name), tmp_path, "conv-linear", "--seeds", 2)
    assert "removed" not in answer.err
    assert fits_of(tmp_path).items() > first.items()


@pytest.mark.slow
def test_results_never_lie_beside_predictions_of_other_ones(bcic2b: Path, tmp_path: Path) -> None:
    assert ask(bcic2b, Path(), tmp_path, "baseline").status == 0
    told = (tmp_path / "predictions.csv").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dare_eeg.probing.probe.canonical_json", lambda _value: sys.exit(130))
        assert ask(bcic2b, Path(), tmp_path, "baseline", "--permuted").status == 130
    assert (tmp_path / "predictions.csv").read_bytes() != told
    assert ask(bcic2b, Path(), tmp_path, "baseline").status == 0
    assert (tmp_path / "predictions.csv").read_bytes() == told


@pytest.mark.slow
def test_where_the_time_went_is_told_and_is_not_in_the_results(of_linear: tuple[Path, Answer]) -> None:
    out, answer = of_linear
    assert re.search(r"time: features \d+\.\d s, fits \d+\.\d s, statistics \d+\.\d s", answer.err)
    assert "time" not in (out / "results.json").read_text()


def test_two_probes_at_once_in_one_folder_are_refused(bcic2b: Path, tmp_path: Path) -> None:
    with only_run_in(tmp_path, ALONE):
        unusable(ask(bcic2b, Path(), tmp_path, "baseline"), tmp_path, "another run is at work in it")
    assert ask(bcic2b, Path(), tmp_path, "baseline").status == 0
