"""Converts a column to Python values, for guesses and comparisons only: not all values survive it."""

from typing import Any

import pyarrow as pa

NOT_IN_PYTHON = (OverflowError, ValueError, LookupError)  # the last: no such time zone


def as_python(column: pa.ChunkedArray) -> list[Any]:
    """None for what Python cannot hold, as a day in the year 10000; bytes of text that are no UTF-8 are replaced."""
    try:
        return column.to_pylist()
    except NOT_IN_PYTHON:
        return [_value(cell) for cell in column]


def _value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except UnicodeDecodeError:  # Parquet may hold it in a column of text
        return None if pa.types.is_nested(cell.type) else cell.as_buffer().to_pybytes().decode(errors="replace")
    except NOT_IN_PYTHON:
        return None
