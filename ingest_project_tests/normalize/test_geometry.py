"""A place in one column, however it is written; and nothing that only looks like one."""

import json
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project_tests.normalize.pages import Row, part, row, rows_of

GEOMETRY = {"latitude": "where", "longitude": "where"}
UNREADABLE = ["latitude: coordinate_unreadable", "longitude: coordinate_unreadable"]
NOTATION = ["latitude: coordinate_notation", "longitude: coordinate_notation"]
PARIS = (48.8567, 2.3508)


def _where(value: object, **settings: object) -> tuple[Any, Any, list[str]]:
    found: Row = row({"where": value}, mapping=GEOMETRY, **settings)
    return found["latitude"], found["longitude"], found.codes


def _wkb(
    longitude: float, latitude: float, *, order: str = "<", kind: int = 1, more: bytes = b"", rest: int = 0
) -> bytes:
    head = struct.pack(f"{order}BI", order == "<", kind) + more
    return head + struct.pack(f"{order}dd", longitude, latitude) + bytes(8 * rest)


SRID = 0x20000000


@pytest.mark.parametrize(
    "value",
    [
        *(
            "POINT(2.3508 48.8567)",
            "POINT (2.3508 48.8567)",
            "point z (2.3508 48.8567 35)",
            " POINT ZM(2.3508 48.8567 1 2)",
        ),
        *("SRID=4326;POINT(2.3508 48.8567)", "48.8567,2.3508", "48.8567, 2.3508", "(48.8567 2.3508)", "48.8567;2.3508"),
        *("[48.8567, 2.3508]", "48.8567 / 2.3508"),
        '{"type":"Point","coordinates":[2.3508,48.8567]}',
        '{"type":"Point","coordinates":[2.3508,48.8567,35]}',
        '{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[2.3508,48.8567]}}',
        '{"x":2.3508,"y":48.8567}',
        '{"lat":"48.8567","lng":"2.3508"}',
        '{"xmin":2.3508,"xmax":2.3508,"ymin":48.8567,"ymax":48.8567}',
        _wkb(2.3508, 48.8567).hex(),
        _wkb(2.3508, 48.8567).hex().upper(),
        "\\x" + _wkb(2.3508, 48.8567).hex(),
        _wkb(2.3508, 48.8567, order=">").hex(),
        _wkb(2.3508, 48.8567, kind=1 | SRID, more=struct.pack("<I", 4326)).hex(),
        _wkb(2.3508, 48.8567, kind=1001, rest=1).hex(),
        _wkb(2.3508, 48.8567, kind=1 | 0xC0000000, rest=2).hex(),
        pa.array([_wkb(2.3508, 48.8567)]),
        pa.array([{"x": 2.3508, "y": 48.8567}]),
        pa.array([{"lon": 2.3508, "lat": 48.8567, "alt": None}]),
        pa.array([{"xmin": 2.3508, "xmax": 2.3508, "ymin": 48.8567, "ymax": 48.8567}]),
    ],
)
def test_a_point_is_read_longitude_first_or_as_its_names_say(value: object) -> None:
    assert _where(value) == (*PARIS, [])


@pytest.mark.parametrize(
    "value",
    [
        *(
            "POINT EMPTY",
            "POINT(2.35)",
            "POINT(2.35, 48.85)",
            "SRID=3857;POINT(2.35 48.85)",
            "POLYGON((0 0,1 1,1 0,0 0))",
        ),
        *(
            "45.5",
            "abc",
            "45,5,13,4",
            "1,2,3",
            "48.85,",
            "(,)",
            "{",
            "{}",
            '{"x":1}',
            '{"x":null,"y":1}',
            '{"x":true,"y":1}',
        ),
        *('{"type":"Point","coordinates":[2.35]}', '{"type":"Point","coordinates":[]}', '{"type":"Point"}'),
        *('{"type":"LineString","coordinates":[[1,2],[3,4]]}', '{"type":"Feature","geometry":null}'),
        *('{"type":"Point","coordinates":[[1,2],[3,4]]}', '{"type":"Feature","geometry":"POINT(1 2)"}'),
        '{"xmin":3,"xmax":2,"ymin":1,"ymax":1}',
        f'{{"type":"Point","coordinates":[1{"0" * 400},2]}}',
        f'{{"x":1{"0" * 5000},"y":2}}',
        f'{{"xmin":-1{"0" * 400},"xmax":1{"0" * 400},"ymin":1,"ymax":1}}',
        _wkb(2.35, 48.85, kind=3).hex(),
        _wkb(2.35, 48.85, kind=1 | SRID, more=struct.pack("<I", 3857)).hex(),
        _wkb(2.35, 48.85, rest=1).hex(),
        _wkb(float("nan"), float("nan")).hex(),
        "02" + _wkb(2.35, 48.85).hex()[2:],
        pa.array([b"\xff\xfe"]),
    ],
)
def test_what_is_no_point_is_set_aside_and_told(value: object) -> None:
    latitude, longitude, codes = _where(value)
    assert (latitude, longitude) == (None, None)
    assert {code.partition(":")[0] for code in codes} == {"latitude", "longitude"}
    assert set(codes) & set(UNREADABLE)


@pytest.mark.parametrize("value", ["https://maps.example/@48.85,2.35,17z", "lat: 48.85, lng: 2.35", "48.85, 2.35, 17"])
def test_what_is_half_a_point_is_told_whole(value: str) -> None:
    assert row({"where": value}, mapping=GEOMETRY).issues == [
        {"field": field, "code": "coordinate_unreadable", "from": value, "to": None} for field in GEOMETRY
    ]


@pytest.mark.parametrize(
    ("value", "settings", "expected"),
    [
        ("48°51'24\"N 2°21'03\"E", {}, (48.856666666667, 2.350833333333, NOTATION)),
        ("2°21'03\"E, 48°51'24\"N", {}, (48.856666666667, 2.350833333333, NOTATION)),
        ("N 48°51'24\", E 2°21'03\"", {}, (48.856666666667, 2.350833333333, NOTATION)),
        ("N 48° 51.4 E 002° 21.05", {}, (48.856666666667, 2.350833333333, NOTATION)),
        ("S 33.9 W 70.6", {}, (-33.9, -70.6, NOTATION)),
        ("48,85; 2,35", {"locale": "fr"}, (48.85, 2.35, [])),
        ("48,85 2,35", {"locale": "fr"}, (48.85, 2.35, [])),
        ("48.85,2.35", {"locale": "fr"}, (48.85, 2.35, [])),
        ("45,21", {}, (45.0, 21.0, [])),  # a pair, since it stands for both
        (
            "2.35,48.85",
            {"country": "FR"},
            (48.85, 2.35, ["latitude: coordinates_exchanged", "longitude: coordinates_exchanged"]),
        ),
        (
            "POINT(48.85 2.35)",
            {"country": "FR"},
            (48.85, 2.35, ["latitude: coordinates_exchanged", "longitude: coordinates_exchanged"]),
        ),
        ("POINT(0 0)", {}, (None, None, ["latitude: null_island", "longitude: null_island"])),
        ("POINT(-180 10)", {}, (10.0, 180.0, ["longitude: longitude_wrapped"])),
        ("N/A", {}, (None, None, ["latitude: sentinel_removed", "longitude: sentinel_removed"])),
        ("", {}, (None, None, [])),
    ],
)
def test_what_it_gives_is_judged_as_two_columns_are(
    value: str, settings: dict[str, str], expected: tuple[Any, Any, list[str]]
) -> None:
    assert _where(value, **settings) == expected


def test_the_column_is_used_up_and_rows_keep_their_places() -> None:
    texts = ["POINT(1 2)", None, "x", json.dumps({"x": 3, "y": 4})]
    found = rows_of(part({"where": texts}, mapping=GEOMETRY))
    assert [(one["latitude"], one["longitude"]) for one in found] == [
        (2.0, 1.0),
        (None, None),
        (None, None),
        (4.0, 3.0),
    ]
    assert all(one.attributes == {} for one in found)


DEGREES = st.tuples(st.floats(-179.9, 179.9), st.floats(-89.9, 89.9)).filter(lambda pair: min(map(abs, pair)) > 1e-5)


@given(DEGREES)
def test_every_way_to_write_a_point_is_the_same_point(pair: tuple[float, float]) -> None:
    longitude, latitude = pair
    texts = [
        f"POINT({longitude!r} {latitude!r})",
        _wkb(longitude, latitude).hex(),
        json.dumps({"type": "Point", "coordinates": [longitude, latitude]}),
        f"{latitude!r},{longitude!r}",
    ]
    found = rows_of(part({"where": texts}, mapping=GEOMETRY))
    assert [(one["latitude"], one["longitude"], one.codes) for one in found] == [(latitude, longitude, [])] * 4
