"""The synthetic seizure, artifact, slowing and whole corpora of Temple University Hospital."""

import csv
import hashlib
import re
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines import synth
from tests.commands import manifest, preprocess, recordings
from tests.judges import TEN_TWENTY_19, read_raw, samples, scalp_uv

pytestmark = pytest.mark.slow

SIZES = {"tusz": (8, 40.0), "tuar": (6, 60.0), "tusl": (8, 36.0), "tueg": (5, 20.0)}
MONTAGE = r"0[1-4]_tcp_(?:ar|le)(?:_a)?"
SESSION = r"s001_(?:\d{4}|\d{4}_\d\d_\d\d)"
TREES = {
    "tusz": rf"edf/(?:train|dev|eval)/([a-z]{{8}})/{SESSION}/({MONTAGE})/\1_s001_t\d{{3}}\.(?:edf|csv|csv_bi)",
    "tuar": rf"edf/({MONTAGE})/([a-z]{{8}})_s001_t000\.(?:edf|csv)",
    "tusl": rf"edf/([a-z]{{8}})/{SESSION}/({MONTAGE})/\1_s001_t000\.(?:edf|csv|tse_agg)",
    "tueg": rf"edf/\d{{3}}/([a-z]{{8}})/{SESSION}/({MONTAGE})/(?:x_)?\1_s001_t\d{{3}}\.edf",
}
EARS = {"A1-T3", "T4-A2"}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tuh")
    for corpus, (subjects, seconds) in SIZES.items():
        synth.write(corpus, root / corpus, subjects, seconds, 0)
    return {corpus: root / corpus for corpus in SIZES}


@pytest.fixture(scope="module")
def sets(corpora: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("shards")
    purposes = {"tueg": ("--for", "pretrain")}
    return {corpus: preprocess(corpus, raw, out, *purposes.get(corpus, ())) for corpus, raw in corpora.items()}


def files(root: Path, suffix: str) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.suffix == suffix)


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table, comments left out, by a reader of its own."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "channel,start_time,stop_time,label,confidence"
    return list(csv.DictReader(lines))


@pytest.mark.parametrize("corpus", SIZES)
def test_tree(corpora: dict[str, Path], corpus: str) -> None:
    names = [path.relative_to(corpora[corpus]).as_posix() for path in corpora[corpus].rglob("*") if path.is_file()]
    assert all(re.fullmatch(TREES[corpus], name) for name in names)
    assert len(names) % len(files(corpora[corpus], ".edf")) == 0


@pytest.mark.slow
@pytest.mark.parametrize("corpus", SIZES)
def test_same_arguments_same_bytes_and_another_seed_other_signals(corpus: str, tmp_path: Path) -> None:
    digests = {}
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        written = synth.write(corpus, tmp_path / name, 4, 45.0, seed)
        digests[name] = {path.relative_to(tmp_path / name): hashlib.sha256(path.read_bytes()).digest()
                         for path in written}  # fmt: skip
        assert sorted(written) == sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
    assert digests["first"] == digests["again"]
    assert digests["first"].keys() == digests["other"].keys()
    edf = [path for path in digests["first"] if path.suffix == ".edf"]
    assert all(digests["first"][path] != digests["other"][path] for path in edf)


@pytest.mark.parametrize("corpus", SIZES)
def test_labels_are_those_of_the_montage_in_an_order_of_the_file(corpora: dict[str, Path], corpus: str) -> None:
    orders = set()
    for path in files(corpora[corpus], ".edf"):
        (montage,) = re.findall(MONTAGE, path.as_posix().removeprefix(corpora[corpus].as_posix()))
        names = mne.io.read_raw_edf(path, verbose="error").ch_names
        reference = "LE" if "_le" in montage else "REF"
        old = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}
        assert {f"EEG {old.get(name, name)}-{reference}" for name in TEN_TWENTY_19} <= set(names)
        assert ({f"EEG {ear}-{reference}" for ear in ("A1", "A2")} <= set(names)) != montage.endswith("_a")
        assert f"EEG {'FP1'}-{'REF' if reference == 'LE' else 'LE'}" not in names
        orders.add(tuple(names))
    assert len(orders) == len(files(corpora[corpus], ".edf"))


@pytest.mark.parametrize("corpus", SIZES)
def test_microvolts_are_of_a_human_size(corpora: dict[str, Path], corpus: str) -> None:
    for path in files(corpora[corpus], ".edf"):
        channels = scalp_uv(path)
        spread_uv = np.std([channels[name] for name in TEN_TWENTY_19], axis=1)
        assert 5.0 < np.median(spread_uv) < 100.0


def test_patients_of_the_labelled_corpora_are_apart_and_the_whole_one_has_those_of_the_abnormal_one(
    corpora: dict[str, Path], tmp_path: Path
) -> None:
    synth.write("tuab", tmp_path / "tuab", 4, 10.0, 0)
    patients = {corpus: {re.search(r"[a-z]{8}(?=_s)", path.name)[0] for path in files(root, ".edf")}  # type: ignore[index]
                for corpus, root in [*corpora.items(), ("tuab", tmp_path / "tuab")]}  # fmt: skip
    labelled = [patients[corpus] for corpus in ("tusz", "tuar", "tusl", "tuab")]
    assert len(set().union(*labelled)) == sum(map(len, labelled))
    assert patients["tuab"] <= patients["tueg"]


class TestSeizures:
    def test_table_of_the_head_is_the_union_of_the_derivations(self, corpora: dict[str, Path]) -> None:
        kinds = set()
        for path in files(corpora["tusz"], ".csv_bi"):
            seizures = [(row["start_time"], row["stop_time"]) for row in table(path) if row["label"] == "seiz"]
            rows = table(path.with_suffix(".csv"))
            named = {(row["start_time"], row["stop_time"]) for row in rows if row["label"] != "bckg"}
            assert set(seizures) == named
            assert len(seizures) == (path.stem.endswith("t000"))
            kinds |= {row["label"] for row in rows}
            ears = {row["channel"] for row in rows} & EARS
            assert ears == (set() if path.parent.name.endswith("_a") else EARS)
        assert kinds == {"bckg", "fnsz", "gnsz"}

    def test_every_derivation_and_the_head_are_labelled_without_a_gap(self, corpora: dict[str, Path]) -> None:
        for path in files(corpora["tusz"], ".csv_bi") + files(corpora["tusz"], ".csv"):
            by_channel: dict[str, list[tuple[float, float]]] = {}
            for row in table(path):
                by_channel.setdefault(row["channel"], []).append((float(row["start_time"]), float(row["stop_time"])))
            for spans in by_channel.values():
                edges = [0.0, *(stop for _, stop in spans)]
                assert [start for start, _ in spans] == edges[:-1]
                assert edges[-1] == SIZES["tusz"][1]


def test_artifacts_are_of_all_kinds_and_some_of_two_at_once(corpora: dict[str, Path]) -> None:
    labels = {row["label"] for path in files(corpora["tuar"], ".csv") for row in table(path)}
    assert labels == {"eyem", "musc", "chew", "shiv", "elec", "elpp", "eyem_musc"}
    sides = [path for path in files(corpora["tuar"], ".csv") for row in table(path) if row["label"] == "chew"]
    assert len(sides) > len(set(sides))


def test_stretches_last_ten_seconds_in_both_tables(corpora: dict[str, Path]) -> None:
    for path in files(corpora["tusl"], ".tse_agg"):
        lines = [line.split() for line in path.read_text().splitlines()[2:]]
        assert sorted(label for _, _, label, _ in lines) == ["bckg", "seiz", "slow"]
        assert all(float(stop) - float(start) == 10 for start, stop, _, _ in lines)
        rows = {(row["start_time"], row["stop_time"], row["label"]) for row in table(path.with_suffix(".csv"))}
        assert rows == {(start, stop, label) for start, stop, label, _ in lines}


def test_whole_corpus_has_every_montage_several_rates_and_a_second_piece(corpora: dict[str, Path]) -> None:
    paths = files(corpora["tueg"], ".edf")
    assert {path.parent.name for path in paths} == {"01_tcp_ar", "02_tcp_le", "03_tcp_ar_a", "04_tcp_le_a"}
    assert {read_raw(path).info["sfreq"] for path in paths} == {250.0, 256.0, 400.0, 512.0}
    assert sum(path.name.startswith("x_") for path in paths) == 1


@pytest.mark.parametrize("corpus", SIZES)
def test_every_recording_is_of_use(sets: dict[str, Path], corpus: str) -> None:
    rows = recordings(sets[corpus])
    assert {row["outcome"] for row in rows.values()} == {"ok"}
    whole = manifest(sets[corpus])
    labels = {name for split in whole["splits"].values() for name in split["labels"]}
    assert labels == set(whole["recipe"]["classes"])


@pytest.mark.parametrize(("corpus", "least"), [("tusz", 0.7), ("tuar", 0.5), ("tusl", 0.6)])
def test_classes_can_be_learned(sets: dict[str, Path], corpus: str, least: float) -> None:
    windows = list(samples(sets[corpus]).values())
    features = np.array([log_band_power(one.data_uv, one.fields["sfreq"]) for one in windows])
    labels, subjects = ([one.fields[name] for one in windows] for name in ("label_name", "subject"))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500, class_weight="balanced"))
    predicted = cross_val_predict(model, features, labels, groups=subjects, cv=GroupKFold(4))
    assert balanced_accuracy_score(labels, predicted) > least


def log_band_power(signal_uv: NDArray[np.float64], sfreq: float) -> NDArray[np.float64]:
    frequencies, power = welch(signal_uv, sfreq, nperseg=round(2 * sfreq))
    bands = ((1, 4), (4, 8), (8, 13), (13, 30), (30, 55))
    return np.concatenate(
        [np.log(power[:, (frequencies >= low) & (frequencies < high)].mean(axis=1)) for low, high in bands]
    )
