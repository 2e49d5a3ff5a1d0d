"""One line of JSON Lines into one row: numbers as they are spelled, nested values as JSON, no type guessed.

A line is set aside (None) where JSON leaves open what is meant or Postgres could not hold it: no object, a key twice,
NaN or Infinity, half of a surrogate pair, nesting deeper than 100.
"""

import json
from collections.abc import Callable, Sequence, Set
from json.encoder import encode_basestring
from typing import Any

from ingest_project.extract.nested import spread
from ingest_project.extract.source import MORE

Row = dict[str, str | bool | None]
Shown = Callable[[str, Any], Any]
_DEEPEST = 100  # fixed: Python's own limit depends on who calls, and a row read again must be the same


class Number(str):
    """A number as the file spells it: 9007199254740993, 1.10 and 1e999 stay what they are."""

    __slots__ = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _scanner(number: type[str]) -> Callable[[str], tuple[Any, int]]:
    return json.JSONDecoder(
        parse_int=number, parse_float=number, parse_constant=_no_number, object_pairs_hook=_object
    ).raw_decode


_scan = _scanner(Number)
_scan_flat = _scanner(str)  # twice as fast, where nothing has to be written as JSON again


def row_of(
    text: str, columns: Set[str] | None, shown: Shown | None = None, inside: Sequence[str] | None = None
) -> Row | None:
    """Read a line that has no white space around it; None where it is malformed.

    Keys that are no column (None: all are) are kept together in `__more`, as one JSON object. `shown` may change
    what a column gets (its name, its value) while numbers can still be told from text. Unless `inside` is None, objects
    are spread out, and these names of values in arrays are columns as well.
    """
    try:
        return _row(text, columns, shown, inside)
    except (ValueError, RecursionError):
        return None


def _row(text: str, columns: Set[str] | None, shown: Shown | None, inside: Sequence[str] | None) -> Row:
    flat = shown is None and text.count("{") == 1 and "[" not in text
    found, end = (_scan_flat if flat else _scan)(text)
    if end != len(text) or not isinstance(found, dict):
        raise ValueError("the line is not one object")
    row: dict[str, Any] = found
    if "\\u" in text:
        _json(row).encode()  # fails on half a surrogate pair
    if inside is not None and not flat:
        row = spread(row, inside)
    if columns is not None and not row.keys() <= columns:
        whole = _scan(text)[0]
        return _with_more(whole if inside is None else spread(whole, inside), columns, shown)
    return row if flat else _texts(row, shown)


def _with_more(row: dict[str, Any], columns: Set[str], shown: Shown | None) -> Row:
    more = {key: value for key, value in row.items() if key not in columns}
    return {**_texts({key: row[key] for key in row if key in columns}, shown), MORE: _json(more)}


def _texts(row: dict[str, Any], shown: Shown | None) -> Row:
    if shown is not None:
        row = {key: shown(key, value) for key, value in row.items()}
    return {key: _json(value, 1) if isinstance(value, dict | list) else value for key, value in row.items()}


def _json(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return value if isinstance(value, Number) else encode_basestring(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if depth == _DEEPEST:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        members: dict[str, Any] = value
        return f"{{{','.join(f'{encode_basestring(key)}:{_json(one, depth + 1)}' for key, one in members.items())}}}"
    return f"[{','.join(_json(one, depth + 1) for one in value)}]"
