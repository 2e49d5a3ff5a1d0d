"""The state of embedding by model and branch: what waits, what is done, what is dead and why."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "status.sql")


@dataclass(frozen=True)
class EmbeddingStatus:
    """Requests of one model and branch. `waiting` of the pending ones are not due yet; `dead` by class of error.

    `oldest`: when the oldest open one was requested. `rate`: vectors per second over the last five minutes.
    `paused_for`: the last error of the endpoint, as long as its calls fail.
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
        """The share of live items that are embedded, from 0 to 1."""
        return min(self.done / self.items, 1.0) if self.items else 1.0


def embedding_status(connection: Connection, branch_id: int | None = None) -> list[EmbeddingStatus]:
    """The status of all branches, or of one. Reads the whole ledger: half a second per million requests."""
    with connection.cursor(row_factory=class_row(EmbeddingStatus)) as cursor:
        return cursor.execute(_SQL["embedding_status"], {"branch_id": branch_id}).fetchall()
