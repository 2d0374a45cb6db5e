"""A format is one file: put beside the others, every command reads its recordings, and no list has to be told of it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.judges import samples
from tests.pipelines.own_trees import recipe

pytestmark = pytest.mark.slow

HOUSE = Path(__file__).parents[2]
TOY = '''"""Toy: a line of text with the electrodes and the rate, and the samples in a file beside it."""

import numpy as np

from pipelines.formats import Format, begins
from pipelines.formats.sampled import SampledFile, stretches
from pipelines.recording import describe_channel


def parse(path):
    *labels, sfreq = path.read_text().splitlines()[0].split()[1:]
    stored = np.memmap(path.with_suffix(".toydata"), "<f4", "r").reshape(-1, len(labels)).T
    return SampledFile(
        path=path,
        format="TOY",
        channels=tuple(describe_channel(label, place, float(sfreq), "uV") for place, label in enumerate(labels)),
        num_samples=stored.shape[1],
        segments=stretches((), stored.shape[1], float(sfreq)),
        events=(),
        notes=(),
        load=lambda rows, start, stop: np.array(stored[rows, start:stop]),
    )


FORMAT = Format("toy", (".toy",), begins(b"TOY "), parse, companions={".toydata": "samples"}, holds_text=True)
'''
SIGNAL_UV = np.random.default_rng(0).normal(0, 20, (3, 40 * 128)).astype(np.float32)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The house with one more file of a format."""
    for room in ("manifests", "pipelines"):
        shutil.copytree(HOUSE / room, tmp_path / "house" / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HOUSE / "cli.py", tmp_path / "house")
    (tmp_path / "house" / "pipelines" / "formats" / "toy.py").write_text(TOY)
    return tmp_path / "house"


def dare(house: Path, *arguments: object) -> str:
    """Run a command of a house and return what it prints."""
    command = [sys.executable, "-c", "import cli; cli.main()", *map(str, arguments)]
    run = subprocess.run(
        command, cwd=house, env={"PYTHONPATH": str(house)}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"TOY Cz C3 C4 128\n{path}\n")  # no two alike, as equal files would be copies
    path.with_suffix(".toydata").write_bytes(SIGNAL_UV.T.tobytes())
    return path


def test_recording_of_a_new_format_is_inspected(house: Path, tmp_path: Path) -> None:
    facts = json.loads(dare(house, "inspect", save(tmp_path / "a.toy"), "--json"))
    assert (facts["format"], facts["duration_s"]) == ("TOY", 40.0)
    sd_uv = {channel["electrode"]: channel["sd_uv"] for channel in facts["channels"]}
    assert sd_uv == {name: round(float(row.std()), 2) for name, row in zip(("CZ", "C3", "C4"), SIGNAL_UV, strict=True)}


@pytest.mark.parametrize(
    ("layout", "place"),
    [
        ('files = "{subject}/*.toy"', "S{}/a.toy"),
        ("bids = true", "sub-{0}/eeg/sub-{0}_task-rest_eeg.toy"),
    ],
)
def test_tree_of_a_new_format_is_examined_and_becomes_shards(
    house: Path, tmp_path: Path, layout: str, place: str
) -> None:
    src = tmp_path / "raw"
    for number in (1, 2):
        save(src / place.format(number))
    save(src / "elsewhere.toy")
    command = ("preprocess", "mine", "--src", src, "--for", "pretrain", "--recipe", recipe(tmp_path, layout))
    facts = json.loads(dare(house, *command, "--dry-run", "--json"))
    assert [(row["outcome"], row["windows"]) for row in facts["recordings"]] == [("ok", 4), ("ok", 4)]
    for row in facts["recordings"]:
        header = (tmp_path / "raw" / row["path"]).stat().st_size
        assert row["bytes"] == header + SIGNAL_UV.nbytes
    assert facts["others"] == 1
    dare(house, *command, "--out", tmp_path / "out", "--workers", 2)
    windows = samples(tmp_path / "out" / "mine-pretrain")
    assert {sample.fields["recording"] for sample in windows.values()} == {place.format(number) for number in (1, 2)}
    assert len(windows) == 8


def test_samples_of_a_new_format_alone_name_its_recording(house: Path, tmp_path: Path) -> None:
    save(tmp_path / "a.toy")
    with pytest.raises(AssertionError, match=r"a.toydata: holds the samples of a toy recording; name its \.toy"):
        dare(house, "inspect", tmp_path / "a.toydata")
