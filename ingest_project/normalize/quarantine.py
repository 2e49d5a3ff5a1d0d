"""Stores rejects in Postgres and reads them back."""

from collections.abc import Iterable, Iterator

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ingest_project.normalize.rejects import Reject
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value

_SQL = statements.load(__name__, "quarantine.sql")
_TYPES = ("int8", "int4", "int8", "text", "jsonb", "bytea", "bool")


def write_rejects(connection: Connection, activation_id: int, part: int, rejects: Iterable[Reject]) -> None:
    """Store rejects of one part, in the caller's fenced transaction."""
    with connection.cursor() as cursor, cursor.copy(_SQL["write_rejects"]) as copy:
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
    """The number of rejects of an activation."""
    return fetch_value(connection, _SQL["count_rejects"], {"activation_id": activation_id}) or 0


def count_replayed(connection: Connection, activation_id: int) -> int:
    """The number of rejects of an activation that have been replayed."""
    return fetch_value(connection, _SQL["count_replayed"], {"activation_id": activation_id}) or 0


def losers_per_part(connection: Connection, activation_id: int) -> dict[int, int]:
    """The number of losers in each part that has any."""
    return dict(connection.execute(_SQL["losers_per_part"], {"activation_id": activation_id}).fetchall())


def losers_of_part(connection: Connection, activation_id: int, part: int) -> list[int]:
    """The `row` numbers of the losers in a part."""
    values = {"activation_id": activation_id, "part": part}
    return [row for (row,) in connection.execute(_SQL["losers_of_part"], values).fetchall()]


def reject_codes(connection: Connection, activation_id: int) -> dict[str, int]:
    """The number of rejects with each code, most frequent first."""
    return dict(connection.execute(_SQL["reject_codes"], {"activation_id": activation_id}).fetchall())


def listed_rejects(connection: Connection, activation_id: int, code: str | None = None) -> Iterator[Reject]:
    """The rejects that have not been replayed, in source order, streamed; only those with `code`, if given."""
    values = {"activation_id": activation_id, "code": code}
    with connection.transaction(), connection.cursor("rejects", row_factory=class_row(Reject)) as cursor:
        yield from cursor.execute(_SQL["listed_rejects"], values)
