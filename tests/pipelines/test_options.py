"""What one corpus alone understands: the options of its recipe, however they are spelt, and what is refused."""

from pathlib import Path

import pytest

from manifests import recipe as recipes
from pipelines import corpora
from pipelines.corpora import CORPORA
from tests.commands import dare, plan, preprocess, recordings, unusable

pytest_plugins = ["tests.corpora_fixtures"]

SMALL = ("--set", "electrodes=C3,CZ,C4")
OWN = """corpus = "physionetmi"
namespace = "eegmmidb"
electrodes = ["C3", "CZ", "C4"]
sfreq_hz = 160
notch_hz = 60
classes = ["left", "right", "fists", "feet"]
window_s = 4
valid_share = 0
"""


@pytest.fixture(scope="module")
def chosen(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set of two runs of each subject."""
    out = tmp_path_factory.mktemp("shards")
    return preprocess("physionetmi", raw / "physionetmi", out, *SMALL, "--set", "options.runs=[4,8]")


def test_option_chooses_the_recordings(chosen: Path) -> None:
    rows = recordings(chosen)
    assert {path[-6:-4] for path, row in rows.items() if row["outcome"] == "ok"} == {"04", "08"}
    left_out = {row["reason"] for row in rows.values() if row["outcome"] == "skipped"}
    assert "run 6 imagines movements: not among the recipe's runs" in left_out


@pytest.mark.parametrize("setting", ["runs=4,8", "runs=[4,8]", "options.runs=4,8", 'options={"runs": [4, 8]}'])
def test_spellings_of_an_option_are_one_plan(raw: Path, chosen: Path, tmp_path: Path, setting: str) -> None:
    folder = preprocess("physionetmi", raw / "physionetmi", tmp_path, *SMALL, "--set", setting)
    assert (folder / "plan.json").read_bytes() == (chosen / "plan.json").read_bytes()


@pytest.mark.parametrize("told", ["runs = [4, 8]\n", "[options]\nruns = [4, 8]\n"])
def test_recipe_file_may_have_an_option_among_its_fields_or_in_their_table(
    raw: Path, chosen: Path, tmp_path: Path, told: str
) -> None:
    (tmp_path / "own.toml").write_text(OWN + told)
    folder = preprocess("physionetmi", raw / "physionetmi", tmp_path, "--recipe", tmp_path / "own.toml")
    assert (folder / "plan.json").read_bytes() == (chosen / "plan.json").read_bytes()


def test_lone_value_stands_for_one_of_several(raw: Path) -> None:
    src = raw / "physionetmi"
    assert plan("physionetmi", src, "--set", "runs=4") == plan("physionetmi", src, "--set", "options.runs=[4]")


def test_option_that_says_what_holds_without_it_changes_no_hash() -> None:
    for corpus, setting in (("physionetmi", "runs=[]"), ("sleepedf", "wake_margin_s=0")):
        stated = recipes.load(corpus, settings=(setting,))
        without = stated.model_copy(update={"options": {}})
        assert corpora.settled(stated).sha256() == corpora.settled(without).sha256()


@pytest.mark.parametrize(
    ("corpus", "setting", "said"),
    [
        ("tuab", "runs=4", "tuab: has no option 'runs'; it has none"),
        ("tuab", "options.depth=4", "tuab: has no option 'depth'; it has none"),
        ("physionetmi", "options.run=4", "physionetmi: has no option 'run'; it has runs"),
        ("physionetmi", "runs=four", "physionetmi: option runs.0: "),
        ("physionetmi", "runs=4.5", "physionetmi: option runs.0: "),
        ("sleepedf", "wake_margin_s=-1", "sleepedf: option wake_margin_s: "),
        ("sleepedf", "wake_margin_s=Infinity", "sleepedf: option wake_margin_s: "),
        ("sleepedf", "wake_margin_s=1,2", "sleepedf: option wake_margin_s: "),
        ("physionetmi", "options=4", "recipe physionetmi: options: "),
    ],
)
def test_option_that_the_corpus_does_not_understand_is_refused(
    raw: Path, tmp_path: Path, corpus: str, setting: str, said: str
) -> None:
    answer = dare("preprocess", corpus, "--src", raw, "--out", tmp_path / "out", "--set", setting)
    unusable(answer, said)
    assert not (tmp_path / "out").exists()


def test_layout_of_ones_own_has_no_options(tmp_path: Path) -> None:
    own = 'corpus = "mine"\nelectrodes = ["CZ"]\nnotch_hz = 50\n[layout]\nfiles = "{subject}.edf"\n[options]\nx = 1\n'
    (tmp_path / "own.toml").write_text(own)
    answer = dare("preprocess", "mine", "--src", tmp_path, "--out", tmp_path / "out", "--recipe", tmp_path / "own.toml")
    unusable(answer, "mine: has no option 'x'; it has none")


@pytest.mark.parametrize("corpus", CORPORA)
def test_options_of_every_recipe_are_those_of_its_corpus(corpus: str) -> None:
    recipe = recipes.load(corpus)
    assert corpora.settled(recipe).options == recipe.options
