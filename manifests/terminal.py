"""Terminal: what all commands share: kinds of paths, exit statuses, answers on stdout, progress on stderr."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

import click
from tqdm import tqdm

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

OK, SOME_FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses: done; some input failed or a check did not hold; wrong usage or nothing usable; interrupted."""

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total}{unit} [{elapsed}<{remaining}]"
_WORTH_TELLING_S = 10.0

_answers: TextIO | None = None


class Command(click.Command):
    """A command whose standard output holds its `answer` alone, so that ``--json`` is JSON.

    What libraries and the processes they start print there goes to standard error.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        global _answers
        with _own_stdout() as _answers, redirect_stdout(sys.stderr):
            return super().invoke(ctx)


def answer(text: str) -> None:
    """Print what a command answers."""
    click.echo(text, file=_answers)


def progress(verb: str, things: str) -> Callable[[float, int], None]:
    """Return what to call with (done, total): a bar on a terminal, a line every tenth elsewhere, all on stderr.

    Of work that takes long, ``done`` may be a share; the time left is that of what is left at the pace so far.
    """
    bar: Any = None
    last, began = -1, monotonic()

    def step(done: float, total: int) -> None:
        nonlocal bar, last
        if sys.stderr.isatty():
            bar = bar or tqdm(total=total, desc=verb, unit=f" {things}", file=sys.stderr, bar_format=_BAR)
            bar.update(done - bar.n)
            if done == total:
                bar.close()
        elif int(done * 10 // max(total, 1)) != last:
            last = int(done * 10 // max(total, 1))
            left_s = (monotonic() - began) * (total - done) / done if done else 0.0
            left = f", {tqdm.format_interval(left_s)} left" if left_s > _WORTH_TELLING_S else ""
            said = f"{done:.1f}".removesuffix(".0")
            click.echo(f"{verb}: {said} of {total} {things}{left}", err=True)

    return step


@contextmanager
def _own_stdout() -> Iterator[TextIO]:
    """Yield standard output; what else in this process and its children writes there meanwhile goes to stderr."""
    try:
        descriptor = sys.stdout.fileno()
    except io.UnsupportedOperation:  # no file: a caller in this process collects it
        yield sys.stdout
        return
    sys.stdout.flush()
    kept = os.dup(descriptor)
    os.dup2(sys.stderr.fileno(), descriptor)
    try:
        with open(kept, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, closefd=False) as own:
            yield own
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
