"""Probes by several processes say what one says, to the last digit, and go down together."""

import json
import signal
from pathlib import Path

import pytest

from tests.commands import Answer, dare
from tests.dare_eeg.probing.test_trained import patients
from tests.dare_eeg.running import ranks

pytestmark = pytest.mark.slow

ROWS = ("finetune", "lora", "conv-linear")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return patients(tmp_path_factory.mktemp("together") / "set", of_each=7)


def question(shards: Path, out: Path, epochs: int = 2) -> tuple[object, ...]:
    """Return a command whose steps are of 8 and 6 windows, in micro-batches of 2 or 3 windows."""
    named = ("--shards", shards, "--encoder", "scratch", "--size", "nano", "--resamples", 2, "--out", out)
    modes = ("--protocol", "official", "--mode", ",".join(("linear", *ROWS)), "--baselines", "majority")
    return ("probe", "tuab", *named, *modes, "--epochs", epochs, "--set", "batch=8", "--set", "micro_batch=3")


@pytest.fixture(scope="module")
def alone(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    out = tmp_path_factory.mktemp("alone")
    return out, dare(*question(shards, out))


@pytest.mark.parametrize(("launcher", "processes"), [("elastic", 4), ("deepspeed", 2)])
def test_several_processes_predict_what_one_does_and_the_first_alone_speaks(
    launcher: str, processes: int, shards: Path, alone: tuple[Path, Answer], tmp_path: Path
) -> None:
    folder, answer = alone
    assert answer.status == 0, answer.err
    out = tmp_path / "out"
    told = ranks.together(launcher, tmp_path / "job", question(shards, out), question(shards, out), processes=processes)
    for first, *others in zip(*told, strict=True):
        assert first.status == 0, first.err
        assert others == [Answer(0, "", "")] * (processes - 1)
    assert told[0][0].out == answer.out.replace(str(folder), str(out))
    assert told[0][1].err.count("done before") == 5
    for name in ("linear", *ROWS):
        row = f"scratch-nano-{name}"
        for file in ("predictions.csv", "results.json"):
            assert (out / row / file).read_bytes() == (folder / row / file).read_bytes(), (name, file)
    assert (out / "ladder.json").read_bytes() == (folder / "ladder.json").read_bytes()


def test_the_ladder_counts_the_parameters_of_encoders_and_what_each_row_trains(alone: tuple[Path, Answer]) -> None:
    rows = {row["name"]: row for row in json.loads((alone[0] / "ladder.json").read_text())["rows"]}
    encoder = {name.removeprefix("scratch-nano-"): row["encoder_parameters"] for name, row in rows.items()}
    trained = {name.removeprefix("scratch-nano-"): row["trained_parameters"] for name, row in rows.items()}
    assert encoder == dict.fromkeys(("linear", *ROWS), 108_288) | {"majority": 0}
    assert (trained["linear"], trained["majority"]) == (0, 0)
    beside = 2 * (4 * (64 + 3 * 64) + 4 * (64 + 64))  # of two blocks: qkv and projection, by rank 4
    assert trained["finetune"] - trained["lora"] == 108_288 - beside
    adapter, head = 23 * 58 + 58, 64 * 16 + 16 + 16 * 8 * 2 + 2
    assert trained["conv-linear"] == adapter + head
    line = next(line for line in (alone[0] / "ladder.md").read_text().splitlines() if "-conv-linear" in line)
    assert [cell.strip() for cell in line.split("|")][6:8] == ["108 k", f"{(adapter + head) / 1000:.3g} k"]


def test_a_rank_that_is_killed_takes_the_probe_down_and_is_spoken_of_once(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with ranks.job("torchrun", ranks.BIN / "dare", *question(shards, out, epochs=100_000)) as process:
        ranks.until(lambda: (out / "scratch-nano-linear" / "report.html").exists(), process)
        ranks.until(lambda: (out / "scratch-nano-finetune").exists(), process)
        ranks.ranks(process)[1].send_signal(signal.SIGKILL)
        status, told = ranks.finished(process, ranks.MINUTE)
    assert status != 0
    (complaint,) = [line for line in told.splitlines() if line.startswith("dare: ")]
    assert complaint == (
        "dare: another process of the job has died or does not answer; see what it said, then ask again"
    )
    assert "dare_eeg/commands.py" not in told
    assert "frame #" not in told


def test_an_error_of_what_the_first_does_alone_ends_all_and_is_told_once(shards: Path, tmp_path: Path) -> None:
    words = [word for word in question(shards, tmp_path / "out") if word != "scratch"]
    words.insert(words.index("--encoder") + 1, f"py:{tmp_path / 'mine.py'}:Mine")
    (tmp_path / "mine.py").write_text(BLIND)
    named = [word for word in words if word not in ("--size", "nano")]
    with ranks.job("srun", ranks.BIN / "dare", *named) as process:
        status, told = ranks.finished(process)
    assert status == 2
    assert told.count("none of its electrodes is the network's") == 1, told
    assert "Traceback" not in told


BLIND = """
from tests.dare_eeg.encoders.own_encoder import OwnEncoder


class Mine(OwnEncoder):
    def known(self, electrodes):
        return []
"""
