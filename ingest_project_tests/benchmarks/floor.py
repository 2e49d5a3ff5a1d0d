"""What Postgres can do at best: plain COPY of the same rows, sorted, into a table with the same columns and indexes."""

import statistics
import time

from psycopg import sql

from ingest_project.postgres.connection import Connection

_CHUNK = 1 << 20


FORMATS = ("binary", "csv")


def floor_seconds(connection: Connection, form: str = "binary", repeats: int = 3) -> list[float]:
    """Seconds of each repeat, the rows already encoded; the table is emptied between them."""
    connection.execute("create table core.floor (like core.items including all)")
    try:
        data = _rows(connection, form)
        return [_copied(connection, form, data) for _ in range(repeats)]
    finally:
        connection.execute("drop table core.floor")


def floor_rate(connection: Connection, form: str = "binary") -> float:
    """Rows per second in one of COPY's formats, the median of three."""
    row = connection.execute("select count(*) from core.items").fetchone()
    assert row is not None
    return row[0] / statistics.median(floor_seconds(connection, form))


def _rows(connection: Connection, form: str) -> bytes:
    query = sql.SQL("copy (select * from core.items order by source_id, external_id) to stdout (format {})")
    with connection.cursor() as cursor, cursor.copy(query.format(sql.SQL(form))) as copy:
        return b"".join(bytes(block) for block in copy)


def _copied(connection: Connection, form: str, data: bytes) -> float:
    connection.execute("truncate core.floor")
    connection.execute("checkpoint")
    began = time.perf_counter()
    text = sql.SQL("copy core.floor from stdin (format {})").format(sql.SQL(form))
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(text) as copy:
        for start in range(0, len(data), _CHUNK):
            copy.write(data[start : start + _CHUNK])
    return time.perf_counter() - began
