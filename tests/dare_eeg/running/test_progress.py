"""Progress: what a person sees of a run, on a terminal and in a file."""

import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.commands import dare
from tests.dare_eeg.sets import NANO

TOLD = re.compile(r"loss [\d.]+  0:00:\d\d left  \d+ windows/s  \d+% waiting")


def test_a_file_has_lines(four_electrodes: Path, tmp_path: Path) -> None:
    answer = dare("pretrain", "--shards", four_electrodes, "--out", tmp_path / "run", *NANO, "--steps", 2)
    first, second = [line for line in answer.err.splitlines() if line.startswith("step ")]
    assert re.match(r"step 1 of 2  loss [\d.]+  \d+ windows/s  reconstruction [\d.]+  anchor", first)
    assert re.match(r"step 2 of 2  " + TOLD.pattern, second)


@pytest.mark.slow
def test_a_terminal_has_a_bar_that_an_error_does_not_run_into(four_electrodes: Path, tmp_path: Path) -> None:
    """The step after one with a huge rate is not finite."""
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (40, 80))
    plan = ("--steps", 9, "--checkpoint-every", 9, "--lr", 1e30)
    command = ("pretrain", "--shards", four_electrodes, "--out", tmp_path / "run", *NANO, *plan)
    process = subprocess.Popen(
        [Path(sys.executable).with_name("dare"), *map(str, command)], stderr=terminal, stdout=terminal
    )
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(screen, 4096):
            shown += part
    except OSError:  # how Linux says that nobody writes any more
        pass
    os.close(screen)
    assert process.wait() == 2
    *bar, complaint = re.split(r"[\r\n]+", shown.decode().rstrip())
    assert complaint.startswith(f"dare: {tmp_path / 'run'}: the loss is not finite")
    assert re.search(r"\d+ % \|.*\| \d/9, loss [\d.]+", bar[-1])
