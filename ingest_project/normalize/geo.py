"""Coordinates: decimal degrees, WGS 84, both or neither, and never a number that stands for 'not known'."""

import re
from functools import partial
from math import isfinite

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.normalize import borders
from ingest_project.normalize.cells import as_text
from ingest_project.normalize.columns import RuledColumns, Verdict, apply_rule, matches_pattern, note, scatter
from ingest_project.normalize.text import clean_text, fold_to_ascii

LATITUDE, LONGITUDE = 90.0, 180.0
PLAIN = r"^-?[0-9]{1,5}(?:\.[0-9]{1,20})?$"
# Programs print small numbers with a negative exponent; no coordinate has another one.
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,5}(?:\.[0-9]*)?|\.[0-9]+|[0-9](?:\.[0-9]+)?[eE]-[0-9]{1,2})")
# Degrees, minutes and seconds, with a mark or a space between them: `75'` is not 7 degrees and 5 minutes.
_DEGREES = r"(?P<d>[0-9]{1,3}(?:\.[0-9]+)?)\s*[°º]?\s*"
_SECONDS = r"(?:(?<=['′’\s])(?P<s>[0-9]{1,2}(?:\.[0-9]+)?)\s*(?:\"|″|”|'')?\s*)?"
_MINUTES = rf"(?:(?<=[°º\s])(?P<m>[0-9]{{1,2}}(?:\.[0-9]+)?)\s*['′’]?\s*{_SECONDS})?"
_NOTATION = re.compile(rf"(?P<a>[NSEW])?\s*(?P<sign>-)?{_DEGREES}{_MINUTES}(?P<b>[NSEW])?", re.ASCII)
_SIXTY = 60
# North, south, east and west: before the number in Japanese and Chinese, after it in Russian.
_SIDES = {
    **dict.fromkeys(("北緯", "北纬"), "N"),
    **dict.fromkeys(("南緯", "南纬"), "S"),
    **dict.fromkeys(("東経", "东经", "東經"), "E"),
    **dict.fromkeys(("西経", "西经", "西經"), "W"),
    **{f"{word}.{gap}{axis}.": side for gap in ("", " ") for word, axis, side in ("сшN", "юшS", "вдE", "здW")},
}
_SIDE = re.compile("|".join(map(re.escape, _SIDES)))
_MARKS = str.maketrans("度分秒٫", "°′″.")
SENTINELS = frozenset((999.0, 9999.0, 99999.0, 999.99, 999.9, 9999.99, 99.9999))
_HEMISPHERES = {"latitude": "NS", "longitude": "EW"}


def degrees(text: str, field: str, *, comma: bool = False) -> tuple[float | None, bool]:
    """(number of degrees or None, whether it was in another notation than a decimal number)."""
    cleaned = clean_text(text, mend=False) or ""
    folded = _fold(cleaned)
    if comma and "." not in folded:
        folded = folded.replace(",", ".")
    if _DECIMAL.fullmatch(folded):
        return float(folded) + 0.0, not cleaned.isascii()
    match = _NOTATION.fullmatch(folded)
    return (_from_notation(match, field), True) if match else (None, False)


def _fold(text: str) -> str:
    """The text with letters, digits and marks of other scripts replaced by those of the patterns."""
    if text.isascii():
        return text
    return _SIDE.sub(lambda side: _SIDES[side[0]], fold_to_ascii(text)).translate(_MARKS)


def _from_notation(match: re.Match[str], field: str) -> float | None:
    side, has_both = match["a"] or match["b"], match["a"] and match["b"]
    marked = side is not None or any(mark in match[0] for mark in "°º′'")
    if not marked or has_both or (side and (side not in _HEMISPHERES[field] or match["sign"])):
        return None
    minutes, seconds = float(match["m"] or 0), float(match["s"] or 0)
    if minutes >= _SIXTY or seconds >= _SIXTY or (match["m"] and "." in match["d"]):
        return None
    number = round(float(match["d"]) + minutes / 60 + seconds / 3600, 12)
    return -number if side in ("S", "W") or match["sign"] else number


def coordinates(country: pa.Array, latitude: pa.Array, longitude: pa.Array, *, comma: bool) -> RuledColumns:
    """Latitude and longitude by the rule. `country`: ISO codes; `comma`: the branch's locale has a decimal comma."""
    if kinds.is_null(latitude.type) and kinds.is_null(longitude.type):
        return RuledColumns((pa.nulls(len(latitude), pa.float64()), pa.nulls(len(latitude), pa.float64())))
    source = [_text_or_number(array) for array in (latitude, longitude)]
    numbers = [_numbers(array) for array in source]
    rest = pc.invert(_accepted_pairs(country, numbers[0], numbers[1], source))
    if not pc.any(rest).as_py():
        return RuledColumns(tuple(pc.add(array, 0.0) for array in numbers))
    texts = [
        array.filter(rest).cast(pa.string()) if not kinds.is_string(array.type) else array.filter(rest)
        for array in source
    ]
    ruled = apply_rule([country.filter(rest), *texts], ("latitude", "longitude"), partial(place, comma=comma))
    merged = [
        pc.add(pc.replace_with_mask(array, rest, decided), 0.0)
        for array, decided in zip(numbers, ruled.columns, strict=True)
    ]
    return RuledColumns(tuple(merged), tuple(scatter(rest, notes) for notes in ruled.notes))


def _text_or_number(array: pa.Array) -> pa.Array:
    if kinds.is_floating(array.type):
        return array.cast(pa.float64())
    if kinds.is_integer(array.type):
        return array.cast(pa.float64(), safe=False)
    return as_text(array)


def _numbers(array: pa.Array) -> pa.Array:
    if not kinds.is_string(array.type):
        return array
    return pc.if_else(matches_pattern(array, PLAIN), array, pa.scalar(None, pa.string())).cast(pa.float64())


def _accepted_pairs(country: pa.Array, latitude: pa.Array, longitude: pa.Array, source: list[pa.Array]) -> pa.Array:
    """Which rows evidently have coordinates in their country, or evidently have none."""
    inside = pc.and_(
        pc.and_(pc.less_equal(pc.abs(latitude), LATITUDE), pc.not_equal(latitude, 99.9999)),
        pc.and_(pc.less_equal(longitude, LONGITUDE), pc.greater(longitude, -LONGITUDE)),
    )
    not_null_island = pc.or_(pc.not_equal(latitude, 0.0), pc.not_equal(longitude, 0.0))
    neither = pc.and_(pc.is_null(source[0]), pc.is_null(source[1]))
    near = borders.accepted_near(country, latitude, longitude)
    return pc.or_(neither, pc.and_(near, pc.fill_null(pc.and_(inside, not_null_island), False)))


def place(country: str | None, latitude: str | None, longitude: str | None, *, comma: bool = False) -> Verdict:
    """The rule for one pair of texts. `country`: ISO code or None."""
    (lat, lat_notes), (lon, lon_notes) = _read(latitude, "latitude", comma), _read(longitude, "longitude", comma)
    if lat is None and lon is None:
        return Verdict((None, None), lat_notes + lon_notes)
    if lat == 0 and lon == 0:
        return _set_aside("null_island", latitude, longitude)
    if lat is not None and lon is not None:
        if country and not lat_notes + lon_notes and _is_exchanged(country, lat, lon):
            return Verdict((lon, lat), _pair_notes("coordinates_exchanged", (latitude, lon), (longitude, lat)))
        if _is_swapped(lat, lon):
            return _set_aside("coordinates_swapped", latitude, longitude)
    lat, lat_notes = _in_range(lat, lat_notes, latitude, "latitude", LATITUDE)
    lon, lon_notes = _in_range(lon, lon_notes, longitude, "longitude", LONGITUDE)
    if lat is None or lon is None:
        return Verdict(
            (None, None),
            _unpaired_notes(lat, lat_notes, latitude, "latitude")
            + _unpaired_notes(lon, lon_notes, longitude, "longitude"),
        )
    if lon == -LONGITUDE:
        lon, lon_notes = LONGITUDE, (note("longitude", "longitude_wrapped", longitude, LONGITUDE),)
    if not borders.is_near(country, lat, lon):
        lon_notes += _pair_notes("coordinates_elsewhere", (latitude, lat), (longitude, lon))
    return Verdict((lat, lon), lat_notes + lon_notes)


def _read(text: str | None, field: str, comma: bool) -> tuple[float | None, tuple[str, ...]]:
    if text is None:
        return None, ()
    number, is_notation = degrees(text, field, comma=comma)
    if number is None or not isfinite(number):
        return None, (note(field, "coordinate_unreadable", text, None),)
    return number, (note(field, "coordinate_notation", text, number),) if is_notation else ()


def _set_aside(code: str, latitude: str | None, longitude: str | None) -> Verdict:
    return Verdict((None, None), _pair_notes(code, (latitude, None), (longitude, None)))


def _pair_notes(code: str, latitude: tuple[object, object], longitude: tuple[object, object]) -> tuple[str, str]:
    """Notes on both fields, each of which is given as (before, after)."""
    return note("latitude", code, *latitude), note("longitude", code, *longitude)


def _is_exchanged(country: str, latitude: float, longitude: float) -> bool:
    """Whether the pair is far from its country, and in it if latitude and longitude are exchanged."""
    return not borders.is_near(country, latitude, longitude) and borders.is_inside(country, longitude, latitude)


def _is_swapped(latitude: float, longitude: float) -> bool:
    """Whether the pair is possible only if latitude and longitude are exchanged."""
    sentinel = abs(latitude) in SENTINELS or abs(longitude) in SENTINELS
    return LATITUDE < abs(latitude) <= LONGITUDE and abs(longitude) <= LATITUDE and not sentinel


def _in_range(
    number: float | None, notes: tuple[str, ...], text: str | None, field: str, limit: float
) -> tuple[float | None, tuple[str, ...]]:
    if number is None or abs(number) <= limit:
        return number, notes
    code = "coordinate_sentinel" if abs(number) in SENTINELS else "coordinate_out_of_range"
    return None, (note(field, code, text, None),)


def _unpaired_notes(number: float | None, notes: tuple[str, ...], text: str | None, field: str) -> tuple[str, ...]:
    return notes if number is None else (note(field, "coordinate_unpaired", text, None),)
