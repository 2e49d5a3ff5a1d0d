"""What the mapping does not name is kept: one canonical JSON object a row."""

import base64
import json
import struct
from collections.abc import Sequence

import pyarrow as pa
import pytest

from ingest_project.normalize.part import normalize_part
from ingest_project_tests.normalize.pages import Row, numbered, part, row, rows_of, spec


def _json(given: dict[str, object]) -> str:
    return row(given)["attributes"]


def _of_headers(headers: Sequence[str], values: Sequence[str]) -> str:
    names = ["external_id", "name", *headers]
    table = pa.Table.from_arrays([pa.array([text]) for text in ("k", "n", *values)], names=names)
    return normalize_part(numbered(table), spec()).items["attributes"][0].as_py()


def test_other_columns_are_kept_under_their_headers() -> None:
    assert _json({"colour": "red", "size": 5, "new": True}) == '{"colour":"red","new":true,"size":5}'


def test_other_columns_are_dropped_where_the_branch_says_so() -> None:
    found = row({"colour": "a\0b", "size": float("nan")}, unmapped="drop")
    assert (found["attributes"], found.issues) == ("{}", [])


def test_keys_are_sorted_by_code_point_whatever_the_order_of_the_file() -> None:
    headers = ["b", "é", "B", "a b", "10", "2", "\U0001f600", "\uff5e"]
    expected = '{"10":"1","2":"1","B":"1","a b":"1","b":"1","é":"1","\uff5e":"1","\U0001f600":"1"}'
    assert _of_headers(headers, ["1"] * 8) == expected
    assert _of_headers(headers[::-1], ["1"] * 8) == expected


def test_the_object_is_canonical_json() -> None:
    text = _json({"z": 'a"b\\c', "a": "é\u2028", "m": 1.5, "list": pa.array([[{"b": 1, "a": None}]])})
    again = json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert text == again


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u00a0", "\u3000", None])
def test_a_blank_is_left_out(blank: str | None) -> None:
    found = row({"x": blank, "y": "1"})
    assert (found["attributes"], found.codes) == ('{"y":"1"}', [])


@pytest.mark.parametrize("unseen", ["\u200b", "\0", "\x7f", " \ufeff ", "\u200b\u200b"])
def test_what_only_looks_blank_is_left_out_and_told(unseen: str) -> None:
    found = row({"x": unseen, "y": "1"})
    assert (found["attributes"], found.codes) == ('{"y":"1"}', ["attributes.x: characters_removed"])


@pytest.mark.parametrize(
    ("value", "kept", "code"),
    [
        (["a\0b", None], ["ab", None], "characters_removed"),
        ([{"k": "\0"}], [{"k": ""}], "characters_removed"),
        ([float("nan"), 1.0], [None, 1.0], "not_finite"),
        ([{"k": float("inf")}], [{"k": None}], "not_finite"),
    ],
)
def test_what_a_nested_value_loses_is_told(value: list[object], kept: list[object], code: str) -> None:
    found = row({"x": pa.array([value])})
    assert (found.attributes["x"], found.codes) == (kept, [f"attributes.x: {code}"])
    mapped = row({"category": pa.array([value])})
    assert (json.loads(mapped["category"]), mapped.codes) == (kept, [f"category: {code}"])


def test_a_nested_value_that_loses_nothing_is_not_talked_about() -> None:
    assert row({"x": pa.array([[{"k": ["a", None], "n": 1.5}]])}).codes == []


LONG = "Main Street, " * 30 + "1"


def test_a_value_that_is_too_long_is_whole_in_attributes() -> None:
    found = row({"street": LONG, "other": "x"}, unmapped="drop")
    assert (found["street"], found.codes) == (None, ["street: too_long"])
    assert found.attributes == {"street": LONG}


def test_a_refused_address_of_the_web_too_and_only_of_its_row() -> None:
    made = part({"website_url": ["javascript:" + "x" * 300, "https://example.com/" + "x" * 300, "javascript:x", None]})
    assert [one.attributes for one in rows_of(made)] == [{"website_url": "javascript:" + "x" * 300}, {}, {}, {}]


def test_a_column_of_two_fields_is_kept_once() -> None:
    found = row({"text": LONG, "other": "1"}, mapping={"street": "text", "house_number": "text"})
    assert found.attributes == {"text": LONG, "other": "1"}
    assert found.codes == ["street: too_long", "house_number: too_long"]


POLYGON = {"type": "Polygon", "coordinates": [[[9.0 + at, 48.0] for at in range(60)]]}
BYTES = b"caf\xe9 " * 60
LINE = struct.pack("<BII14d", 1, 2, 7, *(x for at in range(7) for x in (10.0 + at, 48.0)))  # 121 bytes of WKB


@pytest.mark.parametrize(
    ("column", "mapping", "whole", "codes"),
    [
        (
            pa.array([json.dumps(POLYGON)]),
            {"latitude": "x", "longitude": "x"},
            json.dumps(POLYGON),
            ["latitude: coordinate_unreadable", "longitude: coordinate_unreadable"],
        ),
        (
            pa.array([POLYGON]),
            {"latitude": "x", "longitude": "x"},
            POLYGON,
            ["latitude: coordinate_unreadable", "longitude: coordinate_unreadable"],
        ),
        (
            pa.array([BYTES]),
            {"latitude": "x", "longitude": "x"},
            base64.b64encode(BYTES).decode(),
            [
                *("latitude: coordinate_unreadable", "longitude: coordinate_unreadable"),
                "attributes.x: bytes_encoded",
            ],
        ),
        (
            pa.array([LINE]),
            {"latitude": "x", "longitude": "x"},
            base64.b64encode(LINE).decode(),
            [
                *("latitude: coordinate_unreadable", "longitude: coordinate_unreadable"),
                "attributes.x: bytes_encoded",
            ],
        ),
        (
            pa.array([BYTES]),
            {"description": "x"},
            base64.b64encode(BYTES).decode(),
            ["description: not_utf8", "description: whitespace_folded", "attributes.x: bytes_encoded"],
        ),
    ],
    ids=["a shape as text", "as a struct", "as bytes", "a line as WKB", "bytes in a text"],
)
def test_what_a_note_cannot_quote_is_whole_in_attributes_of_any_type(
    column: pa.Array, mapping: dict[str, object], whole: object, codes: list[str]
) -> None:
    found = row({"x": column}, mapping=mapping, unmapped="drop")
    assert (found.attributes, sorted(found.codes)) == ({"x": whole}, sorted(codes))


def test_a_short_value_of_any_type_is_quoted_only() -> None:
    found = row({"x": pa.array([{"type": "Polygon"}])}, mapping={"latitude": "x", "longitude": "x"})
    assert (found["attributes"], found.issues[0]["from"]) == ("{}", '{"type":"Polygon"}')


def _late(more: str | None, **own: object) -> Row:
    return row({"__more": more, **own})


def test_keys_that_came_late_are_attributes_as_those_of_columns_are() -> None:
    late = _late('{"size":1.50,"ok":true,"none":null,"blank":" ","in":{"a":[1,null]},"x":"é"}', colour="red")
    early = row({"size": "1.50", "ok": "true", "blank": " ", "in": '{"a":[1,null]}', "x": "é", "colour": "red"})
    assert (late["attributes"], late.codes) == (early["attributes"], [])
    assert late["content_hash"] == early["content_hash"]


def test_what_changes_in_a_key_that_came_late_is_told() -> None:
    found = _late('{"x":"a\\u0000b","y":"\\u200b","z":"1"}')
    assert found.attributes == {"x": "ab", "z": "1"}
    assert found.codes == ["attributes.x: characters_removed", "attributes.y: characters_removed"]


def test_a_late_key_takes_no_other_keys_place() -> None:
    found = _late('{"x\\u0000":"late","__row":"9"}', x="own")
    assert found.attributes == {"x": "own", "x_2": "late", "__row": "9"}


def test_rows_without_a_late_key_are_as_they_were_and_a_branch_may_drop_it() -> None:
    made = part({"x": ["1", "2"], "__more": [None, '{"y":"3"}']})
    assert [one.attributes for one in rows_of(made)] == [{"x": "1"}, {"x": "2", "y": "3"}]
    assert row({"__more": '{"y":"3"}'}, unmapped="drop").attributes == {}


def test_a_page_without_other_columns_has_empty_objects() -> None:
    assert [one["attributes"] for one in rows_of(part({"name": ["a", "b"]}))] == ["{}", "{}"]


def test_each_row_leaves_out_its_own_blanks() -> None:
    found = rows_of(part({"x": ["1", None, "", "4"], "y": [None, 2, None, 4]}))
    assert [one["attributes"] for one in found] == ['{"x":"1"}', '{"y":2}', "{}", '{"x":"4","y":4}']


def test_text_is_kept_as_it_came_but_for_nul() -> None:
    found = row({"x": "  A\u00a0b\n\u200bCafe\u0301  ", "y": "a\0b"})
    assert found.attributes == {"x": "  A\u00a0b\n\u200bCafe\u0301  ", "y": "ab"}
    assert found.issues == [{"field": "attributes.y", "code": "characters_removed", "from": "ab", "to": "ab"}]


def test_the_key_the_time_and_mapped_columns_are_no_attributes() -> None:
    given = {"k": "1", "t": "2024-01-02", "n": "x", "c": "y", "rest": "z"}
    mapping = {"name": "n", "category": {"column": "c", "default": "d"}}
    assert row(given, mapping=mapping, key="k", updated_at="t").attributes == {
        "external_id": "k0",
        "name": "n",
        "rest": "z",
    }


def test_the_columns_of_extraction_are_no_attributes() -> None:
    assert row({"x": "1"}).attributes == {"x": "1"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["x", "x"], '{"x":"0","x_2":"1"}'),
        (["x", "x", "x"], '{"x":"0","x_2":"1","x_3":"2"}'),
        (["x", "x\0"], '{"x":"0","x_2":"1"}'),
        (["x\0", "x"], '{"x":"0","x_2":"1"}'),
        (["x", "x\0", "x_2"], '{"x":"0","x_2":"1","x_2_2":"2"}'),
        (["x_2", "x", "x\0"], '{"x":"1","x_2":"0","x_3":"2"}'),
        (["X", "x"], '{"X":"0","x":"1"}'),
        (["e\u0301", "é"], '{"e\u0301":"0","é":"1"}'),
        ([""], '{"":"0"}'),
        (['a"b', "a\\b"], '{"a\\"b":"0","a\\\\b":"1"}'),
    ],
)
def test_headers_that_are_one_key_lose_nothing(headers: list[str], expected: str) -> None:
    values = [str(at) for at in range(len(headers))]
    assert json.loads(_of_headers(headers, values)) == json.loads(expected)


def test_a_header_with_a_nul_names_a_storable_field_in_its_issues() -> None:
    table = numbered(pa.table({"external_id": ["k"], "name": ["n"], "x\0y": ["a\0b"]}))
    made = normalize_part(table, spec())
    issues = json.loads(made.items["issues"][0].as_py())
    assert (made.items["attributes"][0].as_py(), issues[0]["field"]) == ('{"xy":"ab"}', "attributes.xy")


def test_numbers_beyond_two_to_the_53_stay_exact() -> None:
    assert _json({"x": 2**53 + 1}) == '{"x":9007199254740993}'
    assert _json({"x": pa.array([2**64 - 1], pa.uint64())}) == '{"x":18446744073709551615}'


@pytest.mark.parametrize(
    ("number", "text"), [(-0.0, "0"), (0.0, "0"), (5.0, "5"), (5, "5"), (1e300, "1e+300"), (0.1, "0.1")]
)
def test_a_number_is_written_in_one_way(number: float, text: str) -> None:
    assert _json({"x": number}) == f'{{"x":{text}}}'


def test_a_number_given_as_text_stays_text() -> None:
    assert _json({"x": "007", "y": "1e999", "z": "NaN"}) == '{"x":"007","y":"1e999","z":"NaN"}'


@pytest.mark.parametrize("comma", [",", "{", "}", "[", '","', ""])
def test_text_that_looks_like_json_does_not_break_it(comma: str) -> None:
    found = row({"a": f"{comma}x", "b": f"x{comma}"})
    assert found.attributes == {"a": f"{comma}x", "b": f"x{comma}"}
