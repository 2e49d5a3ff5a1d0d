"""All of core.items in ranges of ids, for work that must neither hold a long transaction nor miss a row."""

from collections.abc import Iterator

from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "id_ranges.sql")
RANGE_SIZE = 50_000
_MAX_ID = 2**63 - 1


def id_ranges(connection: Connection, size: int = RANGE_SIZE) -> Iterator[tuple[int, int]]:
    """Ranges (after, upto] of `size` live items each; the last one is open-ended, so that every id is in one."""
    after = -1
    while True:
        row = connection.execute(_SQL["range_end"], {"after": after, "further": size - 1}).fetchone()
        yield after, row[0] if row else _MAX_ID
        if row is None:
            return
        after = row[0]
