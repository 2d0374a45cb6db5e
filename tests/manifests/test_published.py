"""Published rows: each says where it stands and how it was had, and what is not known is not there."""

import pytest

from manifests import published, recipe

CORPORA = published.corpora()


def test_rows_are_kept_of_corpora_that_have_a_recipe() -> None:
    assert set(CORPORA) == {"tuab", "tuev", "bcic2a", "bcic2b", "eegmat"} < set(recipe.names())
    assert published.studies("tueg") == ()


@pytest.mark.parametrize("corpus", CORPORA)
def test_each_row_has_a_source_a_split_and_figures_that_are_shares(corpus: str) -> None:
    for study in published.studies(corpus):
        assert study.source
        assert study.split
        for row in study.rows:
            figures = study.figures(row)
            assert row.model
            assert figures.keys() | set(study.unread(row))
            assert all(0 < figure.mean < 1 for figure in figures.values())
            assert all(0 < figure.spread < 0.1 for figure in figures.values() if figure.spread is not None)


@pytest.mark.parametrize("corpus", CORPORA)
def test_no_row_is_kept_twice(corpus: str) -> None:
    rows = [(study.source, row.model) for study in published.studies(corpus) for row in study.rows]
    assert len(rows) == len(set(rows))


def test_the_figures_that_contradict_each_other_are_both_there() -> None:
    of_labram = [
        (study.protocol, study.level, study.subjects, study.figures(row)["balanced_accuracy"].mean)
        for study in published.studies("eegmat")
        for row in study.rows
        if row.model == "LaBraM"
    ]
    assert of_labram == [("stratified", "recording", 36, 0.762), ("fixed", "window", 4, 0.499)]


def test_what_could_not_be_read_is_told_apart_from_what_nobody_published() -> None:
    by_source = {study.source.split(",")[0]: study for study in published.studies("tuab")}
    ours, eegpt = by_source["DARE-EEG"], by_source["EEGPT"]
    assert [ours.unread(row) for row in ours.rows] == [("auc_pr", "auroc")] * 2
    assert ours.second_hand
    assert [eegpt.unread(row) for row in eegpt.rows] == [(), (), ()]
    assert all("auc_pr" not in eegpt.figures(row) for row in eegpt.rows)


def test_the_fixed_split_names_four_subjects_to_select_on_and_four_to_test() -> None:
    split = published.fixed_split("eegmat")
    assert split is not None
    assert split.valid == tuple(f"eegmat:Subject{number}" for number in range(28, 32))
    assert split.test == tuple(f"eegmat:Subject{number}" for number in range(32, 36))
    assert published.fixed_split("tuab") is None
