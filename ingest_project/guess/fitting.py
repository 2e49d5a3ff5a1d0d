"""What the first rows of a source say about a guess that was made from the names of its columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from ingest_project.guess.columns import Guess, decimal_comma_locale, has_words_of_decimal_comma
from ingest_project.guess.look import Look
from ingest_project.normalize.geometry import point
from ingest_project.normalize.money import price
from ingest_project.normalize.status import status
from ingest_project.normalize.times import read_time

_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]{1,3}(\.[0-9]{3})*,[0-9]+")
_THOUSANDS = re.compile(r"[-+]?[1-9][0-9]{0,2}(,[0-9]{3})+")  # of an amount: 1,234 is a decimal comma to few
_DOTTED = re.compile(r"[-+]?[1-9][0-9]{0,2}(\.[0-9]{3})+")  # an amount where commas part decimals
_POINTED = re.compile(r"[-+]?[0-9]+([0-9,]*\.[0-9]{1,2}|(,[0-9]{3}){2,})")  # 12.50, 1,234.50, 1,234,567
_BESIDE = re.compile(r"^[^0-9+-]+|[^0-9]+$")  # a currency
_METRES = re.compile(r"[-+]?[0-9]{5,}([.,][0-9]+)?")
_GEOJSON = "Feature"  # as the `type` of each row
_PLACE = ("latitude", "longitude")
_PRICE = ("price", "currency")
_ZONE = ZoneInfo("UTC")
_DAYS = ("%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y")
_HOURS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_EPOCHS = {10: "epoch_s", 13: "epoch_ms"}  # digits of a time of our years


def fitted(made: Guess, seen: Look, said: Sequence[str], given: Mapping[str, Any]) -> tuple[Guess, dict[str, Any]]:
    """The guess without what its samples speak against, and the settings that they speak for.

    What is left out is kept as attributes, as it is. `said` are fields, and `given` settings, that a person named.
    """
    settings = {**_locale(made, seen), **given}
    mapping = {field: column for field, column in made.mapping.items() if field in said or _fits(field, made, seen)}
    alone = made.lonely.get("price")
    if "price" not in said and "locale" not in settings and _is_price_in_doubt(made, seen):
        mapping = {field: column for field, column in mapping.items() if field not in _PRICE}
    elif alone and _names_currency(seen.samples.get(alone, []), settings):
        mapping["price"] = alone
    if _holds_points(mapping, made, seen, said):
        mapping |= dict.fromkeys(_PLACE, made.points or "")
    form = settings.get("time_format") or _time_format(seen.samples.get(made.updated_at or "", []))
    keeps_time = form != "" or "updated_at" in said
    told = {"time_format": form} if form and made.updated_at else {}
    return replace(made, mapping=mapping, updated_at=made.updated_at if keeps_time else None), {**settings, **told}


def _fits(field: str, made: Guess, seen: Look) -> bool:
    if field == "status":
        return any(status(one).values[0] for one in seen.samples[made.mapping[field]])
    if field == "category":
        return seen.samples[made.mapping[field]] != [_GEOJSON]
    if field in _PLACE:  # metres of a grid, but for a few wrong ones, in either speak against both
        both = [seen.samples[made.mapping[name]] for name in _PLACE if name in made.mapping]
        return not any(2 * sum(map(_is_metres, samples)) > len(samples) for samples in both)
    return True


def _is_metres(text: str) -> bool:
    return bool(_METRES.fullmatch(text.strip()))


def _holds_points(mapping: Mapping[str, str], made: Guess, seen: Look, said: Sequence[str]) -> bool:
    """Whether whole places stand in one column, and there are no better ones: corners of a box are rounded.

    Most values must be places, since "12/5" may stand among streets. Arrays are none: GeoJSON's order is not a pair's.
    """
    better = [mapping[field] for field in _PLACE if field in mapping and not mapping[field].startswith("bbox.")]
    samples = seen.samples.get(made.points or "", [])
    if better or set(_PLACE) & set(said) or any(one.lstrip().startswith("[") for one in samples):
        return False
    return 2 * sum(point(None, one).values[0] is not None for one in samples) > len(samples)


def _locale(made: Guess, seen: Look) -> dict[str, str]:
    places = [one for field in _PLACE for one in _numbers(field, made, seen)]
    commas = [one for one in places if _DECIMAL_COMMA.fullmatch(one)]
    prices = _numbers("price", made, seen)
    pointed = [one for one in prices if _POINTED.fullmatch(one)]
    others = [one for one in prices if _has_decimal_comma(one, seen)]
    # One slip among places is no way to write; but where no price has a point, a comma harms none of them.
    most = 2 * len(commas) > len(places) or len(others) > len(pointed) or bool(commas and not pointed)
    return {"locale": decimal_comma_locale(seen.columns)} if most else {}


def _has_decimal_comma(price: str, seen: Look) -> bool:
    if _DOTTED.fullmatch(price):
        return has_words_of_decimal_comma(seen.columns)
    return bool(_DECIMAL_COMMA.fullmatch(price)) and not _THOUSANDS.fullmatch(price)


def _is_price_in_doubt(made: Guess, seen: Look) -> bool:
    """Whether 1,234 may be either, under names of a language with a decimal comma: then it is kept as it is."""
    prices = _numbers("price", made, seen)
    is_pointed = any(_POINTED.fullmatch(one) for one in prices)
    is_either = any(_THOUSANDS.fullmatch(one) for one in prices) and not is_pointed
    return is_either and has_words_of_decimal_comma(seen.columns)


def _numbers(field: str, made: Guess, seen: Look) -> list[str]:
    column = made.mapping.get(field) or made.lonely.get(field, "")
    return [_BESIDE.sub("", one) for one in seen.samples.get(column, [])]


def _names_currency(samples: Sequence[str], settings: Mapping[str, Any]) -> bool:
    country, locale = settings.get("country"), settings.get("locale", "en")
    return bool(samples) and all(
        price(country, one, None, locale=locale, typed=False, fixed=False).values[1] for one in samples
    )


def _time_format(samples: Sequence[str]) -> str | None:
    """None where times are ISO 8601, or nothing is known of them; blank where nothing reads them, or two things do."""
    if not samples or any(read_time(one, _ZONE).values[0] for one in samples):
        return None
    digits = {len(one.strip()) for one in samples if one.strip().isdecimal()}
    epochs = [_EPOCHS[count] for count in digits if count in _EPOCHS]
    forms = [*epochs, *(day + hour for day, hour in product(_DAYS, _HOURS))]
    fitting = [form for form in forms if all(read_time(one, _ZONE, form).values[0] for one in samples)]
    return fitting[0] if len(fitting) == 1 else ""
