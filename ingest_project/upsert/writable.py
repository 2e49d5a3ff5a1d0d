"""Values as text that Postgres parses, for types that Arrow's CSV writer lacks: nested values, bytes, durations."""

import json
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Any, cast

import pyarrow as pa
import pyarrow.types as kinds

from ingest_project.errors import RowsUnfit, TableUnfit
from ingest_project.normalize.cells import is_bytes, is_text


def writable(frame: pa.Table, types: Mapping[str, str]) -> pa.Table:
    """The same columns, converted to text where Arrow does not write what the column `types` of the table expect.

    Raises TableUnfit, RowsUnfit for values that JSON cannot express.
    """
    for at, field in enumerate(frame.schema):
        frame = frame.set_column(at, field.name, _writable(frame[field.name], field.name, types.get(field.name, "")))
    return frame


def _writable(column: pa.ChunkedArray, name: str, type_: str) -> pa.ChunkedArray:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _texts(column, str)
    if kinds.is_dictionary(kind):
        return _writable(column.cast(kind.value_type), name, type_)
    if kinds.is_nested(kind):
        text_of = _array_text if type_.endswith("[]") else lambda value: _json_text(value, name)
        return _texts(column, lambda value: text_of(_with_objects(value, kind)))
    if kinds.is_duration(kind):
        # Arrow writes a number without its unit, which Postgres would take for seconds.
        microseconds = column.cast(pa.duration("us"), safe=False).cast(pa.int64())
        return _texts(microseconds, lambda value: f"{value} microseconds")
    if is_bytes(kind):
        return _texts(column, _hex)
    return column.cast(pa.string()) if kind == pa.string_view() else column


def _texts(column: pa.ChunkedArray, text_of: Callable[[Any], str]) -> pa.ChunkedArray:
    texts = [None if value is None else text_of(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _hex(value: bytes) -> str:
    return f"\\x{value.hex()}"


def _with_objects(value: Any, kind: pa.DataType) -> Any:
    """The value with its maps as objects instead of lists of pairs, where their keys are text and unique."""
    if value is None or not kinds.is_nested(kind) or kinds.is_union(kind):
        return value
    if kinds.is_struct(kind):
        return {field.name: _with_objects(value[field.name], field.type) for field in kind.fields}
    if not kinds.is_map(kind):
        return [_with_objects(element, kind.value_type) for element in value]
    pairs = [(key, _with_objects(item, kind.item_type)) for key, item in value]
    by_key = dict(pairs) if is_text(kind.key_type) else {}
    return by_key if len(by_key) == len(pairs) else pairs


def _json_text(value: object, name: str) -> str:
    def scalar(inner: object) -> str:
        if isinstance(inner, bytes):
            raise TableUnfit(f"{name} holds bytes within nested values, for which JSON has no words")
        return str(inner)

    try:
        return json.dumps(value, default=scalar, allow_nan=False)
    except ValueError as error:
        raise RowsUnfit(
            f"{name} holds NaN or Infinity within nested values, for which JSON has no words",
            todo="Let them be null; nothing was written.",
        ) from error


def _array_text(value: object) -> str:
    """An array literal of Postgres, in which every value but null is quoted."""
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"{{{','.join(_array_text(element) for element in cast(list[object], value))}}}"
    text = _scalar_text(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _scalar_text(value: object) -> str:
    if isinstance(value, bytes):
        return _hex(value)
    if isinstance(value, dict):
        return _json_text(cast(object, value), "an array")
    return value.isoformat() if isinstance(value, date | time) else str(value)
