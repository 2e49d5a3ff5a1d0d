"""Arrow tables into COPY in its binary format, made column by column with Arrow's and numpy's kernels.

What a column becomes is told by its Arrow type, and by its name where a part holds as text what Postgres does not
(`item_statements.TYPES`). Postgres takes what it is sent for what it is declared: int32 into int, int64 into bigint.
"""

# pyright: reportUnknownParameterType=false
# Arrow ships no types, so a parameter that is an array is Unknown, not wrong.

import struct
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Cursor, sql

from ingest_project.upsert.item_statements import TYPES

_HEAD = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_END = struct.pack("!h", -1)
_NULL = struct.pack("!i", -1)
_ROWS, _BYTES = 8192, 4 << 20  # encoded at a time: what the caches hold, whatever a row weighs
_EPOCH = 946_684_800_000_000  # 2000-01-01, where Postgres counts from, in microseconds of 1970
_NUMBERS = {pa.int32(): ">i4", pa.int64(): ">i8", pa.float64(): ">f8"}
_GROUPS = 5  # of four digits each: what 64 bits hold
_SCALE = 4

# How one column is written: pieces that are put together row by row, a length first. Pieces as long in every row are
# rows of bytes; they cost least side by side, so a statement names columns of numbers together.
_Rows = np.ndarray[Any, np.dtype[np.uint8]]
_Pieces = list[_Rows | pa.Array]


def copy_binary(cursor: Cursor[Any], statement: sql.SQL | sql.Composed, table: pa.Table) -> None:
    """Send a table by a `copy … from stdin (format binary)` whose columns are the table's, types and all."""
    with cursor.copy(statement) as copy:
        for block in blocks(table):
            copy.write(block)


def blocks(table: pa.Table) -> Iterator[bytes | memoryview]:
    """The table as COPY reads it, some rows at a time. Raises TypeError for a type that nothing here is made of."""
    yield _HEAD
    rows = max(1, min(_ROWS, table.num_rows * _BYTES // max(table.nbytes, 1)))
    for start in range(0, table.num_rows, rows):
        yield _rows(table.slice(start, rows).combine_chunks())
    yield _END


def _rows(table: pa.Table) -> memoryview:
    pieces: _Pieces = [_same(struct.pack("!h", table.num_columns), table.num_rows)]
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = TYPES.get(name)
        is_blank = column.null_count == len(column) and kind != "jsonb"
        pieces += [_same(_NULL, len(column))] if is_blank else _encoded(kind, column.chunk(0))
    _, offsets, data = pc.binary_join_element_wise(*_put_together(pieces), b"").buffers()
    return memoryview(data)[: int(np.frombuffer(offsets, np.int32)[table.num_rows])]


def _put_together(pieces: _Pieces) -> Iterator[pa.Array]:
    for is_fixed, group in groupby(pieces, lambda piece: isinstance(piece, np.ndarray)):
        if is_fixed:
            yield _binary(np.hstack(list(group)))
        else:
            yield from group


def _encoded(kind: str | None, column: pa.Array) -> _Pieces:
    if kind == "uuid":
        return _fixed(column, _bytes_of_hex(column))
    if kind == "jsonb":
        return [_lengths(column, 1), _same(b"\x01", len(column)), _text(column)]
    if pa.types.is_string(column.type):
        return [_lengths(column), _text(column)]
    if pa.types.is_timestamp(column.type):
        return _number(column, (np.asarray(pc.fill_null(column.cast(pa.int64()), 0)) - _EPOCH).astype(">i8"))
    if pa.types.is_decimal(column.type):
        return _fixed(column, _numerics(column))
    if column.type not in _NUMBERS:
        raise TypeError(f"nothing is known of how to copy {column.type} into Postgres")
    return _number(column, np.asarray(pc.fill_null(column, 0)).astype(_NUMBERS[column.type]))


def _number(column: pa.Array, values: np.ndarray[Any, Any]) -> _Pieces:
    return _fixed(column, values.view(np.uint8).reshape(len(column), -1))


def _fixed(column: pa.Array, values: _Rows) -> _Pieces:
    # One row of bytes for each value, all equally long.
    rows, width = values.shape
    length = _same(struct.pack("!i", width), rows)
    if not column.null_count:
        return [length, values]
    return [pc.if_else(column.is_valid(), _binary(np.hstack([length, values])), pa.scalar(_NULL))]


def _same(data: bytes, rows: int) -> _Rows:
    return np.broadcast_to(np.frombuffer(data, np.uint8), (rows, len(data)))


def _lengths(column: pa.Array, more: int = 0) -> _Rows:
    lengths = pc.binary_length(column)
    if more:
        lengths = pc.add(lengths, more)
    if column.null_count and more:
        raise TypeError("a document is never null")
    lengths = np.asarray(pc.fill_null(lengths, -1) if column.null_count else lengths)
    return lengths.astype(">i4").view(np.uint8).reshape(-1, 4)


def _text(column: pa.Array) -> pa.Array:
    text = column.cast(pa.binary())
    return pc.fill_null(text, b"") if column.null_count else text


def _bytes_of_hex(column: pa.Array) -> _Rows:
    # 32 hex digits each; all of them at once, since Python reads hex faster than anything in Arrow or numpy.
    digits = pc.fill_null(column, "0" * 32)
    if not pc.all(pc.equal(pc.binary_length(digits), 32)).as_py():
        raise ValueError("a hash is 32 hex digits")
    start = digits.offset * 32
    text = str(digits.buffers()[2][start : start + len(digits) * 32], "ascii")
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 16)


def _numerics(column: pa.Array) -> _Rows:
    # Groups of four decimal digits behind their count, the weight of the first, the sign, and the digits after the
    # point. Postgres drops groups of zeros at either end.
    scaled = column.cast(pa.decimal128(18, _SCALE))
    filled = pc.fill_null(scaled, pa.scalar(0, scaled.type))
    low = np.frombuffer(filled.buffers()[1], np.int64)[:: 128 // 64][filled.offset : filled.offset + len(filled)]
    left, groups = np.abs(low), np.empty((len(low), 4 + _GROUPS), ">i2")
    groups[:, :4] = [_GROUPS, _GROUPS - 2, 0, _SCALE]
    groups[:, 2] = np.where(low < 0, 0x4000, 0)
    for at in range(3 + _GROUPS, 3, -1):
        left, groups[:, at] = np.divmod(left, 10_000)
    return groups.view(np.uint8).reshape(len(low), -1)


def _binary(rows: _Rows) -> pa.Array:
    count, width = rows.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    data = np.ascontiguousarray(rows)
    return pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def with_constants(table: pa.Table, constants: Mapping[str, object]) -> pa.Table:
    """The table with the same value in every row of further columns: Arrow scalars where the type matters."""
    for name, value in constants.items():
        scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value)
        table = table.append_column(name, pa.repeat(scalar, table.num_rows))
    return table
