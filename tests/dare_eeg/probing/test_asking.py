"""What `dare probe` says before, while and after it fits."""

import csv
import json
from pathlib import Path

import pytest

from dare_eeg.encoders.weights import read_weights, save_encoder
from tests.commands import dare, unusable

ASKED = ("probe", "tuab", "--resamples", 2, "--encoder")


def test_no_deviation_stands_where_nothing_varied(tuab: Path, nano_run: Path, tmp_path: Path) -> None:
    fixed = dare(*ASKED, nano_run, "--shards", tuab, "--out", tmp_path / "fixed", "--seeds", 2)
    assert (fixed.status, "±" in fixed.out) == (0, False)
    rows = (tmp_path / "fixed" / "predictions.csv").read_text().splitlines()
    assert {row["seed"] for row in csv.DictReader(rows)} == {"0"}
    drawn = dare(*ASKED, "scratch", "--size", "nano", "--shards", tuab, "--out", tmp_path / "drawn", "--seeds", 2)
    assert (drawn.status, "±" in drawn.out) == (0, True)


def test_a_question_is_answered_once_another_replaces_it_and_results_of_others_stay(
    tuab: Path, nano_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "probe"
    asked = (*ASKED, nano_run, "--shards", tuab, "--out", out)
    first = dare(*asked)
    again = dare(*asked)
    assert again.out == first.out
    assert again.err == f"{out}: done before by the same encoder, set and options; kept\n"
    assert f"{out}: its results are replaced" in dare(*asked, "--protocol", "kfold").err
    assert f"{out}: its results are replaced" in dare(*asked, "--protocol", "kfold", "--repeats", 2).err
    before = (out / "results.json").read_bytes()
    for other in (("scratch",), (nano_run, "--mode", "conv-linear", "--epochs", 1)):
        unusable(dare(*ASKED, *other, "--shards", tuab, "--out", out), "holds the results of", "another --out")
    assert (out / "results.json").read_bytes() == before
    answer = dare(*ASKED, nano_run, "--shards", tmp_path / "nowhere", "--out", out)
    assert (answer.status, "replaced" in answer.err) == (2, False)


def test_electrodes_that_the_encoder_never_saw_are_told(tuab: Path, nano_run: Path, tmp_path: Path) -> None:
    weights, provenance, _ = read_weights(nano_run)
    few = provenance.model_copy(update={"electrodes": provenance.electrodes[2:]})
    save_encoder(tmp_path / "few.safetensors", weights, few)
    seen = dare(*ASKED, nano_run, "--shards", tuab, "--out", tmp_path / "seen")
    assert "was not trained on" not in seen.out
    strange = dare(*ASKED, tmp_path / "few.safetensors", "--shards", tuab, "--out", tmp_path / "strange")
    assert f"the encoder was not trained on {', '.join(provenance.electrodes[:2])}, which are used" in strange.out


def test_a_size_is_for_scratch_alone(tuab: Path, nano_run: Path, tmp_path: Path) -> None:
    asked = (*ASKED, nano_run, "--size", "nano", "--shards", tuab, "--out", tmp_path / "probe")
    unusable(dare(*asked), "--size nano", "--encoder scratch")


def test_results_that_could_not_be_written_are_not_fitted(tuab: Path, nano_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = dare(*ASKED, nano_run, "--shards", tuab, "--out", tmp_path / "file" / "probe")
    unusable(answer, tmp_path / "file")
    assert " of 1 fits" not in answer.err


def test_a_network_that_did_not_move_from_chance_is_told(tuab: Path, nano_run: Path, tmp_path: Path) -> None:
    asked = (*ASKED, nano_run, "--shards", tuab, "--mode", "conv-linear", "--epochs", 1)
    stuck = dare(*asked, "--out", tmp_path / "stuck")
    assert "in 1 of 1 fits no epoch did better than chance" in stuck.out
    learnt = dare(*ASKED, nano_run, "--shards", tuab, "--out", tmp_path / "linear")
    assert "better than chance" not in learnt.out


def test_progress_within_a_fit_is_told(tuab: Path, nano_run: Path, tmp_path: Path) -> None:
    answer = dare(*ASKED, nano_run, "--shards", tuab, "--mode", "finetune", "--epochs", 4, "--out", tmp_path / "probe")
    told = [line for line in answer.err.splitlines() if " of 1 fits" in line]
    assert len(told) > 3
    assert told[-1].endswith("-finetune: 1 of 1 fits")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--encoder", "scratch", "--mode", ","), "nothing to probe"),
        (("--baselines", ""), "nothing to probe"),
        (("--baselines", "majority", "--size", "nano"), "--size nano: is of a scratch encoder alone"),
        (("--baselines", "majority", "--epochs", 3), "--epochs 3: no row has the choice"),
        (("--encoder", "scratch", "--epochs", 3), "--epochs 3: no row has the choice"),
    ],
)
def test_what_nobody_would_be_asked_is_refused(
    tuab: Path, tmp_path: Path, asked: tuple[object, ...], said: str
) -> None:
    unusable(dare("probe", "tuab", "--shards", tuab, "--out", tmp_path / "probe", *asked), said)


def test_a_control_of_another_size_is_another_question(tuab: Path, tmp_path: Path) -> None:
    asked = (*ASKED, "scratch", "--shards", tuab, "--out", tmp_path / "probe", "--size")
    assert dare(*asked, "nano").status == 0
    answer = dare(*asked, "light")
    assert "its results are replaced" in answer.err
    assert json.loads((tmp_path / "probe" / "results.json").read_text())["encoder"]["size"] == "light"


def test_an_own_encoder_whose_file_changed_is_asked_again(tuab: Path, tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    named = "from tests.dare_eeg.encoders.own_encoder import OwnEncoder\nfrom dare_eeg import Identity\n\n\n"
    named += 'class Mine(OwnEncoder):\n    identity = Identity("mine", sha256="abc")\n'
    code.write_text(named)
    asked = (*ASKED, f"py:{code}:Mine", "--shards", tuab, "--out", tmp_path / "probe")
    assert dare(*asked).status == 0
    assert "done before" in dare(*asked).err
    code.write_text(f"{named}\n\nOTHER = 1\n")
    assert "its results are replaced" in dare(*asked).err


def test_json_of_several_rows_is_one_list_of_them(tuab: Path, tmp_path: Path) -> None:
    asked = ("probe", "tuab", "--shards", tuab, "--out", tmp_path, "--json", "--resamples", 2, "--baselines")
    assert json.loads(dare(*asked, "majority").out)["mode"] == "majority"
    several = json.loads(dare(*asked, "majority,band-power-logistic").out)
    assert [one["mode"] for one in several] == ["majority", "band-power-logistic"]


def test_a_setting_goes_to_the_rows_that_have_the_choice_and_one_that_none_has_is_refused(
    tuab: Path, nano_run: Path, tmp_path: Path
) -> None:
    asked = (*ASKED, nano_run, "--baselines", "majority", "--shards", tuab, "--out", tmp_path)
    assert dare(*asked, "--set", "pool=mean+std").status == 0
    rows = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/results.json")}
    assert {name: row["practice"]["pool"] for name, row in rows.items()} == {
        f"{nano_run.name}-linear-mean+std": "mean+std",
        "majority": "mean",
    }
    assert "done before" in dare(*asked, "--pool", "mean+std").err
    unusable(dare(*asked, "--centre", "subject"), "subjects have one class", "leave out --centre subject")
    unusable(dare(*asked, "--pool", "flatten", "--set", "pool=mean"), "--pool flatten: is --set pool, too")
    spaced = dare(*asked, "--set", "pool = flatten")
    assert (spaced.status, (tmp_path / f"{nano_run.name}-linear-flatten").is_dir()) == (0, True)
    unusable(dare(*asked, "--set", "layer_decay=0.5"), "layer_decay", "no choice of linear")
    unusable(dare(*asked, "--epochs", 3), "--epochs 3", "no row has the choice; it goes with conv-linear")


def test_a_set_that_is_not_there_is_one_line_with_what_may_be_meant(
    tuab: Path, tuab_pretrain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "mine").symlink_to(tuab)
    unusable(dare("probe", "tuba"), "shards/tuba/manifest.json: not found; did you mean tuab?")
    unusable(dare("probe", "mien"), "did you mean mine?")
    lying = f"dare preprocess tuev makes it, and finishes one that is not; there lie {Path('shards/mine')}"
    unusable(dare("probe", "tuev"), lying)
    unusable(dare("probe", "tuab", "--shards", "shards"), f"there lie {Path('shards/mine')}")
    unusable(
        dare("probe", "eegmat", "--shards", tuab), f"is a set of tuab, not of eegmat; dare probe tuab --shards {tuab}"
    )
    unusable(
        dare("probe", "tuab", "--shards", tuab_pretrain), "has no labels; probe the set that dare preprocess makes"
    )


@pytest.mark.parametrize(("name", "meant"), [("scrach", "scratch"), ("cbramod", "braindecode:cbramod")])
def test_an_encoder_that_is_misspelt_is_told_what_may_be_meant(
    tuab: Path, tmp_path: Path, name: str, meant: str
) -> None:
    answer = dare(*ASKED, name, "--shards", tuab, "--out", tmp_path / "probe")
    unusable(answer, f"{name}: not found; did you mean {meant}?")


def test_a_run_that_is_misspelt_is_told_what_lies_there(tuab: Path, nano_run: Path, tmp_path: Path) -> None:
    answer = dare(*ASKED, f"{nano_run}s", "--shards", tuab, "--out", tmp_path / "probe")
    unusable(answer, f"{nano_run}s: not found; did you mean {nano_run}?")


def test_two_encoders_of_one_name_are_refused_before_either_is_probed(
    tuab: Path, nano_run: Path, tmp_path: Path
) -> None:
    (tmp_path / nano_run.name).symlink_to(nano_run)
    both = f"{nano_run},{tmp_path / nano_run.name}"
    answer = dare(*ASKED, both, "--shards", tuab, "--out", tmp_path / "probes")
    unusable(answer, f"would be called nano-linear, as {nano_run} would", "--out of its own")
    assert not (tmp_path / "probes").exists()
