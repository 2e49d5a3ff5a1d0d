"""Coordinates: decimal degrees, both or neither, and never a number that stands for 'unknown'."""

import math
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pycountry
import pytest

from ingest_project.normalize import borders
from ingest_project.normalize.geo import SENTINELS, degrees
from ingest_project_tests.normalize.pages import Row, part, row, rows_of

LAT, LON = "latitude: ", "longitude: "
UNREADABLE = [LAT + "coordinate_unreadable", LON + "coordinate_unpaired"]


def _place(latitude: object, longitude: object, **settings: object) -> tuple[Any, Any, list[str]]:
    found: Row = row({"latitude": latitude, "longitude": longitude}, **settings)
    return found["latitude"], found["longitude"], found.codes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45.5", 45.5),
        ("+45.5", 45.5),
        ("-45.5", -45.5),
        ("45.", 45.0),
        (".5", 0.5),
        ("00045.5", 45.5),
        (" 45.5 ", 45.5),
        ("45.5\u00a0", 45.5),
        ("\ufeff45.5", 45.5),
        ("1e-5", 1e-05),
        ("1.5E-05", 1.5e-05),
        ("0", 0.0),
        ("-0", 0.0),
        ("-0.0", 0.0),
        ("90", 90.0),
        ("-90", -90.0),
        ("45.123456789012345678901", 45.123456789012344),
    ],
)
def test_a_decimal_latitude_is_read_without_a_word(text: str, expected: float) -> None:
    latitude, longitude, codes = _place(text, "13.4")
    assert (latitude, longitude, codes) == (expected, 13.4, [])
    assert math.copysign(1, latitude) == math.copysign(1, expected)


@pytest.mark.parametrize(
    "text",
    [
        *("1_000.5", "4_5", "1e1", "1e400", "1e+2", "NaN", "inf", "-Infinity", "True", "0x10"),
        *("٤٥ ١٠", "٤٬٥", "45,21", "45,190", "45.5,13.4", "45.5 13.4", "12345678", ".", "abc", "45:30:15"),
        *("75'", "45.5°30'N", "45°60'N", "45°30'60\"N", "N45N", "E 45", "45.5W", "-45N", "45 30", "4530'N"),
    ],
)
def test_a_latitude_that_is_no_number_of_degrees_is_set_aside_with_its_longitude(text: str) -> None:
    assert _place(text, "13.4") == (None, None, UNREADABLE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45.5°", 45.5),
        ("45.5 N", 45.5),
        ("52.5200° N", 52.52),
        ("45°30'N", 45.5),
        ("45° 30′ N", 45.5),
        ("N 45°30'15\"", 45.504166666667),
        ("45°30'15\"S", -45.504166666667),
        ("45°30'15''S", -45.504166666667),
        ("45 30 15 N", 45.504166666667),
        ("45 30.25 N", 45.504166666667),
        ("-45°30'", -45.5),
        ("0°0'1\"S", -0.000277777778),
    ],
)
def test_degrees_minutes_and_seconds_are_read_and_told(text: str, expected: float) -> None:
    assert _place(text, "13.4") == (expected, 13.4, [LAT + "coordinate_notation"])


@pytest.mark.parametrize(
    ("text", "expected"), [("13.4E", 13.4), ("W013°24'", -13.4), ("179°59'59.9\"W", -179.999972222222)]
)
def test_a_longitude_has_its_own_hemispheres(text: str, expected: float) -> None:
    assert _place("45", text) == (45.0, expected, [LON + "coordinate_notation"])


@pytest.mark.parametrize("value", sorted({*SENTINELS, *(-one for one in SENTINELS)} - {99.9999, -99.9999}))
def test_a_number_that_stands_for_unknown_is_set_aside(value: float) -> None:
    both = [LAT + "coordinate_sentinel", LON + "coordinate_sentinel"]
    assert _place(str(value), str(value)) == (None, None, both)
    assert _place(value, value) == (None, None, both)


@pytest.mark.parametrize(
    ("latitude", "longitude", "codes"),
    [
        ("0", "0", [LAT + "null_island", LON + "null_island"]),
        ("-0.0", "0.000", [LAT + "null_island", LON + "null_island"]),
        ("120", "45", [LAT + "coordinates_swapped", LON + "coordinates_swapped"]),
        ("-122.4", "37.8", [LAT + "coordinates_swapped", LON + "coordinates_swapped"]),
        ("90.0000001", "13", [LAT + "coordinates_swapped", LON + "coordinates_swapped"]),
        ("91", "91", [LAT + "coordinate_out_of_range", LON + "coordinate_unpaired"]),
        ("91", "181", [LAT + "coordinate_out_of_range", LON + "coordinate_out_of_range"]),
        ("45", "200", [LAT + "coordinate_unpaired", LON + "coordinate_out_of_range"]),
        ("45", "180.0000001", [LAT + "coordinate_unpaired", LON + "coordinate_out_of_range"]),
        ("45", "-9999", [LAT + "coordinate_unpaired", LON + "coordinate_sentinel"]),
        ("-9999", "13", [LAT + "coordinate_sentinel", LON + "coordinate_unpaired"]),
        ("99.9999", "20", [LAT + "coordinate_sentinel", LON + "coordinate_unpaired"]),
        ("45", "", [LAT + "coordinate_unpaired"]),
        ("", "45", [LON + "coordinate_unpaired"]),
        ("abc", "xyz", [LAT + "coordinate_unreadable", LON + "coordinate_unreadable"]),
        ("abc", "", [LAT + "coordinate_unreadable"]),
        ("", " ", []),
    ],
)
def test_a_pair_that_is_no_place_is_set_aside(latitude: str, longitude: str, codes: list[str]) -> None:
    assert _place(latitude, longitude) == (None, None, codes)


EXCHANGED = [LAT + "coordinates_exchanged", LON + "coordinates_exchanged"]
ELSEWHERE = [LAT + "coordinates_elsewhere", LON + "coordinates_elsewhere"]


@pytest.mark.parametrize(
    ("country", "latitude", "longitude", "expected"),
    [
        ("DE", "52.5", "13.4", (52.5, 13.4, [])),
        ("DE", "13.4", "52.5", (52.5, 13.4, EXCHANGED)),
        ("DE", 13.4, 52.5, (52.5, 13.4, EXCHANGED)),
        ("US", "-122.4", "37.8", (37.8, -122.4, EXCHANGED)),
        ("JP", "139.8", "35.7", (35.7, 139.8, EXCHANGED)),
        ("BR", "-46.6", "-23.5", (-23.5, -46.6, EXCHANGED)),
        ("FR", "55.5", "-21.1", (-21.1, 55.5, EXCHANGED)),  # Réunion, as France
        ("RE", "-21.1", "55.5", (-21.1, 55.5, [])),
        ("FR", "-21.1", "55.5", (-21.1, 55.5, [])),
        ("FR", "16.2", "-61.5", (16.2, -61.5, [])),
        ("US", "18.4", "-66.1", (18.4, -66.1, [])),  # Puerto Rico
        ("NL", "12.2", "-68.3", (12.2, -68.3, [])),
        ("FJ", "-17.8", "179.9", (-17.8, 179.9, [])),
        ("FJ", "-17.8", "-179.9", (-17.8, -179.9, [])),
        ("RU", "66.1", "-170", (66.1, -170.0, [])),
        ("US", "52", "179", (52.0, 179.0, [])),
        ("TR", "38", "40", (38.0, 40.0, [])),
        ("TR", "40", "38", (40.0, 38.0, [])),  # in it both ways
        ("DE", "-33.9", "151.2", (-33.9, 151.2, ELSEWHERE)),
        ("DE", "46.5", "10", (46.5, 10.0, [])),  # beside its box
        ("DE", "120", "45", (None, None, [LAT + "coordinates_swapped", LON + "coordinates_swapped"])),
        ("DE", "13.4°", "52.5", (13.4, 52.5, [LAT + "coordinate_notation", *ELSEWHERE])),
        ("XK", "21.2", "42.7", (42.7, 21.2, EXCHANGED)),
    ],
)
def test_the_country_tells_whether_a_pair_is_the_wrong_way_round(
    country: str, latitude: object, longitude: object, expected: tuple[Any, Any, list[str]]
) -> None:
    found = row({"country_code": country, "latitude": latitude, "longitude": longitude})
    assert (found["latitude"], found["longitude"], found.codes) == expected


def test_the_country_of_the_branch_tells_as_well() -> None:
    assert _place("13.4", "52.5", country="DE") == (52.5, 13.4, EXCHANGED)
    assert _place("13.4", "52.5") == (13.4, 52.5, [])


def test_what_was_exchanged_says_from_what_to_what() -> None:
    found = row({"country_code": "DE", "latitude": "13.4", "longitude": "52.5"})
    assert [(one["field"], one["from"], one["to"]) for one in found.issues] == [
        ("latitude", "13.4", "52.5"),
        ("longitude", "52.5", "13.4"),
    ]


def test_every_country_has_boxes_that_are_boxes() -> None:
    for code in [*(country.alpha_2 for country in pycountry.countries), "XK"]:
        assert borders.boxes(code)
        for south, west, north, east in borders.boxes(code):
            assert -90 <= south < north <= 90 and -180 <= west < east <= 180


@pytest.mark.parametrize("given", ["-180", "-180.0", -180.0, -180])
def test_the_antimeridian_is_one_place(given: object) -> None:
    wrapped = (0.0, 180.0, [LON + "longitude_wrapped"])
    assert _place("0" if isinstance(given, str) else 0.0, given) == wrapped
    assert _place("0", "180") == (0.0, 180.0, [])


@pytest.mark.parametrize(("latitude", "longitude"), [("0", "5"), ("5", "0"), ("0", "1e-9"), ("-90", "-179.999")])
def test_a_place_on_the_equator_or_at_a_pole_is_a_place(latitude: str, longitude: str) -> None:
    assert _place(latitude, longitude) == (float(latitude), float(longitude), [])


@pytest.mark.parametrize(
    ("locale", "given", "expected"),
    [
        ("de", ("45,5", "13,4"), (45.5, 13.4, [])),
        ("de", ("45.5", "13.4"), (45.5, 13.4, [])),
        ("fr_FR", ("45,21", "0,5"), (45.21, 0.5, [])),
        ("de", ("1.234,5", "13,4"), (None, None, UNREADABLE)),
        ("en_GB", ("45,5", "13"), (None, None, UNREADABLE)),
        ("ja", ("45,5", "13"), (None, None, UNREADABLE)),
    ],
)
def test_a_decimal_comma_is_read_only_where_the_locale_has_one(
    locale: str, given: tuple[str, str], expected: tuple[Any, Any, list[str]]
) -> None:
    assert _place(*given, locale=locale) == expected


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        (45.5, 13.4, (45.5, 13.4, [])),
        (45, 13, (45.0, 13.0, [])),
        (Decimal("45.50"), Decimal("13.40"), (45.5, 13.4, [])),
        (-0.0, 5.0, (0.0, 5.0, [])),
        (0, 0, (None, None, [LAT + "null_island", LON + "null_island"])),
        (math.nan, 1.0, (None, None, UNREADABLE)),
        (math.inf, 1.0, (None, None, UNREADABLE)),
        (91, 5, (None, None, [LAT + "coordinates_swapped", LON + "coordinates_swapped"])),
        (True, False, (None, None, [LAT + "coordinate_unreadable", LON + "coordinate_unreadable"])),
        (pa.array([45.5], pa.float32()), pa.array(["13.4"]), (45.5, 13.4, [])),
        (pa.array([45], pa.uint8()), pa.array(["13.4"]).dictionary_encode(), (45.0, 13.4, [])),
        (pa.array([None], pa.null()), 13.4, (None, None, [LON + "coordinate_unpaired"])),
        (pa.array([None], pa.null()), pa.array([None], pa.null()), (None, None, [])),
        (pa.array([None], pa.float64()), pa.array([None], pa.float64()), (None, None, [])),
        (pa.array([2**62]), pa.array([13]), (None, None, [LAT + "coordinate_unreadable", LON + "coordinate_unpaired"])),
    ],
)
def test_typed_coordinates_obey_the_same_rules(
    latitude: object, longitude: object, expected: tuple[Any, Any, list[str]]
) -> None:
    assert _place(latitude, longitude) == expected


def test_a_latitude_alone_in_the_mapping_is_no_place() -> None:
    found = row({"latitude": "45"})
    assert (found["latitude"], found["longitude"], found.codes) == (None, None, [LAT + "coordinate_unpaired"])


def test_good_and_bad_places_in_one_page_keep_their_rows() -> None:
    given = {"latitude": ["1", "x", None, "45,5", "-0"], "longitude": ["2", "3", None, "1", "-180"]}
    found = rows_of(part(given))
    places = [(one["latitude"], one["longitude"]) for one in found]
    assert places == [(1.0, 2.0), (None, None), (None, None), (None, None), (0.0, 180.0)]
    assert [len(one.issues) for one in found] == [0, 2, 0, 2, 1]


def test_an_issue_tells_the_text_and_the_number() -> None:
    found = row({"latitude": "45°30'N", "longitude": "-180"})
    assert found.issues == [
        {"field": "latitude", "code": "coordinate_notation", "from": "45°30'N", "to": "45.5"},
        {"field": "longitude", "code": "longitude_wrapped", "from": "-180", "to": "180.0"},
    ]


@pytest.mark.parametrize(("text", "field"), [("75'", "latitude"), ("1230N", "latitude"), ("13'E", "longitude")])
def test_digits_that_run_together_are_not_parted(text: str, field: str) -> None:
    assert degrees(text, field)[0] is None
