"""Prices: an amount, as the locale of the branch writes it, and its currency; one without the other is set aside.

A symbol next to the amount may name the currency. A symbol of several currencies (`$`, `kr`) means the one that is in
use in the country of the row, or else in that of the locale; if there is none, nothing is guessed.
"""

import re
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
from ingest_project.normalize.text import clean_text, fold_to_ascii

# In lower case, without a full stop at the end.
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
# A dash in place of minor units: 12,- and 12.-- and 12/- but not 12,-5.
_DASH = re.compile(r"(?<=[0-9])(?:([.,]) ?(?:--?|[–—])|/[-=])(?! ?[0-9])")
_LAST_GROUP = re.compile(r"([.,'’ ])[0-9]{3}$")
# Two different separators are unambiguous: the last one is that of the decimals, the other one separates groups.
_EVIDENT = re.compile(r"(-?)([0-9]{1,3}(?:([.,'’ ])[0-9]{3})(?:\3[0-9]{3})*)(?!\3)[.,]([0-9]{1,4})")
_SCALE = 4
_MAX = Decimal("9999999999.9999")
_FLOAT_NOISE = Decimal("1e-6")  # the relative error of floats of 32 bits and of arithmetic with floats

_Notes = tuple[str, ...]


def price(
    country: str | None, amount: str | None, currency: str | None, *, locale: str, typed: bool, fixed: bool
) -> Verdict:
    """The rule for (price, currency).

    `typed`: the source has numbers, not text; `fixed`: the branch declares a currency as a constant or a default.
    """
    code, currency_notes = _currency(currency, country, locale)
    number, adjacent, amount_notes = _amount(amount, locale, typed=typed)
    if number is not None and adjacent:
        code, adjacent_notes = _reconcile(amount, adjacent, (currency, code), country, locale)
        currency_notes += adjacent_notes
    if number is not None and code is None:
        return Verdict((None, None), (*currency_notes, note("price", "price_without_currency", amount, None)))
    if number is None and code is not None:
        unpaired = () if fixed else (note("currency", "currency_without_price", currency, None),)
        return Verdict((None, None), (*amount_notes, *unpaired))
    return Verdict((number, code), (*amount_notes, *currency_notes))


def _currency(text: str | None, country: str | None, locale: str) -> tuple[str | None, _Notes]:
    """The currency in its own column."""
    if text is None or text in _currencies():
        return text, ()
    candidates = _candidates(text)
    code = _choose(candidates, country, locale)
    issue = "currency_recognised" if code else "currency_ambiguous" if candidates else "currency_unknown"
    return code, (note("currency", issue, text, code),)


def _reconcile(
    amount: str | None,
    adjacent: frozenset[str],
    column: tuple[str | None, str | None],
    country: str | None,
    locale: str,
) -> tuple[str | None, _Notes]:
    """The currency of an amount with a symbol next to it. `column`: the text in the currency column, and its code."""
    text, code = column
    if code in adjacent:
        return code, ()
    if text is not None:
        return None, (note("currency", "currency_contradicted", text, None),) if code else ()
    chosen = _choose(adjacent, country, locale)
    return chosen, (note("currency", "currency_recognised" if chosen else "currency_ambiguous", amount, chosen),)


def _candidates(text: str) -> frozenset[str]:
    """The currencies that a code or a symbol may mean."""
    word = (clean_text(text) or "").removesuffix(".").strip()
    return frozenset({word.upper()} & _currencies() or _SYMBOLS.get(word.lower(), "").split())


def _choose(candidates: frozenset[str], country: str | None, locale: str) -> str | None:
    """The only candidate, or the only one in use in the country, or else in the country of the locale."""
    territory = Locale.parse(locale).territory
    for remaining in (candidates, candidates & _in_use(country), candidates & _in_use(territory)):
        if len(remaining) == 1:
            return next(iter(remaining))
    return None


@cache
def _in_use(country: str | None) -> frozenset[str]:
    return frozenset(get_territory_currencies(country)) if country else frozenset()


@cache
def _currencies() -> frozenset[str]:
    return frozenset(currency.alpha_3 for currency in pycountry.currencies) - {"XXX", "XTS"}  # no currency, and tests


def _amount(text: str | None, locale: str, *, typed: bool) -> tuple[Decimal | None, frozenset[str], _Notes]:
    """(amount, candidates for the currency next to it, notes)."""
    if text is None:
        return None, frozenset(), ()
    number, adjacent, is_notation = (_decimal(text), frozenset[str](), False) if typed else _parse(text, locale)
    if number is None:
        return None, adjacent, (note("price", "price_unreadable", text, None),)
    if not 0 <= number <= _MAX:
        return None, adjacent, (note("price", "price_out_of_range", text, None),)
    rounded = round(number, _SCALE)
    if typed and 0 < abs(number - rounded) <= _FLOAT_NOISE * number:
        return rounded, adjacent, (note("price", "price_rounded", text, rounded),)
    if number != rounded:
        return None, adjacent, (note("price", "price_too_fine", text, None),)
    return rounded, adjacent, (note("price", "price_notation", text, rounded),) if is_notation else ()


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _parse(text: str, locale: str) -> tuple[Decimal | None, frozenset[str], bool]:
    """(amount, candidates for the currency next to it, whether it is in another notation than the locale's)."""
    cleaned = clean_text(text) or ""
    folded = _without_dash(_with_separators_of(locale, fold_to_ascii(cleaned)))
    match = _AMOUNT.fullmatch(folded)
    if match is None:
        return None, frozenset(), False
    words = [word for word in (match["before"], match["after"]) if word]
    adjacent = frozenset.intersection(*map(_candidates, words)) if words else frozenset[str]()
    if words and not adjacent:
        return None, frozenset(), False
    number = _local_number(match["number"], locale)
    evident = None if number is not None else _evident_number(match["number"])
    is_notation = bool(words) or evident is not None or folded != cleaned
    return number if evident is None else evident, adjacent, is_notation


def _with_separators_of(locale: str, text: str) -> str:
    # The Arabic separators are unambiguous, while a point may be either, depending on the locale.
    return text.replace("٬", get_group_symbol(locale)).replace("٫", get_decimal_symbol(locale))


def _without_dash(text: str) -> str:
    """12,- becomes 12; but 1.200,- becomes 1.200,00, since its comma shows that the point separates groups."""
    dash = _DASH.search(text)
    if dash is None:
        return text
    before, after = text[: dash.start()], text[dash.end() :]
    group = _LAST_GROUP.search(before)
    return before + (f"{dash[1]}00" if dash[1] and group and group[1] != dash[1] else "") + after


def _local_number(text: str, locale: str) -> Decimal | None:
    # Strict, since babel otherwise reads `1,5` in English as 15.
    try:
        return _decimal(str(parse_decimal(_with_group_symbol(text, locale), locale=locale, strict=True)))
    except (NumberFormatError, InvalidOperation):  # the latter for more digits than a decimal context has
        return None


def _evident_number(text: str) -> Decimal | None:
    match = _EVIDENT.fullmatch(text)
    return Decimal(f"{match[1]}{re.sub('[^0-9]', '', match[2])}.{match[4]}") if match else None


def _with_group_symbol(text: str, locale: str) -> str:
    # Some locales separate groups with a special space or apostrophe, where people type the ordinary one.
    symbol = get_group_symbol(locale)
    typed = " " if symbol.isspace() else "'" if symbol == "’" else symbol
    return text.replace(typed, symbol)
