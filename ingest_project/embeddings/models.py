"""The models of this deployment: who makes vectors, of which dimensions, from which fields of an item."""

from dataclasses import dataclass

from psycopg.rows import class_row

from ingest_project.errors import UsageError
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "models.sql")


@dataclass(frozen=True)
class Model:
    """A row of core.embedding_models. `template`: the embeddable fields whose text is joined, in order."""

    model_id: int
    provider: str
    model: str
    version: str
    dims: int
    template: list[str]
    template_version: int
    state: str

    @property
    def label(self) -> str:
        """As people call it."""
        return f"{self.provider}/{self.model}"


def get_model(connection: Connection, model_id: int) -> Model:
    """The model of this id. Raises UsageError."""
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        found = cursor.execute(_SQL["get_model"], {"model_id": model_id}).fetchone()
    if found is None:
        raise UsageError(f"there is no embedding model {model_id}", todo="`ingest embed status` lists those there are.")
    return found


def working_models(connection: Connection) -> list[Model]:
    """Those that are to have a vector of every item: the active one, then those that are filled beside it."""
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        return cursor.execute(_SQL["working_models"]).fetchall()
