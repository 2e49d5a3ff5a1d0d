"""Dagster's own tables: in the schema `dagster` of the database of the items, or of INGEST_DAGSTER_URL."""

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
            _create_schema(connection)
            # Dagster's processes start at the same time, and its creation of tables is not safe then.
            with connection.transaction():
                connection.execute("select pg_advisory_xact_lock(hashtext('ingest_project: tables of dagster'))")
                return cls(sqlalchemy_url(url), should_autocreate_tables=True, inst_data=inst_data)


def storage_url() -> str:
    """INGEST_DAGSTER_URL, or the database of the items."""
    configured = settings().dagster_url
    return configured.get_secret_value() if configured else database_url()


def _refuse_pooler(connection: Connection) -> None:
    # Dagster finds its tables by the search path, which a pooler refuses, loses, or passes on to other clients.
    if is_pooled(connection):
        raise UsageError(
            "the database goes through a pooler, which Dagster's own tables cannot be reached by",
            where={"database": connection.info.dbname, "host": connection.info.host, "port": connection.info.port},
            todo="Set INGEST_DAGSTER_URL to a direct URL, of the same database or of another one.",
        )


def _create_schema(connection: Connection) -> None:
    # `if not exists` needs the right to create schemas even where the schema exists.
    if connection.execute("select to_regnamespace('dagster')").fetchone() == (None,):
        with suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateSchema):
            connection.execute("create schema dagster")


def sqlalchemy_url(url: str) -> str:
    """The same database for SQLAlchemy and psycopg2, with Dagster's schema as the search path.

    libpq itself parses it: URLs, keyword strings and lists of hosts alike. The driver is named, since SQLAlchemy 2.1
    uses psycopg 3 for `postgresql://`, with which dagster-postgres fails at NOTIFY.
    """
    parameters = {key: str(value) for key, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    parameters["options"] = f"{parameters.get('options', '')} -csearch_path={SCHEMA}".strip()
    user, password, database = (quote(parameters.pop(key, ""), safe="") for key in ("user", "password", "dbname"))
    login = f"{user}:{password}" if password else user
    return f"postgresql+psycopg2://{login}@/{database}?{urlencode(parameters, quote_via=quote)}"
