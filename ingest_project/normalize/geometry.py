"""Coordinates in one column: WKT, WKB in hex, GeoJSON, an object of x and y, a bounding box, or `latitude, longitude`.

A branch declares such a column by mapping latitude and longitude to it. The two texts that are read from it go through
the same rule as those of two columns.
"""

import json
import re
import struct
from collections.abc import Mapping
from functools import partial
from math import isfinite
from typing import Any, cast

import pyarrow as pa

from ingest_project.normalize.columns import RuledColumns, Verdict, apply_rule, note
from ingest_project.normalize.geo import degrees, place
from ingest_project.normalize.text import clean_text

FIELDS = ("latitude", "longitude")
_NUMBER = r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)"
_WKT = re.compile(
    rf"(?:SRID=(?P<srid>[0-9]+);\s*)?POINT\s*(?:Z|M|ZM)?\s*\(\s*{_NUMBER}\s+{_NUMBER}(?:\s+{_NUMBER}){{0,2}}\s*\)", re.I
)
_HEX = re.compile(r"(?:\\x|0x)?((?:[0-9a-fA-F]{2}){21,41})")
_WGS84 = frozenset((0, 4326, 4979))  # 0: no SRID
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000  # flags in the type of an EWKB
_POINT = 1
_MAX_DIGITS = 20
_PAIR = re.compile(r"(.+?)\s*[,;|/]\s*(.+)|(\S+) (\S+)|(.+?[NSEW])[ ,;]*(.+?[NSEW])|([NS].+?)[ ,;]*([EW].+)")
_DECIMAL_COMMAS = re.compile(r"([^,]+,[0-9]+)\s*[;|/ ]\s*([^,]+,[0-9]+)")
# Names of longitude and latitude in Overture, DuckDB, Elasticsearch and elsewhere.
_NAMES = (("x", "y"), ("lon", "lat"), ("lng", "lat"), ("long", "lat"), ("longitude", "latitude"))

_Pair = tuple[str, str]  # latitude and longitude as text


def points(country: pa.Array, geometry: pa.Array, *, comma: bool) -> RuledColumns:
    """Latitude and longitude of a column of geometries. `comma`: the branch's locale has a decimal comma."""
    return apply_rule([country, geometry], FIELDS, partial(point, comma=comma))


def point(country: str | None, text: str | None, *, comma: bool = False) -> Verdict:
    """The rule for one geometry."""
    if text is None:
        return Verdict((None, None))
    pair = _parse(clean_text(text, mend=False) or "", comma=comma)
    if pair is not None:
        verdict = place(country, *pair, comma=comma)
        if verdict.values[0] is not None or _are_degrees(pair, comma=comma):
            return verdict
    # The notes quote the whole text: half of it would not show what the column has.
    return Verdict((None, None), tuple(note(field, "coordinate_unreadable", text, None) for field in FIELDS))


def _are_degrees(pair: _Pair, *, comma: bool) -> bool:
    return all(degrees(text, field, comma=comma)[0] is not None for text, field in zip(pair, FIELDS, strict=True))


def _parse(text: str, *, comma: bool) -> _Pair | None:
    if text.startswith("{"):
        return _from_json(text)
    for pattern, read in ((_WKT, _from_wkt), (_HEX, _from_wkb)):
        match = pattern.fullmatch(text)
        if match:
            return read(match)
    return _from_pair(text, comma=comma)


def _from_wkt(match: re.Match[str]) -> _Pair | None:
    return (match[3], match[2]) if int(match["srid"] or 0) in _WGS84 else None


def _from_wkb(match: re.Match[str]) -> _Pair | None:
    raw = bytes.fromhex(match[1])
    order = "<" if raw[0] == 1 else ">"
    (kind,) = struct.unpack_from(f"{order}I", raw, 1)
    offset = 5
    if kind & _SRID:
        (srid,) = struct.unpack_from(f"{order}I", raw, offset)
        offset += 4
        if srid not in _WGS84:
            return None
    dimensions = 2 + bool(kind & _Z) + bool(kind & _M) + (0, 1, 1, 2)[min((kind & 0xFFFF) // 1000, 3)]
    if (kind & 0xFFFF) % 1000 != _POINT or len(raw) != offset + 8 * dimensions or raw[0] > 1:
        return None
    longitude, latitude = struct.unpack_from(f"{order}dd", raw, offset)
    return _as_pair(latitude, longitude)


def _from_json(text: str) -> _Pair | None:
    try:
        geometry: Any = json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):
        return None
    if geometry.get("type") == "Feature":
        geometry = geometry.get("geometry")
    if not isinstance(geometry, dict):
        return None
    if geometry.get("type") == "Point":
        coordinates = geometry.get("coordinates")
        return _as_pair(*reversed(coordinates[:2])) if isinstance(coordinates, list) else None
    return _from_object(cast("Mapping[str, Any]", geometry))


def _integer(digits: str) -> float:
    # An int of hundreds of digits could not be converted to a float later; float() itself gives infinity.
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _from_object(members: Mapping[str, Any]) -> _Pair | None:
    values = {str(key).lower(): value for key, value in members.items()}
    for longitude, latitude in _NAMES:
        if longitude in values and latitude in values:
            return _as_pair(values[latitude], values[longitude])
    box = [values.get(side) for side in ("ymin", "ymax", "xmin", "xmax")]
    if not all(isinstance(side, float | int) for side in box):
        return None
    south, north, west, east = cast("list[float]", box)
    return _as_pair((south + north) / 2, (west + east) / 2) if west <= east else None


def _as_pair(*values: Any) -> _Pair | None:
    """Two numbers or texts as a pair; None for anything else."""
    texts = [value if isinstance(value, str) else repr(value) for value in values if not isinstance(value, bool)]
    is_valid = all(isinstance(value, str) or (isinstance(value, float | int) and isfinite(value)) for value in values)
    return (texts[0], texts[1]) if is_valid and len(texts) == len(FIELDS) else None


def _from_pair(text: str, *, comma: bool) -> _Pair | None:
    match = (_DECIMAL_COMMAS.fullmatch(text) if comma else None) or _PAIR.fullmatch(text.strip("()[] "))
    if match is None:
        return None
    first, second = (part.strip() for part in match.groups() if part is not None)
    is_longitude_first = first[-1:] in "EW" or first[:1] in "EW"
    return (second, first) if is_longitude_first else (first, second)
