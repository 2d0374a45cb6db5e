"""Notes keep figures and names; text is made of them for one recording and for many."""

import pytest

from manifests import notes
from manifests.notes import counted, note, prose

CLIPPED = "{share:.2%} of samples clipped at ±{top_uv:.0f} µV"


def test_note_is_read_as_text() -> None:
    assert note("clipped", CLIPPED, share=0.0011, top_uv=1023.97).text == "0.11% of samples clipped at ±1024 µV"
    assert note("flat", "{names} is flat", ["C3", "CZ"]).text == "C3, CZ is flat"


def test_prose_is_a_note_of_its_own_kind_that_nothing_is_put_into() -> None:
    (told,) = prose("cannot be read {here}")
    assert (told.kind, told.text) == ("text", "cannot be read {here}")
    assert prose("") == ()


def test_notes_of_a_recording_are_one_line_that_says_each_thing_once() -> None:
    flat = note("flat", "{names} is flat", ["C3"])
    assert notes.text([flat, *prose("odd"), flat]) == "C3 is flat; odd"


def test_recordings_are_counted_by_kind_with_the_range_of_figures() -> None:
    shares = [0.0011, 0.031, 0.02]
    many = [[note("clipped", CLIPPED, share=share, top_uv=1024.0)] for share in shares]
    assert counted(many) == {"0.11% to 3.10% of samples clipped at ±1024 µV": 3}


def test_recording_counts_for_each_kind_and_one_without_notes_for_none() -> None:
    clipped = note("clipped", CLIPPED, share=0.5, top_uv=1024.0)
    told = counted([[clipped, *prose("odd")], [clipped], [], []])
    assert told == {"": 2, "50.00% of samples clipped at ±1024 µV": 2, "odd": 1}


def test_two_notes_of_a_kind_on_one_recording_count_once() -> None:
    both = [note("flat", "{names} is flat", [name]) for name in ("C3", "C4")]
    assert counted([both]) == {"C3, C4 is flat": 1}


def test_many_names_are_not_all_spelt_out_for_many_recordings() -> None:
    lacking = [[note("lacking", "there is no {names}", [f"{number}.csv"])] for number in range(500)]
    assert counted(lacking) == {"there is no 0.csv, 1.csv, 2.csv, 3.csv and 496 more": 500}
    assert note("lacking", "there is no {names}", [f"{number}.csv" for number in range(9)]).text.count(".csv") == 9


def test_order_of_recordings_changes_nothing_where_one_lacks_a_figure() -> None:
    says = "{count} of {total} events"
    some, more = [note("events", says, count=1)], [note("events", says, count=3, total=4)]
    assert counted([some, more]) == counted([more, some]) == {"1 to 3 of 4 events": 2}


def test_names_are_quoted_where_the_text_wants_them_so_and_figures_never() -> None:
    assert note("odd", "{names!r} has {count!r}", ["C3 "], count=2).text == "'C3 ' has 2"


def test_figure_that_no_float_holds_is_no_error() -> None:
    assert note("odd", "{share:g}", share=10**400).text == "{share:g}"


@pytest.mark.parametrize(
    "says", ["{share:999999999}", "{share:c}", "{share.__class__}", "{0}", "{other}", "{share[0]}", "{", "{share:%Y}"]
)
def test_text_from_anyones_disk_looks_into_nothing(says: str) -> None:
    assert note("odd", says, share=1.0).text == says


def test_text_from_a_file_cannot_end_a_line_or_steer_the_terminal() -> None:
    assert notes.one_line("  c\n  failed: 99\r\x1b[2Jd\u2028e\x9b") == "  c failed: 99 [2Jd e "
    assert notes.one_line("  sd 10 µV, 50 %") == "  sd 10 µV, 50 %"
