"""Source columns of any Arrow type as text or as JSON. What neither can express is noted."""

import base64
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from ingest_project.extract.values import NOT_IN_PYTHON
from ingest_project.item import INVISIBLE, JOINERS
from ingest_project.normalize.columns import as_array, matches_pattern, note, scatter, storable, to_json
from ingest_project.normalize.text import BLANK, WHITE

_EXACT_INTEGERS = 2**53  # floats below it hold integers exactly
_TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6}  # nanoseconds cannot leave the years 1 to 9999
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800
_LAST_SPACE = 0x3000  # the ideographic space: no white space has a greater code point
_UNESCAPED = r'^[^"\\\x00-\x1f]*$'  # text that JSON writes as it is


def decode(column: pa.Array | pa.ChunkedArray, *, lossless: bool = False) -> tuple[pa.Array, pa.Array | None]:
    """The column without dictionary, view and large types, text as valid UTF-8; and the values that were not UTF-8.

    The second is None if there are none, else an array with each of them as it was (escaped) and null for the others.
    Invalid bytes are replaced by U+FFFD; if `lossless`, the whole value becomes base64, also one of bytes with a NUL.
    """
    array = as_array(column)
    if isinstance(array, pa.ExtensionArray):
        array = _storage(array)
    if kinds.is_dictionary(array.type):
        array = array.dictionary_decode()
    if kinds.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if is_text(array.type) or is_bytes(array.type):
        return _decode_utf8(array, lossless=lossless)
    return array, None


def _storage(array: pa.ExtensionArray) -> pa.Array:
    if kinds.is_fixed_size_binary(array.type.storage_type):
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
    return array.storage


def geometry_text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column of geometries as text, nulls for blanks; bytes, which are WKB, in hex."""
    array = as_array(column)
    if isinstance(array, pa.ExtensionArray):
        array = _storage(array)
    if not is_bytes(array.type):
        return blank_to_null(as_text(decode(array)[0]))
    return pa.array([None if value is None else value.hex() for value in array.to_pylist()], pa.string())


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type are text."""
    return kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether values of this type are bytes."""
    is_kind = (kinds.is_binary, kinds.is_large_binary, kinds.is_fixed_size_binary, kinds.is_binary_view)
    return any(check(kind) for check in is_kind)


def _decode_utf8(array: pa.Array, *, lossless: bool) -> tuple[pa.Array, pa.Array | None]:
    refuse_nul = lossless and is_bytes(array.type)
    is_valid = _is_utf8_without_nul if refuse_nul else _is_utf8
    try:
        text = array.cast(pa.string())
        if not _is_ascii(text):
            text.validate(full=True)
    except pa.ArrowInvalid:
        return _replace_invalid(array, is_valid, _base64 if lossless else _with_replacements)
    if refuse_nul and pc.any(pc.match_substring(text, "\0")).as_py():
        return _replace_invalid(array, is_valid, _base64)
    return text, None


def _is_ascii(array: pa.Array) -> bool:
    data = array.buffers()[2]
    return data is None or not data.size or np.frombuffer(data, np.int8).min() >= 0


def _replace_invalid(
    array: pa.Array, is_valid: Callable[[bytes], bool], replace: Callable[[bytes], str]
) -> tuple[pa.Array, pa.Array]:
    values: list[bytes | None] = array.cast(pa.binary()).to_pylist()
    invalid = {index: value for index, value in enumerate(values) if value is not None and not is_valid(value)}
    texts = [replace(invalid[index]) if index in invalid else value for index, value in enumerate(values)]
    escaped = {index: value.decode("utf-8", "backslashreplace") for index, value in invalid.items()}
    damaged = [escaped.get(index) for index in range(len(values))]
    return pa.array(texts, pa.string()), pa.array(damaged, pa.string())


def _with_replacements(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def blank_to_null(array: pa.Array) -> pa.Array:
    """The column with nulls for texts that show nothing."""
    return without_blanks(array, "")[0]


def without_blanks(array: pa.Array, field: str) -> tuple[pa.Array, pa.Array | None]:
    """The column with nulls for texts that show nothing, and notes on those that are not just white space.

    The notes are None if there are none.
    """
    rest = pc.and_(pc.is_valid(array), pa.array(~_starts_visibly(array)))
    if not pc.any(rest).as_py():
        return array, None
    # Few values start with a character that may show nothing, and most of these are empty: patterns see each only once.
    encoded = array.filter(rest).dictionary_encode()
    distinct = encoded.dictionary
    blank = matches_pattern(distinct, BLANK)
    filled = pc.if_else(pc.replace_with_mask(rest, rest, blank.take(encoded.indices)), None, array)
    invisible = pc.and_(blank, pc.invert(matches_pattern(distinct, WHITE)))
    if not pc.any(invisible).as_py():
        return filled, None
    notes = [note(field, "characters_removed", text, None) for text in distinct.filter(invisible).to_pylist()]
    return filled, scatter(rest, scatter(invisible, pa.array(notes, pa.string())).take(encoded.indices))


def _starts_visibly(array: pa.Array) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which texts certainly start with a visible character, by their first byte. For nulls it has no meaning."""
    _, offsets, data = array.buffers()
    if not len(array) or data is None or not data.size:
        return np.zeros(len(array), bool)
    starts = np.frombuffer(offsets, np.int32, len(array) + 1, array.offset * 4)
    first_bytes = np.frombuffer(data, np.uint8)[np.minimum(starts[:-1], data.size - 1)]
    return _visible_first_bytes().take(first_bytes) & (starts[1:] > starts[:-1])


@cache
def _visible_first_bytes() -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """For each byte, whether every character that starts with it in UTF-8 is visible."""
    chars = map(chr, range(_LAST_SPACE + 1))
    unseen = {char for char in chars if char.isspace() or char < " " or "\x7f" <= char < "\xa0"}
    visible = np.ones(256, bool)
    visible[[char.encode()[0] for char in unseen | INVISIBLE | JOINERS]] = False
    return visible


def as_text(array: pa.Array) -> pa.Array:
    """The column as text: whole floats without '.0', NaN and infinity as null, times as ISO 8601."""
    if kinds.is_string(array.type):
        return array
    if kinds.is_null(array.type):
        return pa.nulls(len(array), pa.string())
    if kinds.is_integer(array.type) or kinds.is_boolean(array.type):
        return array.cast(pa.string())
    if kinds.is_timestamp(array.type) or kinds.is_time(array.type):
        return iso_text(array)
    return pa.array([cell_text(value) for value in to_python(array)], pa.string())


def cell_text(value: Any) -> str | None:
    """One value as text, as `as_text` writes it."""
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return None
    if isinstance(value, float):
        return repr(_whole_to_int(value))
    json_value = jsonable(value)
    return json_value if isinstance(json_value, str) else to_json(json_value)


def _whole_to_int(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < _EXACT_INTEGERS else value


def iso_text(array: pa.Array) -> pa.Array:
    """Timestamps and times of any unit as ISO 8601, in UTC if they have a zone, without trailing zeros.

    Timestamps outside the years 1 to 9999 are written as their number of ticks.
    """
    zoned = kinds.is_timestamp(array.type) and array.type.tz
    text = (array.cast(pa.timestamp(array.type.unit, "UTC")) if zoned else array).cast(pa.string())
    text = pc.replace_substring(text, " ", "T", max_replacements=1)
    text = pc.replace_substring_regex(text, r"\.0+(Z?)$", r"\1")
    text = pc.replace_substring_regex(text, r"(\.\d*[1-9])0+(Z?)$", r"\1\2")
    if kinds.is_time(array.type) or array.type.unit == "ns":
        return text
    ticks, second = array.cast(pa.int64()), _TICKS_PER_SECOND[array.type.unit]
    inside = pc.and_(pc.greater_equal(ticks, _YEAR_1 * second), pc.less(ticks, _YEAR_10000 * second))
    return pc.if_else(inside, text, ticks.cast(pa.string()))


def to_python(array: pa.Array) -> list[Any]:
    """The values as Python objects: times outside the years 1 to 9999 as numbers, text that is not UTF-8 as bytes."""
    try:
        return array.to_pylist()
    except NOT_IN_PYTHON:
        return [_scalar_to_python(scalar) for scalar in array]


def _scalar_to_python(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except NOT_IN_PYTHON:
        if isinstance(cell, pa.StructScalar):
            return {name: _scalar_to_python(inner) for name, inner in cell.items()}
        if kinds.is_map(cell.type):
            return [tuple(pair.values()) for pair in to_python(cell.values)]
        if kinds.is_nested(cell.type):
            return to_python(cell.values)
        if is_text(cell.type):
            return cell.as_buffer().to_pybytes()
        return cell.cast(pa.int32() if kinds.is_date32(cell.type) else pa.int64()).as_py()


def loss_notes(array: pa.Array, field: str) -> pa.Array | None:
    """Notes on what neither text nor JSON can express, also within nested values: NaN, NUL, bytes; None if none."""
    if kinds.is_nested(array.type):
        return _nested_loss_notes(array, field)
    if not kinds.is_floating(array.type):
        return None
    lost = pc.fill_null(pc.invert(pc.is_finite(array)), False)
    if not pc.any(lost).as_py():
        return None
    notes = [note(field, "not_finite", value, None) for value in array.filter(lost).to_pylist()]
    return scatter(lost, pa.array(notes, pa.string()))


def jsonable(value: Any) -> Any:
    """The value in types of JSON: numbers and booleans stay, decimals and times become text, NaN becomes null.

    Whole floats become integers: a column of integers with a blank often arrives as floats.
    """
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float):
        return _whole_to_int(value) if isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    return _jsonable_other(value)


def _jsonable_other(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode() if _is_utf8_without_nul(value) else _base64(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {storable(str(key)): jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(inner) for inner in value]
    return storable(str(value))


def _is_utf8_without_nul(value: bytes) -> bool:
    return b"\0" not in value and _is_utf8(value)


def _is_utf8(value: bytes) -> bool:
    return value == value.decode("utf-8", "ignore").encode()


def as_json(array: pa.Array, field: str) -> tuple[pa.Array, pa.Array | None]:
    """Each value as JSON text, nulls for nulls; and notes on the values that had to change."""
    if kinds.is_string(array.type):
        return _text_json(array, field)
    if kinds.is_null(array.type):
        return pa.nulls(len(array), pa.string()), None
    if kinds.is_integer(array.type) or kinds.is_boolean(array.type):
        return array.cast(pa.string()), None
    if kinds.is_timestamp(array.type) or kinds.is_time(array.type):
        return pc.binary_join_element_wise('"', iso_text(array), '"', ""), None
    return _each_json(array, field)


def _text_json(array: pa.Array, field: str) -> tuple[pa.Array, pa.Array | None]:
    encoded = array.dictionary_encode()
    distinct = encoded.dictionary
    texts = pc.binary_join_element_wise('"', distinct, '"', "")
    rest = pc.invert(matches_pattern(distinct, _UNESCAPED))
    if not pc.any(rest).as_py():
        return texts.take(encoded.indices), None
    values = distinct.filter(rest).to_pylist()
    texts = pc.replace_with_mask(texts, rest, pa.array([to_json(storable(value)) for value in values], pa.string()))
    notes = [note(field, "characters_removed", v, storable(v)) if storable(v) != v else None for v in values]
    if not any(notes):
        return texts.take(encoded.indices), None
    return texts.take(encoded.indices), scatter(rest, pa.array(notes, pa.string())).take(encoded.indices)


def _each_json(array: pa.Array, field: str) -> tuple[pa.Array, pa.Array | None]:
    lost = loss_notes(array, field)
    if lost is not None and kinds.is_floating(array.type):
        array = pc.if_else(pc.is_valid(lost), pa.scalar(None, array.type), array)
    texts = [None if value is None else to_json(jsonable(value)) for value in to_python(array)]
    return pa.array(texts, pa.string()), lost


def _nested_loss_notes(array: pa.Array, field: str) -> pa.Array | None:
    notes = [
        ",".join(note(field, code, value, to_json(jsonable(value))) for code in sorted(_loss_codes(value))) or None
        for value in to_python(array)
    ]
    return pa.array(notes, pa.string()) if any(notes) else None


def _loss_codes(value: Any) -> set[str]:
    """The issues of a nested value that JSON cannot express as it is."""
    if isinstance(value, Mapping):
        return set().union(*(_loss_codes(str(key)) | _loss_codes(inner) for key, inner in value.items()))
    if isinstance(value, list | tuple):
        return set().union(*map(_loss_codes, value))
    if isinstance(value, float):
        return set() if isfinite(value) else {"not_finite"}
    if isinstance(value, bytes):
        return set() if _is_utf8_without_nul(value) else {"bytes_encoded"}
    return {"characters_removed"} if isinstance(value, str) and storable(value) != value else set()
