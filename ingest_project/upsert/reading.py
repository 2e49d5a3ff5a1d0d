"""Reading a table as Arrow, by COPY, in the types of its columns."""

import re
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from ingest_project.postgres.connection import Connection
from ingest_project.postgres.csv_copy import decode_csv
from ingest_project.upsert.target import Table, TableColumn, Target, require_columns

_ARROW = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "date": pa.date32(),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
_LONGEST_DECIMAL = 38


def read(connection: Connection, table: Table, where: Mapping[str, object] | None = None) -> pa.Table:
    """All rows in the order of the key, or those whose columns have the values of `where`. Raises TableUnfit.

    Numbers, times and booleans keep their types, numeric becomes decimal, bytea binary; everything else, JSON
    included, is text as Postgres writes it.
    """
    columns = require_columns(connection, table)
    equal = sql.SQL("{} = {}")
    conditions = [equal.format(sql.Identifier(name), sql.Literal(value)) for name, value in (where or {}).items()]
    condition = sql.SQL(" and ").join(conditions) if conditions else sql.SQL("true")
    statement = Target(table, columns).statement("read_table", condition=condition)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        data = b"".join(bytes(block) for block in copy)
    return _convert(decode_csv(data, {column.name: _arrow_type(column.type) for column in columns}), columns)


def _arrow_type(type_: str) -> pa.DataType:
    numeric = _NUMERIC.fullmatch(type_)
    if numeric and int(numeric[1]) <= _LONGEST_DECIMAL:
        return pa.decimal128(int(numeric[1]), int(numeric[2]))
    return _ARROW.get(type_, pa.string())


def _convert(table: pa.Table, columns: tuple[TableColumn, ...]) -> pa.Table:
    """The table with what Arrow's CSV reader left as text."""
    for at, column in enumerate(columns):
        if column.type == "numeric":
            table = table.set_column(at, column.name, _as_decimal(table[column.name]))
        elif column.type == "bytea":
            binary = [None if text is None else bytes.fromhex(text[2:]) for text in table[column.name].to_pylist()]
            table = table.set_column(at, column.name, pa.array(binary, pa.binary()))
    return table


def _as_decimal(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    # A numeric without a declared scale: the value with the most digits decides. What no decimal can hold stays text.
    fraction = pc.fill_null(pc.struct_field(pc.extract_regex(texts, r"\.(?P<digits>\d+)$"), "digits"), "")
    scale = pc.max(pc.utf8_length(fraction)).as_py() or 0
    try:
        return texts.cast(pa.decimal128(_LONGEST_DECIMAL, scale))
    except pa.ArrowInvalid:
        return texts
