"""The fast path accepts nothing that the rules would change: by an edge table, a property, and mutants of it."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project.item import KEY
from ingest_project.normalize import address, borders, cells, contact, evident, fast, geo, hashing, part, text, times
from ingest_project.normalize.part import NormalizedPart, normalize_part
from ingest_project_tests.benchmarks import listings
from ingest_project_tests.normalize import edges
from ingest_project_tests.normalize.slowly import NOTHING, differing, normalize_slowly


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return edges.edge_table()


@pytest.fixture(scope="module", autouse=True)
def _each_rule_asked_once() -> Iterator[None]:
    # Rules are functions of their texts: what they said of an edge is kept for all the mutants.
    with pytest.MonkeyPatch.context() as patch:
        for module, rule in ((contact, "phone"), (contact, "website"), (address, "postal_code"), (text, "text_verdict"),
                             (geo, "place"), (times, "read_time")):  # fmt: skip
            patch.setattr(module, rule, cache(getattr(module, rule)))
        yield


@pytest.fixture(scope="module")
def truth(table: pa.Table) -> NormalizedPart:
    return normalize_slowly(table, edges.BRANCH)


def test_every_edge_is_the_same_both_ways(table: pa.Table, truth: NormalizedPart) -> None:
    assert table.num_rows > 5_000
    assert differing(normalize_part(table, edges.BRANCH), truth) == []


def _relaxed(pattern: str, old: str, new: str) -> str:
    assert old in pattern, old
    return pattern.replace(old, new)


def _longer(field: str) -> int:
    return _max_length(field) + 1


def _with_180(country: pa.Array, latitude: pa.Array, longitude: pa.Array, given: list[pa.Array]) -> pa.Array:
    return pc.or_(
        _accepted_pairs(country, latitude, longitude, given), pc.fill_null(pc.equal(longitude, -180.0), False)
    )


def _with_null_island(country: pa.Array, latitude: pa.Array, longitude: pa.Array, given: list[pa.Array]) -> pa.Array:
    nowhere = pc.and_(pc.equal(latitude, 0.0), pc.equal(longitude, 0.0))
    return pc.or_(_accepted_pairs(country, latitude, longitude, given), pc.fill_null(nowhere, False))


_max_length, _accepted_pairs, _PLAIN = part._max_length, geo._accepted_pairs, evident._PLAIN  # pyright: ignore[reportPrivateUsage]
_TO_MEND = evident._TO_MEND  # pyright: ignore[reportPrivateUsage]
_STANDING = evident.stable_words()
_ANYTHING = r"[^\n]*"


def _anything(country: str) -> str:
    return rf"{country}\|{_ANYTHING}"


def _standing(old: str, new: str) -> tuple[Any, str, Any]:
    return evident, "stable_words", lambda: _relaxed(_STANDING, old, new)


# What each mutant accepts too much of. Every one must be told from the truth by the edge table.
MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "text: two spaces": (evident, "LATIN_WORDS", _relaxed(evident.LATIN_WORDS, "(?: ", "(?: +")),
    "text: leading space": (evident, "LATIN_WORDS", _relaxed(evident.LATIN_WORDS, "^", "^ ?")),
    "text: controls": (evident, "LATIN_WORDS", _relaxed(evident.LATIN_WORDS, f"[{_PLAIN}]+", "[!-:<>-\x7f]+")),
    "text: file separators": (
        evident,
        "LATIN_WORDS",
        _relaxed(evident.LATIN_WORDS, f"[{_PLAIN}]+", "[\x1c-\x1f!-:<>-~]+"),
    ),
    "text: no-break spaces": (
        evident,
        "LATIN_WORDS",
        _relaxed(evident.LATIN_WORDS, f"[{_PLAIN}]+", "[!-:<>-~\u00a0]+"),
    ),
    "text: soft hyphens": (evident, "LATIN_WORDS", _relaxed(evident.LATIN_WORDS, f"[{_PLAIN}]+", "[!-:<>-~\u00ad]+")),
    "text: two letters in a row": (
        evident,
        "LATIN_WORDS",
        _relaxed(evident.LATIN_WORDS, f"[{_PLAIN}]+", "[!-:<>-~ÃÂ©]+"),
    ),
    "text: accents apart": (evident, "LATIN_WORDS", _relaxed(evident.LATIN_WORDS, f"[{_PLAIN}]+", "[!-:<>-~\u0301]+")),
    "text: entities": (evident, "LATIN_WORDS", _relaxed(evident.LATIN_WORDS, "!-:<", "!-<")),
    "text: guards of a spreadsheet": (evident, "LATIN_WORDS", _relaxed(evident.LATIN_WORDS, "<>-~", "<-~")),
    "text: spaces of other scripts": _standing(r"\x7f-\xa0", r"\x7f-\x9f"),
    "text: controls of other scripts": _standing(r"\x7f-\xa0", r"\xa0"),
    "text: entities at the second look": (evident, "_TO_MEND", _relaxed(_TO_MEND, "|&#?[0-9A-Za-z]+;", "")),
    "text: guards at the second look": (evident, "_TO_MEND", _relaxed(_TO_MEND, '|^="', "")),
    "text: spaces at the ends of lines": (evident, "_in_lines", lambda one: one.replace("(?: ", r"(?:[ \n]+")),
    "text: two spaces in other scripts": _standing("(?: ", "(?: +"),
    "text: vowels of Hangul": _standing(r"\x{1161}-\x{1175}", ""),
    "text: ends of Hangul": _standing(r"\x{11a8}-\x{11c2}", ""),
    "text: signs that are others": _standing(r"\x{374}-\x{374}", ""),
    "text: marks in any order": _standing("]*[", ""),
    "text: fillers": _standing(r"\x{3164}-\x{3164}", ""),
    "text: mojibake": (evident, "_TO_MEND", NOTHING),
    "text: a letter too long": (part, "_max_length", _longer),
    "latitude: 91": (geo, "LATITUDE", 91.0),
    "latitude: the next float": (geo, "LATITUDE", 90.00000000000001),
    "longitude: 181": (geo, "LONGITUDE", 181.0),
    "longitude: -180": (geo, "_accepted_pairs", _with_180),
    "coordinates: null island": (geo, "_accepted_pairs", _with_null_island),
    "coordinates: anywhere": (borders, "accepted_near", lambda *arrays: pa.repeat(pa.scalar(True), len(arrays[0]))),
    "coordinates: far from home": (borders, "_MARGINS", borders._MARGINS * 1.001),  # pyright: ignore[reportPrivateUsage]
    "coordinates: any box": (borders, "_NOWHERE", (-90.0, -180.0, 90.0, 180.0)),
    "degrees: exponents": (geo, "PLAIN", _relaxed(geo.PLAIN, "$", "(?:[eE][+-]?[0-9]+)?$")),
    "time: 30 February": (
        times,
        "PLAIN",
        _relaxed(times.PLAIN, "(?:0[13-9]|1[0-2])-(?:29|30)", "(?:0[1-9]|1[0-2])-(?:29|30)"),
    ),
    "time: 24 hours": (times, "PLAIN", _relaxed(times.PLAIN, "2[0-3]", "2[0-4]")),
    "time: nanoseconds": (times, "PLAIN", _relaxed(times.PLAIN, "[0-9]{1,6})?", "[0-9]{1,9})?")),
    "time: no offset": (times, "PLAIN", _relaxed(times.PLAIN, "(?::?[0-5][0-9])?)$", "(?::?[0-5][0-9])?)?$")),
    "time: the year 9999": (times, "PLAIN", _relaxed(times.PLAIN, "[12][0-9]{3}", "[0-9]{4}")),
    "url: credentials": (fast, "URL", _relaxed(fast.URL, "://", "://(?:[a-z]+@)?")),
    "url: ports": (fast, "URL", _relaxed(fast.URL, "(?:/", "(?::[0-9]*)?(?:/")),
    "url: spaces": (fast, "URL", _relaxed(fast.URL, "._~-]", "._~ -]")),
    "url: encoded names": (fast, "URL", _relaxed(fast.URL, "(?:-?[", "(?:-*[")),
    "url: backslashes": (fast, "URL", _relaxed(fast.URL, "._~-]", r"._~\\-]")),
    "url: any scheme": (fast, "URL", _relaxed(fast.URL, "https?", "[a-z]+")),
    "url: bare names": (fast, "URL", _relaxed(fast.URL, "){1,4}[a-z]", "){0,4}[a-z]")),
    "url: numbers": (fast, "URL", _relaxed(fast.URL, "[a-z]{2,24}", "[a-z0-9]{1,24}")),
    "url: long labels": (fast, "URL", _relaxed(fast.URL, "{0,25}", "*")),
    "url: too long": (fast, "LONGEST_URL", fast.LONGEST_URL + 1),
    "postal code: any text": (fast, "_postal_pattern", _anything),
    "phone: any kind": (fast, "_kind_pattern", _anything),
    "hash: whole numbers": (hashing, "_is_cast_like_repr", lambda size: pc.greater_equal(size, hashing.SMALLEST)),
    "hash: small numbers": (hashing, "SMALLEST", hashing.SMALLEST / 10),
    "hash: exponents": (hashing, "_is_cast_like_repr", lambda size: pc.not_equal(size, pc.floor(size))),
    "attributes: quotes": (cells, "_UNESCAPED", r"^[^\\\x00-\x1f]*$"),
    "attributes: backslashes": (cells, "_UNESCAPED", r'^[^"\x00-\x1f]*$'),
    "attributes: NUL": (cells, "_UNESCAPED", r'^[^"\\\x01-\x1f]*$'),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_fast_path_that_accepts_too_much_is_caught(
    table: pa.Table, truth: NormalizedPart, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    module, attribute, mutated = MUTANTS[name]
    monkeypatch.setattr(module, attribute, mutated)
    try:
        made = normalize_part(table, edges.BRANCH)
    except pa.ArrowInvalid:
        return  # Arrow could not read what the mutant let through
    assert differing(made, truth)


DIGITS = st.text("0123456789", min_size=1, max_size=14)
COUNTRIES = st.sampled_from([*sorted(phonenumbers.SUPPORTED_REGIONS)])
PHONES = st.one_of(
    st.builds("+{}{}".format, COUNTRIES.map(phonenumbers.country_code_for_region), DIGITS),
    DIGITS,
    st.text("+0123456789 -()/x.", max_size=16),
)
WRITTEN = {
    KEY: st.from_regex(evident.LATIN_WORDS),
    "name": st.from_regex(evident.LATIN_WORDS),
    "street": st.text(st.sampled_from("ab \t.é\u0301Ã©\u200b\u00a0"), max_size=8),
    "latitude": st.one_of(st.from_regex(geo.PLAIN), st.floats(-91, 91).map(repr)),
    "longitude": st.one_of(st.from_regex(geo.PLAIN), st.floats(-181, 181).map(repr)),
    edges.TIME: st.from_regex(times.PLAIN),
    "website_url": st.one_of(st.from_regex(fast.URL), st.text("htps:/.@ea-x1%\\", max_size=16)),
    "postal_code": st.one_of(st.from_regex(fast.POSTAL), st.text("0123456789AaZ -.", max_size=10)),
    "country_code": st.one_of(COUNTRIES, st.sampled_from(["US", "GB", "DE"])),
    "phone": PHONES,
    "other": st.text(st.sampled_from('ab"\\\x00\x1f/é'), max_size=5),
}


@settings(max_examples=30)
@given(st.lists(st.fixed_dictionaries({}, optional=WRITTEN), min_size=1, max_size=12))
def test_what_is_evident_is_what_the_rules_say(rows: list[dict[str, str | None]]) -> None:
    page = edges.as_page([{**edges.CLEAN, KEY: f"k{at}", **row} for at, row in enumerate(rows)])
    assert differing(normalize_part(page, edges.BRANCH), normalize_slowly(page, edges.BRANCH)) == []


@settings(max_examples=60)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_a_number_is_written_for_its_hash_as_python_writes_it(numbers: list[float]) -> None:
    written = hashing._as_repr(pa.array(numbers))  # pyright: ignore[reportPrivateUsage]
    assert written.to_pylist() == [repr(number) for number in numbers]


@settings(max_examples=200)
@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=50), st.integers(0, 12))
def test_short_decimals_too(numbers: list[int], places: int) -> None:
    given = [number / 10**places for number in numbers]
    written = hashing._as_repr(pa.array(given))  # pyright: ignore[reportPrivateUsage]
    assert written.to_pylist() == [repr(number) for number in given]


def _never(*_: object) -> Any:
    raise AssertionError("a rule was asked")


RULES: list[tuple[Any, str]] = [(contact, "phone"), (contact, "website"), (address, "postal_code")]


def test_clean_listings_need_no_rule_for_what_is_nearly_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    page, branch = listings.listings(300), listings.spec()
    truth = normalize_slowly(page, branch)
    for module, rule in RULES:
        monkeypatch.setattr(module, rule, _never)
    made = normalize_part(page, branch)
    assert differing(made, truth) == []
    assert made.rejects == [] and set(made.items["issues"].to_pylist()) == {"[]"}
    assert all(json.loads(one).keys() == {"opened"} for one in made.items["attributes"].to_pylist())


@pytest.mark.parametrize("kernel", [fast.accepted_urls, lambda one: fast.accepted_postal_codes(one, one)])
def test_a_column_of_nulls_is_accepted(kernel: Callable[[pa.Array], pa.Array]) -> None:
    assert kernel(pa.nulls(3, pa.string())).to_pylist() == [True] * 3
    assert kernel(pa.array([], pa.string())).to_pylist() == []


def test_a_phone_without_a_country_is_left_to_the_rule() -> None:
    arrays = [pa.array([None, "DE", "XK", "DE"]), pa.array(["+4930123456"] * 4), pa.array([None, None, None, "1"])]
    assert fast.accepted_phones(*arrays).to_pylist() == [False, True, False, False]
