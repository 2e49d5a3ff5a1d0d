"""Where it is: decimal degrees, WGS 84, both or neither, and never a number that stands for 'unknown'."""

import re
from functools import partial
from math import isfinite

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.normalize import borders
from ingest_project.normalize.cells import as_text
from ingest_project.normalize.columns import Ruled, Verdict, accepted_pattern, apply_tuples, note, spread
from ingest_project.normalize.text import cleaned, narrow

LATITUDE, LONGITUDE = 90.0, 180.0
PLAIN = r"^-?[0-9]{1,5}(?:\.[0-9]{1,20})?$"
# A negative exponent is how programs print small numbers; any other one is not how places are written.
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,5}(?:\.[0-9]*)?|\.[0-9]+|[0-9](?:\.[0-9]+)?[eE]-[0-9]{1,2})")
# A mark or a space must part them: `75'` is not 7 degrees and 5 minutes.
_DEGREES = r"(?P<d>[0-9]{1,3}(?:\.[0-9]+)?)\s*[°º]?\s*"
_SECONDS = r"(?:(?<=['′’\s])(?P<s>[0-9]{1,2}(?:\.[0-9]+)?)\s*(?:\"|″|”|'')?\s*)?"
_MINUTES = rf"(?:(?<=[°º\s])(?P<m>[0-9]{{1,2}}(?:\.[0-9]+)?)\s*['′’]?\s*{_SECONDS})?"
_NOTATION = re.compile(rf"(?P<a>[NSEW])?\s*(?P<sign>-)?{_DEGREES}{_MINUTES}(?P<b>[NSEW])?", re.ASCII)
_SIXTY = 60
# North, south, east, west: in Japanese and Chinese before the number, in Russian behind it; degrees, minutes, seconds.
_SIDES = {
    **dict.fromkeys(("北緯", "北纬"), "N"),
    **dict.fromkeys(("南緯", "南纬"), "S"),
    **dict.fromkeys(("東経", "东经", "東經"), "E"),
    **dict.fromkeys(("西経", "西经", "西經"), "W"),
    **{f"{word}.{gap}{what}.": side for gap in ("", " ") for word, what, side in ("сшN", "юшS", "вдE", "здW")},
}
_SIDE = re.compile("|".join(map(re.escape, _SIDES)))
_MARKS = str.maketrans("度分秒٫", "°′″.")
SENTINELS = frozenset((999.0, 9999.0, 99999.0, 999.99, 999.9, 9999.99, 99.9999))
_HEMISPHERES = {"latitude": "NS", "longitude": "EW"}


def degrees(text: str, field: str, *, comma: bool = False) -> tuple[float | None, bool]:
    """(number of degrees or None, whether it was written in another notation than a decimal number)."""
    given = cleaned(text, mend=False) or ""
    bare = _in_ascii(given)
    if comma and "." not in bare:
        bare = bare.replace(",", ".")
    if _DECIMAL.fullmatch(bare):
        return float(bare) + 0.0, not given.isascii()
    match = _NOTATION.fullmatch(bare)
    return (_from_notation(match, field), True) if match else (None, False)


def _in_ascii(text: str) -> str:
    """The same, but for the marks of degrees, in the letters and digits that the patterns know."""
    if text.isascii():
        return text
    return _SIDE.sub(lambda side: _SIDES[side[0]], narrow(text)).translate(_MARKS)


def _from_notation(match: re.Match[str], field: str) -> float | None:
    side, other = match["a"] or match["b"], match["a"] and match["b"]
    marked = side is not None or any(mark in match[0] for mark in "°º′'")
    if not marked or other or (side and (side not in _HEMISPHERES[field] or match["sign"])):
        return None
    minutes, seconds = float(match["m"] or 0), float(match["s"] or 0)
    if minutes >= _SIXTY or seconds >= _SIXTY or (match["m"] and "." in match["d"]):
        return None
    number = round(float(match["d"]) + minutes / 60 + seconds / 3600, 12)
    return -number if side in ("S", "W") or match["sign"] else number


def coordinates(country: pa.Array, latitude: pa.Array, longitude: pa.Array, *, comma: bool) -> Ruled:
    """Both columns, with notes. `country`: ISO codes; `comma`: the branch's locale writes a decimal comma."""
    if kinds.is_null(latitude.type) and kinds.is_null(longitude.type):
        return Ruled((pa.nulls(len(latitude), pa.float64()), pa.nulls(len(latitude), pa.float64())))
    given = [_text_or_number(array) for array in (latitude, longitude)]
    numbers = [_numbers(array) for array in given]
    good = _good(country, numbers[0], numbers[1], given)
    slow = pc.invert(good)
    if not pc.any(slow).as_py():
        return Ruled(tuple(pc.add(array, 0.0) for array in numbers))
    odd = [
        array.filter(slow).cast(pa.string()) if not kinds.is_string(array.type) else array.filter(slow)
        for array in given
    ]
    ruled = apply_tuples([country.filter(slow), *odd], ("latitude", "longitude"), partial(place, comma=comma))
    values = [
        pc.add(pc.replace_with_mask(array, slow, found), 0.0)
        for array, found in zip(numbers, ruled.columns, strict=True)
    ]
    return Ruled(tuple(values), tuple(spread(slow, one) for one in ruled.notes))


def _text_or_number(array: pa.Array) -> pa.Array:
    if kinds.is_floating(array.type):
        return array.cast(pa.float64())
    if kinds.is_integer(array.type):
        return array.cast(pa.float64(), safe=False)
    return as_text(array)


def _numbers(array: pa.Array) -> pa.Array:
    if not kinds.is_string(array.type):
        return array
    return pc.if_else(accepted_pattern(array, PLAIN), array, pa.scalar(None, pa.string())).cast(pa.float64())


def _good(country: pa.Array, latitude: pa.Array, longitude: pa.Array, given: list[pa.Array]) -> pa.Array:
    """Evidently a place of its country, or evidently none at all."""
    inside = pc.and_(
        pc.and_(pc.less_equal(pc.abs(latitude), LATITUDE), pc.not_equal(latitude, 99.9999)),
        pc.and_(pc.less_equal(longitude, LONGITUDE), pc.greater(longitude, -LONGITUDE)),
    )
    somewhere = pc.or_(pc.not_equal(latitude, 0.0), pc.not_equal(longitude, 0.0))
    neither = pc.and_(pc.is_null(given[0]), pc.is_null(given[1]))
    home = borders.accepted_at_home(country, latitude, longitude)
    return pc.or_(neither, pc.and_(home, pc.fill_null(pc.and_(inside, somewhere), False)))


def _read(text: str | None, field: str, comma: bool) -> tuple[float | None, tuple[str, ...]]:
    if text is None:
        return None, ()
    number, notation = degrees(text, field, comma=comma)
    if number is None or not isfinite(number):
        return None, (note(field, "coordinate_unreadable", text, None),)
    return number, (note(field, "coordinate_notation", text, number),) if notation else ()


def _aside(code: str, latitude: str | None, longitude: str | None) -> Verdict:
    return Verdict((None, None), _both(code, (latitude, None), (longitude, None)))


def _both(code: str, latitude: tuple[object, object], longitude: tuple[object, object]) -> tuple[str, str]:
    """Notes on a pair: each was, and is now."""
    return note("latitude", code, *latitude), note("longitude", code, *longitude)


def place(country: str | None, latitude: str | None, longitude: str | None, *, comma: bool = False) -> Verdict:
    """The verdict on one pair, as text, in a country (ISO code) or none."""
    (one, said), (other, also) = _read(latitude, "latitude", comma), _read(longitude, "longitude", comma)
    if one is None and other is None:
        return Verdict((None, None), said + also)
    if one == 0 and other == 0:
        return _aside("null_island", latitude, longitude)
    if one is not None and other is not None:
        if country and not said + also and _is_exchanged(country, one, other):
            return Verdict((other, one), _both("coordinates_exchanged", (latitude, other), (longitude, one)))
        if _swapped(one, other):
            return _aside("coordinates_swapped", latitude, longitude)
    one, said = _ranged(one, said, latitude, "latitude", LATITUDE)
    other, also = _ranged(other, also, longitude, "longitude", LONGITUDE)
    if one is None or other is None:
        return Verdict(
            (None, None),
            _lonely(one, said, latitude, "latitude") + _lonely(other, also, longitude, "longitude"),
        )
    if other == -LONGITUDE:
        other, also = LONGITUDE, (note("longitude", "longitude_wrapped", longitude, LONGITUDE),)
    away = (
        ()
        if borders.is_at_home(country, one, other)
        else _both("coordinates_elsewhere", (latitude, one), (longitude, other))
    )
    return Verdict((one, other), said + also + away)


def _is_exchanged(country: str, latitude: float, longitude: float) -> bool:
    """Whether the pair is nowhere near its country, and in it the other way round."""
    return not borders.is_at_home(country, latitude, longitude) and borders.is_inside(country, longitude, latitude)


def _swapped(latitude: float, longitude: float) -> bool:
    sentinel = abs(latitude) in SENTINELS or abs(longitude) in SENTINELS
    return LATITUDE < abs(latitude) <= LONGITUDE and abs(longitude) <= LATITUDE and not sentinel


def _ranged(
    number: float | None, notes: tuple[str, ...], text: str | None, field: str, most: float
) -> tuple[float | None, tuple[str, ...]]:
    if number is None or abs(number) <= most:
        return number, notes
    code = "coordinate_sentinel" if abs(number) in SENTINELS else "coordinate_out_of_range"
    return None, (note(field, code, text, None),)


def _lonely(number: float | None, notes: tuple[str, ...], text: str | None, field: str) -> tuple[str, ...]:
    return notes if number is None else (note(field, "coordinate_unpaired", text, None),)
