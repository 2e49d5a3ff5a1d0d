"""The schema brought to this version: by `ingest db migrate`, and by everything that needs it."""

from pathlib import Path

import psycopg
from psycopg import sql

from ingest_project.errors import MigrationFailed
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, connect, session
from ingest_project.telemetry import log

_SQL = statements.load(__name__ + ".x", "vectors.sql")
_LOCK = (0x696E6765, -2)  # beside the leases' (namespace, branch id)
INSUFFICIENT_PRIVILEGE = "42501"


def head() -> str:
    """The newest revision, by the names of the version files."""
    versions = Path(__file__).parent / "versions"
    return max(path.name.split("_")[0] for path in versions.glob("[0-9]*_*.py"))


def is_current(connection: Connection) -> bool:
    """Whether the schema is at `head`; costs two small queries and no import."""
    row = connection.execute("select to_regclass('ingest.alembic_version') is not null").fetchone()
    if row is None or not row[0]:
        return False
    found = connection.execute("select version_num from ingest.alembic_version").fetchone()
    return found is not None and found[0] >= head()


def ensure_migrated() -> None:
    """Migrate where it is needed. Raises MigrationFailed."""
    with session() as connection:
        current = is_current(connection)
    if not current:
        migrate()


def migrate() -> str:
    """Bring the schema to `head` and return it; any number of processes may do so at once.

    Raises MigrationFailed with the server's words; the whole step is one transaction.
    """
    try:
        with session() as connection:
            connection.execute("select pg_advisory_lock(%s, %s)", _LOCK)
            if not is_current(connection):
                with connection.transaction():
                    connection.execute("create schema if not exists ingest")
                _upgrade()
            ensure_vectors(connection)
    except psycopg.Error as error:
        raise _failed(error, error.sqlstate) from error
    return head()


def _upgrade() -> None:
    # Loaded here: alembic and SQLAlchemy cost half a second that a current schema need not pay.
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    engine = create_engine("postgresql+psycopg://", creator=_not_autocommit, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise _failed(error.orig or error, getattr(error.orig, "sqlstate", None)) from error


def _not_autocommit() -> Connection:
    connection = connect()
    connection.autocommit = False
    return connection


def _failed(error: BaseException, sqlstate: str | None) -> MigrationFailed:
    words = str(error).strip().splitlines()[0]
    if sqlstate == INSUFFICIENT_PRIVILEGE:
        return MigrationFailed(
            f"this role may not make the schema: {words}",
            where={"sqlstate": sqlstate},
            todo="As the DBA: `grant create on database … to …`, or run `ingest db migrate` as the owner.",
        )
    return MigrationFailed(f"the schema was not changed: {words}", where={"sqlstate": sqlstate or "none"})


def ensure_vectors(connection: Connection) -> bool:
    """Make the tables of vectors where pgvector is; without it everything else works. True where they are."""
    if not _vector_type(connection):
        log.info("no pgvector in this database: all but vectors works. As the DBA: create extension vector;")
        return False
    with connection.transaction():
        connection.execute(_SQL["make_embeddings"])
        for model_id, dims in connection.execute(_SQL["models_without_partition"]).fetchall():
            _make_partition(connection, model_id, dims)
    return True


def _make_partition(connection: Connection, model_id: int, dims: int) -> None:
    name = f"item_embeddings_{model_id}"
    connection.execute(
        _SQL["make_partition"].format(
            partition=sql.Identifier("core", name),
            constraint=sql.Identifier(f"{name}_dims"),
            dims=sql.Literal(dims),
            model_id=sql.Literal(model_id),
        )
    )


def _vector_type(connection: Connection) -> bool:
    if _truth(connection, "type_exists"):
        return True
    if not _truth(connection, "extension_available"):
        return False
    try:
        connection.execute(_SQL["create_extension"])
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def _truth(connection: Connection, statement: str) -> bool:
    row = connection.execute(_SQL[statement]).fetchone()
    return bool(row and row[0])
