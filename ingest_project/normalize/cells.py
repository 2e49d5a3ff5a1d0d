"""Source columns as they come, of any Arrow type, brought to text or to JSON without losing anything."""

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
from ingest_project.normalize.columns import accepted_pattern, as_one, note, spread, storable, to_json
from ingest_project.normalize.text import BLANK, WHITE

_EXACT = 2**53  # below it a float that is whole is an integer that lost its type
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6}  # a second in each unit; nanoseconds stay within the years 1 to 9999
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800
_IDEOGRAPHS = 0x3001  # no white space is behind their space
_ORDINARY = r'^[^"\\\x00-\x1f]*$'  # needs no escape in JSON


def plain(column: pa.Array | pa.ChunkedArray, *, whole: bool = False) -> tuple[pa.Array, pa.Array | None]:
    """The column without dictionary, view or large types, as valid UTF-8; and where bytes had to be replaced.

    The second is null where nothing was replaced at all, else text as it was (escaped), per row. `whole`: such values
    become base64, with nothing replaced in them, and so do bytes among which is a NUL.
    """
    array = as_one(column)
    if isinstance(array, pa.ExtensionArray):
        array = _bare(array)
    if kinds.is_dictionary(array.type):
        array = array.dictionary_decode()
    if kinds.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if is_text(array.type) or is_bytes(array.type):
        return _utf8(array, whole=whole)
    return array, None


def _bare(array: pa.ExtensionArray) -> pa.Array:
    if kinds.is_fixed_size_binary(array.type.storage_type):
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())
    return array.storage


def geometry_text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The column as text, nulls for blanks; bytes, which are WKB, in hex."""
    array = as_one(column)
    if isinstance(array, pa.ExtensionArray):
        array = _bare(array)
    if not is_bytes(array.type):
        return blank_to_null(as_text(plain(array)[0]))
    return pa.array([None if value is None else value.hex() for value in array.to_pylist()], pa.string())


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is one of those that hold text."""
    return any(one(kind) for one in (kinds.is_string, kinds.is_large_string, kinds.is_string_view))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a type is one of those that hold bytes."""
    is_kind = (kinds.is_binary, kinds.is_large_binary, kinds.is_fixed_size_binary, kinds.is_binary_view)
    return any(one(kind) for one in is_kind)


def _utf8(array: pa.Array, *, whole: bool) -> tuple[pa.Array, pa.Array | None]:
    is_text = _is_text if whole and is_bytes(array.type) else _is_utf8
    try:
        text = array.cast(pa.string())
        if not _is_ascii(text):
            text.validate(full=True)
    except pa.ArrowInvalid:
        return _repaired(array, is_text, _base64 if whole else _readable)
    if is_text is _is_text and pc.any(pc.match_substring(text, "\0")).as_py():
        return _repaired(array, is_text, _base64)
    return text, None


def _is_ascii(array: pa.Array) -> bool:
    data = array.buffers()[2]
    return data is None or not data.size or np.frombuffer(data, np.int8).min() >= 0


def _repaired(
    array: pa.Array, is_text: Callable[[bytes], bool], otherwise: Callable[[bytes], str]
) -> tuple[pa.Array, pa.Array]:
    values: list[bytes | None] = array.cast(pa.binary()).to_pylist()
    broken = {at: value for at, value in enumerate(values) if value is not None and not is_text(value)}
    texts = [otherwise(broken[at]) if at in broken else value for at, value in enumerate(values)]
    damaged = [broken[at].decode("utf-8", "backslashreplace") if at in broken else None for at in range(len(values))]
    return pa.array(texts, pa.string()), pa.array(damaged, pa.string())


def _readable(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def blank_to_null(array: pa.Array) -> pa.Array:
    """Text that shows nothing is no value."""
    return without_blanks(array, "")[0]


def without_blanks(array: pa.Array, field: str) -> tuple[pa.Array, pa.Array | None]:
    """The same, and the notes on text that shows nothing although it is not only white space; None where none is."""
    others = pc.and_(pc.is_valid(array), pa.array(~_begins_visibly(array)))
    if not pc.any(others).as_py():
        return array, None
    # Few values begin with what may show nothing, and most of these are empty: each is looked at once.
    encoded = array.filter(others).dictionary_encode()
    distinct = encoded.dictionary
    blank = accepted_pattern(distinct, BLANK)
    found = pc.if_else(pc.replace_with_mask(others, others, blank.take(encoded.indices)), None, array)
    unseen = pc.and_(blank, pc.invert(accepted_pattern(distinct, WHITE)))
    if not pc.any(unseen).as_py():
        return found, None
    notes = [note(field, "characters_removed", one, None) for one in distinct.filter(unseen).to_pylist()]
    return found, spread(others, spread(unseen, pa.array(notes, pa.string())).take(encoded.indices))


def _begins_visibly(array: pa.Array) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which texts begin with a byte of no character that shows nothing; what is told of nulls is void."""
    _, offsets, data = array.buffers()
    if not len(array) or data is None or not data.size:
        return np.zeros(len(array), bool)
    starts = np.frombuffer(offsets, np.int32, len(array) + 1, array.offset * 4)
    firsts = np.frombuffer(data, np.uint8)[np.minimum(starts[:-1], data.size - 1)]
    return _visible().take(firsts) & (starts[1:] > starts[:-1])


@cache
def _visible() -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """By first byte, whether no character that begins with it shows nothing."""
    unseen = {char for char in map(chr, range(_IDEOGRAPHS)) if char.isspace() or char < " " or "\x7f" <= char < "\xa0"}
    found = np.ones(256, bool)
    found[[char.encode()[0] for char in unseen | INVISIBLE | JOINERS]] = False
    return found


def as_text(array: pa.Array) -> pa.Array:
    """The column as text, exactly: whole floats lose their '.0', NaN is null, times are ISO 8601."""
    if kinds.is_string(array.type):
        return array
    if kinds.is_null(array.type):
        return pa.nulls(len(array), pa.string())
    if kinds.is_integer(array.type) or kinds.is_boolean(array.type):
        return array.cast(pa.string())
    if kinds.is_timestamp(array.type) or kinds.is_time(array.type):
        return iso_text(array)
    return pa.array([cell_text(value) for value in values(array)], pa.string())


def cell_text(value: Any) -> str | None:
    """One typed value as text."""
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return None
    if isinstance(value, float):
        return repr(_number(value))
    given = jsonable(value)
    return given if isinstance(given, str) else to_json(given)


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def iso_text(array: pa.Array) -> pa.Array:
    """Timestamps and times of any unit as ISO 8601, in UTC where they have a zone, without trailing zeros.

    A timestamp beyond the years 1 to 9999 is told as its number.
    """
    zoned = kinds.is_timestamp(array.type) and array.type.tz
    text = (array.cast(pa.timestamp(array.type.unit, "UTC")) if zoned else array).cast(pa.string())
    text = pc.replace_substring(text, " ", "T", max_replacements=1)
    text = pc.replace_substring_regex(text, r"\.0+(Z?)$", r"\1")
    text = pc.replace_substring_regex(text, r"(\.\d*[1-9])0+(Z?)$", r"\1\2")
    if kinds.is_time(array.type) or array.type.unit == "ns":
        return text
    ticks, second = array.cast(pa.int64()), _TICKS[array.type.unit]
    inside = pc.and_(pc.greater_equal(ticks, _YEAR_1 * second), pc.less(ticks, _YEAR_10000 * second))
    return pc.if_else(inside, text, ticks.cast(pa.string()))


def values(array: pa.Array) -> list[Any]:
    """Values as Python has them: a time beyond its years 1 to 9999 as its number, a text that is no UTF-8 as bytes."""
    try:
        return array.to_pylist()
    except NOT_IN_PYTHON:
        return [_value(one) for one in array]


def _value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except NOT_IN_PYTHON:
        if isinstance(cell, pa.StructScalar):
            return {name: _value(inner) for name, inner in cell.items()}
        if kinds.is_map(cell.type):
            return [tuple(pair.values()) for pair in values(cell.values)]
        if kinds.is_nested(cell.type):
            return values(cell.values)
        if is_text(cell.type):
            return cell.as_buffer().to_pybytes()
        return cell.cast(pa.int32() if kinds.is_date32(cell.type) else pa.int64()).as_py()


def losses(array: pa.Array, field: str) -> pa.Array | None:
    """The notes on what neither text nor JSON can say, inside nested values too: NaN, NUL, bytes; None for none."""
    if kinds.is_nested(array.type):
        return _lost_inside(array, field)
    if not kinds.is_floating(array.type):
        return None
    lost = pc.fill_null(pc.invert(pc.is_finite(array)), False)
    if not pc.any(lost).as_py():
        return None
    notes = [note(field, "not_finite", value, None) for value in array.filter(lost).to_pylist()]
    return spread(lost, pa.array(notes, pa.string()))


def jsonable(value: Any) -> Any:
    """The value as JSON can say it: numbers and booleans stay, decimals and times are text, NaN is null.

    A whole float is an integer: a blank among integers makes floats of them all.
    """
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float):
        return _number(value) if isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    return _other(value)


def _other(value: Any) -> Any:
    if isinstance(value, bytes):
        return _bytes(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {storable(str(key)): jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(inner) for inner in value]
    return storable(str(value))


def _bytes(value: bytes) -> str:
    return value.decode() if _is_text(value) else _base64(value)


def _is_text(value: bytes) -> bool:
    return b"\0" not in value and _is_utf8(value)


def _is_utf8(value: bytes) -> bool:
    return value == value.decode("utf-8", "ignore").encode()


def as_json(array: pa.Array, field: str) -> tuple[pa.Array, pa.Array | None]:
    """Each value as a JSON text, null where there is none; and the notes on those that had to change."""
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
    odd = pc.invert(accepted_pattern(distinct, _ORDINARY))
    if not pc.any(odd).as_py():
        return texts.take(encoded.indices), None
    given = distinct.filter(odd).to_pylist()
    texts = pc.replace_with_mask(texts, odd, pa.array([to_json(storable(value)) for value in given], pa.string()))
    notes = [note(field, "characters_removed", v, storable(v)) if storable(v) != v else None for v in given]
    spread = pc.replace_with_mask(pa.nulls(len(distinct), pa.string()), odd, pa.array(notes, pa.string()))
    return texts.take(encoded.indices), spread.take(encoded.indices) if any(notes) else None


def _each_json(array: pa.Array, field: str) -> tuple[pa.Array, pa.Array | None]:
    lost = losses(array, field)
    if lost is not None and kinds.is_floating(array.type):
        array = pc.if_else(pc.is_valid(lost), pa.scalar(None, array.type), array)
    texts = [None if value is None else to_json(jsonable(value)) for value in values(array)]
    return pa.array(texts, pa.string()), lost


def _lost_inside(array: pa.Array, field: str) -> pa.Array | None:
    told = [
        ",".join(note(field, code, value, to_json(jsonable(value))) for code in sorted(_losses(value))) or None
        for value in values(array)
    ]
    return pa.array(told, pa.string()) if any(told) else None


def _losses(value: Any) -> set[str]:
    """Why what JSON says of a nested value is less than the value."""
    if isinstance(value, Mapping):
        return set().union(*(_losses(str(key)) | _losses(inner) for key, inner in value.items()))
    if isinstance(value, list | tuple):
        return set().union(*map(_losses, value))
    if isinstance(value, float):
        return set() if isfinite(value) else {"not_finite"}
    if isinstance(value, bytes):
        return set() if _is_text(value) else {"bytes_encoded"}
    return {"characters_removed"} if isinstance(value, str) and storable(value) != value else set()
