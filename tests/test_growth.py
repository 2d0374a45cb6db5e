"""What a later version of this code will write and read: fields are added, the code version is raised, nothing is void.

Each test works in a copy of what 0.1.0 left, by a copy of today's code in which such a change is made.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.commands import Answer, contents, manifest
from tests.test_release import COMMANDS, UNFINISHED, assert_near, elsewhere, losses, tars, without

pytestmark = pytest.mark.slow

HOUSE = Path(__file__).parents[1]

RECIPE_FIELD = (
    "manifests/recipe.py",
    "    shard_mb: Positive = 256.0\n",
    '    flavour: str = added("plain", absent="plain")\n',
)
PLAN_FACT = (
    "manifests/plan.py",
    "    unused: dict[str, str] = added({}, absent={})\n",
    '    amplifier: str = added("any", absent="")\n',
)
CONFIG_FIELD = ("dare_eeg/training/config.py", "    seed: int = 2025\n", "    swing: float = added(0.0, absent=0.0)\n")
METADATA_FIELD = (
    "dare_eeg/encoders/weights.py",
    '    manifest_sha256: str = ""\n',
    '    mood: str = added("calm", absent="unknown")\n',
)
FIELDS = (RECIPE_FIELD, PLAN_FACT, CONFIG_FIELD, METADATA_FIELD)

OTHER_DEFAULT = (*RECIPE_FIELD[:2], '    flavour: str = added("spicy", absent="plain")\n')

IN_ONE_PROCESS = """
import contextlib, io, json, sys
import cli
answers = []
for words in json.load(sys.stdin):
    sys.argv, status = ["dare", *words], 0
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            cli.main()
        except SystemExit as end:
            status = end.code or 0
    answers.append([status, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""


class Later:
    """A copy of the code with changes, which runs commands one after another."""

    def __init__(self, folder: Path, added: Sequence[tuple[str, str, str]], code_version: int = 0) -> None:
        self.folder = folder
        for name in ("manifests", "pipelines", "dare_eeg"):
            shutil.copytree(HOUSE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(HOUSE / "cli.py", folder / "cli.py")
        for name, line, more in added:
            self._edit(name, line, line + more)
            text = (folder / name).read_text()
            if "import added" not in text and ", added" not in text:
                (folder / name).write_text(
                    text.replace(
                        "\nfrom manifests.errors", "\nfrom manifests.records import added\nfrom manifests.errors", 1
                    )
                )
        if code_version:
            self._edit("pipelines/plan.py", "\nCODE_VERSION = 4\n", f"\nCODE_VERSION = {code_version}\n")

    def __call__(self, *commands: Sequence[object]) -> list[Answer]:
        """Run commands in one process and return their answers."""
        done = subprocess.run(
            [sys.executable, "-c", IN_ONE_PROCESS],
            input=json.dumps([[str(word) for word in words] for words in commands]),
            env={"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1", "PATH": "", "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [Answer(*answer) for answer in json.loads(done.stdout.splitlines()[-1])]

    def well(self, *commands: Sequence[object]) -> list[str]:
        """Run commands, which must go well, and return what they print."""
        answers = self(*commands)
        assert [answer.status for answer in answers] == [0] * len(commands), [answer.err for answer in answers]
        return [answer.out for answer in answers]

    def _edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert text.count(old) == 1, f"{name} has {text.count(old)} lines {old!r}"
        (self.folder / name).write_text(text.replace(old, new))


@pytest.fixture(autouse=True)
def _in_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = Path(__file__).parent / "data" / "release_0_1_0"
    monkeypatch.chdir(shutil.copytree(release, tmp_path / "release"))


def test_fields_are_added_and_old_sets_are_verified_finished_grown_and_cut(tmp_path: Path) -> None:
    later = Later(tmp_path / "later", FIELDS, code_version=3)  # the one that made them, so that they can be finished
    before = {folder: contents(Path(folder)) for folder in COMMANDS}
    grown = ("shards/physionetmi", "shards/bcic2b")
    later.well(
        *(("verify", folder) for folder in before if folder != UNFINISHED),
        *(COMMANDS[folder] for folder in before if folder != UNFINISHED),
        without(COMMANDS[UNFINISHED], "--part"),
        ("verify", UNFINISHED),
        elsewhere(COMMANDS[UNFINISHED], "anew"),
        ("preprocess", "bcic2b", "--src", "shards/bcic2b", "--out", "cut", "--workers", 1, "--set", "quality=none"),
        *([*without(COMMANDS[folder], "--subjects"), "--append"] for folder in grown),
        *(("verify", folder) for folder in grown),
    )
    assert tars(UNFINISHED) == tars("anew/tuab")
    assert tars("cut/bcic2b").items() <= tars("shards/bcic2b").items()
    for folder, files in before.items():
        kept = {name: content for name, content in files.items() if "/" in name}
        assert kept.items() <= contents(Path(folder)).items()
        plan = json.loads((Path(folder) / "plan.json").read_text())
        facts = [row["scanned"]["raw"].get("amplifier") for row in plan["recordings"]] if folder in grown else []
        assert set(facts) == ({None, "any"} if facts else set())


def test_fields_are_added_and_an_old_run_goes_on_and_its_encoder_is_probed(tmp_path: Path) -> None:
    later = Later(tmp_path / "later", FIELDS)
    few = ("--size", "nano", "--steps", 2, "--global-batch", 4, "--micro-batch", 4, "--precision", "fp32")
    later.well(
        ("pretrain", "--config", "runs/half/config.toml", "--resume"),
        ("pretrain", "--shards", "shards/merged", "--out", "run", *few),
        (
            "probe",
            "tuab",
            "--shards",
            "shards/tuab",
            "--encoder",
            "encoder.ckpt",
            "--out",
            "probes/again",
            "--set",
            "penalty_by=valid",
        ),
        ("export", "--encoder", "runs/half", "--to", "official", "--out", "again.ckpt"),
    )
    assert_near(losses("runs/half/metrics.jsonl"), losses("half_metrics.jsonl"))
    found, known = (json.loads(Path(f"probes/{name}/results.json").read_text()) for name in ("again", "half"))
    for name, figures in known["metrics"]["window"].items():
        assert found["metrics"]["window"][name]["mean"] == pytest.approx(figures["mean"], abs=1e-6)


def test_field_whose_absence_means_other_than_todays_default_is_a_choice(tmp_path: Path) -> None:
    later = Later(tmp_path / "later", [OTHER_DEFAULT])
    command = COMMANDS["shards/physionetmi"]
    refused, kept = later(command, [*command, "--set", "flavour=plain"])
    assert refused.status == 2
    assert "holds shards of another plan (recipe: flavour plain, now spicy)" in refused.complaint
    assert kept.status == 0, kept.err


def test_raised_code_version_leaves_old_sets_to_be_verified_grown_and_trained_on(tmp_path: Path) -> None:
    later = Later(tmp_path / "later", [], code_version=5)
    folder, few = "shards/fists-pretrain", ("--size", "nano", "--steps", 2, "--global-batch", 4, "--micro-batch", 4)
    before = tars(folder)
    later.well(
        ("verify", folder),
        COMMANDS[folder],
        [*without(COMMANDS[folder], "--subjects"), "--append"],
        ("verify", folder),
        ("pretrain", "--shards", folder, "--out", "run", *few),
    )
    assert before.items() < tars(folder).items()
    num_new = len(tars(folder)) - len(before)
    assert manifest(Path(folder))["code_versions"] == {"3": len(before), "5": num_new}


def test_unfinished_set_is_left_to_the_code_that_began_it_where_todays_makes_other_bytes(tmp_path: Path) -> None:
    later = Later(tmp_path / "later", [], code_version=5)
    before = contents(Path(UNFINISHED))
    command = without(COMMANDS[UNFINISHED], "--part")
    refused, grown, anew = later(command, [*without(command, "--subjects"), "--append"], [*command, "--overwrite"])
    for answer in (refused, grown):
        assert answer.status == 2
        assert "was planned by code version 3" in answer.complaint
        assert "--overwrite" in answer.complaint
    assert anew.status == 0, anew.err
    assert before != contents(Path(UNFINISHED))
    assert set(manifest(Path(UNFINISHED))["code_versions"]) == {"5"}
