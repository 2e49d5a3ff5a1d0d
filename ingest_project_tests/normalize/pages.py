"""Tiny pages: a column per item field, under the field's own name, and what became of a row."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ingest_project.branches.spec import BranchSpec, parse_spec
from ingest_project.item import KEY, columns
from ingest_project.normalize.part import NormalizedPart, normalize_part
from ingest_project.normalize.rejects import Reject


@dataclass(frozen=True)
class Row:
    """One item: its values, and its issues as `field: code`."""

    values: dict[str, Any]
    issues: list[dict[str, Any]]

    def __getitem__(self, field: str) -> Any:
        return self.values[field]

    @property
    def codes(self) -> list[str]:
        return [f"{issue['field']}: {issue['code']}" for issue in self.issues]

    @property
    def attributes(self) -> dict[str, Any]:
        return json.loads(self.values["attributes"])


def spec(*fields: str, mapping: Mapping[str, object] | None = None, **settings: object) -> BranchSpec:
    """Map each field to the column of its name, the name and the key too."""
    mapped = {field: field for field in ("name", *fields) if field in columns() and field != KEY} | dict(mapping or {})
    given = {"name": "test", "source": "test", "location": "x.csv", "key": KEY, "mapping": mapped, **settings}
    return parse_spec(given, origin="test")


def page(columns: Mapping[str, Any], malformed: Mapping[int, str] | None = None) -> pa.Table:
    """Make a page of lists or arrays, rows numbered from 1; `malformed` are lines by row number."""
    arrays = {
        name: column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column)
        for name, column in columns.items()
    }
    return numbered(pa.table(arrays), malformed)


def numbered(table: pa.Table, malformed: Mapping[int, str] | None = None) -> pa.Table:
    """Add to a table what extraction adds to a page."""
    numbers = range(1, table.num_rows + 1)
    lines = [(malformed or {}).get(number) for number in numbers]
    table = table.append_column("__row", pa.array(numbers, pa.int64()))
    return table.append_column("__malformed", pa.array(lines, pa.string()))


def part(
    given: Mapping[str, Any], *, mapping: Mapping[str, object] | None = None, **settings: object
) -> NormalizedPart:
    """Normalize columns: those of a field's name are mapped, the key and the name are made up where missing."""
    rows = max(len(column) for column in given.values())
    filled = {KEY: [f"k{at}" for at in range(rows)], "name": ["n"] * rows} | dict(given)
    return normalize_part(page(filled), spec(*given, mapping=mapping, **settings))


def rows_of(made: NormalizedPart) -> list[Row]:
    return [Row(values, json.loads(values["issues"])) for values in made.items.to_pylist()]


def row(given: Mapping[str, Any], *, mapping: Mapping[str, object] | None = None, **settings: object) -> Row:
    """Normalize one row that becomes an item; a value may be an array of one."""
    columns = {name: value if isinstance(value, pa.Array) else [value] for name, value in given.items()}
    texts = {name: pa.array(column, pa.string()) if column == [None] else column for name, column in columns.items()}
    made = part(texts, mapping=mapping, **settings)
    assert made.rejects == []
    return rows_of(made)[0]


def outcome(field: str, value: object, **settings: object) -> tuple[Any, list[str]]:
    """Give the value of one field, and the codes that were said about it."""
    found = row({field: value}, **settings)
    return found[field], [issue["code"] for issue in found.issues]


def rejected(given: Mapping[str, Any], **settings: object) -> Reject:
    """Normalize one row that becomes a reject."""
    made = part({name: [value] for name, value in given.items()}, **settings)
    assert made.items.num_rows == 0
    return made.rejects[0]


def codes_of(reject: Reject) -> Sequence[str]:
    return [error["code"] for error in reject.errors]
