"""One run: of several that are started in one folder at once, one works in it and the others are refused."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dare_eeg.running.ranks import Ranks
from manifests.atomic_io import unwritable
from manifests.errors import RefusedError


@contextmanager
def only_run_in(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Make the folder and keep other runs of this machine out of it until the block ends, or this process does.

    Raises RefusedError where another run is at work there. A disk that locks no folders, as many network disks do not,
    keeps nobody out.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as problem:
        raise unwritable(folder, problem) from problem
    try:
        if ranks.first_finds(lambda: _is_taken(descriptor)):
            raise RefusedError(
                "another run is at work in it", path=folder, remedy="wait for it, end it, or choose another --out"
            )
        yield
    finally:
        os.close(descriptor)


def _is_taken(descriptor: int) -> bool:
    """Lock a folder; return whether another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
