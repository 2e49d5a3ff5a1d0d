"""Amounts in the locale that the branch declares, in a currency or not at all.

A symbol beside the amount may name the currency. One that several currencies share (`$`, `kr`) is of the country of
the row, or of the locale, if that has one of them; else nothing is guessed.
"""

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from functools import cache

import pycountry
from babel import Locale
from babel.numbers import (
    NumberFormatError,
    get_decimal_symbol,
    get_group_symbol,
    get_territory_currencies,
    parse_decimal,
)

from ingest_project.normalize.columns import Verdict, note
from ingest_project.normalize.text import cleaned, narrow

# Folded to lower case, without a full stop.
_SYMBOLS = {
    "€": "EUR", "£": "GBP", "₹": "INR", "₽": "RUB", "₩": "KRW", "₺": "TRY", "₴": "UAH", "zł": "PLN", "₪": "ILS",
    "₫": "VND", "฿": "THB", "₱": "PHP", "₦": "NGN", "₸": "KZT", "₡": "CRC", "₲": "PYG", "kč": "CZK", "ft": "HUF",
    "euro": "EUR", "euros": "EUR", "tl": "TRY", "円": "JPY", "元": "CNY TWD HKD", "원": "KRW", "s/": "PEN", "$u": "UYU",
    "us$": "USD", "ca$": "CAD", "c$": "CAD", "a$": "AUD", "au$": "AUD", "nz$": "NZD", "r$": "BRL", "hk$": "HKD",
    "s$": "SGD", "nt$": "TWD", "mx$": "MXN", "cn¥": "CNY", "jp¥": "JPY",
    "u$s": "USD", "ar$": "ARS", "sfr": "CHF", "грн": "UAH", "тг": "KZT", "руб": "RUB BYN", "р": "RUB BYN", "лв": "BGN",
    "lei": "RON MDL", "rp": "IDR", "rm": "MYR", "ر.س": "SAR", "د.إ": "AED", "ج.م": "EGP", "د.ك": "KWD", "د.ب": "BHD",
    "บาท": "THB", 'ש"ח': "ILS", "ש״ח": "ILS", "nis": "ILS",
    "$": "USD CAD AUD NZD SGD HKD TWD MXN ARS CLP COP UYU DOP BBD BSD BZD BMD BND FJD GYD JMD KYD LRD NAD SRD TTD XCD",
    "¥": "JPY CNY", "￥": "JPY CNY", "kr": "SEK NOK DKK ISK", "rs": "INR PKR LKR NPR MUR", "fr": "CHF XAF XOF XPF",
}  # fmt: skip
_AMOUNT = re.compile(r"(?P<before>[^0-9-]*?) ?(?P<number>-?[0-9](?:[0-9.,'’ ]*[0-9])?[.,]?) ?(?P<after>[^0-9]*)")
# 12,- and 12.-- and 12/- have no minor units; 12,-5 is something else.
_DASH = re.compile(r"(?<=[0-9])(?:([.,]) ?(?:--?|[–—])|/[-=])(?! ?[0-9])")
_GROUPS = re.compile(r"([.,'’ ])[0-9]{3}$")
# Two separators leave no choice: the last, seen once, parts the decimals, the other groups of three.
_EVIDENT = re.compile(r"(-?)([0-9]{1,3}(?:([.,'’ ])[0-9]{3})(?:\3[0-9]{3})*)(?!\3)[.,]([0-9]{1,4})")
_SCALE = 4
_MOST = Decimal("9999999999.9999")
_NOISE = Decimal("1e-6")  # of a float's arithmetic, or of half the usual width

_Notes = tuple[str, ...]


def price(
    country: str | None, amount: str | None, currency: str | None, *, locale: str, typed: bool, fixed: bool
) -> Verdict:
    """(price, currency). `typed`: the source has numbers, not text; `fixed`: the currency is the branch's own."""
    code, told = _currency(currency, country, locale)
    number, beside, also = _amount(amount, locale, typed=typed)
    if number is not None and beside:
        code, more = _beside(amount, beside, (currency, code), country, locale)
        told += more
    if number is not None and code is None:
        return Verdict((None, None), (*told, note("price", "price_without_currency", amount, None)))
    if number is None and code is not None:
        alone = () if fixed else (note("currency", "currency_without_price", currency, None),)
        return Verdict((None, None), (*also, *alone))
    return Verdict((number, code), (*also, *told))


def _currency(text: str | None, country: str | None, locale: str) -> tuple[str | None, _Notes]:
    """The currency of its own column."""
    if text is None or text in _currencies():
        return text, ()
    named = _named(text)
    code = _local(named, country, locale)
    told = "currency_recognised" if code else "currency_ambiguous" if named else "currency_unknown"
    return code, (note("currency", told, text, code),)


def _beside(
    amount: str | None, beside: frozenset[str], column: tuple[str | None, str | None], country: str | None, locale: str
) -> tuple[str | None, _Notes]:
    """The currency beside an amount. `column`: what its own column said, and became."""
    text, code = column
    if code in beside:
        return code, ()
    if text is not None:
        return None, (note("currency", "currency_contradicted", text, None),) if code else ()
    found = _local(beside, country, locale)
    return found, (note("currency", "currency_recognised" if found else "currency_ambiguous", amount, found),)


def _named(text: str) -> frozenset[str]:
    """The currencies that a code or a symbol may mean."""
    word = (cleaned(text) or "").removesuffix(".").strip()
    return frozenset({word.upper()} & _currencies() or _SYMBOLS.get(word.lower(), "").split())


def _local(named: frozenset[str], country: str | None, locale: str) -> str | None:
    """The only one of these, or the only one in use in the country, or where the locale is."""
    for some in (named, named & _tender(country), named & _tender(Locale.parse(locale).territory)):
        if len(some) == 1:
            return next(iter(some))
    return None


@cache
def _tender(country: str | None) -> frozenset[str]:
    return frozenset(get_territory_currencies(country)) if country else frozenset()


@cache
def _currencies() -> frozenset[str]:
    return frozenset(currency.alpha_3 for currency in pycountry.currencies) - {"XXX", "XTS"}  # none, and a test


def _amount(text: str | None, locale: str, *, typed: bool) -> tuple[Decimal | None, frozenset[str], _Notes]:
    """(amount, the currencies that it names if any, notes)."""
    if text is None:
        return None, frozenset(), ()
    number, beside, notation = (_typed(text), frozenset[str](), False) if typed else _written(text, locale)
    code = "price_unreadable" if number is None else None if 0 <= number <= _MOST else "price_out_of_range"
    if number is None or code:
        return None, beside, (note("price", code or "", text, None),)
    found = round(number, _SCALE)
    if typed and 0 < abs(number - found) <= _NOISE * number:
        return found, beside, (note("price", "price_rounded", text, found),)
    if number != found:
        return None, beside, (note("price", "price_too_fine", text, None),)
    return found, beside, (note("price", "price_notation", text, found),) if notation else ()


def _typed(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _written(text: str, locale: str) -> tuple[Decimal | None, frozenset[str], bool]:
    """(amount, currencies beside it, whether it is written in another way than as a number of the locale)."""
    given = cleaned(text) or ""
    plain = _without_dash(_parted(narrow(given), locale))
    match = _AMOUNT.fullmatch(plain)
    if match is None:
        return None, frozenset(), False
    words = [word for word in (match["before"], match["after"]) if word]
    beside = _common(map(_named, words))
    if words and not beside:
        return None, frozenset(), False
    number = _local_number(match["number"], locale)
    evident = None if number is not None else _evident_number(match["number"])
    is_odd = bool(words) or evident is not None or plain != given
    return number if evident is None else evident, beside, is_odd


def _parted(text: str, locale: str) -> str:
    # Arabic has signs of its own, that mean the one thing each; the locale may write either with a point.
    return text.replace("٬", get_group_symbol(locale)).replace("٫", get_decimal_symbol(locale))


def _without_dash(text: str) -> str:
    """12,- as 12; of 1.200,- as 1.200,00, since its comma says what the point is."""
    dash = _DASH.search(text)
    if dash is None:
        return text
    before, after = text[: dash.start()], text[dash.end() :]
    groups = _GROUPS.search(before)
    return before + (f"{dash[1]}00" if dash[1] and groups and groups[1] != dash[1] else "") + after


def _common(named: Iterable[frozenset[str]]) -> frozenset[str]:
    found = list(named)
    return frozenset.intersection(*found) if found else frozenset()


def _local_number(text: str, locale: str) -> Decimal | None:
    # Strict: `1,5` read loosely in English becomes 15. Of more digits than decimal keeps, babel can say nothing.
    try:
        return _typed(str(parse_decimal(_grouped(text, locale), locale=locale, strict=True)))
    except (NumberFormatError, InvalidOperation):
        return None


def _evident_number(text: str) -> Decimal | None:
    match = _EVIDENT.fullmatch(text)
    return Decimal(f"{match[1]}{re.sub('[^0-9]', '', match[2])}.{match[4]}") if match else None


def _grouped(text: str, locale: str) -> str:
    # Groups are parted by a space or an apostrophe of the locale's own; people type the plain ones.
    group = get_group_symbol(locale)
    plain = " " if group.isspace() else "'" if group == "’" else group
    return text.replace(plain, group)
