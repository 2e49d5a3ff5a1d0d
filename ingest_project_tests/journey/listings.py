"""Listings as real exports write them, and an audit of what became of each value: kept, or changed and explained."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
Rows = Sequence[Row]
Encode = Callable[[Rows], bytes]
BEFORE = 200  # characters of a value that an issue quotes


def delimited(
    mark: str = ",", encoding: str = "utf-8", *, end: str = "\n", before: str = "", after: str = "", quote: int = 0
) -> Encode:
    """Text of rows: `before` the header and `after` the last row stands what is no data."""

    def encode(rows: Rows) -> bytes:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), delimiter=mark, lineterminator=end, quoting=quote)  # pyright: ignore
        writer.writeheader()
        writer.writerows(rows)
        return (before + text.getvalue() + after).encode(encoding)

    return encode


def lines(rows: Rows) -> bytes:
    """JSON Lines, nested."""
    return "".join(json.dumps(nested(row), ensure_ascii=False) + "\n" for row in rows).encode()


def document(around: Callable[[list[Any]], Any] = lambda rows: rows, indent: int | None = None) -> Encode:
    """One JSON document with the rows somewhere inside."""
    return lambda rows: json.dumps(around([nested(row) for row in rows]), ensure_ascii=False, indent=indent).encode()


def parquet(rows: Rows) -> bytes:
    """Parquet with structs and lists, three rows a group."""
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([nested(row) for row in rows]), file, row_group_size=3)
    return file.getvalue()


def gzipped(encode: Encode) -> Encode:
    """The same, packed."""
    return lambda rows: gzip.compress(encode(rows), mtime=0)


def nested(row: Row) -> dict[str, Any]:
    """Objects of dotted names."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        *parents, last = name.split(".")
        inner = found
        for step in parents:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return found


@dataclass(frozen=True)
class Listing:
    """One export: its file, its rows as they were meant, and what a guess must make of its columns."""

    file: str
    encode: Encode
    rows: Rows
    key: str
    mapping: Mapping[str, str]
    written: Mapping[str, Any]
    settings: tuple[str, ...] = ()
    updated_at: str | None = None

    def edited(self) -> list[Row]:
        """The next version: one renamed, one new, one gone, all in another order."""
        name = self.mapping["name"]
        first, *others = self.rows
        new = {**others[0], self.key: f"{others[0][self.key]}9"}
        return [new, *reversed(others[:-1]), _renamed(first, name)]


def _renamed(row: Row, column: str) -> Row:
    return {**row, column: f"{row[column]} II"}


def said(row: Row, column: str) -> Any:
    """What a row says under a column, or under a name inside one of its arrays."""
    steps = column.split(".")
    names = (cut for cut in range(len(steps), 0, -1) if ".".join(steps[:cut]) in row)
    cut = next(names, None)
    return _reached(row[".".join(steps[:cut])], steps[cut:]) if cut else None


def _reached(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        inner = dict(enumerate(value)) if isinstance(value, list) else value or {}
        value = inner.get(int(step) if isinstance(value, list) else step)
    return value


def unexplained(
    row: Row, item: Row, columns: Mapping[str, str | None], spare: Sequence[str], *, comma: bool
) -> list[str]:
    """Values of a source row that are in its item neither as they were nor with an issue that says why.

    `columns` are those of mapped fields, `spare` all others, which are kept in attributes.
    """
    explained = {(issue["field"], (issue["from"] or "")) for issue in item["issues"]}
    fields = {field for field, _ in explained}
    lost: list[str] = []
    for field, column in columns.items():
        value = said(row, column) if column else None
        if is_blank(value) or is_same(value, item[field], comma=comma):
            continue
        if (field, _as_text(value)[:BEFORE].replace("\0", "")) not in explained:
            lost.append(f"{field}: {value!r} became {item[field]!r}")
    for column in spare:
        value = row.get(column)
        if not is_blank(value) and not is_same(value, item["attributes"].get(column), comma=False):
            lost += [] if f"attributes.{column}" in fields else [f"{column}: {value!r} is not in attributes"]
    return lost


def _as_text(value: Any) -> str:
    nested = isinstance(value, list | dict)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if nested else str(value)


def is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def is_same(value: Any, kept: Any, *, comma: bool) -> bool:
    """Whether it is the same value, be it as a number or as JSON."""
    if kept is None:
        return False
    if isinstance(value, list | dict):
        return _without_nulls(json.loads(kept) if isinstance(kept, str) else kept) == _without_nulls(value)
    if str(value) == str(kept):
        return True
    if isinstance(value, bool):
        return str(kept).lower() == str(value).lower()
    text = str(value).replace(".", "").replace(",", ".") if comma and "," in str(value) else str(value)
    try:
        return Decimal(text) == Decimal(str(kept))
    except InvalidOperation:
        return False


def _without_nulls(value: Any) -> Any:
    # Every struct of a Parquet file has all of its fields.
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
