"""Amounts in the locale that the branch declares, in a currency or not at all."""

import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from ingest_project.normalize.money import price
from ingest_project_tests.normalize.pages import part, row, rows_of

LONELY = "currency: currency_without_price"


def _money(amount: object, currency: object, **settings: object) -> tuple[Any, Any, list[str]]:
    found = row({"price": amount, "currency": currency}, **settings)
    return found["price"], found["currency"], found.codes


@pytest.mark.parametrize(
    ("locale", "text", "expected"),
    [
        ("en", "12.50", "12.5"),
        ("en", "1.234", "1.234"),
        ("en", "1,234", "1234"),
        ("en", "1,234.56", "1234.56"),
        ("en", "1234.56", "1234.56"),
        ("en", "0", "0"),
        ("en", "-0", "0"),
        ("en", "12.", "12"),
        ("en", "012", "12"),
        ("en", " 12 ", "12"),
        ("en", "12.50000", "12.5"),
        ("en", "0.0001", "0.0001"),
        ("en", "9999999999.9999", "9999999999.9999"),
        ("de", "1.234", "1234"),
        ("de", "1,5", "1.5"),
        ("de", "1.234,56", "1234.56"),
        ("de", "1234,5", "1234.5"),
        ("fr", "1 234,5", "1234.5"),
        ("fr", "1\u202f234,5", "1234.5"),
        ("fr", "1\u00a0234,5", "1234.5"),
        ("fr", "1,234", "1.234"),
        ("de_CH", "1'234.5", "1234.5"),
        ("en_IN", "1,23,456", "123456"),
    ],
)
def test_an_amount_is_read_in_the_declared_locale(locale: str, text: str, expected: str) -> None:
    assert _money(text, "EUR", locale=locale) == (Decimal(expected), "EUR", [])


def test_both_apostrophes_of_switzerland_are_read_whichever_the_data_of_the_locale_has() -> None:
    assert _money("1’234.5", "EUR", locale="de_CH")[:2] == (Decimal("1234.5"), "EUR")


@pytest.mark.parametrize(
    ("locale", "text", "code"),
    [
        ("en", "1,5", "price_unreadable"),
        ("en", "1,23,456", "price_unreadable"),
        ("en", "1,234,56", "price_unreadable"),
        ("en", "1.2.3", "price_unreadable"),
        ("de", "12.50" * 42, "price_unreadable"),
        ("en", "1" * 60, "price_out_of_range"),
        ("en", "1 234", "price_unreadable"),
        ("en", "1'234", "price_unreadable"),
        ("en", "1_000", "price_unreadable"),
        ("en", "1e3", "price_unreadable"),
        ("en", "NaN", "price_unreadable"),
        ("en", "inf", "price_unreadable"),
        ("en", "free", "price_unreadable"),
        ("en", ".5", "price_unreadable"),
        ("en", "+5", "price_unreadable"),
        ("en", "٣²", "price_unreadable"),
        ("de", "12.50", "price_unreadable"),
        ("de", "1.5", "price_unreadable"),
        *(
            ("en", text, "price_unreadable")
            for text in ("$$", "12,50", "€", "12 € 5", "5 apples", "-$5", "($5)", "€5$")
        ),
        *(
            ("en", text, "price_unreadable")
            for text in ("1.234.567", "12.34,5", "1,234,567.8.9", "1 234,", "1.234,567.8")
        ),
        ("en", "€-5", "price_out_of_range"),
        ("en", "-5", "price_out_of_range"),
        ("en", "10000000000", "price_out_of_range"),
        ("en", "9999999999.99995", "price_out_of_range"),
        ("en", "1" * 400, "price_out_of_range"),
        ("en", "12.34567", "price_too_fine"),
        ("en", "0.00001", "price_too_fine"),
    ],
)
def test_an_amount_that_cannot_be_meant_is_set_aside_with_its_currency(locale: str, text: str, code: str) -> None:
    assert _money(text, "EUR", locale=locale) == (None, None, [f"price: {code}", LONELY])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("eur", "EUR"),
        (" USD ", "USD"),
        ("kwd", "KWD"),
        ("€", "EUR"),
        ("£", "GBP"),
        ("₹", "INR"),
        ("zł", "PLN"),
        ("ZŁ", "PLN"),
        ("US$", "USD"),
        ("Kč", "CZK"),
        ('ש"ח', "ILS"),
        ("บาท", "THB"),
    ],
)
def test_another_way_to_write_a_currency_is_recognised(given: str, expected: str) -> None:
    assert _money("5", given) == (Decimal(5), expected, ["currency: currency_recognised"])


@pytest.mark.parametrize("given", ["$", "¥", "kr", "Rs."])
@pytest.mark.parametrize("country", [None, "DE"])
def test_an_ambiguous_currency_is_set_aside_with_its_amount(given: str, country: str | None) -> None:
    codes = ["currency: currency_ambiguous", "price: price_without_currency"]
    assert _money("5", given, country=country) == (None, None, codes)
    assert _money(f"{given} 5", None, country=country) == (None, None, codes)


@pytest.mark.parametrize("given", ["Eur.o", "ABC", "DEM", "XXX", "XTS", "978", "EU"])
def test_an_unknown_currency_is_set_aside_with_its_amount(given: str) -> None:
    assert _money("5", given) == (None, None, ["currency: currency_unknown", "price: price_without_currency"])


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("5", None, (None, None, ["price: price_without_currency"])),
        ("5", "", (None, None, ["price: price_without_currency"])),
        (None, "EUR", (None, None, [LONELY])),
        ("", "eur", (None, None, [LONELY])),
        (None, None, (None, None, [])),
        ("5", "XAU", (Decimal(5), "XAU", [])),
        ("1.5", "JPY", (Decimal("1.5"), "JPY", [])),  # the source's business: a rate, an average
        ("1.234", "KWD", (Decimal("1.234"), "KWD", [])),
    ],
)
def test_price_and_currency_go_together(
    amount: str | None, currency: str | None, expected: tuple[Any, Any, list[str]]
) -> None:
    assert _money(amount, currency) == expected


@pytest.mark.parametrize(
    ("amount", "expected", "codes"),
    [
        (5, "5", []),
        (5.0, "5", []),
        (0.1, "0.1", []),
        (-0.0, "0", []),
        (Decimal("1.50"), "1.5", []),
        (Decimal("1E+3"), "1000", []),
        (pa.array([1.25], pa.float32()), "1.25", []),
        (pa.array([1.23], pa.float32()), "1.23", ["price: price_rounded"]),
        (0.1 + 0.2, "0.3", ["price: price_rounded"]),
        (Decimal("9999999999.9999"), "9999999999.9999", []),
    ],
)
@pytest.mark.parametrize("locale", ["en", "de"])
def test_a_typed_amount_needs_no_locale(amount: object, expected: str, codes: list[str], locale: str) -> None:
    assert _money(amount, "EUR", locale=locale) == (Decimal(expected), "EUR", codes)


@pytest.mark.parametrize(
    ("amount", "codes"),
    [
        (-1, ["price: price_out_of_range", LONELY]),
        (1e10, ["price: price_out_of_range", LONELY]),
        (9_999_999_999.99999, ["price: price_out_of_range", LONELY]),
        (1e300, ["price: price_out_of_range", LONELY]),
        (2**63, ["price: price_out_of_range", LONELY]),
        (Decimal("1.23456"), ["price: price_too_fine", LONELY]),
        (1e-7, ["price: price_too_fine", LONELY]),
        (1e-300, ["price: price_too_fine", LONELY]),
        (True, ["price: price_unreadable", LONELY]),
        (math.nan, ["price: not_finite", LONELY]),
        (math.inf, ["price: not_finite", LONELY]),
    ],
)
def test_a_typed_amount_that_cannot_be_meant_is_set_aside(amount: object, codes: list[str]) -> None:
    given = pa.array([amount], pa.uint64()) if amount == 2**63 else amount
    assert _money(given, "EUR") == (None, None, codes)


@pytest.mark.parametrize("currency", [{"constant": "EUR"}, {"column": "cur", "default": "EUR"}])
@pytest.mark.parametrize(("amount", "codes"), [("", []), ("bad", ["price: price_unreadable"])])
def test_the_branch_s_own_currency_is_not_missed_without_a_price(
    currency: dict[str, str], amount: str, codes: list[str]
) -> None:
    found = row({"price": amount, "cur": None}, mapping={"currency": currency}, unmapped="drop")
    assert (found["price"], found["currency"], found.codes) == (None, None, codes)


def test_a_price_alone_in_the_mapping_is_set_aside() -> None:
    found = row({"price": "5"})
    assert (found["price"], found["currency"], found.codes) == (None, None, ["price: price_without_currency"])


def test_a_default_does_not_make_typed_amounts_text() -> None:
    mapping = {"price": {"column": "price", "default": "0"}, "currency": {"constant": "EUR"}}
    found = rows_of(part({"price": pa.array([1.5, None])}, mapping=mapping, locale="de"))
    assert [one["price"] for one in found] == [Decimal("1.5"), Decimal(0)]


def test_a_price_issue_shows_what_was_written() -> None:
    found = row({"price": "1,5", "currency": "EUR"})
    assert found.issues[0] == {"field": "price", "code": "price_unreadable", "from": "1,5", "to": None}


def test_the_rule_itself_gives_both_or_neither() -> None:
    for amount in (None, "5", "-5", "x", "1e3"):
        for currency in (None, "EUR", "?", "eur"):
            verdict = price(None, amount, currency, locale="en", typed=False, fixed=False)
            assert (verdict.values[0] is None) == (verdict.values[1] is None)


READ = ["price: price_notation", "currency: currency_recognised"]


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("$1,234.00", {"country": "US"}, ("1234", "USD")),
        ("$1,234.00", {"country": "CA"}, ("1234", "CAD")),
        ("$1,234.00", {"locale": "en_AU"}, ("1234", "AUD")),
        ("$1,234.00", {"country": "MX", "locale": "en_US"}, ("1234", "MXN")),
        ("$1,234.00", {"country": "DE", "locale": "en_US"}, ("1234", "USD")),
        ("US$ 12", {"country": "CA"}, ("12", "USD")),
        ("1.234,00 €", {}, ("1234", "EUR")),
        ("1.234,00 €", {"locale": "de"}, ("1234", "EUR")),
        ("€1.234", {"locale": "de"}, ("1234", "EUR")),
        ("€1.234", {}, ("1.234", "EUR")),
        ("EUR 12", {}, ("12", "EUR")),
        ("12 eur", {}, ("12", "EUR")),
        ("12,50 €", {"locale": "fr"}, ("12.5", "EUR")),
        ("¥1000", {"country": "JP"}, ("1000", "JPY")),
        ("¥1000", {"country": "CN"}, ("1000", "CNY")),
        ("￥1,000", {"locale": "ja_JP"}, ("1000", "JPY")),
        ("1 234,56 kr", {"country": "SE"}, ("1234.56", "SEK")),
        ("1\u00a0234,56\u00a0kr.", {"country": "DK"}, ("1234.56", "DKK")),
        ("1'234.50 Fr.", {"country": "CH"}, ("1234.5", "CHF")),
        ("R$ 1.234,50", {}, ("1234.5", "BRL")),
        ("£5", {}, ("5", "GBP")),
        ("US$ 12 USD", {}, ("12", "USD")),
    ],
)
def test_a_currency_beside_the_amount_is_read_and_told(
    text: str, settings: dict[str, str], expected: tuple[str, str]
) -> None:
    found = row({"price": text}, **settings)
    assert (found["price"], found["currency"], found.codes) == (Decimal(expected[0]), expected[1], READ)
    assert found.issues[1]["from"] == text.replace("\0", "")


@pytest.mark.parametrize(
    ("text", "currency", "expected"),
    [
        ("$5", "CAD", (Decimal(5), "CAD", ["price: price_notation"])),
        ("5 USD", "USD", (Decimal(5), "USD", ["price: price_notation"])),
        ("€5", "USD", (None, None, ["currency: currency_contradicted", "price: price_without_currency"])),
        ("€5", "?", (None, None, ["currency: currency_unknown", "price: price_without_currency"])),
        ("5", "$", (Decimal(5), "CAD", ["currency: currency_recognised"])),
    ],
)
def test_a_symbol_and_a_column_must_agree(text: str, currency: str, expected: tuple[Any, Any, list[str]]) -> None:
    assert _money(text, currency, country="CA") == expected


@pytest.mark.parametrize(
    ("locale", "text", "expected"),
    [
        ("de", "1,234.56", "1234.56"),
        ("en", "1.234,56", "1234.56"),
        ("en", "1 234,5", "1234.5"),
        ("en", "1.234.567,89", "1234567.89"),
        ("de", "1'234.50", "1234.5"),
    ],
)
def test_two_separators_leave_no_choice(locale: str, text: str, expected: str) -> None:
    assert _money(text, "EUR", locale=locale) == (Decimal(expected), "EUR", ["price: price_notation"])
