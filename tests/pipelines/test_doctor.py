"""The doctor foretells what a run makes of a tree, and tells it in a table, as JSON and as a page."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import mne
import pytest

from pipelines.corpora import CORPORA
from pipelines.corpora.base import Totals
from pipelines.corpora.tuab import Tuab
from tests.commands import contents, dare, manifest, preprocess, recordings, unusable
from tests.pipelines.known import SFREQ, examined, line_uv, noise_uv, recorded, row_of, told

pytestmark = pytest.mark.slow

pytest_plugins = ["tests.corpora_fixtures"]

# --- recordings -------------------------------------------------------------------------------------------------------


def test_names_are_told(tmp_path: Path) -> None:
    recorded(tmp_path, noise_uv(40))
    row = row_of(tmp_path, "--set", "electrodes=CZ,C3,T7")
    assert row["channel_map"] == {"CZ": "EEG CZ-REF", "C3": "EEG C3-REF"}
    assert row["renamed"] == {"EEG CZ-REF": "CZ", "EEG C3-REF": "C3"}
    assert row["missing"] == ["T7"]
    assert (row["rates"], row["duration_s"]) == ([SFREQ], 40)


def test_gaps_of_a_discontinuous_file_are_summed(real: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    labels = mne.io.read_raw_edf(real / "formats" / "edfPlusD.edf", verbose="error").ch_names
    own.write_text(
        f'corpus = "own"\nelectrodes = ["{labels[0].upper()}"]\nnotch_hz = 0\nquality = "none"\n'
        "[pretrain]\nwindow_s = 1\n"
        '[layout]\nfiles = "{subject}.edf"\nlabels = "none"\n'
    )
    (tmp_path / "raw").mkdir()
    shutil.copy(real / "formats" / "edfPlusD.edf", tmp_path / "raw")
    (row,) = examined(tmp_path / "raw", "--recipe", own, corpus="own")["recordings"]
    assert (row["duration_s"], row["gap_s"]) == (11, 9)
    assert "9 s are missing between its records" in told(row, "gaps")


def test_copies_are_named_and_lookalikes_are_not(tmp_path: Path) -> None:
    path = recorded(tmp_path, noise_uv(600))
    lookalike = bytearray(path.read_bytes())
    lookalike[len(lookalike) // 2] ^= 1
    path.with_name("aaaaaaac_s001_t000.edf").write_bytes(lookalike)
    shutil.copy(path, path.with_name("aaaaaaab_s001_t000.edf"))
    facts = examined(tmp_path)
    first, copy = (f"train/normal/01_tcp_ar/aaaaaaa{letter}_s001_t000.edf" for letter in "ab")
    reasons = {row["path"]: row["reason"] for row in facts["recordings"]}
    assert [path for path, reason in reasons.items() if reason] == [copy]
    assert reasons[copy] == f"same bytes as {first}"


def test_recording_whose_labels_do_not_fit_fails_as_in_a_run(raw: Path, tmp_path: Path) -> None:
    shutil.copytree(raw / "tuev", tmp_path / "raw")
    rec = sorted((tmp_path / "raw").rglob("*.rec"))[0]
    rec.write_text("not,a,table\n")
    facts = examined(tmp_path / "raw", corpus="tuev")
    rows = recordings(preprocess("tuev", tmp_path / "raw", tmp_path / "out"))
    broken = rec.relative_to(tmp_path / "raw").with_suffix(".edf").as_posix()
    for row in facts["recordings"]:
        assert row["outcome"] == rows[row["path"]]["outcome"] == ("failed" if row["path"] == broken else "ok")
        assert row["outcome"] == "ok" or row["reason"] == rows[row["path"]]["reason"]


@pytest.mark.parametrize("strict", [False, True])
def test_strict_turns_a_recording_that_would_fail_into_status_1(tmp_path: Path, strict: bool) -> None:
    recorded(tmp_path, noise_uv(40))
    broken = recorded(tmp_path, noise_uv(40), name="aaaaaaab")
    broken.write_bytes(b"")
    facts = examined(tmp_path, *["--strict"] * strict, status=int(strict))
    assert [row["outcome"] for row in facts["recordings"]] == ["ok", "failed"]
    assert "is empty (0 bytes)" in facts["recordings"][1]["reason"]


# --- the tree as a whole ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", ["tuab", "tuev", "bcic2b", "physionetmi"])
def test_windows_and_bytes_are_those_of_a_run(raw: Path, shards: Path, corpus: str) -> None:
    facts, made = examined(raw / corpus, corpus=corpus), recordings(shards / corpus)
    assert {row["path"]: row["windows"] for row in facts["recordings"]} == {
        path: row["windows"] for path, row in made.items()
    }
    splits = manifest(shards / corpus)["splits"]
    assert facts["expected"]["windows"] == {name: split["samples"] for name, split in splits.items()}
    written = sum(shard["bytes"] for split in splits.values() for shard in split["shards"])
    assert facts["expected"]["bytes"] == pytest.approx(written, rel=0.1)
    assert facts["expected"]["minutes"] > 0


def test_balanced_windows_are_counted_as_they_are_kept(eegmat_raw: Path, eegmat: Path) -> None:
    facts, made = examined(eegmat_raw, corpus="eegmat"), recordings(eegmat)
    assert {row["path"]: row["windows"] for row in facts["recordings"]} == {
        path: row["windows"] for path, row in made.items()
    }


@pytest.mark.parametrize(
    ("whole", "limit", "said"),
    [
        (2, (), "complete: 2 recordings, as published for tuab 3"),
        (3, (), "2 of 3 recordings of tuab 3: 1 are missing"),
        (1, (), "2 of 1 recordings of tuab 3: 1 more than published"),
        (2, ("--limit", 1), "complete: 2 recordings, as published for tuab 3"),
    ],
)
def test_release_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: int, limit: tuple[object, ...], said: str
) -> None:
    class OfTotals(Tuab):
        TOTALS: ClassVar = {"3": Totals(recordings=whole)}

    monkeypatch.setitem(CORPORA, "tuab", OfTotals())
    for name in ("aaaaaaaa", "aaaaaaab"):
        recorded(tmp_path, noise_uv(20), name=name)
    assert examined(tmp_path, *limit)["complete"] == said


def test_choices_say_how_many_recordings_hang_on_them(tmp_path: Path) -> None:
    recorded(tmp_path, noise_uv(20) + line_uv(60, 5, 20))
    recorded(tmp_path, noise_uv(20) - line_uv(50, 5, 20), name="aaaaaaab")
    linked = recorded(tmp_path, noise_uv(20), name="aaaaaaac")
    linked.write_bytes(linked.read_bytes().replace(b"-REF", b"-LE "))
    choices = examined(tmp_path, "--set", "electrodes=C3,CZ,C4")["choices"]
    assert choices["missing"] == {
        "value": "mask",
        "recordings_lacking": 0,
        "would_skip": {"mask": 0, "require": 0, "interpolate": 0, "published-strict": 1},
    }
    assert choices["reference"] == {
        "value": "as recorded",
        "references": {"LE": 1, "REF": 2},
        "would_skip": {"as recorded": 0, "average": 0, "linked ears": 2},
    }
    assert choices["notch_hz"]["stands_out"] == {"50": 1, "60": 1}
    lacking = examined(tmp_path, "--set", "electrodes=C3,CZ,C4,O1")["choices"]["missing"]
    assert (lacking["recordings_lacking"], lacking["would_skip"]["require"]) == (3, 3)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of 201 recordings of which one has a flat channel."""
    src = tmp_path_factory.mktemp("many")
    content = recorded(src, noise_uv(10), name="aaaaaaaa").read_bytes()
    for number in range(1, 200):
        letters = "".join("abcdefghij"[int(digit)] for digit in f"{number:08d}")
        (src / "train" / "normal" / "01_tcp_ar" / f"{letters}_s001_t000.edf").write_bytes(
            content[:-2] + number.to_bytes(2, "little")
        )
    data = noise_uv(10)
    data[0] = 0
    recorded(src, data, name="zzzzzzzz")
    return src


@pytest.mark.slow
def test_processes_find_what_one_finds(many: Path) -> None:
    alone = examined(many, "--limit", 96)["recordings"]
    answer = dare("preprocess", "tuab", "--src", many, "--dry-run", "--json", "--workers", 2, "--limit", 96)
    assert json.loads(answer.out)["recordings"] == alone


# --- how it is told ---------------------------------------------------------------------------------------------------


def test_table_is_aligned_and_sums_by_reason(tmp_path: Path) -> None:
    recorded(tmp_path, noise_uv(40))
    recorded(tmp_path, noise_uv(5), name="aaaaaaab")
    answer = dare("preprocess", "tuab", "--src", tmp_path, "--dry-run")
    heading, *rows = answer.out.splitlines()[:3]
    assert [row.index("tuh:") for row in rows] == [heading.index("subject")] * 2
    assert heading.index("verdict") == rows[0].index("ok") == rows[1].index("skipped")
    assert "skipped 1\n  1: lasts 5 s, shorter than a window of 10 s" in answer.out
    assert answer.out.endswith("1 of 2 recordings to 1 shards; nothing was written\n")


def test_long_table_shows_what_has_findings(many: Path) -> None:
    answer = dare("preprocess", "tuab", "--src", many, "--dry-run", "--workers", 1)
    _, row, rest, *_ = answer.out.splitlines()
    assert row.startswith("train/normal/01_tcp_ar/zzzzzzzz_s001_t000.edf  ")
    assert row.endswith("flat      ok")
    assert "1 of 201 recordings shown" in rest
    assert "flat: 1 recordings, such as train/normal/01_tcp_ar/zzzzzzzz_s001_t000.edf: C3: flat" in answer.out


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}

    def handle_data(self, data: str) -> None:
        self.words += data


def test_page_stands_alone_and_lets_nothing_through(tmp_path: Path) -> None:
    recorded(tmp_path / "raw", noise_uv(40))
    hostile = recorded(tmp_path / "raw", noise_uv(40), name="aaaaaaab")
    hostile.write_bytes(
        hostile.read_bytes().replace(b"EEG C3-REF", b"<script>x ").replace(b"EEG C4-REF", b"<img src=x")
    )
    hostile.write_bytes(hostile.read_bytes().replace(b"EEG CZ-REF", b"<b>&amp;  "))
    page = tmp_path / "page.html"
    answer = dare("preprocess", "tuab", "--src", tmp_path / "raw", "--dry-run", "--html", page, "--workers", 1)
    assert answer.status == 0
    seen = _Tags()
    seen.feed(page.read_text("utf-8"))
    assert not {"script", "img", "link", "b"} & set(seen.tags)
    assert seen.tags.count("tr") == 3
    assert "<script>x" in seen.words
    assert "<b>&amp;" in seen.words
    assert not re.search(r"https?:|@import|url\(", page.read_text())


def test_page_goes_with_a_dry_run_only(tmp_path: Path) -> None:
    recorded(tmp_path / "raw", noise_uv(40))
    answer = dare("preprocess", "tuab", "--src", tmp_path / "raw", "--out", tmp_path, "--html", tmp_path / "page.html")
    unusable(answer, "--dry-run")
    assert not (tmp_path / "page.html").exists()


def test_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    recorded(tmp_path / "raw", noise_uv(20))
    (tmp_path / "file").write_text("")
    page = tmp_path / "file" / "page.html"
    answer = dare("preprocess", "tuab", "--src", tmp_path / "raw", "--dry-run", "--html", page)
    assert (answer.status, answer.out) == (2, "")
    assert str(page) in answer.err.splitlines()[-1]


@pytest.mark.parametrize("outcome", ["ok", "skipped", "failed"])
def test_dry_run_writes_nothing(tmp_path: Path, outcome: str) -> None:
    path = recorded(tmp_path / "raw", noise_uv(5 if outcome == "skipped" else 20))
    if outcome == "failed":
        path.write_bytes(b"")
    before = contents(tmp_path)
    assert row_of(tmp_path / "raw", "--out", tmp_path / "out")["outcome"] == outcome
    assert contents(tmp_path) == before
