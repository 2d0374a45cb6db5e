"""What a run says before its first step, what it would take, and what --exclude may not leave."""

import json
from pathlib import Path

import pytest
import torch

from dare_eeg.network.model import SIZES, Encoder
from dare_eeg.running.checkpoint import STATES
from tests.commands import contents, dare, unusable
from tests.dare_eeg.sets import NANO, Window, metrics_of, pretrained, recorded, write_set

pytestmark = pytest.mark.slow


def header(*words: object) -> list[str]:
    """Return the lines of a run of one step above its first."""
    answer = dare("pretrain", *NANO, "--steps", 1, *words)
    assert answer.status == 0, answer.err
    told = answer.err.splitlines()
    return told[: next(number for number, line in enumerate(told) if line.startswith("step 1 of 1"))]


def test_header_says_what_is_trained_on_what_and_how(four_electrodes: Path, tmp_path: Path) -> None:
    run, threads = tmp_path / "run", f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    assert header("--shards", four_electrodes, "--out", run) == [
        f"{run}: nano on {four_electrodes}",
        "  train      15 windows     3 subjects      0.02 h",
        "  valid       6 windows     1 subjects      0.01 h",
        "  electrodes: 4 of the network's 62: C3, CZ, C4, PZ",
        "  network: 593,792 parameters to train, 108,288 of them the encoder's; fp32 on cpu, " + threads,
        "  plan: 1 steps of 8 windows (0.5 passes over train) in micro-batches of 4, by 1 process; "
        "a checkpoint and a validation every 1 steps",
    ]


def two(subject: str, windows: int) -> list[Window]:
    return recorded(subject, windows, electrodes=2)


def test_header_says_who_is_left_out_and_why(four_electrodes: Path, tmp_path: Path) -> None:
    other = write_set(
        tmp_path / "other",
        {
            "train": [two("tuh:d", 2) + two("tuh:x", 4) + two("tuh:y", 4)],
            "valid": [two("tuh:z", 2)],
        },
        ("C3", "A1"),
    )
    only_b = write_set(tmp_path / "b", {"test": [recorded("tuh:b", 1)]})
    of_test = write_set(tmp_path / "e", {"train": [recorded("tuh:e", 1)]})
    strangers = write_set(tmp_path / "strangers", {"train": [recorded("tuh:nobody", 1)]})
    merged = tmp_path / "merged"
    assert dare("merge", four_electrodes, other, "--out", merged, "--exclude", f"{only_b}:test").status == 0
    exclude = [word for one in (f"{other}:valid", of_test, strangers) for word in ("--exclude", one)]
    told = header("--shards", merged, "--out", tmp_path / "run", *exclude)
    assert told[0].endswith(f"nano on {merged} (four, other)")
    for line in (
        f"--exclude {other}:valid: 1 subject left out",
        f"--exclude {of_test}: 0 subjects left out; all of them are in test, which is never read",
        f"--exclude {strangers}: 0 subjects left out; none of its subjects is in them",
        "four: 1 subject left out of train when merged",
        "other: 1 subject left out of train as valid is to judge them in another set",
        "left out, the network has no embedding for them: A1",
    ):
        assert f"  {line}" in told


def test_without_valid_windows_the_header_says_what_that_means(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "unheld", {"train": [recorded("tuh:a", 4)]})
    told = header("--shards", folder, "--out", tmp_path / "run")
    assert "  no window to validate on: the encoder will be that of the last step" in told


def test_an_exclusion_that_leaves_too_few_is_asked_about(four_electrodes: Path, tmp_path: Path) -> None:
    few = write_set(tmp_path / "few", {"train": [recorded("tuh:a", 1), recorded("tuh:b", 1), recorded("tuh:c", 1)]})
    valid = write_set(tmp_path / "valid", {"train": [recorded("tuh:d", 1)]})
    two = write_set(tmp_path / "two", {"train": [recorded("tuh:b", 1), recorded("tuh:a", 1)]})
    whole = ("pretrain", "--shards", four_electrodes, *NANO, "--steps", 2)
    for excluded, said in (
        ([valid], "leaves none of 1 subject to validate on; train so all the same with --yes, or leave out fewer"),
        ([two, valid], "leaves none of 1 subject to validate on and 1 of 4 subjects in all; "),
        ([few], "leaves nobody to train on; leave out fewer"),
    ):
        words = [word for one in excluded for word in ("--exclude", one)]
        named = " ".join(map(str, excluded))
        unusable(dare(*whole, *words, "--out", tmp_path / "run"), f"dare: --exclude {named}: {said}")
    assert not (tmp_path / "run").exists()
    words = ("--exclude", valid, "--out", tmp_path / "run")
    assert dare(*whole, *words, "--yes", "--stop-after", 1).status == 0
    assert dare("pretrain", "--out", tmp_path / "run", "--resume").status == 0, "who was asked is not asked again"
    assert dare(*whole, "--exclude", two, "--out", tmp_path / "half").status == 0


def test_a_dry_run_tells_what_the_run_would_and_writes_nothing(
    four_electrodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--shards", four_electrodes, "--out", tmp_path / "run", *NANO, "--steps", 40, "--checkpoint-every", 20)
    answer = dare("pretrain", *words, "--dry-run")
    assert answer.status == 0, answer.err
    assert contents(tmp_path) == {}
    told = json.loads(dare("pretrain", *words, "--dry-run", "--json").out)
    assert contents(tmp_path) == {}
    run = pretrained(four_electrodes, tmp_path / "run", "--steps", 40, "--checkpoint-every", 20)
    said = dare("pretrain", *words, "--resume").err.splitlines()
    assert answer.out.splitlines()[: len(said) - 1] == said[:-1], "the header is that of the run"
    assert [line.split(":")[0].strip() for line in answer.out.splitlines()[-4:-1]] == ["disk", "memory", "time"]
    file = next((run / "checkpoints").glob(f"step-*/{STATES}"))
    assert told["checkpoint_bytes"] == pytest.approx(file.stat().st_size, rel=0.05)
    assert told["encoder_bytes"] == sum(4 * value.numel() for value in Encoder(SIZES["nano"]).state_dict().values())
    assert told["disk_bytes"] > sum(len(content) for content in contents(run).values())
    assert (told["steps"], told["validations"], told["train"]["windows"]) == (40, 2, 15)
    assert told["hours"] * 3600 == pytest.approx(told["step_s"] * (40 + 2 * 6 / 8 / 3), rel=0.05, abs=0.5)
    assert told["memory_bytes"] > 1e6
    before = contents(run)
    unusable(dare("pretrain", *words, "--dry-run"), "holds a run; go on with --resume")
    assert dare("pretrain", "--out", run, "--resume", "--dry-run").status == 0
    assert contents(run) == before
    assert len(metrics_of(run)) == 40
