"""Standard output is what a command answers, whatever a library prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mne
import numpy as np
import pytest

import cli
from manifests.terminal import Command
from tests.pipelines.cnt_file import cnt_bytes

MUTTERING = """
import os, subprocess, sys
import click
from manifests.terminal import Command, answer

@click.command(cls=Command)
def muttering():
    print("printed")
    os.write(1, b"written\\n")
    subprocess.run([sys.executable, "-c", "print('said by a child')"], check=True)
    answer("answered")

muttering()
"""


def run(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"MNE_LOGGING_LEVEL": "INFO"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], input=stdin, capture_output=True, text=True, env=environment
    )


def test_only_answers_reach_standard_output() -> None:
    done = run("-c", MUTTERING)
    assert done.stdout == "answered\n"
    assert {"printed", "written", "said by a child"} <= set(done.stderr.splitlines())


def formats(real: Path, folder: Path) -> dict[str, Path]:
    """Return a recording of each format, some of which MNE reads with words of its own."""
    raw = mne.io.read_raw_edf(real / "eegmat" / "Subject00_1.edf", preload=True, verbose="error").pick(range(4))
    raw.crop(0, 20).set_annotations(mne.Annotations([1.0], [0.0], ["BAD boundary"]))
    for name in ("raw.fif", "odd name.fif"):
        raw.save(folder / name, verbose="error")
    counts = np.random.default_rng(0).integers(-200, 200, (4000, 2)).astype(np.int16)
    (folder / "c.cnt").write_bytes(cnt_bytes(["Fp1", "Cz"], counts, 250, [(1, 100)]))
    return {
        "EDF": real / "eegmat" / "Subject00_1.edf",
        "EDF+D": real / "formats" / "edfPlusD.edf",
        "BDF": real / "formats" / "mne_test_2048hz.bdf",
        "GDF": real / "gdf" / "biosig_sample.gdf",
        "SET": real / "formats" / "eeglab_data.set",
        "FIF": folder / "raw.fif",
        "FIF with a name that MNE warns of": folder / "odd name.fif",
        "CNT": folder / "c.cnt",
    }


@pytest.mark.slow
def test_json_of_every_format_is_json(real: Path, tmp_path: Path) -> None:
    for kind, path in formats(real, tmp_path).items():
        done = run("-m", "cli", "inspect", path, "--json")
        assert done.returncode == 0, (kind, done.stderr)
        assert json.loads(done.stdout)["path"] == str(path), kind


@pytest.mark.slow
def test_json_of_a_set_and_of_its_plan_is_json(real: Path, tmp_path: Path) -> None:
    src = tmp_path / "raw"
    src.mkdir()
    formats(real, src)
    recipe = tmp_path / "own.toml"
    recipe.write_text('corpus = "own"\nnotch_hz = 50\nelectrodes = ["FP1", "FP2"]\n[layout]\nfiles = "{subject}.fif"\n')
    command = ("-m", "cli", "preprocess", "own", "--recipe", recipe, "--src", src, "--json")
    looked = run(*command, "--dry-run")
    assert {one["path"] for one in json.loads(looked.stdout)["recordings"]} == {"raw.fif", "odd name.fif"}
    made = run(*command, "--out", tmp_path / "shards", "--workers", 2)
    assert json.loads(made.stdout)["recordings"]["ok"] == 1  # one signal under two names is taken once


def test_results_are_written_to_a_closed_pipe_without_a_traceback(real: Path) -> None:
    command = f"{sys.executable} -m cli inspect {real / 'eegmat' / 'Subject00_1.edf'} | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_every_command_keeps_standard_output_for_its_answer() -> None:
    assert [name for name in cli.COMMANDS if not isinstance(cli.command(name), Command)] == []
