"""Our rows beside published ones: every difference of protocol is told, and what is unknown is said to be."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from manifests import published
from tests.commands import dare

ASKED = ("--baselines", "majority,band-power-logistic", "--resamples", 2)


@pytest.fixture(scope="module")
def probes(tuab: Path, bcic2b: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Ladders of two corpora of which rows are published."""
    root = tmp_path_factory.mktemp("published")
    for corpus, shards, protocol in (("tuab", tuab, "official"), ("bcic2b", bcic2b, "kfold")):
        asked = ("--shards", shards, "--out", root / corpus, "--protocol", protocol, *ASKED)
        answer = dare("probe", corpus, *asked)
        assert answer.status == 0, answer.err
    return {corpus: root / corpus for corpus in ("tuab", "bcic2b")}


@pytest.fixture(scope="module")
def beside(probes: dict[str, Path]) -> dict[str, list[dict[str, Any]]]:
    """The lines of each corpus."""
    answer = dare("compare", *probes.values(), "--published", "--json")
    assert answer.status == 0, answer.err
    found: dict[str, list[dict[str, Any]]] = json.loads(answer.out)["corpora"]
    return found


def line_of(lines: list[dict[str, Any]], name: str, source: str = "") -> dict[str, Any]:
    (found,) = [line for line in lines if line["name"] == name and line["source"].startswith(source)]
    return found


def test_all_rows_are_there_best_first(beside: dict[str, list[dict[str, Any]]]) -> None:
    for corpus, lines in beside.items():
        kept = [row.model for study in published.studies(corpus) for row in study.rows]
        assert sorted(line["name"] for line in lines if line["whose"] == "published") == sorted(kept)
        assert {line["name"] for line in lines if line["whose"] == "ours"} == {"majority", "band-power-logistic"}
        figures = [line["metrics"].get("balanced_accuracy", {"mean": -1.0})["mean"] for line in lines]
        assert figures == sorted(figures, reverse=True)


def test_our_figures_are_those_of_the_results_at_each_level(
    probes: dict[str, Path], beside: dict[str, list[dict[str, Any]]]
) -> None:
    results = json.loads((probes["tuab"] / "majority" / "results.json").read_text())
    ours = {line["level"]: line for line in beside["tuab"] if line["name"] == "majority"}
    assert ours.keys() == {"window", "recording"}
    for level, line in ours.items():
        for metric, figure in line["metrics"].items():
            assert figure["mean"] == results["metrics"][level][metric]["mean"]


def test_each_difference_of_protocol_is_spelled_out(beside: dict[str, list[dict[str, Any]]]) -> None:
    labram = line_of(beside["tuab"], "LaBraM-Base")
    assert labram["differences"] == [
        "fine-tuned (ours supervised)",
        "chosen on valid (ours nothing or train)",
        "409,455 windows",
    ]
    of_recordings = line_of(beside["tuab"], "LaBraM", "EEG-Bench")
    assert of_recordings["differences"] == []
    assert {"length of windows", "split", "training"} < set(of_recordings["unknown"])
    neural = line_of(beside["tuab"], "handcrafted features")
    assert neural["differences"] == ["windows of 5 s (ours 10)"]
    eegpt = line_of(beside["bcic2b"], "EEGPT")
    assert eegpt["differences"][:4] == [
        "split each of 9 subjects left out in turn (ours kfold)",
        "9 subjects tested (ours 3)",
        "9 subjects in all (ours 3)",
        "frozen (ours supervised)",
    ]
    assert "tested windows among them" in eegpt["differences"][-1]
    assert "what ± is" in eegpt["unknown"]


def test_a_metric_that_we_do_not_tell_and_one_that_could_not_be_read_are_said(tuev_lines: list[dict[str, Any]]) -> None:
    assert "in macro f1 alone (ours not)" in line_of(tuev_lines, "handcrafted features")["differences"]
    unread = line_of(tuev_lines, "DARE-EEG Base")
    assert (unread["metrics"], unread["unread"]) == ({}, ["balanced_accuracy", "kappa", "weighted_f1"])
    assert "second hand" in unread["source"]


@pytest.fixture(scope="module")
def tuev_lines(probes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The lines of a corpus whose only row of ours says nothing of its windows' length, as older ones do not."""
    row = tmp_path_factory.mktemp("older") / "majority"
    shutil.copytree(probes["tuab"] / "majority", row)
    results = json.loads((row / "results.json").read_text())
    del results["window_s"]
    (row / "results.json").write_text(json.dumps(results | {"corpus": "tuev"}))
    lines: list[dict[str, Any]] = json.loads(dare("compare", row, "--published", "--json").out)["corpora"]["tuev"]
    return lines


def test_of_older_results_the_length_of_windows_is_unknown(tuev_lines: list[dict[str, Any]]) -> None:
    assert "our length of windows" in line_of(tuev_lines, "LaBraM-Base")["unknown"]


def test_a_corpus_of_which_nothing_is_published_is_told_in_a_line(probes: dict[str, Path], tmp_path: Path) -> None:
    row = tmp_path / "majority"
    shutil.copytree(probes["tuab"] / "majority", row)
    results = json.loads((row / "results.json").read_text())
    (row / "results.json").write_text(json.dumps(results | {"corpus": "fists"}))
    answer = dare("compare", row, "--published")
    assert answer.out.strip() == "fists: no published rows are kept of it"


def test_it_is_printed_and_written_as_asked(probes: dict[str, Path], tmp_path: Path) -> None:
    asked = ("compare", probes["tuab"], "--published", "--out")
    printed = dare(*asked, tmp_path / "beside.md").out
    assert printed == (tmp_path / "beside.md").read_text() + "\n"
    (labram,) = [line for line in printed.splitlines() if line.startswith("| LaBraM-Base")]
    number = labram.split("|")[-2].strip()
    (note,) = [at for at, line in enumerate(printed.splitlines()) if line.startswith(number)]
    assert printed.splitlines()[note].startswith(f"{number} LaBraM, table 1")
    assert "otherwise: fine-tuned (ours supervised)" in printed.splitlines()[note + 1]
    (unread,) = [line for line in printed.splitlines() if line.startswith("| DARE-EEG Deep")]
    assert [cell.strip() for cell in unread.split("|")[2:5]] == ["0.816", "?", "?"]
    dare(*asked, tmp_path / "beside.csv")
    lines = list(csv.DictReader((tmp_path / "beside.csv").read_text().splitlines()))
    (deep,) = [line for line in lines if line["row"] == "DARE-EEG Deep" and line["metric"] == "balanced_accuracy"]
    assert (deep["mean"], deep["spread"], deep["whose"]) == ("0.8156", "", "published")
    dare(*asked, tmp_path / "beside.json")
    assert json.loads((tmp_path / "beside.json").read_text())["corpora"].keys() == {"tuab"}


def test_controls_are_left_out(probes: dict[str, Path], tuab: Path, tmp_path: Path) -> None:
    asked = ("--baselines", "majority", "--resamples", 2, "--permuted", "--protocol", "official")
    assert dare("probe", "tuab", "--shards", tuab, "--out", tmp_path / "control", *asked).status == 0
    rows = (probes["tuab"] / "majority", tmp_path / "control")
    lines = json.loads(dare("compare", *rows, "--published", "--json").out)["corpora"]["tuab"]
    assert {line["name"] for line in lines if line["whose"] == "ours"} == {"majority"}
