"""Migrations of the schema to this version: by `ingest db migrate`, and automatically where it is needed."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from ingest_project.errors import DatabaseError, DatabaseReadOnly, MigrationFailed, first_line
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, connect, fetch_value, session
from ingest_project.telemetry import log

_SQL = statements.load(__name__ + ".x", "vectors.sql")
# One migration at a time. The numbers differ from those of the leases' locks (namespace, branch id).
_LOCK = "select pg_advisory_xact_lock(1768843109, -2)"
INSUFFICIENT_PRIVILEGE = "42501"


def head() -> str:
    """The newest revision, by the names of the version files."""
    versions = Path(__file__).parent / "versions"
    return max(path.name.split("_")[0] for path in versions.glob("[0-9]*_*.py"))


def is_current(connection: Connection) -> bool:
    """Whether the schema is at `head` or later; two small queries, and Alembic is not loaded."""
    row = connection.execute("select to_regclass('ingest.alembic_version') is not null").fetchone()
    if row is None or not row[0]:
        return False
    revision = connection.execute("select version_num from ingest.alembic_version").fetchone()
    return revision is not None and revision[0] >= head()


def ensure_migrated() -> None:
    """Migrate where it is needed. Raises MigrationFailed, DatabaseReadOnly."""
    with session() as connection, _translate_errors(connection):
        current = is_current(connection)
    if not current:
        migrate()


def migrate(url: str | None = None) -> str:
    """Migrate the schema at `url`, or of this deployment's database, to `head`, and return that revision.

    It is one transaction, and any number of processes may do so at once. Raises MigrationFailed or DatabaseReadOnly,
    with the server's message.
    """
    with session(url) as connection, _translate_errors(connection):
        if not is_current(connection):
            _upgrade(url)
        with connection.transaction():
            connection.execute(_LOCK)
            ensure_vectors(connection)
    return head()


def _upgrade(url: str | None) -> None:
    # Imported here: Alembic and SQLAlchemy take half a second to load, which a current schema does not need.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    engine = create_engine("postgresql+psycopg://", creator=lambda: _transactional_connection(url), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(_LOCK)
            connection.exec_driver_sql("create schema if not exists ingest")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise (error.orig or error) from error
    except CommandError as error:
        raise MigrationFailed(
            f"the schema was not changed: {error}",
            todo="Another release made this database: install that, or point INGEST_DATABASE_URL elsewhere.",
        ) from error


def _transactional_connection(url: str | None) -> Connection:
    connection = connect(url)
    connection.autocommit = False
    return connection


@contextmanager
def _translate_errors(connection: Connection) -> Generator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise _schema_error(error, connection) from error


def _schema_error(error: psycopg.Error, connection: Connection) -> DatabaseError:
    message = first_line(error)
    where = {"database": connection.info.dbname, "sqlstate": error.sqlstate or "none"}
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return DatabaseReadOnly(f"the schema was not changed: {message}", where=where)
    if error.sqlstate != INSUFFICIENT_PRIVILEGE:
        return MigrationFailed(f"the schema was not changed: {message}", where=where)
    role, owner = sql.Identifier(connection.info.user), _schema_owner(connection)
    grant = (
        sql.SQL("grant {} to {};").format(sql.Identifier(owner), role)
        if owner
        else sql.SQL("grant create on database {} to {};").format(sql.Identifier(connection.info.dbname), role)
    )
    return MigrationFailed(
        f"this role may not make or read the schema: {message}",
        where={**where, "role": connection.info.user},
        todo=f"As the DBA: {grant.as_string()} Or run `ingest db migrate` as the owner of the database.",
    )


def _schema_owner(connection: Connection) -> str | None:
    """The owner of the schema, where it exists."""
    row = connection.execute("select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'ingest'").fetchone()
    return row[0] if row else None


def ensure_vectors(connection: Connection) -> bool:
    """Create the tables of vectors where pgvector is available; whether it is. Everything else works without it."""
    if not _has_extension(connection):
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


def _has_extension(connection: Connection) -> bool:
    """Whether pgvector can be used, after creating the extension where this role may."""
    if _is_true(connection, "type_exists"):
        return True
    if not _is_true(connection, "extension_available"):
        log.info("this server has no pgvector: all but vectors works. The DBA can install its package")
        return False
    try:
        with connection.transaction():
            connection.execute(_SQL["create_extension"])
    except psycopg.errors.InsufficientPrivilege:
        log.info("no pgvector in this database: all but vectors works. As the DBA: create extension vector;")
        return False
    if not _is_true(connection, "type_exists"):
        log.info("pgvector is in a schema that is not on the search_path of this role: all but vectors works")
        return False
    return True


def _is_true(connection: Connection, statement: str) -> bool:
    return bool(fetch_value(connection, _SQL[statement]))
