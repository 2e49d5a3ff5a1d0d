"""What the first rows of a source say about a guess that was made from the names of its columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from ingest_project.branches.guess import Guess, decimal_comma_locale
from ingest_project.extract.look import Look
from ingest_project.normalize.geometry import point
from ingest_project.normalize.money import price
from ingest_project.normalize.status import status
from ingest_project.normalize.times import read_time

_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]{1,3}(\.[0-9]{3})*,[0-9]+")
_METRES = re.compile(r"[-+]?[0-9]{5,}([.,][0-9]+)?")
_NUMBERS = ("latitude", "longitude", "price")
_PLACE = ("latitude", "longitude")
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
    if alone and _names_currency(seen.samples.get(alone, []), settings):
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
    if field in ("latitude", "longitude"):  # metres of a grid in either speak against both
        both = [seen.samples[made.mapping[name]] for name in ("latitude", "longitude") if name in made.mapping]
        return not any(_METRES.fullmatch(one.strip()) for samples in both for one in samples)
    return True


def _holds_points(mapping: Mapping[str, str], made: Guess, seen: Look, said: Sequence[str]) -> bool:
    """Whether whole places stand in one column, and there are no better ones: corners of a box are rounded."""
    better = [mapping[field] for field in _PLACE if field in mapping and not mapping[field].startswith("bbox.")]
    samples = seen.samples.get(made.points or "", [])
    is_open = not better and not set(_PLACE) & set(said)
    return is_open and any(point(None, one).values[0] is not None for one in samples)


def _locale(made: Guess, seen: Look) -> dict[str, str]:
    columns = [made.mapping.get(field) or made.lonely.get(field, "") for field in _NUMBERS]
    samples = [one for column in columns for one in seen.samples.get(column, [])]
    has_comma = any(_DECIMAL_COMMA.fullmatch(one.strip(" €")) for one in samples)
    return {"locale": decimal_comma_locale(seen.columns)} if has_comma else {}


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
