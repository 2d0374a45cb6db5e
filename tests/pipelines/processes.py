"""``dare`` as processes of the system, to be watched, stopped and killed."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tests.commands import Answer

ONE_EACH = ("--set", "shard_mb=0.05")
"""Each recording gets a shard of its own."""

HOUSE = str(Path(__file__).parents[2])

DARE = (sys.executable, "-c", "import cli; cli.main()")


class Running:
    """A command, of ``dare`` unless told otherwise, that runs as a process group of its own."""

    def __init__(
        self,
        *arguments: object,
        program: Sequence[str] = DARE,
        variables: Mapping[str, str] = {},
        prepare: Callable[[], None] | None = None,
    ) -> None:
        def begin() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # it is ignored where the tests run in a shell's background
            if prepare:
                prepare()

        self.process = subprocess.Popen(
            [*program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=HOUSE,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": HOUSE} | variables,
            preexec_fn=begin,
            start_new_session=True,
        )
        self.offspring: list[psutil.Process] = []

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is true, which must come before the command ends."""
        while not condition():
            assert self.process.poll() is None, self.answer()
            time.sleep(0.001)
        self.offspring = psutil.Process(self.process.pid).children(recursive=True)

    def go_on(self) -> None:
        """Let the command and its workers go on after SIGSTOP."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def answer(self) -> Answer:
        """Wait for the end and return what the command gave back."""
        out, err = self.process.communicate()
        return Answer(self.process.returncode, out, err)

    def kill(self) -> None:
        """Kill the command and all that are left of its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def leaves_nobody(self) -> bool:
        """Wait for the processes that were the command's when it was last watched, and return whether all ended."""
        _, alive = psutil.wait_procs(self.offspring, timeout=30)
        return not alive


def midway(folder: Path, *arguments: object, program: Sequence[str] = DARE) -> Running:
    """Return a command that is held still, its workers too, when some shards of the set ``folder`` are built, not all.

    One that was too quick to be held is made to begin again.
    """
    while True:
        running = Running(*arguments, program=program)
        running.until(lambda: receipts(folder))
        os.killpg(running.process.pid, signal.SIGSTOP)
        if not (folder / "manifest.json").exists():
            return running
        running.go_on()
        running.answer()
        shutil.rmtree(folder)


def receipts(folder: Path) -> list[Path]:
    """Return the receipts of a set's shards."""
    return sorted(path for path in folder.glob("*/[0-9]*.json") if "partial" not in path.name)


def committed(folder: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of every file of the shards that have a receipt."""
    files = [file for path in receipts(folder) for file in path.parent.glob(f"{path.stem}.*") if ".p" not in file.name]
    return {str(file): (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}
