"""A place in one column: WKT, WKB in hex, GeoJSON, an object of x and y, a bounding box, or `latitude, longitude`.

A branch that maps latitude and longitude to the same column says that it holds such a thing. What it gives are two
texts, which are judged as those of two columns are.
"""

import json
import re
import struct
from collections.abc import Mapping
from functools import partial
from math import isfinite
from typing import Any, cast

import pyarrow as pa

from ingest_project.normalize.columns import Ruled, Verdict, apply_tuples, note
from ingest_project.normalize.geo import degrees, place
from ingest_project.normalize.text import cleaned

FIELDS = ("latitude", "longitude")
_NUMBER = r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)"
_WKT = re.compile(
    rf"(?:SRID=(?P<srid>[0-9]+);\s*)?POINT\s*(?:Z|M|ZM)?\s*\(\s*{_NUMBER}\s+{_NUMBER}(?:\s+{_NUMBER}){{0,2}}\s*\)", re.I
)
_HEX = re.compile(r"(?:\\x|0x)?((?:[0-9a-fA-F]{2}){21,41})")
_WGS84 = frozenset((0, 4326, 4979))  # 0: none is said
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000
_POINT = 1
_MOST_DIGITS = 20
_PAIR = re.compile(r"(.+?)\s*[,;|/]\s*(.+)|(\S+) (\S+)|(.+?[NSEW])[ ,;]*(.+?[NSEW])|([NS].+?)[ ,;]*([EW].+)")
_COMMAS = re.compile(r"([^,]+,[0-9]+)\s*[;|/ ]\s*([^,]+,[0-9]+)")  # where commas part decimals
# Longitude, then latitude: as Overture, DuckDB, Elasticsearch and people name them.
_NAMES = (("x", "y"), ("lon", "lat"), ("lng", "lat"), ("long", "lat"), ("longitude", "latitude"))

Texts = tuple[str, str]  # latitude, longitude


def points(country: pa.Array, geometry: pa.Array, *, comma: bool) -> Ruled:
    """Both columns from one of texts, with notes. `comma`: the branch's locale writes a decimal comma."""
    return apply_tuples([country, geometry], FIELDS, partial(point, comma=comma))


def point(country: str | None, text: str | None, *, comma: bool = False) -> Verdict:
    """The verdict on one geometry."""
    if text is None:
        return Verdict((None, None))
    found = _texts(cleaned(text, mend=False) or "", comma=comma)
    if found is not None:
        judged = place(country, *found, comma=comma)
        if judged.values[0] is not None or _are_degrees(found, comma=comma):
            return judged
    return Verdict((None, None), tuple(note(field, "coordinate_unreadable", text, None) for field in FIELDS))


def _are_degrees(pair: Texts, *, comma: bool) -> bool:
    return all(degrees(one, field, comma=comma)[0] is not None for one, field in zip(pair, FIELDS, strict=True))


def _texts(text: str, *, comma: bool) -> Texts | None:
    if text.startswith("{"):
        return _of_json(text)
    for pattern, read in ((_WKT, _of_wkt), (_HEX, _of_wkb)):
        match = pattern.fullmatch(text)
        if match:
            return read(match)
    return _of_pair(text, comma=comma)


def _of_wkt(match: re.Match[str]) -> Texts | None:
    return (match[3], match[2]) if int(match["srid"] or 0) in _WGS84 else None


def _of_wkb(match: re.Match[str]) -> Texts | None:
    raw = bytes.fromhex(match[1])
    order = "<" if raw[0] == 1 else ">"
    (kind,) = struct.unpack_from(f"{order}I", raw, 1)
    at = 5
    if kind & _SRID:
        (srid,) = struct.unpack_from(f"{order}I", raw, at)
        at += 4
        if srid not in _WGS84:
            return None
    dimensions = 2 + bool(kind & _Z) + bool(kind & _M) + (0, 1, 1, 2)[min((kind & 0xFFFF) // 1000, 3)]
    if (kind & 0xFFFF) % 1000 != _POINT or len(raw) != at + 8 * dimensions or raw[0] > 1:
        return None
    longitude, latitude = struct.unpack_from(f"{order}dd", raw, at)
    return _numbers(latitude, longitude)


def _of_json(text: str) -> Texts | None:
    try:
        given: Any = json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):
        return None
    if given.get("type") == "Feature":
        given = given.get("geometry")
    if not isinstance(given, dict):
        return None
    if given.get("type") == "Point":
        coordinates = given.get("coordinates")
        return _numbers(*reversed(coordinates[:2])) if isinstance(coordinates, list) else None
    return _of_object(cast("Mapping[str, Any]", given))


def _integer(digits: str) -> float:
    # No degrees have as many: one of hundreds of digits would fit no float when it is judged.
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def _of_object(given: Mapping[str, Any]) -> Texts | None:
    named = {str(key).lower(): value for key, value in given.items()}
    for longitude, latitude in _NAMES:
        if longitude in named and latitude in named:
            return _numbers(named[latitude], named[longitude])
    box = [named.get(side) for side in ("ymin", "ymax", "xmin", "xmax")]
    if not all(isinstance(side, float | int) for side in box):
        return None
    south, north, west, east = cast("list[float]", box)
    return _numbers((south + north) / 2, (west + east) / 2) if west <= east else None


def _numbers(*pair: Any) -> Texts | None:
    texts = [one if isinstance(one, str) else repr(one) for one in pair if not isinstance(one, bool)]
    good = all(isinstance(one, str) or (isinstance(one, float | int) and isfinite(one)) for one in pair)
    return (texts[0], texts[1]) if good and len(texts) == len(FIELDS) else None


def _of_pair(text: str, *, comma: bool) -> Texts | None:
    match = (_COMMAS.fullmatch(text) if comma else None) or _PAIR.fullmatch(text.strip("()[] "))
    if match is None:
        return None
    one, other = (part.strip() for part in match.groups() if part is not None)
    crossed = one[-1:] in "EW" or one[:1] in "EW"
    return (other, one) if crossed else (one, other)
