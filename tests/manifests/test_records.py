"""Records on disk grow: what older code wrote is read as it was meant, what newer code wrote is refused by its name."""

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from manifests import __version__, records
from manifests.errors import DareError
from manifests.records import Fields, Part, Record, Schema, added, option


class Row(Part):
    """A part with a field that was added later, and what its absence means."""

    name: str
    marks: dict[str, str] = added({"new": "default"}, absent={})


def _from_1(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name != "rows_of_old"} | {"rows": fields["rows_of_old"]}


class Inner(Record):
    """A record within another, with a schema of its own."""

    KIND: ClassVar = "inner"

    width: float = 1.0


class Table(Record):
    """A record of a second schema."""

    KIND: ClassVar = "table"
    SCHEMA: ClassVar = 2
    UPGRADES: ClassVar = {1: _from_1}

    rows: list[Row]
    inner: Inner = Field(default_factory=Inner)
    speed: int = added(5, absent=0, ge=0)


def read(stored: object) -> Table:
    return records.read(Table, stored, "somewhere/table.json", "make it again")


def refusal(stored: object) -> str:
    with pytest.raises(DareError) as refused:
        read(stored)
    assert "\n" not in str(refused.value)
    return str(refused.value)


WRITTEN: dict[str, Any] = {
    "schema_version": 2,
    "written_by": "0.9.1",
    "rows": [{"name": "a", "marks": {"C3": "bad"}}],
    "inner": {"schema_version": 1, "written_by": "0.8", "width": 2.0},
    "speed": 7,
}


def test_new_record_says_its_schema_its_writer_and_every_field() -> None:
    made = Table(rows=[Row(name="a")]).as_json()
    assert (made["schema_version"], made["written_by"]) == (2, __version__)
    assert made["rows"] == [{"name": "a", "marks": {"new": "default"}}]
    assert (made["speed"], made["inner"]["width"]) == (5, 1.0)


def test_record_comes_back_as_it_was_written() -> None:
    made = Table(rows=[Row(name="a"), Row(name="b", marks={"C3": "bad"})], speed=3)
    assert read(made.as_json()) == made


def test_absent_field_means_what_the_writer_did_and_not_todays_default() -> None:
    older = {name: value for name, value in WRITTEN.items() if name != "speed"} | {"rows": [{"name": "a"}]}
    found = read(older)
    assert found.speed == 0
    assert found.rows[0].marks == {}
    assert found.lacked == {"speed"}
    assert found.rows[0].lacked == {"marks"}


def test_record_written_again_stays_without_what_it_was_written_without() -> None:
    older = {name: value for name, value in WRITTEN.items() if name != "speed"} | {"rows": [{"name": "a"}]}
    again = read(older).as_json()
    assert "speed" not in again
    assert again["rows"] == [{"name": "a"}]
    assert read(again) == read(older)


def test_changed_copy_writes_what_was_changed() -> None:
    older = {name: value for name, value in WRITTEN.items() if name != "speed"}
    assert read(older).model_copy(update={"speed": 4}).as_json()["speed"] == 4


def test_record_without_a_version_is_of_the_first_schema() -> None:
    found = read({"rows_of_old": [{"name": "a"}], "inner": {"width": 3}})
    assert [row.name for row in found.rows] == ["a"]
    assert (found.inner.width, found.speed) == (3.0, 0)


def test_field_that_no_version_may_lack_is_missed() -> None:
    lacking = {name: value for name, value in WRITTEN.items() if name != "rows"}
    assert "lacks the field 'rows'" in refusal(lacking)
    assert "somewhere/table.json: " in refusal(lacking)
    assert "make it again" in refusal(lacking)


@pytest.mark.parametrize(
    ("stored", "writer"),
    [
        (WRITTEN | {"schema_version": 3}, "0.9.1"),
        (WRITTEN | {"flavour": 1}, "0.9.1"),
        (WRITTEN | {"rows": [{"name": "a", "flavour": 1}]}, "0.9.1"),
        (WRITTEN | {"inner": WRITTEN["inner"] | {"flavour": 1}}, "0.8"),
        (WRITTEN | {"inner": WRITTEN["inner"] | {"schema_version": 2}}, "0.8"),
        ({"rows_of_old": [], "inner": {"width": 1}, "flavour": 1}, "0.1.0"),
    ],
)
def test_newer_schema_and_unknown_field_are_refused_by_the_version_that_wrote_them(
    stored: dict[str, Any], writer: str
) -> None:
    told = refusal(stored)
    assert f"written by dare-eeg {writer}" in told
    assert "upgrade dare-eeg" in told
    assert "make it again" not in told


def test_unknown_field_in_a_record_of_this_very_version_is_a_slip_of_somebodys() -> None:
    told = refusal(WRITTEN | {"flavour": 1, "written_by": __version__})
    assert told == "somewhere/table.json: has the field 'flavour', which no version has; make it again"


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [1],
        "text",
        {},
        {"schema_version": 1},
        WRITTEN | {"schema_version": "2"},
        WRITTEN | {"schema_version": 0},
        WRITTEN | {"rows": 3},
        WRITTEN | {"speed": -1},
        WRITTEN | {"inner": []},
    ],
)
def test_what_is_no_record_is_refused_with_the_way_out(stored: object) -> None:
    assert refusal(stored).endswith("; make it again")


ANY_JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)
)


@given(ANY_JSON)
def test_any_json_that_is_no_record_is_refused_in_one_line(stored: object) -> None:
    assert refusal(stored).startswith("somewhere/table.json: ")


def test_schema_of_arrays_follows_the_same_rule() -> None:
    schema = Schema("index", 1, frozenset({"offset", "label"}))
    assert schema.read({"offset": [1], "label": [2]} | schema.head()) == {"offset": [1], "label": [2]}
    with pytest.raises(records.OtherVersionError, match=r"'colour', written by dare-eeg 3\.0"):
        schema.read({"offset": [1], "label": [2], "colour": [3], "written_by": "3.0"})


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a=1", {"a": 1}),
        ("a = 1.5 ", {"a": 1.5}),
        ("a=true", {"a": True}),
        ("a=C3,CZ", {"a": ["C3", "CZ"]}),
        ("a=[1, 2]", {"a": [1, 2]}),
        ("a=linked ears", {"a": "linked ears"}),
        ("a=", {"a": ""}),
        ("layout.events.unit=samples", {"layout": {"events": {"unit": "samples"}}}),
        ("a=b=c", {"a": "b=c"}),
    ],
)
def test_option_is_key_and_value(text: str, fields: Fields) -> None:
    assert option(text, "window_s=4") == fields


@pytest.mark.parametrize("text", ["", "a", "=1", " = "])
def test_option_without_key_or_value_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DareError, match="names no field or no value; give KEY=VALUE, as in window_s=4"):
        option(text, "window_s=4")


def test_tables_are_merged_and_other_values_replaced() -> None:
    below = {"a": 1, "table": {"x": 1, "y": [1, 2]}}
    assert records.merged(below, {"table": {"y": [3]}, "b": 2}) == {"a": 1, "b": 2, "table": {"x": 1, "y": [3]}}
    assert below["table"]["y"] == [1, 2]
