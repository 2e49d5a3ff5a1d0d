"""Arrow tables by COPY as CSV, in and out, for columns of any type.

A null is nothing between two commas, an empty text is quoted. Items, whose types are all known, are copied in the
faster binary format (`upsert.binary`).
"""

# pyright: reportUnknownParameterType=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong.

import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
from psycopg import Cursor, sql

_OPTIONS = arrow_csv.WriteOptions(include_header=False, quoting_style="needed")
_CHUNK = 1 << 20
_MAX_BLOCK = 256 << 20  # bytes that Arrow parses at a time: no row may be longer


def copy_in(cursor: Cursor[Any], statement: sql.SQL | sql.Composed, table: pa.Table) -> None:
    """Send a table by a `copy … from stdin (format csv)` whose columns are the table's."""
    data = encode_csv(table)
    with cursor.copy(statement) as copy:
        for start in range(0, len(data), _CHUNK):
            copy.write(data[start : start + _CHUNK])


def encode_csv(table: pa.Table) -> memoryview:
    """The table as COPY reads it (format csv)."""
    out = io.BytesIO()
    arrow_csv.write_csv(table, out, _OPTIONS)
    return out.getbuffer()


def decode_csv(data: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    """The output of a `copy … to stdout (format csv)` as a table of these columns."""
    if not data:
        return pa.schema(list(types.items())).empty_table()
    return arrow_csv.read_csv(
        pa.BufferReader(data),
        read_options=arrow_csv.ReadOptions(
            column_names=list(types), use_threads=False, block_size=min(len(data) + 1, _MAX_BLOCK)
        ),
        # In a table of one column an empty line is a null.
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict(types),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
