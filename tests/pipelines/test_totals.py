"""A manifest says what of a release is there, where it is known what the release holds."""

from pathlib import Path

import pytest

from pipelines import synth
from pipelines.corpora import CORPORA
from pipelines.corpora.base import Totals
from pipelines.corpora.tuab import Tuab
from tests.commands import dare, manifest, preprocess

SMALL = ("--set", "electrodes=C3,CZ,C4")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven recordings of two windows each."""
    folder = tmp_path_factory.mktemp("raw")
    synth.write("tuab", folder, 6, 20.0, seed=7)
    return folder


WHOLE = "complete: 7 recordings, as published for tuab 3"


@pytest.mark.parametrize(
    ("totals", "options", "notes"),
    [
        ({"3": Totals(7)}, (), [WHOLE]),
        ({"3": Totals(7, windows=14)}, (), [WHOLE]),
        ({"3": Totals(7, windows=1015)}, (), [WHOLE, "14 windows against 1,015 published"]),
        ({"3": Totals(7, windows=1015)}, ("--for", "pretrain"), [WHOLE]),
        ({"": Totals(9), "3": Totals(1007)}, (), ["7 of 1,007 recordings of tuab 3: 1,000 are missing"]),
        ({"": Totals(9)}, (), ["7 of 9 recordings of tuab 3: 2 are missing"]),
        ({"3": Totals(5)}, (), ["7 of 5 recordings of tuab 3: 2 more than published"]),
        ({"3": Totals(9)}, ("--limit", 6), []),
        ({"3": Totals(9)}, ("--limit", 8), ["7 of 9 recordings of tuab 3: 2 are missing"]),
        ({"2": Totals(9)}, (), []),
        ({}, (), []),
    ],
)
def test_release_is_compared_with_what_is_known_of_it(
    raw: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    totals: dict[str, Totals],
    options: tuple[object, ...],
    notes: list[str],
) -> None:
    class OfTotals(Tuab):
        TOTALS = totals

    monkeypatch.setitem(CORPORA, "tuab", OfTotals())
    folder = preprocess("tuab", raw, tmp_path, *SMALL, *options)
    said = [note for note in manifest(folder)["notes"] if "recordings" in note or "published" in note]
    assert len(said) == len(notes)
    assert all(note.startswith(start) for note, start in zip(said, notes, strict=True))
    assert all(note in dare("inspect", folder).out for note in said)
