"""Source columns of every Arrow type, brought to text and to JSON without losing anything."""

import json
import uuid
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ingest_project.normalize.cells import as_json, as_text, blank_to_null, cell_text, decode, without_blanks
from ingest_project.normalize.columns import matches_pattern
from ingest_project.normalize.text import BLANK
from ingest_project_tests.normalize.pages import part, row, rows_of

BIG = pa.array([2**62], pa.timestamp("s"))
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
DAY = date(2024, 1, 2)
MOMENT = 1_704_153_600  # 2024-01-02


def _struct(kind: pa.DataType, value: Any) -> pa.Array:
    return pa.array([{"t": value}], pa.struct([("t", kind)]))


CELLS: list[tuple[pa.Array, Any, str | None]] = [
    *((pa.array([5], kind), 5, "5") for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
    *((pa.array([5], kind), 5, "5") for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
    (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1, "18446744073709551615"),
    (pa.array([2**53 + 1]), 2**53 + 1, "9007199254740993"),
    (pa.array([5.0]), 5, "5"),
    (pa.array([5.0], pa.float32()), 5, "5"),
    (pa.array([1.5], pa.float32()), 1.5, "1.5"),
    (pa.array([0.1]), 0.1, "0.1"),
    (pa.array([1e300]), 1e300, "1e+300"),
    (pa.array([-0.0]), 0, "0"),
    (pa.array([2.0**53 - 1]), 2**53 - 1, "9007199254740991"),
    (pa.array([2.0**53]), 2.0**53, "9007199254740992.0"),
    (pa.array([Decimal("1.50")]), "1.50", "1.50"),
    (pa.array([Decimal("1E+3")], pa.decimal256(40, 2)), "1000.00", "1000.00"),
    (pa.array([Decimal("1e-10")], pa.decimal128(12, 10)), "0.0000000001", "0.0000000001"),
    (pa.array([True]), True, "true"),
    (pa.array([DAY]), "2024-01-02", "2024-01-02"),
    (pa.array([DAY], pa.date64()), "2024-01-02", "2024-01-02"),
    (pa.array([2**30], pa.date32()), 2**30, str(2**30)),
    (pa.array([2**62], pa.date64()), 2**62, str(2**62)),
    (pa.array([MOMENT], pa.timestamp("s")), "2024-01-02T00:00:00", "2024-01-02T00:00:00"),
    (pa.array([MOMENT * 1000 + 500], pa.timestamp("ms")), "2024-01-02T00:00:00.5", "2024-01-02T00:00:00.5"),
    (pa.array([1], pa.timestamp("us", "Europe/Berlin")), "1970-01-01T00:00:00.000001Z", "1970-01-01T00:00:00.000001Z"),
    (pa.array([1], pa.timestamp("ns", "UTC")), "1970-01-01T00:00:00.000000001Z", "1970-01-01T00:00:00.000000001Z"),
    (pa.array([MOMENT], pa.timestamp("s", "+02:00")), "2024-01-02T00:00:00Z", "2024-01-02T00:00:00Z"),
    (BIG, str(2**62), str(2**62)),
    (pa.array([-(2**62)], pa.timestamp("s", "UTC")), str(-(2**62)), str(-(2**62))),
    (pa.array([1], pa.time32("s")), "00:00:01", "00:00:01"),
    (pa.array([1500], pa.time32("ms")), "00:00:01.5", "00:00:01.5"),
    (pa.array([1], pa.time64("us")), "00:00:00.000001", "00:00:00.000001"),
    (pa.array([1], pa.time64("ns")), "00:00:00.000000001", "00:00:00.000000001"),
    (pa.array([1500], pa.duration("ms")), 1.5, "1.5"),
    (pa.array(["a"]), "a", "a"),
    (pa.array(["a"], pa.large_string()), "a", "a"),
    (pa.array(["a"], pa.string_view()), "a", "a"),
    (pa.array(["a"]).dictionary_encode(), "a", "a"),
    (pa.array(["a"], pa.dictionary(pa.int8(), pa.large_string())), "a", "a"),
    (pa.array([5]).dictionary_encode(), 5, "5"),
    (pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array(["a"])), "a", "a"),
    (pa.array([b"caf\xc3\xa9"]), "café", "café"),
    (pa.array([b"ab"], pa.binary(2)), "ab", "ab"),
    (pa.array([b"a"], pa.large_binary()), "a", "a"),
    (pa.array([b"a"], pa.binary_view()), "a", "a"),
    (pa.array([[1, 2]]), [1, 2], "[1,2]"),
    (pa.array([[1, None]], pa.large_list(pa.int64())), [1, None], "[1,null]"),
    (pa.array([[1, 2]], pa.list_(pa.int64(), 2)), [1, 2], "[1,2]"),
    (pa.array([[]], pa.list_(pa.string())), [], "[]"),
    (pa.array([["é"]]), ["é"], '["é"]'),
    (pa.array([{"b": 1, "a": "xy"}]), {"a": "xy", "b": 1}, '{"a":"xy","b":1}'),
    (_struct(pa.timestamp("ns"), 1), {"t": "1970-01-01T00:00:00.000000001"}, '{"t":"1970-01-01T00:00:00.000000001"}'),
    (_struct(pa.timestamp("s"), 2**62), {"t": 2**62}, f'{{"t":{2**62}}}'),
    (_struct(pa.timestamp("s", "No/Where"), 5), {"t": 5}, '{"t":5}'),
    (pa.array([[2**62, 0]], pa.list_(pa.date64())), [2**62, "1970-01-01"], f'[{2**62},"1970-01-01"]'),
    (pa.array([[("k", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64())), [["k", 1], ["a", 2]], '[["k",1],["a",2]]'),
    (
        pa.array([[("k", 2**62), ("a", None)]], pa.map_(pa.string(), pa.timestamp("s"))),
        [["k", 2**62], ["a", None]],
        f'[["k",{2**62}],["a",null]]',
    ),
    (pa.array([[b"a"]]), ["a"], '["a"]'),
    (_struct(pa.float64(), 5.0), {"t": 5}, '{"t":5}'),
    (pa.array([UUID.bytes], pa.uuid()), str(UUID), str(UUID)),
    (pa.array(['{"a": 1}'], pa.json_()), '{"a": 1}', '{"a": 1}'),
    (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())), 1, "1"),
]
KINDS = [f"{number}-{cell[0].type}" for number, cell in enumerate(CELLS)]


# A text that is no UTF-8, as Parquet may have it: Arrow does not look at what it reads.
BROKEN = pa.Array.from_buffers(pa.string(), 1, pa.array([b"caf\xe9"]).buffers())


@pytest.mark.parametrize(
    ("array", "as_value"),
    [
        (pa.array([[b"\xff"]]), ["/w=="]),
        (pa.ListArray.from_arrays(pa.array([0, 1]), BROKEN), ["Y2Fm6Q=="]),
        (pa.StructArray.from_arrays([BROKEN], ["s"]), {"s": "Y2Fm6Q=="}),
        (pa.StructArray.from_arrays([pa.array([[b"a\xff"]])], ["s"]), {"s": ["Yf8="]}),
        (pa.array([[b"a\0b"]]), ["YQBi"]),
    ],
)
def test_bytes_inside_a_nested_value_that_are_no_utf8_are_kept_and_told(array: pa.Array, as_value: Any) -> None:
    kept = row({"x": array})
    assert (kept.attributes, kept.codes) == ({"x": as_value}, ["attributes.x: bytes_encoded"])
    assert row({"category": array}).codes == ["category: bytes_encoded"]


@pytest.mark.parametrize(("array", "as_value", "text"), CELLS, ids=KINDS)
def test_a_cell_of_any_type_is_kept_as_json_and_as_text(array: pa.Array, as_value: Any, text: str | None) -> None:
    kept = row({"x": array})
    assert kept.attributes == {"x": as_value}
    assert type(kept.attributes["x"]) is type(as_value)
    assert row({"category": array})["category"] == text
    assert (kept.codes, row({"category": array}).codes) == ([], [])


@pytest.mark.parametrize(("array", "as_value", "text"), CELLS, ids=KINDS)
def test_a_null_of_any_type_is_no_value(array: pa.Array, as_value: Any, text: str | None) -> None:
    storage = array.type
    nulls = pa.nulls(1, pa.string()) if pa.types.is_run_end_encoded(storage) else pa.nulls(1, storage)
    assert row({"x": nulls}).attributes == {}
    assert row({"category": nulls})["category"] is None


@pytest.mark.parametrize(("array", "as_value", "text"), CELLS, ids=KINDS)
def test_a_key_of_any_type_is_its_text(array: pa.Array, as_value: Any, text: str | None) -> None:
    assert row({"external_id": array})["external_id"] == text


def test_chunks_slices_and_dictionaries_with_nulls_keep_their_order() -> None:
    column = pa.chunked_array([pa.array(["a", None]), pa.array([], pa.string()), pa.array(["x", "b", "y"]).slice(1, 1)])
    codes = pa.DictionaryArray.from_arrays(pa.array([1, 0, 2]), pa.array(["p", None, "q"]))
    found = rows_of(part({"category": column, "x": codes}))
    assert [one["category"] for one in found] == ["a", None, "b"]
    assert [one.attributes for one in found] == [{}, {"x": "p"}, {"x": "q"}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_not_is_left_out_and_told(value: float) -> None:
    found = row({"x": value})
    assert (found.attributes, found.codes) == ({}, ["attributes.x: not_finite"])
    assert row({"category": value})["category"] is None


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (pa.binary(), b"caf\xe9"),
        (pa.large_binary(), b"caf\xe9"),
        (pa.binary(4), b"caf\xe9"),
        (pa.binary_view(), b"caf\xe9"),
    ],
)
def test_bytes_that_are_no_utf8_are_whole_in_attributes_and_shown_in_a_field(kind: pa.DataType, given: bytes) -> None:
    kept, mapped = row({"x": pa.array([given], kind)}), row({"category": pa.array([given], kind)})
    told = {"field": "attributes.x", "code": "bytes_encoded", "from": "caf\\xe9", "to": "Y2Fm6Q=="}
    assert (kept.attributes, kept.issues) == ({"x": "Y2Fm6Q=="}, [told])
    told = {"field": "category", "code": "not_utf8", "from": "caf\\xe9", "to": "caf\ufffd"}
    assert (mapped["category"], mapped.issues) == ("caf\ufffd", [told])


def test_bytes_with_a_nul_among_them_are_whole_and_text_with_one_is_text() -> None:
    place = bytes.fromhex("0101000000" + 16 * "00")
    found = rows_of(part({"x": pa.array([place, b"a"]), "y": ["a\0b", "c"]}))
    assert [one.attributes for one in found] == [{"x": "AQEAAAAAAAAAAAAAAAAAAAAAAAAA", "y": "ab"}, {"x": "a", "y": "c"}]
    assert found[0].codes == ["attributes.x: bytes_encoded", "attributes.y: characters_removed"]
    assert row({"category": pa.array([b"a\0b"])})["category"] == "ab"


def test_text_with_bad_bytes_in_it_is_repaired_row_by_row() -> None:
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"ok", b"\xffno", None]).buffers())
    found = rows_of(part({"category": broken}))
    assert [one["category"] for one in found] == ["ok", "\ufffdno", None]
    assert [one.codes for one in found] == [[], ["category: not_utf8"], []]


def test_plain_tells_nothing_where_nothing_was_damaged() -> None:
    assert decode(pa.array([b"a", None]))[1] is None
    assert decode(pa.array([b"a", b"\xff", None]))[1].to_pylist() == [None, "\\xff", None]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        *(("", False), (" ", False), ("\t\n", False), ("\u200b", False), ("\ufeff\u00a0", False), ("\x7f", False)),
        *(("\u202e \u2066", False), ("-", True), ("0", True), (" x", True), ("\u200bé", True), ("东", True)),
    ],
)
def test_text_that_shows_nothing_is_no_value(text: str, kept: bool) -> None:
    assert blank_to_null(pa.array([text, None, "a"])).to_pylist() == [text if kept else None, None, "a"]
    # A slice has the bytes of its neighbours beside it, and nulls may have bytes of their own.
    sliced = pa.array(["a", text, None, "", "b"]).slice(1, 3)
    assert blank_to_null(sliced).to_pylist() == [text if kept else None, None, None]
    hidden = pa.StringArray.from_buffers(2, *pa.array(["x", text]).buffers()[1:], pa.py_buffer(b"\x02"))
    assert blank_to_null(hidden).to_pylist() == [None, text if kept else None]


def test_what_shows_nothing_is_found_whatever_its_first_byte() -> None:
    texts = pa.array([chr(at) for at in (*range(0xD800), *range(0xE000, 0x20000))])
    blank = matches_pattern(texts, BLANK)
    assert pc.sum(blank).as_py() > 100
    assert pc.is_null(blank_to_null(texts)).equals(blank)


def test_each_blank_keeps_its_row_and_says_what_it_was() -> None:
    given = pa.array(["", "a", "\u200b", None, "\u3000", "日", "\u200b", "\u200bx"])
    found, notes = without_blanks(given, "f")
    assert found.to_pylist() == [None, "a", None, None, None, "日", None, "\u200bx"]
    assert notes is not None
    told = [None if one is None else json.loads(one) for one in notes.to_pylist()]
    removed = {"field": "f", "code": "characters_removed", "from": "\u200b", "to": None}
    assert told == [None, None, removed, None, None, None, removed, None]


def test_columns_without_a_byte_are_blank() -> None:
    assert blank_to_null(pa.array([], pa.string())).to_pylist() == []
    assert blank_to_null(pa.array([None, ""], pa.string())).to_pylist() == [None, None]
    assert blank_to_null(pa.nulls(2, pa.string())).to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, None), (1.0, "1"), (-0.0, "0"), (1e16, "1e+16"), (float("nan"), None), (True, "true"), (b"\xff", "/w==")],
)
def test_one_typed_value_as_text(value: Any, text: str | None) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize("text", ['"', "\\", "\n", "\x1f", "é", "\u2028", "<", "a" * 1000, '{"a":1}', "\U0001f600"])
def test_text_as_json_is_what_json_reads_back(text: str) -> None:
    found, notes = as_json(pa.array([text, None, text]), "x")
    assert [one and json.loads(one) for one in found.to_pylist()] == [text, None, text]
    assert notes is None


def test_as_text_of_text_is_the_same_array() -> None:
    array = pa.array(["a", None])
    assert as_text(array) is array
