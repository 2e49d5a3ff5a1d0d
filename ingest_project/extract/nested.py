"""Nested values as columns: objects spread out under dotted names, what a branch names inside an array beside it.

`{"geo": {"lat": 1}, "addresses": [{"city": "Ulm"}]}` has the columns `geo.lat` and `addresses`; a branch may also
name `addresses.0.city`. Arrays stay whole as well, so that nothing of them is lost.
"""

# pyright: reportUnknownParameterType=false, reportAttributeAccessIssue=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong; its kernels are made at import.

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds


def is_inside(name: str) -> bool:
    """Whether a name may be one of a value inside an array: it has a number among its steps."""
    return any(step.isdecimal() for step in name.split(".")[1:])


def inside(name: str, columns: Collection[str]) -> tuple[str, list[str]] | None:
    """The column that holds an array, and the steps from there; None where no column does."""
    steps = name.split(".")
    cuts = (cut for cut in range(len(steps) - 1, 0, -1) if steps[cut].isdecimal())
    return next(((column, steps[cut:]) for cut in cuts if (column := ".".join(steps[:cut])) in columns), None)


def spread(row: dict[str, Any], paths: Sequence[str] = ()) -> dict[str, Any]:
    """A JSON object with its inner objects spread out. Raises ValueError where two values have one name."""
    pairs = list(_leaves(row, ""))
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    for path in paths:
        place = inside(path, found)
        value = _reached(found[place[0]], place[1]) if place and path not in found else None
        found.update({} if value is None else {path: value})
    return found


def _leaves(row: dict[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict) and value:
            inner: dict[str, Any] = value
            yield from _leaves(inner, f"{before}{key}.")
        else:
            yield before + key, value


def _reached(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(value, list):
            several: list[Any] = value
            value = several[int(step)] if step.isdecimal() and int(step) < len(several) else None
        elif isinstance(value, dict):
            members: dict[str, Any] = value
            value = members.get(step)
        else:
            return None
    return value


def paths_in(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What stands in the first places of an array, under the names that a branch may give: for a guess."""
    if isinstance(value, list):
        several: list[Any] = value
        for at, one in enumerate(several[:2]):
            yield from paths_in(f"{name}.{at}", one)
    elif isinstance(value, dict):
        members: dict[str, Any] = value
        for key, one in members.items():
            yield from paths_in(f"{name}.{key}", one)
    elif value is not None:
        yield name, value


def spread_table(table: pa.Table, paths: Sequence[str] = ()) -> pa.Table:
    """The same of a table: structs spread out, a column for each path that leads into a list."""
    while any(kinds.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    for path in paths:
        place = inside(path, table.column_names)
        column = _reached_in(table.column(place[0]), place[1]) if place and path not in table.column_names else None
        table = table if column is None else table.append_column(path, column)
    return table


def _reached_in(column: pa.ChunkedArray, steps: Sequence[str]) -> pa.ChunkedArray | None:
    for step in steps:
        if _is_list(column.type) and step.isdecimal():
            place = int(step)
            column = pc.list_element(pc.list_slice(column, place, place + 1, return_fixed_size_list=True), 0)
        elif kinds.is_struct(column.type) and column.type.get_field_index(step) >= 0:
            column = pc.struct_field(column, step)
        else:
            return None
    return column


def _is_list(kind: pa.DataType) -> bool:
    return kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind)
