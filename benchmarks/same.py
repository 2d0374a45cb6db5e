"""Whether the working tree computes what a commit does: raw files and shards by their bytes, losses to 1e-6.

    python benchmarks/same.py REV [--corpora tuab,tueg] [--subjects 4] [--seconds 45] [--steps 6]

Both are installed side by side from what git has of them, the working tree with what is not committed yet. Each writes
a small synthetic twin of every corpus and makes its sets, as the recipe says and for pretraining; then a nano network
is trained by each on one thread, on two of those sets merged. The exit status is 1 where anything differs.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

HOUSE = Path(__file__).parents[1]
TRAINED_ON = ("eegmat", "tuab")
"""Corpora that are always made: on their sets for pretraining the network is trained."""

NEAR = 1e-6
LOSSES = ("loss", "reconstruction", "anchor", "mask", "activation")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Side(NamedTuple):
    """One of the two: where it is installed, and the folder that its commands run in."""

    installed: Path
    work: Path

    def python(self, code: str, *words: object) -> subprocess.CompletedProcess[str]:
        """Run some code with what is installed here."""
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, words)],
            cwd=self.work,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": str(self.installed)},
            capture_output=True,
            text=True,
        )

    def dare(self, *words: object) -> str:
        """Run a ``dare`` command and return "", or where it fails what it says last."""
        done = self.python("import cli; cli.main()", *words)
        return done.stderr.strip().rpartition("\n")[2] or "fails" if done.returncode else ""


def main() -> None:
    """Compare corpus by corpus, then the training, and print both tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("rev", help="the commit to compare the working tree with")
    arguments.add_argument("--corpora", help="some only, by commas; by default all that the commit has a recipe of")
    arguments.add_argument("--subjects", type=int, default=4)
    arguments.add_argument("--seconds", type=float, default=45)
    arguments.add_argument("--steps", type=int, default=6)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        before = installed(Path(scratch) / "before", given.rev)
        now = installed(Path(scratch) / "now", "")
        every = before.python("from manifests.recipe import names; print(*names())").stdout.split()
        chosen = given.corpora.split(",") if given.corpora else every
        corpora = [*TRAINED_ON, *(name for name in chosen if name not in TRAINED_ON)]
        print("| corpus | raw files | tars | tars for pretraining |\n|---|---|---|---|")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            size = ("--subjects", given.subjects, "--seconds", given.seconds)
            rows = [pool.submit(corpus_row, name, size, before, now) for name in corpora]
            for name, row in zip(corpora, rows, strict=True):
                print(f"| {name} | {' | '.join(row.result())} |", flush=True)
        training, worst = training_table(given.rev, given.steps, before, now)
        print(f"\n{training}\n\nlargest difference of any part of the loss: {worst:.1e}")
        cells = [cell for row in rows for cell in row.result()]
    unequal = [cell for cell in cells if not cell.endswith("equal") and cell != "none"]
    print("all equal" if not unequal and worst <= NEAR else f"{len(unequal)} cells differ, losses by {worst:.1e}")
    sys.exit(bool(unequal) or not worst <= NEAR)


def installed(folder: Path, rev: str) -> Side:
    """Install a commit, or the working tree for "", into a folder, and return it with an empty folder to work in."""
    source, side = folder / "source", Side(folder / "installed", folder / "work")
    source.mkdir(parents=True)
    side.work.mkdir()
    if rev:
        archive = subprocess.run(["git", "archive", rev], cwd=HOUSE, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x"], cwd=source, input=archive, check=True)
    else:
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, cwd=HOUSE, check=True, capture_output=True, text=True).stdout.split("\0")
        for name in names:
            if (HOUSE / name).is_file():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(HOUSE / name, source / name)
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*pip, "--target", side.installed, source], check=True)
    found = Path(side.python("import cli; print(cli.__file__)").stdout.strip())
    assert found.parent == side.installed, f"{found} is run in the place of {side.installed}"
    return side


def corpus_row(corpus: str, size: tuple[object, ...], before: Side, now: Side) -> list[str]:
    """Return how the raw files, the tars and the tars for pretraining of a corpus compare."""
    sides = (before, now)
    raw = [side.dare("synth", corpus, "--out", f"raw/{corpus}", *size) for side in sides]
    cells = [compared(raw, [side.work / "raw" / corpus for side in sides], "*")]
    for out, options in (("shards", ()), ("pretrain", ("--for", "pretrain"))):
        command = ("preprocess", corpus, "--src", f"raw/{corpus}", "--out", f"{out}/{corpus}", "--workers", 1)
        said = [side.dare(*command, *options) for side in sides]
        cells.append(compared(said, [side.work / out / corpus for side in sides], "*.tar"))
    for side in sides:
        shutil.rmtree(side.work / "raw" / corpus, ignore_errors=True)
    return cells


def compared(said: list[str], folders: list[Path], pattern: str) -> str:
    """Return how many files of two folders are equal and which differs, unless a command failed for either."""
    if all("has no recipe for pretraining" in complaint for complaint in said):
        return "none"
    if any(said):
        return f"before: {said[0] or 'done'}; now: {said[1] or 'done'}"
    before, now = (
        {path.relative_to(folder).as_posix(): path for path in folder.rglob(pattern) if path.is_file()}
        for folder in folders
    )
    names = sorted(before | now)
    unlike = [
        name
        for name in names
        if not (name in before and name in now and before[name].read_bytes() == now[name].read_bytes())
    ]
    if not names:
        return "no files"
    return f"{len(unlike)} of {len(names)} differ: {unlike[0]}" if unlike else f"{len(names)} equal"


def training_table(rev: str, steps: int, before: Side, now: Side) -> tuple[str, float]:
    """Return the losses of a run by either side, and the largest difference of any part; inf where one fails."""
    curves = []
    for side in (before, now):
        sets = [f"pretrain/{corpus}/{corpus}-pretrain" for corpus in TRAINED_ON]
        said = side.dare("merge", *sets, "--out", "merged") or side.dare(
            "pretrain", "--shards", "merged", "--out", "run", "--size", "nano", "--precision", "fp32",
            "--steps", steps, "--global-batch", 8, "--micro-batch", 4,
        )  # fmt: skip
        if said:
            return said, math.inf
        curves.append([json.loads(line) for line in (side.work / "run" / "metrics.jsonl").read_text().splitlines()])
    rows = [f"| step | loss by {rev} | by the working tree | largest difference of a part |", "|---|---|---|---|"]
    worst = 0.0
    for old, new in zip(*curves, strict=True):
        parts = [(old, new), *([(old["valid"], new.get("valid", {}))] if "valid" in old else [])]
        apart = max(abs(one[name] - other.get(name, math.inf)) for one, other in parts for name in LOSSES)
        rows.append(f"| {old['step']} | {old['loss']:.8f} | {new['loss']:.8f} | {apart:.1e} |")
        worst = max(worst, apart)
    return "\n".join(rows), worst


if __name__ == "__main__":
    main()
