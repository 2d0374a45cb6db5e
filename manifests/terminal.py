"""Terminal: what all commands share: kinds of paths, exit statuses, and the progress of long work on stderr."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

OK, SOME_FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: done; some input failed or a check did not hold; wrong usage or nothing usable; interrupted."""


def progress(verb: str, things: str) -> Callable[[int, int], None]:
    """Return what to call with (done, total): a bar on a terminal, a line every tenth elsewhere, all on stderr."""
    bar: Any = None
    last = -1

    def step(done: int, total: int) -> None:
        nonlocal bar, last
        if sys.stderr.isatty():
            bar = bar or tqdm(total=total, desc=verb, unit=f" {things}", file=sys.stderr)
            bar.update(done - bar.n)
            if done == total:
                bar.close()
        elif done * 10 // max(total, 1) != last:
            last = done * 10 // max(total, 1)
            click.echo(f"{verb}: {done} of {total} {things}", err=True)

    return step
