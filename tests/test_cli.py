"""The door: help for everything, light on its feet, one line for what went wrong."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

import cli
from tests.commands import dare, manifest
from tests.judges import noise_uv, write_edf

pytest_plugins = ["tests.corpora_fixtures"]

HEAVY = ("torch", "mne", "dask", "deepspeed", "distributed", "webdataset", "scipy", "sklearn", "numpy")
COMMANDS = sorted(cli.COMMANDS)
IMPORTED = f"""
import atexit, sys
import cli
atexit.register(lambda: print("imported:", *sorted(set(sys.modules) & set({HEAVY!r}))))
cli.main()
"""


def test_commands_that_turn_recordings_into_an_encoder_are_there() -> None:
    assert {"synth", "preprocess", "merge", "inspect", "verify", "pretrain"} <= set(COMMANDS)


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=lambda one: " ".join(one) or "dare")
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments, "--help"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("Usage: ")
    assert run.stdout.splitlines()[-1] == "imported:"
    assert run.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_has_help(name: str) -> None:
    command = cli.command(name)
    assert command.help
    listed = dare("--help").out
    assert f"  {name} " in listed
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, option.name


def test_option_of_the_launcher_is_hidden_and_taken() -> None:
    assert "local_rank" not in dare("--help").out
    assert dare("--local_rank=0", "synth", "--help").status == 0


def test_version_is_that_of_the_package() -> None:
    assert dare("--version").out.startswith("dare, version ")


@pytest.mark.parametrize(
    "arguments", [("unheard",), ("synth",), ("synth", "tuab", "--out", "x", "--subjects", "no"), ("verify",)]
)
def test_wrong_usage_is_one_line_and_status_2(arguments: tuple[str, ...]) -> None:
    answer = dare(*arguments)
    assert answer.status == 2
    assert answer.out == ""
    assert answer.complaint.startswith("dare: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("unheard",), "dare: unheard: no synthetic corpus; choose tuab"),
        (("tuab", "--subjects", "1"), "dare: tuab: is not written with 1 subjects; give 4 to 2000"),
        (("tuab", "--seconds", "1"), "10 s or longer"),
        (("tuab", "--seconds", "nan"), "10 s or longer"),
    ],
)
def test_corpus_that_cannot_be_written_is_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    answer = dare("synth", *arguments, "--out", tmp_path / "raw")
    assert answer.status == 2
    assert said in answer.complaint
    assert not (tmp_path / "raw").exists()


def test_progress_goes_to_stderr_and_the_result_to_stdout(raw: Path, tmp_path: Path) -> None:
    answer = dare("preprocess", "tuab", "--src", raw / "tuab", "--out", tmp_path, "--workers", 1, "--json")
    assert answer.status == 0
    assert json.loads(answer.out) == manifest(tmp_path / "tuab")
    assert "scan: 5 of 5 recordings" in answer.err
    assert "build: 3 of 3 shards" in answer.err


def test_whole_set_verifies(shards: Path) -> None:
    answer = dare("verify", shards / "tuev")
    assert (answer.status, answer.out) == (0, f"{shards / 'tuev'}: whole\n")


def test_recording_is_inspected(tmp_path: Path) -> None:
    path = tmp_path / "one.edf"
    channels = noise_uv(["EEG C3-REF", "EEG T3-REF"], 4, 250)
    write_edf(path, channels, 250, [(1.0, 0.5, "blink"), (2.0, 0.5, "blink")])
    facts = json.loads(dare("inspect", path, "--json").out)
    assert (facts["format"], facts["duration_s"], facts["events"]) == ("EDF", 4.0, {"blink": 2})
    assert [one["electrode"] for one in facts["channels"]] == ["C3", "T7"]
    for one, data in zip(facts["channels"], channels.values(), strict=True):
        assert one["sd_uv"] == pytest.approx(np.std(data), abs=0.1)
    assert "EEG T3-REF" in dare("inspect", path).out


def test_raw_tree_is_inspected(raw: Path) -> None:
    facts = json.loads(dare("inspect", raw, "--json").out)
    assert set(facts["corpora"]) == {"tuab", "tuev", "bcic2b", "physionetmi"}
    assert facts["corpora"]["tuab"] == {"version": "3", "recordings": 5, "subjects": 4, "test": 2}
    assert facts["corpora"]["bcic2b"]["test"] == 2
    assert facts["files"][".gdf"] == 5


def test_shard_set_is_inspected(shards: Path) -> None:
    assert json.loads(dare("inspect", shards / "tuab", "--json").out) == manifest(shards / "tuab")
    told = dare("inspect", shards / "tuab").out
    assert "train       4 windows" in told
    assert "  licence: by signed agreement, not to be passed on" in told
    assert "  citation: Lopez de Diego (2017)" in told


@pytest.mark.parametrize("name", ["nowhere.edf", "notes.txt"])
def test_what_cannot_be_inspected_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("no recording")
    answer = dare("inspect", tmp_path / name)
    assert answer.status == 2
    assert str(tmp_path / name) in answer.complaint


@pytest.mark.parametrize(
    ("asked", "said"),
    [("prob", "no command 'prob'; did you mean probe?"), ("nonsense", "no command 'nonsense'; there are synth, ")],
)
def test_a_slip_in_a_command_is_answered_with_those_there_are(asked: str, said: str) -> None:
    for options in ((), ("-v",)):
        answer = dare(*options, asked)
        assert answer.status == 2
        assert answer.err.startswith(f"dare: {said}")
        assert len(answer.err.splitlines()) == 1


def test_modules_list_what_they_export() -> None:
    code = "import dare_eeg, pipelines; print('load_encoder' in dir(dare_eeg), 'cut' in dir(pipelines))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True True\n"


def test_the_door_is_a_module_that_runs() -> None:
    run = subprocess.run([sys.executable, "-m", "cli", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("dare, version ")


def test_set_is_told_alike_by_who_made_it_and_who_reads_it(raw: Path, tmp_path: Path) -> None:
    forged = "c\\n  failed: 99\\u001b[2J"
    command = ("preprocess", "tuab", "--src", raw / "tuab", "--out", tmp_path, "--workers", 1)
    made = dare(*command, "--set", f'citation="{forged}"')
    assert made.status == 0
    assert "\n  citation: c failed: 99 [2J\n" in made.out
    assert made.out == dare("inspect", tmp_path / "tuab").out
    firsts = [line.split()[0] for line in made.out.splitlines()]
    assert [one for one in firsts if one in ("train", "valid", "test")] == ["train", "valid", "test"]
    assert [one for one in firsts if one in ("ok:", "skipped:", "failed:")] == ["ok:", "skipped:", "failed:"]


def test_what_the_system_refuses_is_one_line_with_a_way_out(raw: Path, shards: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(shards / "tuab", tmp_path / "tuab")
    (folder / "plan.json").unlink()
    (folder / "plan.json").mkdir()
    answer = dare("preprocess", "tuab", "--src", raw / "tuab", "--out", tmp_path, "--workers", 1)
    assert answer.status == 2
    told = "is a directory; see that it can be read and written, then run the same command again"
    assert answer.complaint == f"dare: {folder / 'plan.json'}: {told}"
