"""Rows of several corpora side by side: the differences of each, what they say together, and what is refused."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import combine_pvalues, norm, permutation_test, rankdata

from tests.commands import dare, unusable
from tests.dare_eeg.probing.test_ladder import by_subject
from tests.dare_eeg.sets import recorded, write_set

ROWS = {"nano-linear", "scratch-nano-linear", "majority", "band-power-logistic"}
ASKED = ("--protocol", "kfold", "--resamples", 2, "--size", "nano")


@pytest.fixture(scope="module")
def probes(tuab: Path, bcic2b: Path, nano_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Ladders of two corpora, one with a row more and a control."""
    root = tmp_path_factory.mktemp("probes")
    rows = ("--encoder", f"{nano_run},scratch", "--baselines", "majority,band-power-logistic")
    for corpus, shards in (("tuab", tuab), ("bcic2b", bcic2b)):
        answer = dare("probe", corpus, "--shards", shards, "--out", root / corpus, *rows, *ASKED)
        assert answer.status == 0, answer.err
    more = ("--out", root / "bcic2b", *ASKED[:-2])
    assert dare("probe", "bcic2b", "--shards", bcic2b, "--baselines", "tangent-space,csp-lda", *more).status == 0
    assert dare("probe", "bcic2b", "--shards", bcic2b, "--baselines", *more, "--permuted", "--epochs", 2).status == 0
    return {corpus: root / corpus for corpus in ("tuab", "bcic2b")}


@pytest.fixture(scope="module")
def compared(probes: dict[str, Path]) -> dict[str, Any]:
    answer = dare("compare", *probes.values(), "--json")
    assert answer.status == 0, answer.err
    return json.loads(answer.out)


def test_a_pair_differs_on_each_corpus_as_its_subjects_do(probes: dict[str, Path], compared: dict[str, Any]) -> None:
    assert {(pair["ours"], pair["theirs"]) for pair in compared["pairs"]} == {
        ("nano-linear", other) for other in ROWS - {"nano-linear"}
    }
    for pair in compared["pairs"]:
        for corpus, of in pair["corpora"].items():
            folder = probes[corpus]
            if corpus == "tuab":
                told = [figure(folder / pair[side]) for side in ("ours", "theirs")]
                assert of["difference"] == pytest.approx(told[0] - told[1])
                continue
            ours, theirs = by_subject(folder / pair["ours"]), by_subject(folder / pair["theirs"])
            assert (of["difference"], of["subjects"]) == (pytest.approx(ours.sum() - theirs.sum()), len(ours))
            flips = permutation_test((ours, theirs), lambda a, b: np.sum(a - b), permutation_type="samples")
            assert of["p"] == pytest.approx(flips.pvalue)


def figure(row: Path) -> float:
    return float(json.loads((row / "results.json").read_text())["metrics"]["window"]["balanced_accuracy"]["mean"])


def test_corpora_are_weighed_by_the_root_of_their_subjects(compared: dict[str, Any]) -> None:
    for pair in compared["pairs"]:
        parts = list(pair["corpora"].values())
        # All subjects train each other here, by kfold and loso.
        told = [2 * norm.sf(norm.isf(of["p"] / 2) / np.sqrt(2)) for of in parts]
        upper = [p / 2 if of["difference"] >= 0 else 1 - p / 2 for of, p in zip(parts, told, strict=True)]
        weights = np.sqrt([of["subjects"] for of in parts])
        one_sided = combine_pvalues(np.clip(upper, 1e-12, 1 - 1e-12), "stouffer", weights=weights).pvalue
        assert pair["p"] == pytest.approx(2 * min(one_sided, 1 - one_sided), abs=1e-6)
        assert pair["p_holm"] >= pair["p"]
        assert pair["difference"] == pytest.approx(np.mean([of["difference"] for of in parts]))


def test_rows_are_ranked_on_each_corpus_and_those_not_on_all_are_told(
    probes: dict[str, Path], compared: dict[str, Any]
) -> None:
    names = [row["name"] for row in compared["rows"]]
    assert set(names) == ROWS
    assert {"tangent-space", "csp-lda", "majority-permuted"} < set(compared["elsewhere"])
    for corpus, folder in probes.items():
        expected = rankdata([-figure(folder / name) for name in names])
        assert [row["ranks"][corpus] for row in compared["rows"]] == expected.tolist()
    means = [row["mean_rank"] for row in compared["rows"]]
    assert means == sorted(means)


def test_a_comparison_is_printed_and_written_as_asked(
    probes: dict[str, Path], compared: dict[str, Any], tmp_path: Path
) -> None:
    printed = dare("compare", *probes.values(), "--out", tmp_path / "side.md")
    assert printed.out == (tmp_path / "side.md").read_text() + "\n"
    assert "| nano-linear" in printed.out
    assert "Left out, as controls or not on each corpus: band-power-forest-permuted, " in printed.out
    dare("compare", *probes.values(), "--out", tmp_path / "side.json")
    assert json.loads((tmp_path / "side.json").read_text()) == compared
    dare("compare", *probes.values(), "--out", tmp_path / "side.csv")
    lines = list(csv.DictReader((tmp_path / "side.csv").read_text().splitlines()))
    assert len(lines) == 3 * len(compared["pairs"])
    assert {line["corpus"] for line in lines} == {"tuab", "bcic2b", ""}
    unusable(dare("compare", *probes.values(), "--out", tmp_path / "side.txt"), ".md, .csv or .json")


def test_two_rows_alone_are_compared(probes: dict[str, Path]) -> None:
    rows = [probes["tuab"] / name for name in ("nano-linear", "scratch-nano-linear")]
    answer = dare("compare", *rows, "--json")
    (pair,) = json.loads(answer.out)["pairs"]
    assert pair["p"] == pytest.approx(2 * norm.sf(norm.isf(pair["corpora"]["tuab"]["p"] / 2) / np.sqrt(2)))


def test_rows_that_answer_other_questions_are_refused(probes: dict[str, Path], tuab: Path, tmp_path: Path) -> None:
    encoder = probes["tuab"] / "nano-linear"
    other_set = write_set(
        tmp_path / "set",
        {"train": [recorded(f"tuh:{one}", 8, labels=[0, 1] * 4) for one in "abcd"]},
        classes=("a", "b"),
    )
    for shards, options in ((other_set, ()), (tuab, ("--repeats", 2)), (tuab, ("--shots", 2))):
        row = tmp_path / "other"
        shutil.rmtree(row, ignore_errors=True)
        asked = ("--baselines", "majority", "--protocol", "kfold", "--resamples", 2, "--out", row)
        assert dare("probe", "tuab", "--shards", shards, *asked, *options).status == 0
        unusable(
            dare("compare", encoder, row), row, "is of another set, protocol, repeats or shots than", "both of tuab"
        )


def test_rows_of_other_windows_of_one_name_or_of_none_are_refused(probes: dict[str, Path], tmp_path: Path) -> None:
    encoder, copy = probes["tuab"] / "nano-linear", tmp_path / "majority"
    shutil.copytree(probes["tuab"] / "majority", copy)
    lines = (copy / "predictions.csv").read_text().splitlines(keepends=True)
    (copy / "predictions.csv").write_text("".join(lines[:-1]))
    unusable(dare("compare", encoder, copy), copy, "has tested other windows than")
    unusable(dare("compare", probes["tuab"], copy), copy, "is majority on tuab, as", "leave out one of them")
    (copy / "predictions.csv").unlink()
    unusable(dare("compare", encoder, copy), "predictions.csv", "is not there")
    unusable(dare("compare", tmp_path / "nowhere"), "nowhere", "holds no results of a probe")
    unusable(dare("compare", encoder), "1 rows are in all of tuab, and no encoder with a row beside it")
    results = json.loads((probes["bcic2b"] / "nano-linear" / "results.json").read_text())
    results["encoder"]["sha256"] = "0" * 64
    other = tmp_path / "nano-linear"
    shutil.copytree(probes["bcic2b"] / "nano-linear", other)
    (other / "results.json").write_text(json.dumps(results))
    unusable(dare("compare", encoder, other), "is called nano-linear, as", "other weights or options")


def test_a_folder_with_rows_of_several_questions_is_compared_by_the_one_that_most_answer(
    tuab: Path, nano_run: Path, tmp_path: Path
) -> None:
    asked = ("probe", "tuab", "--shards", tuab, "--protocol", "kfold", "--resamples", 2, "--out", tmp_path)
    assert dare(*asked, "--encoder", nano_run, "--baselines", "majority,band-power-logistic").status == 0
    few = dare(*asked, "--baselines", "majority,band-power-logistic", "--shots", 2)
    assert "3 rows beside these answer another question" in few.out
    compared = dare("compare", tmp_path, "--json")
    assert {row["name"] for row in json.loads(compared.out)["rows"]} == {
        f"{nano_run.name}-linear", "majority", "band-power-logistic",
    }  # fmt: skip
    again = dare(*asked, "--encoder", nano_run, "--baselines", "majority")
    assert "2 rows beside these answer another question" in again.out
    assert "band-power-logistic " in (tmp_path / "ladder.md").read_text()
