"""Dagster's own tables, in the schema `dagster` of the same Postgres that the items are in."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from dagster._config import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from psycopg import conninfo

from ingest_project.errors import UsageError
from ingest_project.postgres.connection import Connection, connect, database_url, is_pooled
from ingest_project.settings import settings

SCHEMA = "dagster"


class IngestDagsterStorage(DagsterPostgresStorage):
    """dagster-postgres on INGEST_DATABASE_URL, or on the embedded server, which it starts."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "IngestDagsterStorage":
        url = storage_url()
        with connect(url) as connection:
            _refuse_pooler(connection)
            _make_schema(connection)
            # Dagster's processes start together, and its way of making tables is not made for that.
            with connection.transaction():
                connection.execute("select pg_advisory_xact_lock(hashtext('ingest_project: tables of dagster'))")
                return cls(sqlalchemy_url(url), should_autocreate_tables=True, inst_data=inst_data)


def storage_url() -> str:
    """INGEST_DAGSTER_URL, or the database of the items."""
    given = settings().dagster_url
    return given.get_secret_value() if given else database_url()


def _refuse_pooler(connection: Connection) -> None:
    # Dagster's tables are found by the search path, which a pooler refuses, drops, or hands on to others.
    if is_pooled(connection):
        raise UsageError(
            "the database goes through a pooler, which Dagster's own tables cannot be reached by",
            where={"database": connection.info.dbname, "host": connection.info.host, "port": connection.info.port},
            todo="Set INGEST_DAGSTER_URL to a direct URL, of the same database or of another one.",
        )


def _make_schema(connection: Connection) -> None:
    # `if not exists` asks for the right to create schemas where there is nothing to create, too.
    if connection.execute("select to_regnamespace('dagster')").fetchone() == (None,):
        with suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateSchema):
            connection.execute("create schema dagster")


def sqlalchemy_url(url: str) -> str:
    """The same database for SQLAlchemy and psycopg2, with Dagster's schema as the search path.

    Taken apart by libpq itself: URLs, keyword strings and lists of hosts alike. SQLAlchemy 2.1 takes psycopg 3 for
    `postgresql://`, and dagster-postgres then fails at NOTIFY.
    """
    words = {key: str(value) for key, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    words["options"] = f"{words.get('options', '')} -csearch_path={SCHEMA}".strip()
    user, password, database = (quote(words.pop(key, ""), safe="") for key in ("user", "password", "dbname"))
    login = f"{user}:{password}" if password else user
    return f"postgresql+psycopg2://{login}@/{database}?{urlencode(words, quote_via=quote)}"
