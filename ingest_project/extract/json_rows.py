"""Parses one JSON object into one row: numbers as they are spelled, nested values as JSON, no type guessed.

A text is malformed (None) where JSON leaves open what is meant or Postgres could not hold it: no object, a key twice,
NaN or Infinity, half of a surrogate pair, nesting deeper than 100.
"""

import json
from collections.abc import Callable, Sequence, Set
from json.encoder import encode_basestring
from typing import Any

from ingest_project.extract.nested import flatten
from ingest_project.extract.source import MORE

Row = dict[str, str | bool | None]
Convert = Callable[[str, Any], Any]
_MAX_DEPTH = 100  # fixed: Python's own limit depends on who calls, and a row read again must be the same


class Number(str):
    """A number as the file spells it: 9007199254740993, 1.10 and 1e999 stay what they are."""

    __slots__ = ()


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _decoder(number: type[str]) -> Callable[[str], tuple[Any, int]]:
    return json.JSONDecoder(
        parse_int=number, parse_float=number, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys
    ).raw_decode


_decode = _decoder(Number)
_decode_flat = _decoder(str)  # twice as fast, where nothing has to be written as JSON again


def parse_row(
    text: str, columns: Set[str] | None, convert: Convert | None = None, array_paths: Sequence[str] | None = None
) -> Row | None:
    """Read a text that has no white space around it; None where it is malformed.

    Keys that are no column (None: all are) are kept together in `__more`, as one JSON object. `convert` may change
    what a column gets (its name, its value) while numbers can still be told from text. Unless `array_paths` is None,
    the object is flattened, and these paths are columns as well.
    """
    try:
        return _parse_row(text, columns, convert, array_paths)
    except (ValueError, RecursionError):
        return None


def _parse_row(text: str, columns: Set[str] | None, convert: Convert | None, array_paths: Sequence[str] | None) -> Row:
    is_flat = convert is None and text.count("{") == 1 and "[" not in text
    value, end = (_decode_flat if is_flat else _decode)(text)
    if end != len(text) or not isinstance(value, dict):
        raise ValueError("the text is not one object")
    row: dict[str, Any] = value
    if "\\u" in text:
        _to_json(row).encode()  # fails on half a surrogate pair
    if array_paths is not None and not is_flat:
        row = flatten(row, array_paths)
    if columns is not None and not row.keys() <= columns:
        with_numbers = _decode(text)[0]
        row = with_numbers if array_paths is None else flatten(with_numbers, array_paths)
        return _with_more(row, columns, convert)
    return row if is_flat else _as_text(row, convert)


def _with_more(row: dict[str, Any], columns: Set[str], convert: Convert | None) -> Row:
    more = {key: value for key, value in row.items() if key not in columns}
    return {**_as_text({key: row[key] for key in row if key in columns}, convert), MORE: _to_json(more)}


def _as_text(row: dict[str, Any], convert: Convert | None) -> Row:
    if convert is not None:
        row = {key: convert(key, value) for key, value in row.items()}
    return {key: _to_json(value, 1) if isinstance(value, dict | list) else value for key, value in row.items()}


def _to_json(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return value if isinstance(value, Number) else encode_basestring(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if depth == _MAX_DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        members: dict[str, Any] = value
        pairs = (f"{encode_basestring(key)}:{_to_json(member, depth + 1)}" for key, member in members.items())
        return f"{{{','.join(pairs)}}}"
    return f"[{','.join(_to_json(element, depth + 1) for element in value)}]"
