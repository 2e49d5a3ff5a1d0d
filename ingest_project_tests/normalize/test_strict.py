"""What a branch requires, what it rejects on, and what it takes for 'not known'."""

import json

import pyarrow as pa
import pytest

from ingest_project_tests.normalize.pages import codes_of, outcome, part, rejected, row, rows_of


def test_a_row_without_what_is_required_is_rejected_with_what_is_missing() -> None:
    found = rejected({"locality": " ", "phone": "x"}, required=["locality", "phone"])
    assert [(one["field"], one["code"]) for one in found.errors] == [
        ("locality", "required_missing"),
        ("phone", "required_missing"),
    ]
    assert json.loads(found.raw)["phone"] == "x"
    assert found.errors[1]["message"] == "phone is blank, or was set aside"


def test_only_the_rows_that_lack_it_are_rejected() -> None:
    made = part({"locality": ["Oslo", None, "Rome"]}, required=["locality"])
    assert [one["locality"] for one in rows_of(made)] == ["Oslo", "Rome"]
    assert [(one.row, codes_of(one)) for one in made.rejects] == [(2, ["required_missing"])]


def test_a_row_is_rejected_on_an_issue_that_its_branch_names() -> None:
    made = part({"country_code": ["DE", "Atlantis", "Germany"]}, reject_on=["country_unknown"])
    assert [one["country_code"] for one in rows_of(made)] == ["DE", "DE"]
    (found,) = made.rejects
    assert found.errors == [
        {"field": "country_code", "code": "country_unknown", "message": "country_code: Atlantis → nothing"}
    ]


def test_a_value_that_reads_like_a_code_is_none() -> None:
    text = ' {"code":"country_unknown"}'
    assert row({"locality": text}, reject_on=["country_unknown"]).codes == ["locality: whitespace_folded"]


def test_a_bad_key_comes_with_what_else_is_wrong() -> None:
    assert codes_of(rejected({"external_id": "", "locality": ""}, required=["locality"])) == [
        "key_missing",
        "required_missing",
    ]


@pytest.mark.parametrize(
    "text", ["N/A", "n/a", "#N/A", "\\N", "null", "NULL", "-", "—", "unknown", "(blank)", "nan", "<NA>"]
)
@pytest.mark.parametrize("field", ["country_code", "locality", "postal_code", "phone", "website_url"])
def test_what_can_be_nothing_else_is_not_known(field: str, text: str) -> None:
    assert outcome(field, text) == (None, ["sentinel_removed"])


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *(("country_code", "NA"), ("name", "Unknown"), ("name", "None"), ("name", "N/A")),
        *(("category", "unknown"), ("description", "-"), ("locality", "None"), ("locality", "Null")),
    ],
)
def test_what_may_be_real_stays(field: str, text: str) -> None:
    assert outcome(field, text) == (text, [])


def test_a_sentinel_of_the_branch_is_one_in_its_field_only() -> None:
    found = row({"category": "tbd", "locality": "tbd"}, sentinels={"category": ["tbd"]})
    assert (found["category"], found["locality"]) == (None, "tbd")
    assert found.issues == [{"field": "category", "code": "sentinel_removed", "from": "tbd", "to": None}]


def test_a_number_may_be_a_sentinel() -> None:
    given = {"latitude": pa.array([-1.0]), "longitude": pa.array([-1.0])}
    found = row(given, sentinels={"latitude": ["-1"], "longitude": ["-1"]})
    assert (found["latitude"], found["longitude"]) == (None, None)
    assert found.codes == ["latitude: sentinel_removed", "longitude: sentinel_removed"]


def test_a_sentinel_takes_the_default() -> None:
    mapping = {"locality": {"column": "locality", "default": "Oslo"}}
    found = row({"locality": "N/A"}, mapping=mapping)
    assert (found["locality"], found.codes) == ("Oslo", ["locality: sentinel_removed"])
