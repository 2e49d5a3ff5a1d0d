"""How far embedding is: per model and branch what waits, what is done, what is dead and why."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "status.sql")


@dataclass(frozen=True)
class EmbeddingStatus:
    """`waiting` of the pending ones are not due yet; `oldest`: asked for since; `rate` per second, of five minutes.

    `paused_for`: what the endpoint said last, while it gives no answers.
    """

    model_id: int
    model: str
    state: str
    branch: str
    items: int
    pending: int
    waiting: int
    leased: int
    done: int
    dead: dict[str, int]
    oldest: datetime | None
    rate: float
    paused_until: datetime | None
    paused_for: str | None

    @property
    def coverage(self) -> float:
        """Live items that have the vector of what they say, of one."""
        return min(self.done / self.items, 1.0) if self.items else 1.0


def embedding_status(connection: Connection, branch_id: int | None = None) -> list[EmbeddingStatus]:
    """Of all branches or of one; reads the whole ledger: half a second per million."""
    with connection.cursor(row_factory=class_row(EmbeddingStatus)) as cursor:
        return cursor.execute(_SQL["embedding_status"], {"branch_id": branch_id}).fetchall()
