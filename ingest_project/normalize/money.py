"""Amounts in the locale that the branch declares, in a currency or not at all."""

import re
from decimal import Decimal, InvalidOperation
from functools import cache

import pycountry
from babel.numbers import NumberFormatError, get_group_symbol, parse_decimal

from ingest_project.normalize.columns import Verdict, note
from ingest_project.normalize.text import cleaned

_SYMBOLS = {"€": "EUR", "£": "GBP", "₹": "INR", "₽": "RUB", "₩": "KRW", "₺": "TRY", "₴": "UAH", "zł": "PLN"}
_AMOUNT = re.compile(r"-?[0-9][0-9.,'’ ]*")
_SCALE = 4
_MOST = Decimal("9999999999.9999")
_NOISE = Decimal("1e-6")  # of a float's arithmetic, or of half the usual width


def price(amount: str | None, currency: str | None, *, locale: str, typed: bool, fixed: bool) -> Verdict:
    """(price, currency). `typed`: the source has numbers, not text; `fixed`: the currency is the branch's own."""
    code, told = _currency(currency)
    number, also = _amount(amount, locale, typed=typed)
    if number is not None and code is None:
        return Verdict((None, None), (*told, note("price", "price_without_currency", amount, None)))
    if number is None and code is not None:
        alone = () if fixed else (note("currency", "currency_without_price", currency, None),)
        return Verdict((None, None), (*also, *alone))
    return Verdict((number, code), (*also, *told))


def _currency(text: str | None) -> tuple[str | None, tuple[str, ...]]:
    if text is None or text in _currencies():
        return text, ()
    found = (cleaned(text) or "").upper()
    code = found if found in _currencies() else _SYMBOLS.get(found.lower())
    return code, (note("currency", "currency_recognised" if code else "currency_unknown", text, code),)


@cache
def _currencies() -> frozenset[str]:
    return frozenset(currency.alpha_3 for currency in pycountry.currencies) - {"XXX", "XTS"}  # none, and a test


def _amount(text: str | None, locale: str, *, typed: bool) -> tuple[Decimal | None, tuple[str, ...]]:
    if text is None:
        return None, ()
    number = _typed(text) if typed else _written(cleaned(text) or "", locale)
    if number is None:
        return None, (note("price", "price_unreadable", text, None),)
    if not 0 <= number <= _MOST:
        return None, (note("price", "price_out_of_range", text, None),)
    found = round(number, _SCALE)
    if typed and 0 < abs(number - found) <= _NOISE * number:
        return found, (note("price", "price_rounded", text, found),)
    return (found, ()) if number == found else (None, (note("price", "price_too_fine", text, None),))


def _typed(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _written(text: str, locale: str) -> Decimal | None:
    # Strict: `1,5` read loosely in English becomes 15.
    if not _AMOUNT.fullmatch(text):
        return None
    try:
        return _typed(str(parse_decimal(_grouped(text, locale), locale=locale, strict=True)))
    except NumberFormatError:
        return None


def _grouped(text: str, locale: str) -> str:
    # Groups are parted by a space or an apostrophe of the locale's own; people type the plain ones.
    group = get_group_symbol(locale)
    plain = " " if group.isspace() else "'" if group == "’" else group
    return text.replace(plain, group)
