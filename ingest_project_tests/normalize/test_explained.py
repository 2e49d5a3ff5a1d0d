"""The law of normalization: what is not as it came has an issue that says why, and nothing goes missing in silence."""

import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project.codes import ISSUES
from ingest_project.item import KEY, columns
from ingest_project.normalize import text
from ingest_project.normalize.columns import EXCERPT_LENGTH, matches_pattern, storable
from ingest_project.normalize.part import normalize_part
from ingest_project.normalize.times import FIELD
from ingest_project_tests.normalize.pages import numbered, spec

TIME = "updated"
FIELDS = tuple(name for name in columns() if name != KEY)
# Good words of each field; the dirt is put upon them.
WORDS: dict[str, list[str]] = {
    "name": ["Café Zürich", "Grand Hotel", "東京駅", "naïve", "O’Neill"],
    "description": ["Line one\nline two", "a\r\n\r\nb", "x"],
    "status": ["open", "closed", "temporarily-closed", "unknown", "Seasonal"],
    "region_code": ["US-CA", "CA", "California", "BY", "DE-BY", "Ontario"],
    "region_name": ["California", "Bayern", "?"],
    "postal_code": ["02139", "2139", "02139-", "123456789", "94103.0", "K1A 0B1", "CA", "x" * 21],
    "country_code": ["US", "DE", "UK", "usa", "Deutschland", "Côte d’Ivoire", "NA", "XX", "TR"],
    "latitude": ["45.5", "52.5", "13.4", "0", "-9999", "91", "-122.4", "45°30'N", "45,5", "45,21", "1_0", "1e400"],
    "longitude": ["13.4", "52.5", "37.8", "0", "-9999", "-180", "181", "13°24'E", "13,4", "x"],
    "phone": ["+4930123456", "617-253-1000", "1-800-FLOWERS", "613-555-0123 x5", "3.53E+11", "a;b", "030/123456"],
    "phone_ext": ["12", "x5", "12.0", "?"],
    "website_url": ["https://example.com/", "example.com", "javascript:x", "http://1", "https://u:p@example.com"],
    "price": ["12.50", "1,234.50", "1.234,50", "$5", "€ 5", "5 kr", "-1", "0.00001", "12,5", "free", "9" * 12],
    "currency": ["EUR", "eur", "$", "€", "kr", "XXX"],
    TIME: ["2025-03-01T09:00:00Z", "2025-03-01", "01/02/2024", "2024-01-02T03:04:05.1234567Z", "0", "infinity"],
}
_SENTINELS = ["N/A", "null", "-", "unknown", "-9999", "\\N", "#N/A", "NaN"]
_SPECKS = [
    " ",
    "  ",
    "\t",
    "\n",
    "\0",
    "\x1f",
    "\x85",
    "\u00a0",
    "\u00ad",
    "\u200b",
    "\u202e",
    "\ufeff",
    "\u0301",
    "Ã©",
    "â€™",
]


def _dirty(word: str) -> st.SearchStrategy[str]:
    """The word with dirt before, inside or behind it, in another case, decoded wrongly, decomposed, or bare."""
    place = st.integers(0, len(word))
    specked = st.builds(lambda at, speck: word[:at] + speck + word[at:], place, st.sampled_from(_SPECKS))
    recoded = word.encode().decode("latin-1")
    return st.one_of(st.sampled_from([word, word.upper(), word.lower(), recoded, word + ".0", word * 60]), specked)


def _cell(field: str) -> st.SearchStrategy[str | None]:
    words = st.sampled_from(WORDS.get(field, ["plain", "Ünder straße", "a  b"]))
    return st.one_of(st.none(), words.flatmap(_dirty), st.sampled_from(_SENTINELS), st.text(max_size=6))


ROWS = st.fixed_dictionaries({field: _cell(field) for field in (*FIELDS, KEY, TIME, "other")})


def _page(rows: list[dict[str, str | None]]) -> pa.Table:
    names = (KEY, TIME, "other", *FIELDS)
    return numbered(pa.table({name: pa.array([one[name] for one in rows], pa.string()) for name in names}))


def _is_white(given: str) -> bool:
    return matches_pattern(pa.array([given], pa.string()), text.WHITE)[0].as_py()


def _is_the_same(was: str, now: Any, locale: str) -> bool:
    """Whether nothing was lost or added by reading the text as the field's type, in the branch's locale and zone."""
    bare = text.clean_text(was, mend=False) or ""
    comma = bare.replace(".", "").replace(",", ".") if locale == "de" else bare.replace(",", "")
    try:
        if isinstance(now, float):
            return now in (float(bare.replace(",", ".")) if locale == "de" else float(bare), 0.0)
        if isinstance(now, Decimal):
            return now == Decimal(comma)
        if isinstance(now, datetime):
            moment = datetime.fromisoformat(bare.upper().replace(" Z", "Z"))
            return now == (moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, InvalidOperation):
        return False
    return now == was


def _unexplained(row: dict[str, str | None], item: dict[str, Any], locale: str) -> list[str]:
    issues = json.loads(item["issues"])
    assert {issue["code"] for issue in issues} <= ISSUES.keys()
    told = {issue["field"] for issue in issues}
    gone = {issue["field"] for issue in issues if issue["to"] is None}
    other = json.loads(item["attributes"]).get("other")
    pairs = [
        *((field, item[field], row[field]) for field in (KEY, *FIELDS)),
        *((FIELD, item[FIELD], row[TIME]), ("attributes.other", other, row["other"])),
    ]
    shown = [(field, now, was) for field, now, was in pairs if was is not None and not _is_white(was)]
    return [
        field
        for field, now, was in shown
        if field not in (gone if now is None else told) and not _is_the_same(was, now, locale)
    ]


def _lost(row: dict[str, str | None], item: dict[str, Any]) -> list[str]:
    """Fields that were set aside and whose value stands nowhere whole."""
    kept, issues = json.loads(item["attributes"]), json.loads(item["issues"])
    quoted = {(issue["field"], issue["from"]) for issue in issues}
    return [
        field
        for field in FIELDS
        if (was := row[field])
        and item[field] is None
        and len(was) > EXCERPT_LENGTH
        and kept.get(field) != storable(was)
        if (field, was) not in quoted
    ]


@settings(max_examples=60)
@given(st.lists(ROWS, min_size=1, max_size=4), st.sampled_from(["en", "de"]), st.sampled_from([None, "US"]))
def test_every_value_that_is_not_as_it_came_is_explained(
    rows: list[dict[str, str | None]], locale: str, country: str | None
) -> None:
    branch = spec(*FIELDS, updated_at=TIME, locale=locale, country=country)
    made = normalize_part(_page(rows), branch)
    for item in made.items.to_pylist():
        given_row = rows[item["row"] - 1]
        assert _unexplained(given_row, item, locale) == []
        assert _lost(given_row, item) == []
    assert all(reject.errors for reject in made.rejects)


NUMBERS = st.one_of(st.floats(), st.sampled_from([12.0, 0.1, -0.0, 2139.0, 1e300]))


@settings(max_examples=40)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys((*FIELDS, KEY), NUMBERS)), min_size=1, max_size=3))
def test_no_number_goes_missing_in_silence(rows: list[dict[str, float]]) -> None:
    page = numbered(pa.table({name: pa.array([one[name] for one in rows]) for name in (KEY, *FIELDS)}))
    for item in normalize_part(page, spec(*FIELDS)).items.to_pylist():
        told = {issue["field"] for issue in json.loads(item["issues"])}
        assert {field for field in FIELDS if item[field] is None} <= told
