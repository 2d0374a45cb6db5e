"""Two published protocols for one encoder on open data, eegmat, beside what was published: .762 and .499.

    python benchmarks/parity.py DIR [DIR ...] [--encoder scratch] [--size base] [--out OUT]

DIR holds EDF files of PhysioNet's eegmat, SubjectNN_1 (rest) and SubjectNN_2 (arithmetic); how many of the 36 subjects
there are is told. Windows are of 5 s side by side, and not balanced. The first protocol is FMScope's (arXiv 2606.06647;
`dare probe --set preset=fmscope`), scored by recording; classical methods are fitted on its folds by our own search.
The second is the fixed split of OpenEEGBench, which tests subjects 32 to 35, scored by window: ours is a ridge
regression on all features of a window, its penalty chosen on subjects 28 to 31. `--encoder` passes on to `dare probe`;
the published figures are of LaBraM, whose weights do not come with this repository.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

DARE = Path(sys.executable).with_name("dare")
CLASSICAL = "band-power-logistic,band-power-forest"
WHOLE = 36
RIDGE = ("--set", "classifier=ridge", "--set", "pool=flatten", "--set", "penalty_by=valid")
PROTOCOLS: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "FMScope's protocol",
        "fmscope",
        ("--set", "preset=fmscope"),
        ("--protocol", "stratified", "--repeats", "8"),
    ),
    ("The fixed split of OpenEEGBench", "fixed", ("--protocol", "fixed", *RIDGE), ("--protocol", "fixed")),
)
"""By name: the folder below --out, what encoders are asked, and what classical methods are asked."""


def main() -> None:
    """Make the set where it is not there, ask both protocols, and print ours beside the published rows."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="EDF files of eegmat, searched below")
    arguments.add_argument("--encoder", default="scratch", help="as of dare probe, several by commas (default scratch)")
    arguments.add_argument("--size", default="base", help="of scratch (default base)")
    arguments.add_argument("--out", type=Path, help="where to keep set and probes; a temporary folder otherwise")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = given.out or Path(temporary)
        shards = made(given.folders, out)
        there = len(json.loads((shards / "manifest.json").read_text())["splits"]["train"]["subjects"])
        print(f"{platform.machine()}, {os.cpu_count()} cores; {there} of the {WHOLE} subjects are here")
        encoder = ["--encoder", given.encoder]
        if "scratch" in given.encoder.split(","):
            encoder += ["--size", given.size]
        for name, folder, preset, folds in PROTOCOLS:
            asked = ["probe", "eegmat", "--shards", shards, "--out"]
            dare(*asked, out / folder / "encoders", *encoder, *preset)
            dare(*asked, out / folder / "classical", "--baselines", CLASSICAL, *folds)
            rows = sorted(path.parent for path in (out / folder).rglob("results.json"))
            print(f"\n{name}\n\n{dare('compare', *rows, '--published')}")


def made(folders: list[Path], out: Path) -> Path:
    """Return the set of all files below the folders, which are linked to from one."""
    if not (out / "shards" / "eegmat" / "manifest.json").exists():
        raw = out / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for file in (file for folder in folders for file in folder.rglob("Subject*.edf")):
            if not (raw / file.name).exists():
                (raw / file.name).symlink_to(file.resolve())
        asked = ("--set", "window_s=5", "--set", "stride_s=5", "--set", "balance=false", "--workers", "1")
        dare("preprocess", "eegmat", "--src", raw, "--out", out / "shards", *asked)
    return out / "shards" / "eegmat"


def dare(*words: Any) -> str:
    """Return what a command of ours prints; the end of this one, too, where it fails and has said why."""
    done = subprocess.run([DARE, *map(str, words)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
