"""Countries, regions and postal codes: recognised by lists, never by likeness."""

import pycountry
import pytest

from ingest_project.normalize import address
from ingest_project_tests.normalize.pages import outcome, part, row, rows_of

RECOGNISED, UNKNOWN = ["country_recognised"], ["country_unknown"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("UK", "GB"),
        ("England", "GB"),
        ("Great Britain", "GB"),
        ("Russia", "RU"),
        ("Turkey", "TR"),
        ("Türkiye", "TR"),
        ("Ivory Coast", "CI"),
        ("Côte d’Ivoire", "CI"),
        ("Côte d'Ivoire", "CI"),
        ("Cote dIvoire", "CI"),
        ("U.S.A.", "US"),
        ("usa ", "US"),
        ("us", "US"),
        ("Namibia", "NA"),
        ("na", "NA"),
        ("Kosovo", "XK"),
        ("EL", "GR"),
        ("Deutschland", "DE"),
        ("Allemagne", "DE"),
        ("Россия", "RU"),
        ("日本", "JP"),
        ("Ελλάδα", "GR"),
        ("DEU", "DE"),
        ("Österreich", "AT"),
        ("Georgia", "GE"),
        ("Guinea", "GN"),
        ("Niger", "NE"),
        ("South Korea", "KR"),
        ("Macau", "MO"),
        ("The Gambia", "GM"),
        ("St. Lucia", "LC"),
        ("\u200bDE", "DE"),
        ("Curac\u0327ao", "CW"),
        ("Eesti", "EE"),
        ("Latvija", "LV"),
        ("Lietuva", "LT"),
        ("Magyarország", "HU"),
        ("भारत", "IN"),
        ("대한민국", "KR"),
        ("한국", "KR"),
        ("مصر", "EG"),
        ("РФ", "RU"),
        ("台灣", "TW"),
        ("Česká republika", "CZ"),
        ("Çin", "CN"),  # China in Turkish
        *((code, "DE") for code in ("🇩🇪 DE", "«DE»", "“DE”", "DE–", "DE…")),
    ],
)
def test_a_country_is_recognised_by_its_names(given: str, expected: str) -> None:
    assert outcome("country_code", given) == (expected, RECOGNISED)


@pytest.mark.parametrize("code", ["GB", "NA", "XK", "CD", "US"])
def test_a_code_is_kept_without_a_word(code: str) -> None:
    assert outcome("country_code", code) == (code, [])


@pytest.mark.parametrize(
    "given",
    [
        "XX",
        "ZZ",
        "AN",
        "SU",
        "EU",
        "?",
        "276",
        "D",
        "N.A.",
        "Kosov",
        "Virgin Islands",
        "Cin",  # a code has other letters, a name its cedilla
        "Áo",  # Austria in Vietnamese; AO is Angola
        "भरत",  # without its vowel it is a man, not India
    ],
)
def test_what_is_no_country_is_set_aside(given: str) -> None:
    assert outcome("country_code", given) == (None, UNKNOWN)


@pytest.mark.parametrize("code", sorted(country.alpha_2 for country in pycountry.countries))
def test_every_country_is_found_by_its_three_letters_and_its_name(code: str) -> None:
    country = pycountry.countries.get(alpha_2=code)
    assert country is not None
    for text in (country.alpha_3, country.name, country.alpha_2.lower(), country.name.upper()):
        assert address.country(text).values == (code,)


def test_a_country_code_says_what_it_was() -> None:
    assert row({"country_code": "UK"}).issues == [
        {"field": "country_code", "code": "country_recognised", "from": "UK", "to": "GB"}
    ]


REGIONS = [
    ("US", "US-CA", "US-CA", []),
    ("US", "CA", "US-CA", ["region_recognised"]),
    ("US", "California", "US-CA", ["region_recognised"]),
    ("US", "CALIFORNIA", "US-CA", ["region_recognised"]),
    ("US", "us-ca", "US-CA", ["region_recognised"]),
    ("US", " CA ", "US-CA", ["region_recognised"]),
    ("US", "CA-ON", None, ["region_of_other_country"]),
    ("US", "Ontario", None, ["region_unknown"]),
    ("US", "XX", None, ["region_unknown"]),
    ("US", "US-ZZ", None, ["region_unknown"]),
    ("CA", "CA", None, ["region_unknown"]),
    ("CA", "ON", "CA-ON", ["region_recognised"]),
    ("CA", "Quebec", "CA-QC", ["region_recognised"]),
    ("CA", "Québec", "CA-QC", ["region_recognised"]),
    ("GB", "ENG", "GB-ENG", ["region_recognised"]),
    ("GB", "England", "GB-ENG", ["region_recognised"]),
    ("DE", "Bayern", "DE-BY", ["region_recognised"]),
    ("FR", "75C", "FR-75C", ["region_recognised"]),
    ("NA", "KH", "NA-KH", ["region_recognised"]),
    ("XK", "XK-01", None, ["region_unknown"]),
    (None, "US-CA", "US-CA", []),
    (None, "CA", None, ["region_unknown"]),
    (None, "California", None, ["region_unknown"]),
    ("US", "", None, []),
]


@pytest.mark.parametrize(("country", "given", "expected", "codes"), REGIONS)
def test_a_region_is_one_of_its_country(
    country: str | None, given: str, expected: str | None, codes: list[str]
) -> None:
    found = row({"country_code": country, "region_code": given})
    assert (found["region_code"], found.codes) == (expected, [f"region_code: {code}" for code in codes])


@pytest.mark.parametrize(
    ("country", "name", "expected"),
    [("US", "California", "US-CA"), ("US", "Narnia", None), (None, "California", None), ("US", "", None)],
)
def test_a_region_name_tells_its_code_and_is_kept_in_silence(country: str, name: str, expected: str | None) -> None:
    found = row({"country_code": country, "region_name": name})
    assert (found["region_name"], found["region_code"], found.codes) == (name or None, expected, [])


def test_a_mapped_region_code_goes_before_the_name() -> None:
    found = row({"country_code": "US", "region_name": "California", "region_code": "NV"})
    assert (found["region_name"], found["region_code"]) == ("California", "US-NV")


POSTAL = [
    ("US", "02139", "02139", []),
    ("US", "2139", "02139", ["postal_code_repaired"]),
    ("US", "501", "00501", ["postal_code_repaired"]),
    ("US", "12345-", "12345", ["postal_code_repaired"]),
    ("US", "123456789", "12345-6789", ["postal_code_repaired"]),
    ("US", "12345-6789", "12345-6789", []),
    ("US", "94103.0", "94103", ["postal_code_repaired"]),
    ("US", "2139.0", "02139", ["postal_code_repaired"]),
    ("US", "CA", "CA", ["postal_code_unusual"]),
    ("US", "94 103", "94103", ["postal_code_reformatted"]),
    ("IN", "110 001", "110001", ["postal_code_reformatted"]),
    ("BR", "70.040-912", "70040-912", ["postal_code_reformatted"]),
    ("DE", "10.115", "10115", ["postal_code_reformatted"]),
    ("DE", "101.15", "101.15", ["postal_code_unusual"]),  # a price, or half a point
    ("US", "1234.5", "1234.5", ["postal_code_unusual"]),
    ("DK", "12.34", "12.34", ["postal_code_unusual"]),
    ("DE", "12345.678", "12345.678", ["postal_code_unusual"]),
    ("DE", "10 11", "10 11", ["postal_code_unusual"]),
    ("US", "12", "12", ["postal_code_unusual"]),
    ("DE", "1067", "1067", ["postal_code_unusual"]),  # leading zeros are put back for the US only
    ("DE", "01067", "01067", []),
    ("DE", "01067.0", "01067", ["postal_code_repaired"]),
    ("DE", "123456789", "123456789", ["postal_code_unusual"]),
    ("CA", "K1A 0B1", "K1A 0B1", []),
    ("CA", "k1a0b1", "k1a0b1", []),
    ("CA", "90210", "90210", ["postal_code_unusual"]),
    ("GB", "SW1A 1AA", "SW1A 1AA", []),
    ("GB", " SW1A\u00a01AA", "SW1A 1AA", ["whitespace_folded"]),
    ("NL", "1234AB", "1234AB", []),
    ("XK", "10000", "10000", []),
    ("XK", "anything", "anything", ["postal_code_unusual"]),
    (None, "2139", "2139", []),
    (None, "94103.0", "94103", ["postal_code_repaired"]),
    (None, "x" * 20, "x" * 20, []),
    (None, "x" * 21, None, ["too_long"]),
    ("US", "", None, []),
]


@pytest.mark.parametrize(("country", "given", "expected", "codes"), POSTAL)
def test_a_postal_code_is_text_and_repaired_only_where_a_spreadsheet_broke_it(
    country: str | None, given: str, expected: str | None, codes: list[str]
) -> None:
    found = row({"country_code": country, "postal_code": given})
    assert (found["postal_code"], found.codes) == (expected, [f"postal_code: {code}" for code in codes])


@pytest.mark.parametrize(("given", "expected"), [(2139, "02139"), (2139.0, "02139"), (94103, "94103")])
def test_a_postal_code_that_came_as_a_number_is_text_again(given: float, expected: str) -> None:
    assert row({"country_code": "US", "postal_code": given})["postal_code"] == expected


@pytest.mark.parametrize(
    ("given", "expected", "codes"),
    [
        ("FR", "FR", []),
        ("", "US", []),
        (None, "US", []),
        ("Narnia", None, ["country_code: country_unknown"]),  # it names one, only not one that we know
        ("UK", "GB", ["country_code: country_recognised"]),
    ],
)
def test_the_branch_country_is_for_rows_that_name_none(given: str, expected: str | None, codes: list[str]) -> None:
    found = row({"country_code": given}, country="US")
    assert (found["country_code"], found.codes) == (expected, codes)


def test_the_branch_country_reads_regions_postal_codes_and_phones() -> None:
    found = row({"region_code": "CA", "postal_code": "2139", "phone": "617-253-1000"}, country="US")
    assert (found["country_code"], found["region_code"], found["postal_code"], found["phone"]) == (
        "US",
        "US-CA",
        "02139",
        "+16172531000",
    )


def test_each_row_is_judged_in_its_own_country() -> None:
    countries, regions = ["US", "CA", None, "US"], ["CA", "ON", "CA", "ON"]
    found = rows_of(part({"country_code": countries, "region_code": regions}))
    assert [one["region_code"] for one in found] == ["US-CA", "CA-ON", None, None]
