"""Rows that are kept aside: why, and what they said."""

import json
import uuid

import pyarrow as pa
import pytest

from ingest_project.extract.source import MORE
from ingest_project.normalize.part import normalize_part
from ingest_project.normalize.rejects import RAW_CAP, error_of, rejects_of
from ingest_project_tests.normalize.pages import codes_of, page, part, rejected, spec

BLANKS = ["", " ", "\t", "\u200b", "\ufeff\u00a0", "\0", None, float("nan")]


def _error(field: str, code: str, message: str) -> dict[str, str]:
    return {"field": field, "code": code, "message": message}


@pytest.mark.parametrize("blank", BLANKS)
def test_a_row_without_a_key_is_rejected(blank: object) -> None:
    found = rejected({"external_id": blank})
    assert found.errors == [_error("external_id", "key_missing", "column 'external_id' is blank")]
    assert (found.row, found.external_id) == (1, None)


@pytest.mark.parametrize("blank", BLANKS)
def test_a_row_without_a_name_is_rejected(blank: object) -> None:
    found = rejected({"name": blank})
    assert found.errors == [_error("name", "name_missing", "column 'name' is blank")]
    assert (found.row, found.external_id) == (1, "k0")


@pytest.mark.parametrize("letter", ["x", "é", "\U0001d538"])
def test_a_key_that_is_too_long_is_rejected(letter: str) -> None:
    assert part({"external_id": [letter * 200]}).rejects == []
    found = rejected({"external_id": letter * 201})
    assert codes_of(found) == ["key_unusable"]
    assert found.errors[0]["message"].startswith(f"column 'external_id' is 201 characters: {letter * 10}")
    assert (found.external_id, len(found.errors[0]["message"])) == (None, 200)


@pytest.mark.parametrize("letter", ["x", "é", "\U0001d538"])
def test_a_name_that_is_too_long_is_rejected(letter: str) -> None:
    assert part({"name": [letter * 500]}).rejects == []
    found = rejected({"name": letter * 501})
    assert codes_of(found) == ["name_unusable"]
    assert found.errors[0]["message"].startswith(f"column 'name' is 501 characters: {letter * 10}")


def test_a_length_is_told_after_cleaning() -> None:
    found = rejected({"name": " " + "x" * 501 + "\u200b\u200b"})
    assert found.errors[0]["message"].startswith("column 'name' is 501 characters: x")


def test_a_row_without_key_and_name_says_both() -> None:
    assert codes_of(rejected({"external_id": "", "name": None})) == ["key_missing", "name_missing"]
    assert codes_of(rejected({"external_id": "x" * 201, "name": "y" * 501})) == ["key_unusable", "name_unusable"]


def test_a_constant_name_that_is_too_long_rejects_every_row() -> None:
    made = part({"x": ["1", "2"]}, mapping={"name": {"constant": "n" * 501}})
    assert [codes_of(one) for one in made.rejects] == [["name_unusable"], ["name_unusable"]]
    assert made.rejects[0].errors[0]["message"].startswith("the constant is 501 characters: nnn")


def test_a_default_name_that_is_too_long_rejects_the_rows_that_need_it() -> None:
    made = part({"c": ["a", ""]}, mapping={"name": {"column": "c", "default": "n" * 501}})
    assert [(one.row, codes_of(one)) for one in made.rejects] == [(2, ["name_unusable"])]


def test_a_name_with_a_default_is_never_missing() -> None:
    made = part({"name": ["", "a"]}, mapping={"name": {"column": "name", "default": "Nameless"}})
    assert (made.items["name"].to_pylist(), made.rejects) == (["Nameless", "a"], [])


def test_a_malformed_line_is_rejected_whatever_its_fields_say() -> None:
    given = page({"external_id": ["a", "b", "c"], "name": ["n", "m", ""]}, {2: 'b,"m,extra\0', 3: ""})
    made = normalize_part(given, spec())
    assert made.items["external_id"].to_pylist() == ["a"]
    assert [(one.row, one.external_id) for one in made.rejects] == [(2, "b"), (3, "c")]
    assert [one.errors for one in made.rejects] == [
        [_error("external_id", "malformed_row", 'b,"m,extra')],
        [_error("external_id", "malformed_row", "")],
    ]
    assert json.loads(made.rejects[0].raw) == {"external_id": "b", "name": "m", "__malformed": 'b,"m,extra'}


def test_the_raw_row_is_json_in_the_order_of_the_source() -> None:
    found = rejected({"z": "1", "name": "", "a": 'q"\\', "n": None, "é": "\u2028"})
    assert found.raw.decode() == '{"external_id":"k0","name":"","z":"1","a":"q\\"\\\\","n":null,"é":"\u2028"}'
    assert not found.raw_truncated


def test_the_raw_row_has_columns_of_ours_only_where_they_say_something() -> None:
    late = pa.array([None, '{"late":1}', None], pa.string())
    given = page({"external_id": ["a", "b", "c"], "name": [None] * 3, MORE: late}, {3: "c,"})
    assert [one.raw.decode() for one in normalize_part(given, spec()).rejects] == [
        '{"external_id":"a","name":null}',
        '{"external_id":"b","name":null,"__more":"{\\"late\\":1}"}',
        '{"external_id":"c","name":null,"__malformed":"c,"}',
    ]


def test_the_raw_row_has_no_nul() -> None:
    found = rejected({"name": "\0", "x\0": "a\0b"})
    assert found.raw == b'{"external_id":"k0","name":"","x":"ab"}'
    assert "\0" not in json.dumps(found.errors)


def test_the_raw_row_has_every_value_that_json_has_not() -> None:
    found = rejected({"name": "", "x": float("nan"), "y": b"caf\xe9", "z": [1, None]})
    assert json.loads(found.raw) == {"external_id": "k0", "name": "", "x": None, "y": "Y2Fm6Q==", "z": [1, None]}


@pytest.mark.parametrize(("extra", "truncated"), [(0, False), (1, True), (100_000, True)])
def test_a_raw_row_is_capped(extra: int, truncated: bool) -> None:
    frame = len('{"external_id":"k0","name":"","big":""}')
    found = rejected({"name": "", "big": "y" * (RAW_CAP - frame + extra)})
    assert (len(found.raw), found.raw_truncated) == (RAW_CAP, truncated)
    whole = '{"external_id":"k0","name":"","big":"' + "y" * (RAW_CAP - frame + extra) + '"}'
    assert found.raw == whole.encode()[:RAW_CAP]


def test_the_cap_counts_bytes() -> None:
    assert RAW_CAP == 65_536
    found = rejected({"name": "", "big": "é" * 40_000})
    assert (len(found.raw), found.raw_truncated) == (RAW_CAP, True)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (pa.array([1_000_000.0]), "1000000"),
        (pa.array([2**62], pa.timestamp("s")), str(2**62)),
        (pa.array([2**30], pa.date32()), str(2**30)),
        (pa.array([uuid.UUID(int=5).bytes], pa.uuid()), "00000000-0000-0000-0000-000000000005"),
        (pa.array([b"\xff"]), "\ufffd"),
        (pa.array([[1]]), "[1]"),
        (pa.array([" k "]).dictionary_encode(), "k"),
    ],
)
def test_a_reject_keeps_a_key_of_any_type(key: pa.Array, text: str) -> None:
    made = part({"external_id": key, "name": [""]})
    assert [one.external_id for one in made.rejects] == [text]


@pytest.mark.parametrize(
    "name", [pa.array([b"\xff" * 501]), pa.array([["x" * 600]]), pa.array(["x" * 600], pa.large_string())]
)
def test_a_name_of_any_type_that_is_too_long_is_rejected(name: pa.Array) -> None:
    assert [codes_of(one) for one in part({"name": name}).rejects] == [["name_unusable"]]


def test_rejects_come_in_the_order_of_the_source() -> None:
    made = part({"name": ["", "a", None, "b", " "]})
    assert [one.row for one in made.rejects] == [1, 3, 5]
    assert [one.external_id for one in made.rejects] == ["k0", "k2", "k4"]


def test_rows_of_normalized_items_can_be_rejected_afterwards() -> None:
    items = part({"name": ["a", "b\0", "c"]}).items
    error = error_of("external_id\0", "duplicate_key", "row 7 is newer\0" + "x" * 300)
    found = rejects_of(items, [2, 1], ["k2", None], [[], [error]])
    assert [(one.row, one.external_id, one.raw_truncated) for one in found] == [(3, "k2", False), (2, None, False)]
    assert found[1].errors == [_error("external_id", "duplicate_key", ("row 7 is newer" + "x" * 300)[:200])]
    assert [json.loads(one.raw)["name"] for one in found] == ["c", "b"]


def test_a_reject_of_a_page_is_what_the_page_said() -> None:
    (found,) = rejects_of(page({"id": ["1"]}), [0], [None], [[]])
    assert found.raw == b'{"id":"1"}'
