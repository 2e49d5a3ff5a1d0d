"""Fits a guess, made from the names of columns, to the values of their first rows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from ingest_project.guess.columns import Guess, decimal_comma_locale, has_words_of_decimal_comma
from ingest_project.guess.inspection import Inspection
from ingest_project.normalize.geometry import point
from ingest_project.normalize.money import price
from ingest_project.normalize.status import status
from ingest_project.normalize.times import read_time

_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]{1,3}(\.[0-9]{3})*,[0-9]+")
_COMMA_THOUSANDS = re.compile(r"[-+]?[1-9][0-9]{0,2}(,[0-9]{3})+")  # of an amount: 1,234 is a decimal comma to few
_POINT_THOUSANDS = re.compile(r"[-+]?[1-9][0-9]{0,2}(\.[0-9]{3})+")  # an amount where commas part decimals
_DECIMAL_POINT = re.compile(r"[-+]?[0-9]+([0-9,]*\.[0-9]{1,2}|(,[0-9]{3}){2,})")  # 12.50, 1,234.50, 1,234,567
_NOT_NUMBER = re.compile(r"^[^0-9+-]+|[^0-9]+$")  # a currency before or behind an amount
_METRES = re.compile(r"[-+]?[0-9]{5,}([.,][0-9]+)?")
_GEOJSON_TYPE = "Feature"  # as the `type` of each row
_COORDINATES = ("latitude", "longitude")
_PRICE = ("price", "currency")
_ZONE = ZoneInfo("UTC")
_DATES = ("%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y")
_HOURS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_EPOCHS = {10: "epoch_s", 13: "epoch_ms"}  # by the count of digits, for times of our years


def fit(
    guess: Guess, inspection: Inspection, given_fields: Sequence[str], settings: Mapping[str, Any]
) -> tuple[Guess, dict[str, Any]]:
    """The guess without what the samples contradict, and the settings with those that the samples suggest.

    A column that is left out is kept in attributes, as it is. `given_fields` are those that a person mapped.
    """
    settings = {**_guess_locale(guess, inspection), **settings}
    mapping = {
        field: column
        for field, column in guess.mapping.items()
        if field in given_fields or _fits(field, guess, inspection)
    }
    unpaired_price = guess.unpaired.get("price")
    if "price" not in given_fields and "locale" not in settings and _is_price_ambiguous(guess, inspection):
        mapping = {field: column for field, column in mapping.items() if field not in _PRICE}
    elif unpaired_price and _has_currencies(inspection.samples.get(unpaired_price, []), settings):
        mapping["price"] = unpaired_price
    if _has_points(mapping, guess, inspection, given_fields):
        mapping |= dict.fromkeys(_COORDINATES, guess.points or "")
    time_format = settings.get("time_format") or _guess_time_format(inspection.samples.get(guess.updated_at or "", []))
    if time_format and guess.updated_at:
        settings["time_format"] = time_format
    is_time = time_format != "" or "updated_at" in given_fields
    return replace(guess, mapping=mapping, updated_at=guess.updated_at if is_time else None), settings


def _fits(field: str, guess: Guess, inspection: Inspection) -> bool:
    samples = inspection.samples[guess.mapping[field]]
    if field == "status":
        return any(status(text).values[0] for text in samples)
    if field == "category":
        return samples != [_GEOJSON_TYPE]
    if field in _COORDINATES:  # metres of a grid in either speak against both, but for a few wrong values
        both = [inspection.samples[guess.mapping[name]] for name in _COORDINATES if name in guess.mapping]
        return not any(2 * sum(map(_is_metres, column)) > len(column) for column in both)
    return True


def _is_metres(text: str) -> bool:
    return bool(_METRES.fullmatch(text.strip()))


def _has_points(mapping: Mapping[str, str], guess: Guess, inspection: Inspection, given_fields: Sequence[str]) -> bool:
    """Whether one column holds both coordinates, and no columns of their own do; corners of a box are none: rounded.

    Most values must be points, since "12/5" may stand among streets. Arrays are none: GeoJSON's order is not a pair's.
    """
    own_columns = [mapping[field] for field in _COORDINATES if field in mapping]
    samples = inspection.samples.get(guess.points or "", [])
    if set(_COORDINATES) & set(given_fields) or not all(column.startswith("bbox.") for column in own_columns):
        return False
    if any(text.lstrip().startswith("[") for text in samples):
        return False
    return 2 * sum(point(None, text).values[0] is not None for text in samples) > len(samples)


def _guess_locale(guess: Guess, inspection: Inspection) -> dict[str, str]:
    coordinates = [text for field in _COORDINATES for text in _numbers(field, guess, inspection)]
    with_comma = [text for text in coordinates if _DECIMAL_COMMA.fullmatch(text)]
    prices = _numbers("price", guess, inspection)
    prices_with_point = [text for text in prices if _DECIMAL_POINT.fullmatch(text)]
    prices_with_comma = [text for text in prices if _has_decimal_comma(text, inspection)]
    # One slip among coordinates does not count; but where no price has a point, a comma harms none of them.
    has_decimal_comma = (
        2 * len(with_comma) > len(coordinates)
        or len(prices_with_comma) > len(prices_with_point)
        or bool(with_comma and not prices_with_point)
    )
    return {"locale": decimal_comma_locale(inspection.columns)} if has_decimal_comma else {}


def _has_decimal_comma(price: str, inspection: Inspection) -> bool:
    if _POINT_THOUSANDS.fullmatch(price):
        return has_words_of_decimal_comma(inspection.columns)
    return bool(_DECIMAL_COMMA.fullmatch(price)) and not _COMMA_THOUSANDS.fullmatch(price)


def _is_price_ambiguous(guess: Guess, inspection: Inspection) -> bool:
    """Whether 1,234 may be either, under names of a language with a decimal comma: then it is kept as it is."""
    prices = _numbers("price", guess, inspection)
    has_point = any(_DECIMAL_POINT.fullmatch(text) for text in prices)
    may_be_either = any(_COMMA_THOUSANDS.fullmatch(text) for text in prices) and not has_point
    return may_be_either and has_words_of_decimal_comma(inspection.columns)


def _numbers(field: str, guess: Guess, inspection: Inspection) -> list[str]:
    column = guess.mapping.get(field) or guess.unpaired.get(field, "")
    return [_NOT_NUMBER.sub("", text) for text in inspection.samples.get(column, [])]


def _has_currencies(samples: Sequence[str], settings: Mapping[str, Any]) -> bool:
    country, locale = settings.get("country"), settings.get("locale", "en")
    return bool(samples) and all(
        price(country, text, None, locale=locale, typed=False, fixed=False).values[1] for text in samples
    )


def _guess_time_format(samples: Sequence[str]) -> str | None:
    """None where times are ISO 8601, or there are none; empty where no format reads them all, or several do.

    Where some are ISO 8601, which is read beside any format, the one that reads all others is told.
    """
    iso_times = [text for text in samples if read_time(text, _ZONE).values[0]]
    if len(iso_times) == len(samples):
        return None
    digits = {len(text.strip()) for text in samples if text.strip().isdecimal()}
    epochs = [_EPOCHS[count] for count in digits if count in _EPOCHS]
    if len(epochs) > 1:  # seconds among milliseconds, which would be of 1970
        return ""
    formats = [*epochs, *(date + hour for date, hour in product(_DATES, _HOURS))]
    fitting = [format_ for format_ in formats if all(read_time(text, _ZONE, format_).values[0] for text in samples)]
    return fitting[0] if len(fitting) == 1 else None if iso_times else ""
