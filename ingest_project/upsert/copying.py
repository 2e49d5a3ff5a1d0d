"""Arrow tables into COPY where nothing is known of the columns' types: CSV made by Arrow, which Postgres parses.

A null is nothing and an empty text is quoted. What goes into core.items, of which all is known, goes as `binary`.
"""

import io
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc_csv
from psycopg import Cursor, sql

_OPTIONS = pc_csv.WriteOptions(include_header=False, quoting_style="needed")
_CHUNK = 1 << 20


def copy_table(cursor: Cursor[Any], statement: sql.SQL | sql.Composed, table: pa.Table) -> None:
    """Send a table by a `copy … from stdin (format csv)` whose columns are the table's."""
    data = encoded(table)
    with cursor.copy(statement) as copy:
        for start in range(0, len(data), _CHUNK):
            copy.write(data[start : start + _CHUNK])


def encoded(table: pa.Table) -> memoryview:
    """The table as COPY reads it."""
    out = io.BytesIO()
    pc_csv.write_csv(table, out, _OPTIONS)
    return out.getbuffer()
