"""Run marker: which runs work in a folder, from any host, by a file that each run touches while it is alive."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from manifests.atomic_io import PARTIAL, partial_name, unwritable
from manifests.errors import LostError

BEAT_S = 10.0
"""Seconds between two touches of a run's mark."""

SILENT_S = 180.0
"""Seconds since the last touch after which a run on another host, whose process cannot be looked up, counts as dead."""

ADOPTING, BUILDING = "settling", "building"
"""What a run does, as the name of its mark says it; earlier versions in the same folder read the same words."""


class RunMarker:
    """The mark of a run in the folder it works in: a file named after what it does, its host and its process.

    A run that is `ADOPTING` is still settling which plan the folder follows, one that is `BUILDING` makes shards by it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / partial_name(ADOPTING)

    @property
    def owner(self) -> str:
        """The host and process that the names of this run's files end in."""
        return self.path.name.partition(PARTIAL)[2]

    def turn(self, deed: str) -> None:
        """Say that the run is now adopting a plan or building."""
        before, self.path = self.path, self.folder / f"{deed}{PARTIAL}{self.owner}"
        if before != self.path:
            self.path.touch()
            before.unlink(missing_ok=True)

    def listing(self) -> set[str]:
        """Return the names in the folder as they are now.

        A network disk may answer from a cache until this host changes the folder, so a file is made and removed first.
        """
        probe = self.folder / partial_name("probe")
        probe.touch()
        probe.unlink()
        return {path.name for path in self.folder.iterdir()}

    def others(self, deed: str = "") -> list[str]:
        """Return the owners of the marks that other living runs have set, all or those that do this deed."""
        self.path.touch()  # so that ages are by the disk's clock alone; those of the hosts may differ
        now_s = self.path.stat().st_mtime
        found = []
        for name in sorted(self.listing()):
            what, _, owner = name.partition(PARTIAL)
            if what in (ADOPTING, BUILDING) and owner != self.owner and (not deed or what == deed):
                with suppress(FileNotFoundError), (self.folder / name).open() as mark:
                    silent_s = now_s - os.fstat(mark.fileno()).st_mtime
                    if silent_s < SILENT_S and not _is_dead(owner):
                        found.append(owner)
        return found

    def check(self) -> None:
        """Raise DareError where the mark is gone, as somebody emptied the folder while the run worked in it."""
        if not self.path.exists():
            raise LostError(
                "was emptied while this run worked in it", path=self.folder, remedy="run the same command again"
            )


@contextmanager
def mark_run(folder: Path) -> Iterator[RunMarker]:
    """Make the folder and yield the mark of a run that works in it; a thread touches it until the block ends.

    Raises DareError where the folder cannot be written.
    """
    marker = RunMarker(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        marker.path.touch()
    except OSError as problem:
        raise unwritable(folder, problem) from problem
    over = threading.Event()
    beat = threading.Thread(target=_beat, args=(marker, over), daemon=True)
    beat.start()
    try:
        yield marker
    finally:
        over.set()
        beat.join()
        marker.path.unlink(missing_ok=True)


def _beat(marker: RunMarker, over: threading.Event) -> None:
    while not over.wait(BEAT_S):
        with suppress(OSError):
            os.utime(marker.path)


def words(owner: str) -> str:
    """Return host and process of a mark's owner as a person reads them."""
    host, process = _parsed(owner)
    return f"process {process} on {host}"


def remove_abandoned(folder: Path) -> None:
    """Remove the half-written files below a folder whose writers have died.

    Of this host's processes it is known which have ended. Files of other hosts are removed only when no run is at work
    in the folder. The caller's own mark must be gone, so that the last of several runs finds no other and removes them.
    """
    with mark_run(folder) as marker:
        alone = not marker.others()
        for partial in list(folder.rglob(f"*{PARTIAL}*")):
            owner = partial.name.partition(PARTIAL)[2]
            if owner == marker.owner or not (alone or _is_dead(owner)):
                continue
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                partial.unlink(missing_ok=True)


def _parsed(owner: str) -> tuple[str, str]:
    host, _, process = owner.rpartition("-")[0].rpartition("-")
    return host, process


def _is_dead(owner: str) -> bool:
    """Return whether an owner is known to be dead: a process of this host that has ended."""
    host, process = _parsed(owner)
    if not process.isdigit():
        return True
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return int(process) == os.getpid()
