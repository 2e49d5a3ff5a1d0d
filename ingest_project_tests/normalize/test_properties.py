"""What holds for every page: normal form is stable, fast paths only accept, no row is lost."""

import json
import math
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from annotated_types import Ge, Le, MaxLen, MinLen
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project.item import KEY, Item, columns
from ingest_project.normalize import evident, geo, text, times
from ingest_project.normalize import part as rules
from ingest_project.normalize.columns import matches_pattern
from ingest_project.normalize.part import normalize_part
from ingest_project_tests.normalize.pages import numbered, part, row, spec

FIELDS = tuple(name for name in columns() if name != KEY)
# What real columns are made of, good and bad, beside what hypothesis thinks of.
WORDS = {
    "status": ["open", "CLOSED", "seasonal", "?"],
    "country_code": ["US", "UK", "Kosovo", "XX", "de", "Côte d’Ivoire", "N/A"],
    "region_code": ["CA", "US-CA", "California", "by", "??"],
    "region_name": ["California", "Bayern", "ＣＡ"],
    "postal_code": ["2139", "02139", "123456789", "94103.0", "12345-", " K1A 0B1"],
    "latitude": ["45.5", "-90", "90.0000001", "0", "-0", "999", "45°30'N", "75'", "1e-7", "NaN", "45,5"],
    "longitude": ["13.4", "-180", "180", "0", "181", "13°W", "-0.0", "-9999"],
    "phone": ["617-253-1000", "+1 617 253 1000 x5", "030/123456", "n/a", "1;2"],
    "phone_ext": ["12", "x5", "5.0", "?"],
    "website_url": ["example.com", "http://example.com/\u200b", "http://1", "javascript:x", "HTTPS://É.fr/ x"],
    "price": ["1.50", "1,234.5", "-1", "0.00001", "9999999999.9999", "10000000000", "$5", "€1.234,50", "5 kr"],
    "currency": ["EUR", "eur", "$", "€", "XXX"],
}
ALPHABET = st.one_of(
    st.sampled_from(
        "ab Z09.,-+°'/:é\u0301\u00a0\u200b\u200c\u200d\u00ad\u202e\ufeff\0\t\n\r\x1c\x85\u2028Ã©â€™ی\U0001f468"
    ),
    st.characters(exclude_categories=("Cs",)),
)
TEXTS = st.text(ALPHABET, max_size=12)


def _cell(field: str) -> st.SearchStrategy[str | None]:
    return st.one_of(st.none(), TEXTS, st.sampled_from(WORDS.get(field, ["x", " a  b "])))


ROWS = st.fixed_dictionaries({KEY: _cell(KEY), "other": TEXTS, **{field: _cell(field) for field in FIELDS}})
PAGES = st.lists(ROWS, min_size=1, max_size=6)


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    # Hypothesis shuffles the keys of its dictionaries; a file has its columns in one order.
    return pa.table({name: pa.array([one.get(name) for one in rows], pa.string()) for name in (KEY, "other", *FIELDS)})


def _as_source(item: dict[str, Any]) -> dict[str, str | None]:
    """Write an item as a source would that has nothing but text."""
    texts: dict[str, str | None] = {}
    for name in (KEY, *FIELDS):
        value = item[name]
        texts[name] = (
            value
            if value is None or isinstance(value, str)
            else format(value, "f" if isinstance(value, Decimal) else "")
        )
    return {**texts, **json.loads(item["attributes"])}


@settings(max_examples=150)
@given(PAGES)
def test_normalizing_twice_is_normalizing_once(rows: list[dict[str, Any]]) -> None:
    first = normalize_part(numbered(_table(rows)), spec(*FIELDS)).items.to_pylist()
    if not first:
        return
    sources = [_as_source(item) for item in first]
    made = normalize_part(numbered(_table(sources)), spec(*FIELDS))
    second = made.items.to_pylist()
    assert made.rejects == []
    for before, after in zip(first, second, strict=True):
        said = {issue["code"] for issue in json.loads(after.pop("issues"))}
        assert said <= {"postal_code_unusual", "coordinates_elsewhere"}  # remarks on what is kept
        assert after | {"row": 0} == {name: value for name, value in before.items() if name != "issues"} | {"row": 0}


@settings(max_examples=150)
@given(PAGES)
def test_every_item_is_one_that_the_declaration_accepts(rows: list[dict[str, Any]]) -> None:
    for item in normalize_part(numbered(_table(rows)), spec(*FIELDS, country="DE", locale="de")).items.to_pylist():
        values = {name: item[name] for name in columns()}
        assert Item.model_validate(values).model_dump() == values


@settings(max_examples=100)
@given(PAGES, st.dictionaries(st.integers(1, 6), TEXTS), st.sampled_from(["keep", "drop"]))
def test_every_row_is_once_in_items_or_rejects(rows: list[dict[str, Any]], lines: dict[int, str], rest: str) -> None:
    made = normalize_part(numbered(_table(rows), lines), spec(*FIELDS, updated_at="other", unmapped=rest))
    numbers = [*made.items["row"].to_pylist(), *(one.row for one in made.rejects)]
    assert sorted(numbers) == list(range(1, len(rows) + 1))
    assert all(one.errors and json.loads(one.raw) for one in made.rejects)
    assert "\0" not in json.dumps([one.errors for one in made.rejects])
    for name in ("attributes", "issues"):
        assert all("\0" not in value and "\\u0000" not in value for value in made.items[name].to_pylist())


@settings(max_examples=30)
@given(PAGES)
def test_a_row_is_the_same_alone_and_in_company(rows: list[dict[str, Any]]) -> None:
    together = normalize_part(numbered(_table(rows)), spec(*FIELDS))
    alone = [normalize_part(numbered(_table([one])), spec(*FIELDS)) for one in rows]
    items = pa.concat_tables([one.items for one in alone]).drop_columns(["row"])
    assert together.items.drop_columns(["row"]).to_pylist() == items.to_pylist()
    assert [one.raw for one in together.rejects] == [reject.raw for one in alone for reject in one.rejects]


@settings(max_examples=30)
@given(PAGES, st.integers(1, 1000))
def test_a_heavy_page_is_normalized_in_slices_and_comes_to_the_same(rows: list[dict[str, Any]], most: int) -> None:
    page = numbered(_table(rows))
    whole = normalize_part(page, spec(*FIELDS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "_CHUNK_BYTES", most)
        sliced = normalize_part(page, spec(*FIELDS))
    assert sliced.items.equals(whole.items)
    assert sliced.rejects == whole.rejects


@settings(max_examples=300)
@given(st.lists(st.one_of(TEXTS, st.text(st.characters(max_codepoint=0x17F), max_size=8)), min_size=1, max_size=20))
def test_evident_text_is_in_normal_form_by_the_rule_too(texts: list[str]) -> None:
    accepted = evident.accepted_texts(pa.array(texts)).to_pylist()
    for one, good in zip(texts, accepted, strict=True):
        if good:
            assert text.clean_text(one) == one == text.clean_text(one, multiline=True)


@settings(max_examples=500)
@given(st.from_regex(r"^-?[0-9]{1,6}(\.[0-9]{0,21})?\n?", fullmatch=True))
def test_a_plain_coordinate_is_the_same_number_by_the_rule(written: str) -> None:
    array = pa.array([written])
    if matches_pattern(array, geo.PLAIN)[0].as_py():
        assert geo.degrees(written, "latitude") == (array.cast(pa.float64())[0].as_py() + 0.0, False)


CLOCKS = st.tuples(
    st.one_of(st.integers(999, 3000), st.sampled_from([1582, 1900, 1970, 2000, 2024])),
    st.integers(0, 13),
    st.integers(0, 32),
    st.integers(0, 24),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from(["", ".1", ".12", ".123456", ".1234567", ".000001", "."]),
    st.sampled_from(["Z", "+00", "+02", "-0930", "+13:59", "-13:59", "+14:00", "+02:60", "", "z", "+5"]),
    st.sampled_from(["T", " ", "t"]),
)


@settings(max_examples=600)
@given(CLOCKS)
def test_a_plain_time_is_the_same_moment_by_the_rule(clock: tuple[Any, ...]) -> None:
    year, month, day, hour, minute, second, fraction, offset, letter = clock
    written = f"{year:04}-{month:02}-{day:02}{letter}{hour:02}:{minute:02}:{second:02}{fraction}{offset}"
    array = pa.array([written])
    if matches_pattern(array, times.PLAIN)[0].as_py():
        verdict = times.read_time(written, ZoneInfo("Asia/Kathmandu"))
        assert (verdict.values[0], verdict.notes) == (array.cast(times.UTC_MICROSECONDS)[0].as_py(), ())


def test_every_day_of_four_years_is_read_alike_both_ways() -> None:
    days = [
        f"{year}-{month:02}-{day:02}T12:00:00Z"
        for year in range(2023, 2027)
        for month in range(14)
        for day in range(33)
    ]
    array = pa.array(days)
    fast = array.filter(matches_pattern(array, times.PLAIN))
    slow = [times.read_time(one, ZoneInfo("UTC")).values[0] for one in fast.to_pylist()]
    assert fast.cast(times.UTC_MICROSECONDS).to_pylist() == slow
    assert len(slow) == 4 * 365  # a 29 February goes to the rule
    real = [one for one in days if times.read_time(one, ZoneInfo("UTC")).values[0] is not None]
    assert len(real) == 4 * 365 + 1
    assert part({"t": array}, updated_at="t").items["source_updated_at"].null_count == len(days) - len(real)


def _lengths() -> list[tuple[str, int, bool]]:
    """Derive (field, length, allowed) from the declaration, one beside each bound."""
    edges: list[tuple[str, int, bool]] = []
    for field in ("external_id", "name", *text_fields()):
        marks = Item.model_fields[field].metadata
        least = next(mark.min_length for mark in marks if isinstance(mark, MinLen))
        most = next(mark.max_length for mark in marks if isinstance(mark, MaxLen))
        edges += [(field, least, True), (field, most - 1, True), (field, most, True), (field, most + 1, False)]
    return edges


def text_fields() -> list[str]:
    marked = [field for field in FIELDS if any(isinstance(mark, MaxLen) for mark in Item.model_fields[field].metadata)]
    return [field for field in marked if field not in ("name", "website_url")]


@pytest.mark.parametrize("letter", ["x", "é"])
@pytest.mark.parametrize(("field", "length", "allowed"), _lengths())
def test_lengths_at_the_edges_of_the_declaration(field: str, length: int, allowed: bool, letter: str) -> None:
    made = part({field: [letter * length]})
    kept = made.items[field].to_pylist()
    if field in ("external_id", "name"):
        assert (kept, len(made.rejects)) == (([letter * length], 0) if allowed else ([], 1))
    else:
        assert kept == [letter * length if allowed else None]


def _degrees() -> list[tuple[str, float, bool]]:
    edges: list[tuple[str, float, bool]] = []
    for field in ("latitude", "longitude"):
        marks = Item.model_fields[field].metadata
        least = float(next(mark.ge for mark in marks if isinstance(mark, Ge)))
        most = float(next(mark.le for mark in marks if isinstance(mark, Le)))
        for bound, out in ((least, -math.inf), (most, math.inf)):
            edges += [(field, bound, True), (field, math.nextafter(bound, 0), True)]
            edges += [(field, math.nextafter(bound, out), False), (field, bound + math.copysign(1, out), False)]
    return edges


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize(("field", "value", "allowed"), _degrees())
def test_degrees_at_the_edges_of_the_declaration(field: str, value: float, allowed: bool, typed: bool) -> None:
    given = {"latitude": 1.5, "longitude": 100.5, field: value}
    found = row(given if typed else {name: repr(number) for name, number in given.items()})
    stored = 180.0 if (field, value) == ("longitude", -180.0) else value
    assert found[field] == (stored if allowed else None)
    assert (found["latitude"] is None) == (found["longitude"] is None)


@pytest.mark.parametrize("value", [0.0, math.nextafter(0, 1), 5e-324, 1e-7, 12.300000000000001, 89.99999999999999])
def test_a_number_survives_its_text_exactly(value: float) -> None:
    found = row({"latitude": repr(value), "longitude": "1"})
    assert pc.equal(pa.scalar(found["latitude"]), pa.scalar(value)).as_py() or value < 1e-99
