"""Two hashes: one of all that a row says, one of what a model may see. The literals must never change by accident."""

import hashlib
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from ingest_project.item import columns, content_fields, embeddable_fields, item_schema
from ingest_project.normalize.hashing import LAYOUT, hashes
from ingest_project_tests.normalize.pages import row

FULL: dict[str, Any] = {
    "name": "Café Zürich",
    "category": "cafe",
    "description": "a\nb",
    "status": "open",
    "street": "Main St.",
    "house_number": "5a",
    "unit": "2",
    "po_box": "77",
    "sublocality": "Centre",
    "locality": "Zürich",
    "region_name": "Zürich",
    "region_code": "CH-ZH",
    "postal_code": "8001",
    "country_code": "CH",
    "latitude": 47.37,
    "longitude": 8.54,
    "phone": "+41446681800",
    "phone_ext": "12",
    "website_url": "https://example.ch",
    "price": Decimal("1.5000"),
    "currency": "CHF",
    "attributes": '{"x":1}',
}
OTHER: dict[str, Any] = {
    **{field: f"{value}x" for field, value in FULL.items() if isinstance(value, str)},
    **{"latitude": 47.370000000000005, "longitude": -8.54, "price": Decimal("1.5001")},
}
# What is embedded comes first, so that both hashes are taken in one pass.
ORDER = (
    *("name", "category", "description", "street", "house_number"),
    *("sublocality", "locality", "region_name", "country_code"),
    *("status", "unit", "po_box", "region_code", "postal_code", "latitude", "longitude"),
    *("phone", "phone_ext", "website_url", "price", "currency", "attributes"),
)


def _hashes(*items: dict[str, Any]) -> list[tuple[str, str]]:
    types = {name: item_schema().field(name).type for name in (*columns(), "attributes")}
    table = pa.table({name: pa.array([item.get(name) for item in items], kind) for name, kind in types.items()})
    both = hashes(table)
    return list(zip(both[0].to_pylist(), both[1].to_pylist(), strict=True))


GOLDEN: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "n"}, "738391fc4b74a03824b060fd2ccd90ed", "df2243171d3e977dd2d6c1e08271e67a"),
    (FULL, "a1ce35a85f02390d3f7e18472005fb86", "a6840cff39e0e1036211132acf63e870"),
    (
        {**FULL, "description": None, "price": None, "currency": None},
        "ef67cb08577b64140a35bca2e49c1149",
        "869335ae7cb373f0b8defc811d5839b5",
    ),
    (
        {"name": "n", "latitude": -0.0, "longitude": 180.0},
        "7b66caf9bca550968421b4c9e381adca",
        "df2243171d3e977dd2d6c1e08271e67a",
    ),
]


@pytest.mark.parametrize(("item", "content", "embed"), GOLDEN)
def test_the_hashes_of_known_items_are_these(item: dict[str, Any], content: str, embed: str) -> None:
    assert _hashes(item) == [(content, embed)]


def test_a_hash_can_be_computed_by_hand() -> None:
    values = {**FULL, "latitude": "47.37", "longitude": "8.54", "price": "1.5"}
    told = [f"{len(str(values[field]).encode())}:{values[field]}" for field in ORDER]
    whole, embedded = (f"items/1;{''.join(told[:end])}" for end in (None, len(embeddable_fields())))
    assert _hashes(FULL) == [tuple(hashlib.sha256(text.encode()).hexdigest()[:32] for text in (whole, embedded))]


@pytest.mark.parametrize("length", [1, 4095, 4096, 4097, 20_000])
def test_a_value_of_any_length_is_told_with_it(length: int) -> None:
    item = {"name": "n", "description": "é" * (length // 2) + "x" * (length % 2)}
    told = f"items/1;1:n~{length}:{item['description']}" + "~" * len(ORDER[3:])
    assert _hashes(item, {"name": "n"})[0][0] == hashlib.sha256(told.encode()).hexdigest()[:32]


def test_the_layout_has_a_version_that_goes_with_the_literals_above() -> None:
    assert LAYOUT == "items/1;"


def test_every_field_is_in_the_item_hashed_above() -> None:
    assert set(FULL) == {*content_fields(), "attributes"}
    assert set(OTHER) == set(FULL)


@pytest.mark.parametrize("field", sorted(FULL))
def test_a_change_of_any_field_changes_the_content_hash(field: str) -> None:
    before, after = _hashes(FULL, {**FULL, field: OTHER[field]})
    assert before[0] != after[0]
    assert (before[1] != after[1]) == (field in embeddable_fields())


@pytest.mark.parametrize("field", sorted(FULL))
def test_a_field_that_becomes_null_changes_the_content_hash(field: str) -> None:
    before, after = _hashes(FULL, {**FULL, field: None})
    assert before[0] != after[0]
    assert (before[1] != after[1]) == (field in embeddable_fields())


def test_the_embedded_fields_are_these() -> None:
    assert embeddable_fields() == ORDER[:9]


def test_the_key_is_in_no_hash() -> None:
    assert len(set(_hashes({**FULL, "external_id": "1"}, {**FULL, "external_id": "2"}))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"name": "n", "category": None}, {"name": "n", "category": ""}),
        ({"name": "ab", "category": "c"}, {"name": "a", "category": "bc"}),
        ({"name": "a", "category": "b"}, {"name": "b", "category": "a"}),
        ({"name": "n", "category": "x"}, {"name": "n", "description": "x"}),
        ({"name": "~"}, {"name": None}),
        ({"name": "n", "category": "~"}, {"name": "n"}),
        ({"name": "1:a", "category": "b"}, {"name": "1", "category": "a1:b"}),
        ({"name": "a~", "category": "b"}, {"name": "a", "category": "~b"}),
        ({"name": "é"}, {"name": "e\u0301"}),
        ({"name": "a"}, {"name": "A"}),
    ],
)
def test_different_items_have_different_hashes(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = _hashes(one, other)
    assert first[0] != second[0] and first[1] != second[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"latitude": -0.0, "longitude": 5.0}, {"latitude": 0.0, "longitude": 5.0}),
        ({"price": Decimal("1.50")}, {"price": Decimal("1.5")}),
        ({"price": Decimal(1000)}, {"price": Decimal("1000.0000")}),
    ],
)
def test_equal_numbers_have_one_hash(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert len(set(_hashes({"name": "n", **one}, {"name": "n", **other}))) == 1


@pytest.mark.parametrize(("one", "other"), [("10", "1"), ("100", "1"), ("0", "1"), ("1000", "100"), ("0.1", "0.01")])
def test_zeros_before_the_point_count(one: str, other: str) -> None:
    first, second = _hashes({"price": Decimal(one)}, {"price": Decimal(other)})
    assert first[0] != second[0]


def test_a_hash_does_not_depend_on_the_other_rows_of_its_page() -> None:
    sparse = {"name": "n"}
    together = _hashes(FULL, sparse, FULL, {**FULL, "price": None})
    assert together[0] == together[2] == _hashes(FULL)[0]
    assert together[1] == _hashes(sparse)[0]


def test_issues_rows_and_times_change_no_hash() -> None:
    plain = row({"category": "a b", "t": "2024-01-01"}, updated_at="t")
    dirty = row({"category": " a  b ", "t": "2025-01-01"}, updated_at="t")
    assert dirty.codes == ["category: whitespace_folded"]
    for name in ("content_hash", "embed_hash"):
        assert plain[name] == dirty[name]


def test_an_attribute_changes_the_content_hash_only() -> None:
    one, other = row({"x": "1"}), row({"x": "2"})
    assert one["content_hash"] != other["content_hash"]
    assert one["embed_hash"] == other["embed_hash"]


def test_the_order_of_source_columns_changes_no_hash() -> None:
    one, other = row({"x": "1", "category": "c", "y": "2"}), row({"y": "2", "category": "c", "x": "1"})
    assert one["content_hash"] == other["content_hash"]


def test_a_page_of_no_rows_has_no_hashes() -> None:
    assert _hashes() == []
