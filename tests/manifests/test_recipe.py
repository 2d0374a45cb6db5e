"""Recipes: what comes with the package, what a user may change, and what is refused in one line."""

import re
from pathlib import Path
from typing import Any

import pytest

from manifests import manifest as manifests
from manifests import recipe as recipes
from manifests import records
from manifests.electrodes import PRETRAIN_58, VOCABULARY, canonical
from manifests.errors import DamagedError, MissingError
from tests.judges import TEN_TWENTY_19
from tests.manifests.refusals import refusal

FACTS = {
    "bcic2a": (22, 250, (0.1, 38), 0, 4, ("left", "right", "feet", "tongue"), "loso"),
    "bcic2b": (3, 250, (0.1, 38), 0, 4, ("left", "right"), "loso"),
    "chbmit": (16, 256, (0.1, 75), 60, 10, ("background", "seizure"), "kfold"),
    "cogbci": (57, 256, (0.1, 75), 50, 10, (), "kfold"),
    "eegmat": (19, 256, (0.1, 75), 50, 4, ("rest", "arithmetic"), "kfold"),
    "hgd": (44, 250, (0.1, 100), 50, 4, ("right_hand", "left_hand", "rest", "feet"), "loso"),
    "m3cv": (58, 256, (0, 75), 50, 4, (), "kfold"),
    "pbciw": (58, 250, (0, 75), 50, 2, ("easy", "medium", "difficult"), "kfold"),
    "physionetmi": (64, 160, (0.1, 75), 60, 4, ("left", "right", "fists", "feet"), "kfold"),
    "seed": (60, 200, (0.1, 75), 50, 4, ("negative", "neutral", "positive"), "kfold"),
    "seediv": (60, 200, (0.1, 75), 50, 4, ("neutral", "sad", "fear", "happy"), "kfold"),
    "sleepedf": (2, 100, (0.1, 45), 0, 30, ("W", "N1", "N2", "N3", "R"), "kfold"),
    "tsu": (58, 256, (0, 75), 0, 6, (), "kfold"),
    "tuab": (23, 200, (0.1, 75), 60, 10, ("normal", "abnormal"), "official"),
    "tuar": (19, 256, (0.1, 75), 60, 5, ("clean", "eyem", "musc", "chew", "shiv", "elec"), "kfold"),
    "tueg": (19, 256, (0.1, 75), 60, 10, (), "kfold"),
    "tuev": (23, 200, (0.1, 75), 60, 5, ("spsw", "gped", "pled", "eyem", "artf", "bckg"), "official"),
    "tusl": (19, 256, (0.1, 75), 60, 10, ("bckg", "seiz", "slow"), "kfold"),
    "tusz": (19, 256, (0.1, 75), 60, 10, ("bckg", "seiz"), "official"),
}
CHANGES = {
    "namespace": "other",
    "electrodes": '["C3"]',
    "missing": "require",
    "reference": "average",
    "sfreq_hz": 400,
    "band_hz": "[0.5, 75]",
    "notch_hz": 50,
    "classes": '["abnormal", "normal"]',
    "window_s": 5,
    "stride_s": 5,
    "offset_s": 1,
    "edges": "pad",
    "events": "merged",
    "reject_uv": 100,
    "quality": "none",
    "sd_range_uv": "1,5000",
    "max_clipped_share": 0.1,
    "max_dead_share": 0.5,
    "bad_channels": "lof",
    "balance": "true",
    "valid_share": 0.3,
    "test_share": 0.2,
    "split_seed": 1,
    "protocol": "loso",
    "split": "rank",
    "split_by": "session",
    "quantum_uv": 0.125,
    "shard_mb": 1,
    "options": '{"runs": [1]}',
    "layout": '{"files": "{subject}.edf", "labels": "annotations"}',
}

OTHER_FACTS = (
    "licence=CC0",
    "citation=Berger (1929)",
    "probe_electrodes=C3,C4",
    'unlinkable=[{"namespace": "a", "other_namespace": "b", "whose": "A\'s", "others": "B\'s"}]',
)
RELEASE = Path(__file__).parents[1] / "data" / "release_0_1_0" / "shards"


def test_every_recipe_is_known_by_name() -> None:
    assert recipes.names() == sorted(FACTS)


@pytest.mark.parametrize("corpus", FACTS)
def test_recipe_says_what_its_corpus_needs(corpus: str) -> None:
    electrodes, sfreq_hz, band_hz, notch_hz, window_s, classes, protocol = FACTS[corpus]
    recipe = recipes.load(corpus)
    assert len(recipe.electrodes) == electrodes
    assert (recipe.sfreq_hz, recipe.band_hz, recipe.notch_hz) == (sfreq_hz, band_hz, notch_hz)
    assert (recipe.window_s, recipe.window_samples) == (window_s, window_s * sfreq_hz)
    assert (recipe.classes, recipe.protocol) == (classes, protocol)
    assert recipe.set_name == (corpus if classes else f"{corpus}-pretrain")


@pytest.mark.parametrize(
    ("corpus", "electrodes"),
    [("tuab", TEN_TWENTY_19), ("tuev", TEN_TWENTY_19), ("eegmat", TEN_TWENTY_19), ("physionetmi", PRETRAIN_58)],
)
def test_recipe_for_pretraining_cuts_the_windows_of_the_model(corpus: str, electrodes: tuple[str, ...]) -> None:
    recipe = recipes.load(corpus, "pretrain")
    assert set(recipe.electrodes) == set(electrodes)
    assert (recipe.sfreq_hz, recipe.window_samples, recipe.stride_s) == (256, 2560, 10)
    assert (recipe.classes, recipe.options, recipe.balance, recipe.valid_share) == ((), {}, False, 0.1)
    assert recipe.set_name == f"{corpus}-pretrain"


def test_corpus_without_windows_for_a_purpose_says_so() -> None:
    assert "no recipe for pretraining" in refusal(corpus="bcic2b", purpose="pretrain")
    assert "no classes to probe" in refusal(corpus="tueg", purpose="probe")


@pytest.mark.parametrize("corpus", ["tueg", "seed", "seediv", "tsu", "m3cv", "cogbci", "hgd", "pbciw", "bcic2a"])
def test_corpus_for_pretraining_has_the_rate_and_the_electrodes_of_the_model(corpus: str) -> None:
    recipe = recipes.load(corpus, "pretrain")
    assert recipe.sfreq_hz == 256
    assert set(recipe.electrodes) <= set(VOCABULARY)
    assert recipe.window_s <= 10


@pytest.mark.parametrize(
    ("corpus", "changed"),
    [
        ("tuab", {"notch_hz": 50, "missing": "published-strict"}),
        (
            "tuev",
            {"notch_hz": 50, "edges": "wrap", "events": "rows", "valid_share": 0.1, "missing": "published-strict"},
        ),
        ("physionetmi", {"notch_hz": 50}),
        ("bcic2b", {"band_hz": (0, 38)}),
    ],
)
def test_published_preset_changes_only_what_was_published(corpus: str, changed: dict[str, Any]) -> None:
    ours, published = recipes.load(corpus), recipes.load(corpus, settings=("preset=published",))
    assert published == ours.model_copy(update=changed)


def test_setting_wins_over_preset_in_either_order() -> None:
    for settings in (("preset=published", "notch_hz=0"), ("notch_hz=0", "preset=published")):
        assert recipes.load("tuab", settings=settings).notch_hz == 0


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("band_hz=0.5,40", "band_hz", (0.5, 40)),
        ("band_hz=[0.5, 40]", "band_hz", (0.5, 40)),
        ("electrodes=C3,CZ,C4", "electrodes", ("C3", "CZ", "C4")),
        ("edges = pad", "edges", "pad"),
        ("balance=true", "balance", True),
        ("classes=[]", "classes", ()),
        ("options.depth=2", "options", {"depth": 2}),
        ("offset_s=-1.5", "offset_s", -1.5),
    ],
)
def test_setting_is_read_as_json_or_plain_text(setting: str, field: str, value: object) -> None:
    assert getattr(recipes.load("tuab", settings=(setting,)), field) == value


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("nope=1", "nope"),
        ("nope", "KEY=VALUE"),
        ("sfreq_hz=fast", "sfreq_hz"),
        ("band_hz=0.1,200", "band_hz"),
        ("band_hz=75,0.1", "band_hz"),
        ("notch_hz=300", "notch_hz"),
        ("electrodes=T3,C3", "T3"),
        ("electrodes=C3,C3", "twice"),
        ("electrodes=[]", "electrodes"),
        ("window_s=0.0123", "window_s"),
        ("valid_share=1", "valid_share"),
        ("quantum_uv=0", "quantum_uv"),
        ("balance=maybe", "balance"),
        ("edges=mirror", "edges"),
        ("split_seed=1.5", "split_seed"),
        ("preset=unheard", "published"),
        ('preset=["published"]', "published"),
        ("purpose=pretrain", "purpose"),
        ("offset_s=NaN", "offset_s"),
        ("quantum_uv=Infinity", "quantum_uv"),
        ("corpus=other", "corpus"),
    ],
)
def test_wrong_setting_is_refused_in_one_line_that_names_it(setting: str, said: str) -> None:
    assert said in refusal(setting)


@pytest.mark.parametrize("purpose", ["probe", "pretrain"])
def test_recipe_file_with_options_among_its_fields_is_understood(tmp_path: Path, purpose: Any) -> None:
    told = 'corpus = "physionetmi"\nelectrodes = ["C3"]\nnotch_hz = 60\nclasses = ["left", "right"]\n'
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    old.write_text(f"{told}runs = [4, 8]\n[pretrain]\nclasses = []\nruns = []\n")
    new.write_text(f"{told}options.runs = [4, 8]\n[pretrain]\nclasses = []\noptions = {{}}\n")
    recipe = recipes.load("physionetmi", purpose, file=old)
    assert recipe == recipes.load("physionetmi", purpose, file=new)
    assert recipe.options == ({"runs": [4, 8]} if purpose == "probe" else {})


@pytest.mark.parametrize(
    ("corpus", "setting", "value"),
    [
        ("physionetmi", "runs=[4,8]", [4, 8]),
        ("physionetmi", "runs=[]", []),
        ("sleepedf", "wake_margin_s=60", 60),
        ("sleepedf", "wake_margin_s=0", 0),
    ],
)
def test_option_may_be_set_by_its_name_alone(corpus: str, setting: str, value: object) -> None:
    named = recipes.load(corpus, settings=(setting,))
    assert named == recipes.load(corpus, settings=(f"options.{setting}",))
    assert named.options == {setting.partition("=")[0]: value}


def test_corpus_without_a_recipe_is_told_which_there_are() -> None:
    said = refusal(corpus="tuep")
    assert all(name in said for name in ("tuep", *FACTS))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"corpus = ", "not a recipe"),
        (b'corpus = "tuev"', "tuev"),
        (b"\xff\xfe", "not a recipe"),
        (b"", 'states no corpus; give it the line corpus = "tuab"'),
    ],
)
def test_file_that_is_no_recipe_of_the_corpus_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "own.toml"
    file.write_bytes(content)
    assert f"{file}: " in refusal(file=file)
    assert said in refusal(file=file)


def test_missing_recipe_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "dangling.toml").symlink_to("nowhere")
    for name in ("none.toml", "dangling.toml"):
        with pytest.raises(MissingError) as refused:
            recipes.load("tuab", file=tmp_path / name)
        assert (refused.value.path, refused.value.reason) == (str(tmp_path / name), "not found")
    with pytest.raises(DamagedError) as refused_folder:
        recipes.load("tuab", file=tmp_path)
    assert (refused_folder.value.path, refused_folder.value.reason) == (str(tmp_path), "unreadable (is a directory)")


def test_recipe_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('corpus = "mine"\nelectrodes = ["C3"]\nnotch_hz = 60\n', encoding="utf-8-sig")
    assert recipes.load("mine", file=file).electrodes == ("C3",)


def test_electrodes_of_every_recipe_have_canonical_names() -> None:
    for corpus in recipes.names():
        for name in recipes.load(corpus).electrodes:
            assert canonical(name) == name


def test_window_of_whole_samples_is_taken_whatever_its_seconds_round_to() -> None:
    assert 0.035 * 200 != 7
    assert recipes.load("tuab", settings=("window_s=0.035", "stride_s=0.035")).window_samples == 7


def test_hash_changes_with_any_choice() -> None:
    fields = set(recipes.Recipe.model_fields) - {"corpus", "purpose"}
    assert set(CHANGES) == fields - recipes.FACTS
    own = (f"layout={CHANGES['layout']}",)
    changed = [
        recipes.load("tuab", settings=(f"{key}={value}", *own * (key == "test_share"))).sha256()
        for key, value in CHANGES.items()
    ]
    hashes = [recipes.load("tuab").sha256(), recipes.load("tuab", "pretrain").sha256(), *changed]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize("setting", OTHER_FACTS)
def test_fact_of_a_corpus_is_kept_and_makes_no_other_set(setting: str) -> None:
    plain, told = recipes.load("bcic2b"), recipes.load("bcic2b", settings=(setting,))
    assert told != plain
    assert told.differences(plain) == []
    assert told.sha256() == plain.sha256()
    assert records.read(recipes.Recipe, told.as_json(), "plan.json", "") == told


def test_every_fact_is_tried() -> None:
    assert {setting.partition("=")[0] for setting in OTHER_FACTS} == recipes.FACTS


def test_record_without_facts_means_those_of_the_recipe_of_its_corpus() -> None:
    for corpus in recipes.names():
        recipe = recipes.load(corpus)
        older = {name: value for name, value in recipe.as_json().items() if name not in recipes.FACTS}
        found = records.read(recipes.Recipe, older, "plan.json", "")
        assert found == recipe
        assert found.as_json() == older
    own = records.read(recipes.Recipe, older | {"corpus": "myown"}, "plan.json", "")
    assert (own.licence, own.citation, own.probe_electrodes, own.unlinkable) == ("", "", (), ())


def test_recipe_of_every_corpus_states_its_licence_and_what_to_cite() -> None:
    for corpus in recipes.names():
        recipe = recipes.load(corpus)
        assert re.fullmatch(r"\S.*; https?://\S+", recipe.licence), corpus
        assert re.match(r"[\w .]+ \(\d{4}\), [^\n]+[^\s]$", recipe.citation), corpus
        assert "  " not in recipe.citation


def test_own_recipe_of_a_known_corpus_has_its_facts(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('corpus = "tuev"\nelectrodes = ["C3"]\nnotch_hz = 60\nlicence = "another"\n')
    own, shipped = recipes.load("tuev", file=file), recipes.load("tuev")
    assert own.licence == "another"
    assert (own.citation, own.unlinkable) == (shipped.citation, shipped.unlinkable)
    file.write_text('corpus = "mine"\nelectrodes = ["C3"]\nnotch_hz = 60\n')
    assert (recipes.load("mine", file=file).licence, recipes.load("mine", file=file).citation) == ("", "")


def test_set_of_the_first_release_is_probed_by_the_electrodes_it_was() -> None:
    found = {corpus: manifests.load_set(RELEASE / corpus).recipe for corpus in ("bcic2b", "physionetmi", "tuab")}
    assert all(recipe.lacked >= recipes.FACTS for recipe in found.values())
    assert found["bcic2b"].probe_electrodes == ("C5", "C3", "C1", "CZ", "C2", "C4", "C6")
    assert found["physionetmi"].probe_electrodes == found["tuab"].probe_electrodes == ()


def test_probed_electrodes_have_canonical_names() -> None:
    assert "electrodes must have their canonical names: write T7 for T3" in refusal("probe_electrodes=C3,T3")


def test_hash_is_the_same_for_the_same_recipe_however_it_is_written() -> None:
    assert recipes.load("tuab", settings=("notch_hz=60.0",)).sha256() == recipes.load("tuab").sha256()
