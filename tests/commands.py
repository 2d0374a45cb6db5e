"""The command line as a function, and what it leaves on disk as plain values."""

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import cli
from manifests import recipe as recipes
from manifests.notes import Note, text
from pipelines import run
from pipelines.plan import SetOptions
from pipelines.sources import open_source
from pipelines.workers import Workers

_PROGRESS = re.compile(r"(scan|sample|build|verify): \d+ of \d+ ")


class Answer(NamedTuple):
    """What a command gave back."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of stderr that reports no progress; ValueError where there are more, or none."""
        (line,) = [line for line in self.err.splitlines() if not _PROGRESS.match(line)]
        return line


def dare(*arguments: object) -> Answer:
    """Run ``dare`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["dare", *map(str, arguments)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end:
            cli.main()
    return Answer(int(end.value.code or 0), out.getvalue(), err.getvalue())


def unusable(answer: Answer, *said: object) -> None:
    """Assert that a command gave up in one line, which says all of this."""
    assert answer.status == 2
    assert answer.out == ""
    for part in said:
        assert str(part) in answer.complaint


def preprocess(corpus: str, src: Path, out: Path, *options: object) -> Path:
    """Preprocess in this process, which must go well, and return the folder of the set."""
    answer = dare("preprocess", corpus, "--src", src, "--out", out, "--workers", 1, *options)
    assert answer.status == 0, answer.err
    return out / (f"{corpus}-pretrain" if "pretrain" in options else corpus)


def preprocess_by_hand(
    corpus: str, src: Path, folder: Path, settings: tuple[str, ...] = (), limit: int | None = None, **options: Any
) -> None:
    """Preprocess into ``folder`` without the command line, with `SetOptions` that it does not offer."""
    recipe = recipes.load(corpus, options.pop("purpose", None), settings, options.pop("file", None))
    source = open_source(src)
    tree = source.apart(source.scan(recipe, lambda *_: None).only(set(), limit), recipe)
    run.preprocess(tree, recipe, source, folder, Workers(1), SetOptions(**options), lambda *_: None)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def recordings(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of recordings.jsonl by path."""
    rows = [json.loads(line) for line in (folder / "recordings.jsonl").read_text().splitlines()]
    assert len({row["path"] for row in rows}) == len(rows)
    return {row["path"]: row for row in rows}


def manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a set or merged set."""
    return json.loads((folder / "manifest.json").read_text())


def plan(corpus: str, src: Path, *options: object) -> dict[str, Any]:
    """Return the plan that a dry run makes, as `plan_of` returns one."""
    answer = dare("preprocess", corpus, "--src", src, "--dry-run", "--json", *options)
    assert answer.status == 0, answer.err
    return _with_flat_rows(json.loads(answer.out)["plan"])


def plan_of(folder: Path) -> dict[str, Any]:
    """Return the plan of a set, all that it says of a recording in one table."""
    return _with_flat_rows(json.loads((folder / "plan.json").read_text()))


def _with_flat_rows(plan: dict[str, Any]) -> dict[str, Any]:
    rows = [row | row["scanned"] | row["scanned"]["raw"] for row in plan["recordings"]]
    return plan | {"recordings": [row | {"reason": text([Note(**one) for one in row["notes"]])} for row in rows]}
