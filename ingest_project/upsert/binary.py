"""Arrow tables encoded for COPY in its binary format, column by column with Arrow's and numpy's kernels.

The Arrow type of a column decides how it is encoded; columns that are text in a part and not in Postgres are known by
their names (`item_statements.TYPES`). Binary COPY converts nothing: int32 must go into int, int64 into bigint.
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

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)
_NULL = struct.pack("!i", -1)
_BLOCK_ROWS, _BLOCK_BYTES = 8192, 4 << 20  # encoded at a time, so that they fit into the CPU's caches
_POSTGRES_EPOCH = 946_684_800_000_000  # 2000-01-01, from where Postgres counts, in microseconds since 1970
_NUMBER_FORMATS = {pa.int32(): ">i4", pa.int64(): ">i8", pa.float64(): ">f8"}
_NUMERIC_GROUPS = 5  # of four digits each: what 64 bits hold
_NUMERIC_SCALE = 4

# An encoded column is a list of pieces (a length, then data), which are joined row by row. Pieces of the same length in
# every row are two-dimensional arrays of bytes. They are cheapest side by side, so statements name columns of numbers
# next to each other.
_ByteRows = np.ndarray[Any, np.dtype[np.uint8]]
_Pieces = list[_ByteRows | pa.Array]


def copy_binary(cursor: Cursor[Any], statement: sql.SQL | sql.Composed, table: pa.Table) -> None:
    """Send a table by a `copy … from stdin (format binary)` whose columns are the table's, types and all."""
    with cursor.copy(statement) as copy:
        for block in blocks(table):
            copy.write(block)


def blocks(table: pa.Table) -> Iterator[bytes | memoryview]:
    """The table as COPY reads it, some rows at a time. Raises TypeError for a type that is not supported."""
    yield _HEADER
    rows = max(1, min(_BLOCK_ROWS, table.num_rows * _BLOCK_BYTES // max(table.nbytes, 1)))
    for start in range(0, table.num_rows, rows):
        yield _encode_rows(table.slice(start, rows).combine_chunks())
    yield _TRAILER


def _encode_rows(table: pa.Table) -> memoryview:
    pieces: _Pieces = [_repeated(struct.pack("!h", table.num_columns), table.num_rows)]
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = TYPES.get(name)
        all_null = column.null_count == len(column) and kind != "jsonb"
        pieces += [_repeated(_NULL, len(column))] if all_null else _encode(kind, column.chunk(0))
    _, offsets, data = pc.binary_join_element_wise(*_joined(pieces), b"").buffers()
    return memoryview(data)[: int(np.frombuffer(offsets, np.int32)[table.num_rows])]


def _joined(pieces: _Pieces) -> Iterator[pa.Array]:
    """The pieces as Arrow arrays, neighbours of fixed width joined into one."""
    for is_fixed, group in groupby(pieces, lambda piece: isinstance(piece, np.ndarray)):
        if is_fixed:
            yield _as_binary(np.hstack(list(group)))
        else:
            yield from group


def _encode(kind: str | None, column: pa.Array) -> _Pieces:
    if kind == "uuid":
        return _fixed_width(column, _uuid_bytes(column))
    if kind == "jsonb":
        version = _repeated(b"\x01", len(column))
        return [_lengths(column, version.shape[1]), version, _text_bytes(column)]
    if pa.types.is_string(column.type):
        return [_lengths(column), _text_bytes(column)]
    if pa.types.is_timestamp(column.type):
        return _number(column, (np.asarray(pc.fill_null(column.cast(pa.int64()), 0)) - _POSTGRES_EPOCH).astype(">i8"))
    if pa.types.is_decimal(column.type):
        return _fixed_width(column, _numeric_bytes(column))
    if column.type not in _NUMBER_FORMATS:
        raise TypeError(f"columns of type {column.type} cannot be copied into Postgres")
    return _number(column, np.asarray(pc.fill_null(column, 0)).astype(_NUMBER_FORMATS[column.type]))


def _number(column: pa.Array, values: np.ndarray[Any, Any]) -> _Pieces:
    return _fixed_width(column, values.view(np.uint8).reshape(len(column), -1))


def _fixed_width(column: pa.Array, values: _ByteRows) -> _Pieces:
    """A column whose values are all equally long: one row of bytes for each."""
    rows, width = values.shape
    length = _repeated(struct.pack("!i", width), rows)
    if not column.null_count:
        return [length, values]
    return [pc.if_else(column.is_valid(), _as_binary(np.hstack([length, values])), pa.scalar(_NULL))]


def _repeated(data: bytes, rows: int) -> _ByteRows:
    return np.broadcast_to(np.frombuffer(data, np.uint8), (rows, len(data)))


def _lengths(column: pa.Array, prefix: int = 0) -> _ByteRows:
    """The length of each value, with that of a prefix; -1 for null."""
    lengths = pc.binary_length(column)
    if prefix:
        lengths = pc.add(lengths, prefix)
    if column.null_count and prefix:
        raise TypeError("a document is never null")
    lengths = np.asarray(pc.fill_null(lengths, -1) if column.null_count else lengths)
    return lengths.astype(">i4").view(np.uint8).reshape(-1, 4)


def _text_bytes(column: pa.Array) -> pa.Array:
    text = column.cast(pa.binary())
    return pc.fill_null(text, b"") if column.null_count else text


def _uuid_bytes(column: pa.Array) -> _ByteRows:
    # All hex digits at once, since `bytes.fromhex` is faster than anything in Arrow or numpy.
    digits = pc.fill_null(column, "0" * 32)
    if not pc.all(pc.equal(pc.binary_length(digits), 32)).as_py():
        raise ValueError("a hash is 32 hex digits")
    start = digits.offset * 32
    text = str(digits.buffers()[2][start : start + len(digits) * 32], "ascii")
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 16)


def _numeric_bytes(column: pa.Array) -> _ByteRows:
    # Postgres' numeric: the number of groups, the weight of the first, the sign, the digits after the point, and then
    # the groups of four decimal digits each. Postgres itself drops groups of zeros at either end.
    scaled = column.cast(pa.decimal128(18, _NUMERIC_SCALE))
    filled = pc.fill_null(scaled, pa.scalar(0, scaled.type))
    low = np.frombuffer(filled.buffers()[1], np.int64)[:: 128 // 64][filled.offset : filled.offset + len(filled)]
    remaining, groups = np.abs(low), np.empty((len(low), 4 + _NUMERIC_GROUPS), ">i2")
    groups[:, :4] = [_NUMERIC_GROUPS, _NUMERIC_GROUPS - 2, 0, _NUMERIC_SCALE]
    groups[:, 2] = np.where(low < 0, 0x4000, 0)
    for at in range(3 + _NUMERIC_GROUPS, 3, -1):
        remaining, groups[:, at] = np.divmod(remaining, 10_000)
    return groups.view(np.uint8).reshape(len(low), -1)


def _as_binary(rows: _ByteRows) -> pa.Array:
    count, width = rows.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    data = np.ascontiguousarray(rows)
    return pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def with_constants(table: pa.Table, constants: Mapping[str, object]) -> pa.Table:
    """The table with further columns of one value each; give Arrow scalars where the type matters."""
    for name, value in constants.items():
        scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value)
        table = table.append_column(name, pa.repeat(scalar, table.num_rows))
    return table
