"""The shards of every corpus's small twin are, byte for byte, those on record.

    python -m tests.pipelines.test_golden_bytes

stores the sums anew, where other bytes are meant.
"""

import hashlib
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import pytest

from manifests import recipe as recipes
from pipelines.plan import CODE_VERSION
from tests.commands import dare, preprocess

pytestmark = pytest.mark.slow

RECORD = Path(__file__).parents[1] / "data" / "tars.json"
STORE = "store the sums anew with python -m tests.pipelines.test_golden_bytes"

TWINS = {
    "bcic2a": (2, 16), "bcic2b": (2, 16), "chbmit": (2, 40), "cogbci": (2, 12), "eegmat": (3, 12), "hgd": (1, 40),
    "m3cv": (2, 16), "pbciw": (2, 10), "physionetmi": (3, 20), "seed": (1, 10), "seediv": (1, 10), "sleepedf": (2, 12),
    "tsu": (2, 12), "tuab": (5, 24), "tuar": (2, 45), "tueg": (4, 32), "tuev": (4, 30), "tusl": (2, 36),
    "tusz": (4, 30),
}  # fmt: skip
"""Subjects and seconds of each."""

WITHOUT_PRETRAINING = {"bcic2b", "chbmit", "sleepedf"}
PRESETS = {
    "physionetmi": ["published"],
    "tuab": ["published", "tcp"],
    "tueg": ["cbramod"],
    "tuev": ["published", "tcp"],
}
"""Presets that change more than a corner of the band: montage, notch, events, edges, windows left out."""

AS_RECORDED = {"tsu"}
"""Corpora made without their average reference: the last bit of its sums is each processor's own, and a few counts in
a hundred thousand with it. `benchmarks/same.py` compares them as their recipe has them."""


def ways(corpus: str) -> list[list[str]]:
    """Return the options that each set of a corpus is made with."""
    basis = ["--set", "reference=as recorded"] if corpus in AS_RECORDED else []
    purposes = [[]] if corpus in WITHOUT_PRETRAINING else [[], ["--for", "pretrain"]]
    presets = [["--set", f"preset={name}"] for name in PRESETS.get(corpus, [])]
    return [basis + options for options in (*purposes, *presets)]


def sums(corpus: str, scratch: Path) -> dict[str, Any]:
    """Return the sha256 of a twin's raw files as one and, by the options it was made with, of each tar."""
    (subjects, seconds), raw = TWINS[corpus], scratch / "raw"
    answer = dare("synth", corpus, "--out", raw, "--subjects", subjects, "--seconds", seconds)
    assert answer.status == 0, answer.err
    tars: dict[str, dict[str, str]] = {}
    for number, options in enumerate(ways(corpus)):
        preprocess(corpus, raw, scratch / str(number), "--set", "shard_mb=1", *options)
        tars[" ".join(options)] = digests(scratch / str(number), "*.tar")
    return {"raw": hashlib.sha256(json.dumps(digests(raw, "*")).encode()).hexdigest(), "tars": tars}


def digests(folder: Path, pattern: str) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob(pattern)) if path.is_file()]
    assert files
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def on_record() -> dict[str, Any]:
    return json.loads(RECORD.read_text())


def test_sums_on_record_are_those_of_this_code_version() -> None:
    assert on_record()["code_version"] == CODE_VERSION, f"CODE_VERSION was raised: {STORE}"
    assert set(on_record()["twins"]) == set(recipes.names())


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the sums are of one processor family")
@pytest.mark.parametrize("corpus", TWINS)
def test_bytes_are_those_on_record(corpus: str, tmp_path: Path) -> None:
    found, known = sums(corpus, tmp_path), on_record()["twins"][corpus]
    # Where raw files hold floats their last bits are each processor's own; what becomes of them is not.
    twin = "of a twin that is another itself " if found["raw"] != known["raw"] else ""
    assert found["tars"] == known["tars"], f"bytes {twin}changed: raise CODE_VERSION in pipelines/plan.py and {STORE}"


def main() -> None:
    """Make every twin and store its sums."""
    record: dict[str, Any] = {"code_version": CODE_VERSION, "twins": {}}
    for corpus in TWINS:
        with tempfile.TemporaryDirectory() as scratch:
            record["twins"][corpus] = sums(corpus, Path(scratch))
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
