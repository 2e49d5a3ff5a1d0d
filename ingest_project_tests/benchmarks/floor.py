"""What Postgres can do at best: plain COPY of the same rows, sorted, into a table with the same columns and indexes."""

import statistics
import time

from ingest_project.postgres.connection import Connection

_CHUNK = 1 << 20


def floor_seconds(connection: Connection, repeats: int = 3) -> list[float]:
    """Seconds of each repeat, the rows already encoded as CSV; the table is emptied between them."""
    connection.execute("create table core.floor (like core.items including all)")
    try:
        data = _rows(connection)
        return [_copied(connection, data) for _ in range(repeats)]
    finally:
        connection.execute("drop table core.floor")


def floor_rate(connection: Connection, rows: int) -> float:
    """Rows per second, the median of three."""
    return rows / statistics.median(floor_seconds(connection))


def _rows(connection: Connection) -> bytes:
    with connection.cursor() as cursor:
        query = b"copy (select * from core.items order by source_id, external_id) to stdout (format csv)"
        with cursor.copy(query) as copy:
            return b"".join(bytes(block) for block in copy)


def _copied(connection: Connection, data: bytes) -> float:
    connection.execute("truncate core.floor")
    connection.execute("checkpoint")
    began = time.perf_counter()
    with (
        connection.transaction(),
        connection.cursor() as cursor,
        cursor.copy("copy core.floor from stdin (format csv)") as copy,
    ):
        for start in range(0, len(data), _CHUNK):
            copy.write(data[start : start + _CHUNK])
    return time.perf_counter() - began
