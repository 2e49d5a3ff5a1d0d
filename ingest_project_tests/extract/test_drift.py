"""Columns that are not those of the last time: named for what they are, before a part is kept."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from ingest_project.extract.drift import compare
from ingest_project.extract.gates import contract
from ingest_project.extract.source import MORE, Cursor, Page, Pin

OLD = {"id": ["1", "2"], "name": ["a", "b"], "city": ["Rome", "Oslo"], "lat": ["1.5", "2"]}


def pin_of(columns: dict[str, Any]) -> Pin:
    return Pin("csv", (), tuple(columns), None)


def look(columns: dict[str, Any], before: dict[str, Any] | None = None, contract: str = "warn") -> dict[str, Any]:
    table = pa.table(columns)
    last = before or {"columns": [], "kinds": {}}
    against = 7 if before else None
    return compare(Page(table, Cursor(0, 2, 2), 0), pin_of(columns), contract=contract, against=against, before=last)


def whats(columns: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    known = OLD if old is None else old
    before = {"columns": list(known), "kinds": look(known)["kinds"]}
    return [change["what"] for change in look(columns, before)["changes"]]


def renamed(old: str, new: str) -> dict[str, Any]:
    return {new if name == old else name: values for name, values in OLD.items()}


def test_the_same_columns_in_any_order_are_no_drift() -> None:
    assert whats(OLD) == []
    assert whats(dict(reversed(OLD.items()))) == []


def test_the_first_time_there_is_nothing_to_compare_with() -> None:
    assert look(OLD) == {
        "contract": "warn",
        "against": None,
        "kinds": {"id": "number", "name": "text", "city": "text", "lat": "number"},
        "changes": [],
    }


@pytest.mark.parametrize(("old", "new"), [("city", "City"), ("city", "cities"), ("city", "town"), ("name", "na_me")])
def test_a_renamed_column_is_told_by_its_spelling_or_its_place(old: str, new: str) -> None:
    assert whats(renamed(old, new)) == [f"renamed: {old!r} → {new!r}"]


def test_new_and_missing_columns() -> None:
    assert whats({**OLD, "phone": ["1", "2"]}) == ["new: 'phone'"]
    assert whats({name: OLD[name] for name in ("id", "name", "lat")}) == ["missing: 'city'"]
    shorter = {"id": ["1", "2"], "name": ["a", "b"], "phone": ["", ""]}
    assert whats(shorter) == ["missing: 'city'", "missing: 'lat'", "new: 'phone'"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["north", "east"], "text"),
        (["2024-01-01", "2024-01-02T10:00:00Z"], "time"),
        (["true", "False"], "truth"),
        (['{"a": 1}', "[]"], "nested"),
        ([True, False], "truth"),
        ([[1.5], [2.0]], "nested"),
        ([b"1", b"2"], "bytes"),
    ],
)
def test_a_column_of_another_kind_is_retyped(values: list[Any], kind: str) -> None:
    assert whats({**OLD, "lat": values}) == [f"retyped: 'lat' was number, is {kind}"]


@pytest.mark.parametrize("values", [["", " "], [None, None], ["1", "2"], [1, 2], [1.5, None], ["1,5", "-2e3"]])
def test_numbers_in_any_writing_and_blanks_are_the_same_kind(values: list[Any]) -> None:
    assert whats({**OLD, "lat": pa.array(values, pa.string()) if values == [None, None] else values}) == []


def test_one_odd_value_makes_no_other_kind() -> None:
    many = {"id": [str(at) for at in range(100)], "n": [*map(str, range(99)), "12a"]}
    assert look(many)["kinds"]["n"] == "number"


@pytest.mark.parametrize(
    ("before", "now", "retyped"),
    [
        (0, 10, []),
        (0, 50, []),
        (0, 51, ["retyped: 'n' was number, is text"]),
        (6, 4, []),
        (6, 0, ["retyped: 'n' was text, is number"]),
        (4, 6, []),
    ],
)
def test_a_column_at_the_border_of_two_kinds_stays_what_it_was(before: int, now: int, retyped: list[str]) -> None:
    old, new = ({"n": [*["12a"] * odd, *["12"] * (100 - odd)]} for odd in (before, now))
    assert whats(new, old) == retyped


def test_text_that_is_no_utf8_is_text_and_says_nothing_of_the_rest() -> None:
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"2"]).buffers())
    assert whats({**OLD, "city": broken}) == []
    assert look({"n": pa.concat_arrays([broken, pa.array(["3"] * 40)])})["kinds"] == {"n": "number"}


def test_a_frozen_contract_is_a_gate_that_shows_both_headers() -> None:
    found = look(renamed("city", "town"), {"columns": list(OLD), "kinds": {}}, "freeze")
    (gate,) = contract(found, list(OLD), pin_of(renamed("city", "town")))
    assert (gate.measured, gate.limit, gate.passed, gate.setting) == (1, 0, False, "contract")
    assert "renamed: 'city' → 'town'" in gate.message
    assert "had: id, name, city, lat\n" in gate.message
    assert gate.message.endswith("has: id, name, town, lat")
    assert gate.figures == "the columns of the source are not those of the last time"


def test_a_frozen_contract_is_passed_by_the_same_columns_and_asked_of_no_first_time() -> None:
    before = {"columns": list(OLD), "kinds": {}}
    (gate,) = contract(look(OLD, before, "freeze"), list(OLD), pin_of(OLD))
    assert gate.passed
    assert contract(look(OLD, None, "freeze"), [], pin_of(OLD)) == []
    assert contract(look(renamed("city", "town"), before, "warn"), list(OLD), pin_of(OLD)) == []


def test_evolve_keeps_what_changed_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    before = {"columns": list(OLD), "kinds": {}}
    assert look(renamed("city", "town"), before, "evolve")["changes"] != []
    assert caplog.messages == []
    look(renamed("city", "town"), before, "warn")
    assert "renamed: 'city' → 'town'" in caplog.text


def test_what_turned_up_late_is_no_column() -> None:
    assert whats({**OLD, MORE: ["{}", "{}"]}) == []


def test_a_declared_column_that_json_may_still_have_is_missing() -> None:
    table = pa.table({**OLD, "city": pa.nulls(2, pa.string())})
    pin = replace(pin_of(OLD), late=("city",))
    before = {"columns": list(OLD), "kinds": {}}
    found = compare(Page(table, Cursor(0, 2, 2), 0), pin, contract="evolve", against=7, before=before)
    assert [change["what"] for change in found["changes"]] == ["missing: 'city'"]


NULL = pa.nulls(2, pa.string())
SPREAD = {"id": ["1", "2"], "geometry.x": ["1", "2"]}


@pytest.mark.parametrize("beside", [SPREAD, {"geometry.x": ["1", None], "id": ["1", "2"]}])
def test_an_object_that_is_null_in_some_rows_is_no_other_column(beside: dict[str, Any]) -> None:
    assert whats({**beside, "geometry": NULL}, SPREAD) == []
    assert whats(beside, {**SPREAD, "geometry": NULL}) == []


def test_an_object_that_is_null_in_all_rows_has_lost_its_values_and_no_name() -> None:
    null = {"id": ["1", "2"], "geometry": NULL}
    assert whats(null, SPREAD) == ["missing: 'geometry.x'"]
    assert whats(SPREAD, null) == ["new: 'geometry.x'"]
    assert whats({"id": ["1", "2"], "geometry": ["POINT", "LINE"]}, SPREAD) == [
        "missing: 'geometry.x'",
        "new: 'geometry'",
    ]
