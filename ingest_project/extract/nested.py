"""Flattens nested values: objects become columns with dotted names, as do values in arrays that a branch names.

`{"geo": {"lat": 1}, "addresses": [{"city": "Ulm"}]}` has the columns `geo.lat` and `addresses`; a branch may also
name `addresses.0.city`, an *array path*. Arrays stay whole as well, so that nothing of them is lost.
"""

# pyright: reportAttributeAccessIssue=false
# Arrow makes its kernels at import, where pyright does not see them.

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types


def is_array_path(name: str) -> bool:
    """Whether a name may be that of a value in an array: it has a number among its steps."""
    return any(step.isdecimal() for step in name.split(".")[1:])


def split_array_path(path: str, columns: Collection[str]) -> tuple[str, list[str]] | None:
    """The column that holds the array, and the steps from there; None where no column does."""
    steps = path.split(".")
    cuts = (cut for cut in range(len(steps) - 1, 0, -1) if steps[cut].isdecimal())
    return next(((column, steps[cut:]) for cut in cuts if (column := ".".join(steps[:cut])) in columns), None)


def array_paths(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of the values in the first two elements of an array, for a guess."""
    if isinstance(value, list):
        elements: list[Any] = value
        for index, element in enumerate(elements[:2]):
            yield from array_paths(f"{name}.{index}", element)
    elif isinstance(value, dict):
        members: dict[str, Any] = value
        for key, member in members.items():
            yield from array_paths(f"{name}.{key}", member)
    elif value is not None:
        yield name, value


def flatten(row: dict[str, Any], paths: Sequence[str] = ()) -> dict[str, Any]:
    """Flatten a JSON object, and add the values at these array paths. Raises ValueError where two have one name."""
    pairs = list(_leaves(row, ""))
    flat = dict(pairs)
    if len(flat) != len(pairs):
        raise ValueError("a name stands twice")
    for path in paths:
        array = split_array_path(path, flat)
        value = _follow(flat[array[0]], array[1]) if array and path not in flat else None
        flat.update({} if value is None else {path: value})
    return flat


def _leaves(row: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict) and value:
            members: dict[str, Any] = value
            yield from _leaves(members, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _follow(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(value, list):
            elements: list[Any] = value
            value = elements[int(step)] if step.isdecimal() and int(step) < len(elements) else None
        elif isinstance(value, dict):
            members: dict[str, Any] = value
            value = members.get(step)
        else:
            return None
    return value


def flatten_table(table: pa.Table, paths: Sequence[str] = ()) -> pa.Table:
    """Flatten the structs of a table, and add a column for each array path that leads into a list."""
    while any(types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    for path in paths:
        names = table.column_names
        array = split_array_path(path, names)
        column = _follow_in_column(table.column(array[0]), array[1]) if array and path not in names else None
        table = table if column is None else table.append_column(path, column)
    return table


def _follow_in_column(column: pa.ChunkedArray, steps: Sequence[str]) -> pa.ChunkedArray | None:
    for step in steps:
        if _is_list(column.type) and step.isdecimal():
            index = int(step)
            column = pc.list_element(pc.list_slice(column, index, index + 1, return_fixed_size_list=True), 0)
        elif types.is_struct(column.type) and column.type.get_field_index(step) >= 0:
            column = pc.struct_field(column, step)
        else:
            return None
    return column


def _is_list(kind: pa.DataType) -> bool:
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
