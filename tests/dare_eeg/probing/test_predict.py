"""Raw recordings are labelled as the windows that a set made of them were, and others as near to that as can be."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open

from dare_eeg import open_shards
from dare_eeg.probing.fits import KeptFits, Place
from tests.commands import Answer, dare, unusable
from tests.dare_eeg.sets import pretrained
from tests.judges import noise_uv, write_edf

WAYS: dict[str, tuple[object, ...]] = {
    "linear": ("--mode", "linear"),
    "ridge": ("--mode", "linear", "--set", "classifier=ridge", "--set", "pool=mean+std"),
    "conv-linear": ("--mode", "conv-linear", "--epochs", 2),
    "finetune": ("--mode", "finetune", "--epochs", 1, "--seeds", 2),
    "band-power-logistic": ("--baselines", "band-power-logistic"),
    "filter-bank-tangent-space": ("--baselines", "filter-bank-tangent-space"),
    "band-power-forest": ("--baselines", "band-power-forest"),
    "csp-lda": ("--baselines", "csp-lda"),
    "majority": ("--baselines", "majority"),
}
TEN_TEN = ("FC1", "FC2", "CP1", "CP2")


def probed(shards: Path, run: object, out: Path, *options: object) -> Path:
    encoder = () if "--baselines" in options else ("--encoder", run)
    answer = dare("probe", "tuab", "--shards", shards, *encoder, "--out", out, "--resamples", 5, *options)
    assert answer.status == 0, answer.err
    return out


def predict(row: Path, out: Path, *rest: object) -> Answer:
    return dare("predict", row, *rest, "--out", out)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def kept(row: Path) -> KeptFits:
    """Return the fits of a row, by the question that they answer."""
    with safe_open(next((row / "fits").glob("*.safetensors")), "pt") as file:
        return KeptFits(row / "fits", json.loads(file.metadata()["question"]), print)


def probabilities(rows: list[dict[str, str]], name: str) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return the mean of what is said of each window, by file name and start."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    for row in rows:
        told = [float(value) for column, value in row.items() if column.startswith("p_")]
        found.setdefault((row[name].rpartition("/")[2], row["start_s"]), []).append(told)
    return {key: np.mean(told, axis=0) for key, told in found.items()}


def as_predicted(row: Path, labels: Path) -> None:
    """Assert that windows are labelled as predictions.csv has them, its repeats and seeds averaged."""
    expected = probabilities(rows_of(row / "predictions.csv"), "recording")
    found = probabilities([one for one in rows_of(labels) if one["level"] == "window"], "file")
    assert found.keys() == expected.keys()
    for key, told in expected.items():
        np.testing.assert_allclose(found[key], told, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def of_linear(tuab: Path, nano_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A row by the official split."""
    return probed(tuab, nano_run, tmp_path_factory.mktemp("probes") / "linear")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Half a minute of noise at electrodes of which no recipe of patients has one, without a label."""
    return write_edf(tmp_path / "elsewhere.edf", noise_uv([f"EEG {name}-REF" for name in TEN_TEN], 30, 250), 250)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_test_recordings_are_labelled_as_they_were_predicted(
    tuab: Path, tuab_raw: Path, nano_run: Path, tmp_path: Path, way: str
) -> None:
    shards = shutil.copytree(tuab, tmp_path / "shards")
    row = probed(shards, nano_run, tmp_path / "row", *WAYS[way])
    shutil.rmtree(shards)
    tested = sorted(tuab_raw.glob("edf/eval/**/*.edf"))
    answer = predict(row, tmp_path / "labels.csv", *tested, "--json")
    assert answer.status == 0, answer.err
    as_predicted(row, tmp_path / "labels.csv")
    told = json.loads(answer.out)
    assert [one["file"] for one in told] == [str(path) for path in tested]
    rows = rows_of(tmp_path / "labels.csv")
    for one in told:
        mine = [row for row in rows if row["file"] == one["file"]]
        windows, (whole,) = mine[:-1], mine[-1:]
        assert [row["level"] for row in mine] == ["window"] * one["windows"] + ["recording"]
        assert whole["predicted"] == one["predicted"] == max(one["probabilities"], key=one["probabilities"].get)
        mean = np.mean([float(row["p_abnormal"]) for row in windows])
        assert float(whole["p_abnormal"]) == pytest.approx(mean) == one["probabilities"]["abnormal"]


@pytest.mark.slow
@pytest.mark.parametrize(("repeats", "options"), [(2, ()), (1, ("--mode", "conv-linear", "--epochs", 1))])
def test_a_recording_of_the_set_is_labelled_by_fits_that_did_not_see_its_subject(
    tuab: Path, tuab_raw: Path, nano_run: Path, tmp_path: Path, repeats: int, options: tuple[object, ...]
) -> None:
    row = probed(tuab, nano_run, tmp_path / "row", "--protocol", "kfold", "--repeats", repeats, *options)
    recordings = {*open_shards(tuab, ("train", "valid", "test")).recordings.tolist()}
    answer = predict(row, tmp_path / "labels.csv", *sorted(tuab_raw / path for path in recordings))
    as_predicted(row, tmp_path / "labels.csv")
    said = f"of the set: labelled by the {repeats} of {5 * repeats} fits that were not fitted on its subject"
    assert answer.out.count(said) == len(recordings)


@pytest.mark.slow
def test_a_recording_that_was_trained_on_is_said_to_flatter(of_linear: Path, tuab_raw: Path, tmp_path: Path) -> None:
    trained_on = next(tuab_raw.glob("edf/train/**/*.edf"))
    assert (
        "whose subject was fitted on: what is said of it may flatter"
        in predict(of_linear, tmp_path / "labels.csv", trained_on).out
    )


@pytest.mark.slow
def test_a_recording_without_labels_is_cut_on_the_grid(of_linear: Path, tuab_raw: Path, tmp_path: Path) -> None:
    tested = next(tuab_raw.glob("edf/eval/**/*.edf"))
    path = shutil.copy(tested, tmp_path / "somebody.edf")
    with path.open("r+b") as stream:  # another patient's name, so that it is none of the set
        stream.seek(8)
        stream.write(b"X X X somebody".ljust(80))
    answer = predict(of_linear, tmp_path / "labels.csv", path, tested)
    assert answer.status == 0, answer.err
    assert "tells no labels: its windows lie on the recipe's grid" in answer.out.splitlines()[0]
    rows = [row for row in rows_of(tmp_path / "labels.csv") if row["level"] == "window"]
    half = len(rows) // 2
    assert [row["start_s"] for row in rows[:half]] == [row["start_s"] for row in rows[half:]]
    for one, other in zip(rows[:half], rows[half:], strict=True):
        assert float(one["p_normal"]) == pytest.approx(float(other["p_normal"]), abs=1e-6)


@pytest.mark.slow
def test_another_montage_is_read_as_far_as_the_encoder_knows_it(
    of_linear: Path, elsewhere: Path, tmp_path: Path
) -> None:
    some = write_edf(tmp_path / "some.edf", noise_uv(["EEG C3-REF", "EEG C4-REF"], 30, 250), 250)
    answer = predict(of_linear, tmp_path / "labels.csv", elsewhere, some)
    assert answer.status == 0, answer.err
    first, second, _ = answer.out.splitlines()
    assert "has none of the recipe's electrodes: others are used that the encoder knows" in first
    assert "lacks 17 electrodes of the recipe, which are left out: FP1, FP2" in second
    assert len(rows_of(tmp_path / "labels.csv")) == 2 * (3 + 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "made"),
    [
        (("--mode", "conv-linear", "--epochs", 1), "lacks 21 electrodes of the recipe, which are zeros"),
        (("--baselines", "tangent-space"), "lacks 21 electrodes of the recipe, which are interpolated"),
        (("--baselines", "band-power-logistic"), "lacks 21 electrodes of the recipe, which are means of those"),
    ],
)
def test_what_knows_no_absent_electrode_tells_what_it_makes_of_them(
    tuab: Path, nano_run: Path, elsewhere: Path, tmp_path: Path, options: tuple[object, ...], made: str
) -> None:
    row = probed(tuab, nano_run, tmp_path / "row", *options)
    some = write_edf(tmp_path / "some.edf", noise_uv(["EEG C3-REF", "EEG C4-REF"], 30, 250), 250)
    answer = predict(row, tmp_path / "labels.csv", elsewhere, some)
    assert (answer.status, answer.out.count(made)) == (0, 1), answer.err
    assert f"not labelled: {elsewhere}: no usable electrode" in answer.err


@pytest.mark.slow
def test_files_that_cannot_be_read_are_named_and_the_others_labelled(
    of_linear: Path, elsewhere: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.edf"
    page.write_text("<!DOCTYPE html><html>sign in</html>")
    asked = (of_linear, tmp_path / "labels.csv", page, elsewhere, tmp_path / "nowhere.edf")
    answer = predict(*asked)
    assert answer.status == 0
    assert f"not labelled: {page}: is an HTML page" in answer.err
    assert f"not labelled: {tmp_path / 'nowhere.edf'}: not found; name recordings" in answer.err
    assert {row["file"] for row in rows_of(tmp_path / "labels.csv")} == {str(elsewhere)}
    assert predict(*asked, "--strict").status == 1
    answer = predict(of_linear, tmp_path / "none.csv", page)
    assert (answer.status, (tmp_path / "none.csv").exists()) == (2, False)
    assert f"dare: {page}: is an HTML page" in answer.err


@pytest.mark.parametrize(("named", "told"), [("", "."), ("/dev/null", "/dev/null")])
def test_what_is_no_file_is_refused_before_anything_is_labelled(tmp_path: Path, named: str, told: str) -> None:
    answer = dare("predict", tmp_path, tmp_path / "nowhere.edf", "--out", named)
    unusable(answer, f"dare: {told}: is there and holds no labels of recordings; name another file with --out")


@pytest.mark.slow
def test_no_file_but_labels_is_written_over(of_linear: Path, elsewhere: Path, tmp_path: Path) -> None:
    for theirs in (elsewhere, of_linear / "predictions.csv", of_linear / "results.json"):
        before = theirs.read_bytes()
        unusable(predict(of_linear, theirs, elsewhere), theirs, "holds no labels", "--out")
        assert theirs.read_bytes() == before
    answer = predict(of_linear, tmp_path / "of a folder.csv", of_linear)
    assert (answer.status, "is a folder; name recordings" in answer.err) == (2, True)
    for _ in range(2):
        assert predict(of_linear, tmp_path / "labels.csv", elsewhere).status == 0


@pytest.mark.slow
def test_an_electrode_that_is_not_finite_counts_as_absent(of_linear: Path, tmp_path: Path) -> None:
    data = np.stack(list(noise_uv(["C3", "C4", "CZ"], 30, 250).values())) * 1e-6
    data[1, 100] = np.nan
    raw = mne.io.RawArray(data, mne.create_info(["C3", "C4", "Cz"], 250.0, "eeg"), verbose="error")
    raw.save(tmp_path / "some_raw.fif", verbose="error")
    answer = predict(of_linear, tmp_path / "labels.csv", tmp_path / "some_raw.fif")
    assert answer.status == 0, answer.err
    assert "C4 is not finite: taken as absent" in answer.out
    told = [float(row["p_normal"]) for row in rows_of(tmp_path / "labels.csv")]
    assert np.isfinite(told).all()


@pytest.mark.slow
def test_rows_that_cannot_label_say_why(
    tuab: Path, tuab_raw: Path, tuab_pretrain: Path, nano_run: Path, tmp_path: Path, of_linear: Path
) -> None:
    tested = next(tuab_raw.glob("edf/eval/**/*.edf"))
    run = shutil.copytree(nano_run, tmp_path / "run")
    row = probed(tuab, run, tmp_path / "row")
    moved = run.rename(tmp_path / "moved")
    assert f"{run}" in predict(row, tmp_path / "labels.csv", tested).complaint
    assert predict(row, tmp_path / "labels.csv", tested, "--encoder", moved).status == 0
    pretrained(tuab_pretrain, run, "--steps", 1)
    assert "is not the encoder that was probed" in predict(row, tmp_path / "labels.csv", tested).err
    assert "holds no results of a probe" in predict(tmp_path, tmp_path / "labels.csv", tested).complaint
    lost = shutil.copytree(of_linear, tmp_path / "lost")
    next((lost / "fits").glob("*.safetensors")).unlink()
    assert "is missing, damaged, or of another question" in predict(lost, tmp_path / "labels.csv", tested).err
    shutil.rmtree(lost / "fits")
    answer = predict(lost, tmp_path / "labels.csv", tested)
    assert "keeps no fits that label recordings" in answer.err
    assert "remove its results.json and run the same dare probe again" in answer.err


@pytest.mark.slow
def test_fits_without_what_was_fitted_are_made_again_as_is_told(tuab: Path, tmp_path: Path) -> None:
    some = write_edf(tmp_path / "some.edf", noise_uv(["EEG C3-REF", "EEG C4-REF"], 30, 250), 250)
    row = probed(tuab, "", tmp_path / "row", "--baselines", "majority")
    (file,) = (row / "fits").glob("*.safetensors")
    place, fits = Place(0, 0, 0), kept(row)
    told = fits.load(place)
    assert told is not None
    fits.keep(place, told)  # as older code kept a forest
    answer = predict(row, tmp_path / "labels.csv", some)
    assert f"{file.name} is no fit of this row" in answer.err
    assert "; remove its results.json and its folder fits, and run the same dare probe again" in answer.err
    (row / "results.json").unlink()
    shutil.rmtree(row / "fits")
    probed(tuab, "", row, "--baselines", "majority")
    assert predict(row, tmp_path / "labels.csv", some).status == 0


@pytest.mark.slow
def test_centring_and_alignment_are_by_the_recording_and_told(bcic2b: Path, nano_run: Path, tmp_path: Path) -> None:
    for options in (
        ("--set", "centre=subject"),
        ("--mode", "conv-linear", "--set", "alignment=euclidean", "--epochs", 1),
    ):
        row = tmp_path / str(len(options))
        named: tuple[Any, ...] = ("--shards", bcic2b, "--encoder", nano_run, "--out", row, "--resamples", 5)
        assert dare("probe", "bcic2b", *named, *options).status == 0
        path = write_edf(tmp_path / "some.edf", noise_uv(["EEG C3-REF", "EEG Cz-REF", "EEG C4-REF"], 30, 250), 250)
        answer = predict(row, tmp_path / "labels.csv", path)
        assert answer.status == 0, answer.err
        assert "centred or aligned by its own windows alone" in answer.out
