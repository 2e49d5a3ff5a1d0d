"""Where rejects are kept: with their part, in its transaction."""

from collections.abc import Iterable, Iterator

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ingest_project.normalize.rejects import Reject
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value

_SQL = statements.load(__name__, "quarantine.sql")
_TYPES = ("int8", "int4", "int8", "text", "jsonb", "bytea", "bool")


def write_rejects(connection: Connection, activation_id: int, part: int, rejects: Iterable[Reject]) -> None:
    """Write rejects of one part; part of the caller's fenced transaction."""
    with connection.cursor() as cursor, cursor.copy(_SQL["keep_rejects"]) as copy:
        copy.set_types(_TYPES)
        for reject in rejects:
            copy.write_row(
                (
                    activation_id,
                    part,
                    reject.row,
                    reject.external_id,
                    Jsonb(reject.errors),
                    reject.raw,
                    reject.raw_truncated,
                )
            )


def count_rejects(connection: Connection, activation_id: int) -> int:
    """All that an activation set aside, over its parts."""
    return fetch_value(connection, _SQL["count_rejects"], {"activation_id": activation_id}) or 0


def count_replayed(connection: Connection, activation_id: int) -> int:
    """How many rows that an activation set aside a replay has taken up since."""
    row = connection.execute(_SQL["count_replayed"], {"activation_id": activation_id}).fetchone()
    return row[0] if row else 0


def losers_per_part(connection: Connection, activation_id: int) -> dict[int, int]:
    """Part to the number of its rows that are not the newest with their key; parts without any are left out."""
    return dict(connection.execute(_SQL["losers_per_part"], {"activation_id": activation_id}).fetchall())


def losers_of_part(connection: Connection, activation_id: int, part: int) -> list[int]:
    """The `row` numbers of a part that are not the newest with their key."""
    values = {"activation_id": activation_id, "part": part}
    return [row for (row,) in connection.execute(_SQL["losers_of_part"], values).fetchall()]


def reject_codes(connection: Connection, activation_id: int) -> dict[str, int]:
    """Code to the number of rows set aside with it, most frequent first."""
    return dict(connection.execute(_SQL["reject_codes"], {"activation_id": activation_id}).fetchall())


def listed_rejects(connection: Connection, activation_id: int, code: str | None = None) -> Iterator[Reject]:
    """Rows set aside that no replay took up since, in the order of the source, drawn as they are asked for."""
    values = {"activation_id": activation_id, "code": code}
    with connection.transaction(), connection.cursor("rejects", row_factory=class_row(Reject)) as cursor:
        yield from cursor.execute(_SQL["listed_rejects"], values)
