"""Dagster's own tables, in the schema `dagster` of the same Postgres that the items are in."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from dagster._config import UserConfigSchema
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from psycopg import conninfo

from ingest_project.postgres.connection import connect, database_url

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
        with connect() as connection:
            connection.execute("create schema if not exists dagster")
        return cls(sqlalchemy_url(database_url()), should_autocreate_tables=True, inst_data=inst_data)


def sqlalchemy_url(url: str) -> str:
    """The same database for SQLAlchemy and psycopg2, with Dagster's schema as the search path.

    SQLAlchemy 2.1 takes psycopg 3 for `postgresql://`, and dagster-postgres then fails at NOTIFY.
    """
    if "://" not in url:
        url = _as_url(url)
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    query["options"] = f"{query.get('options', '')} -csearch_path={SCHEMA}".strip()
    return urlunsplit(parts._replace(scheme="postgresql+psycopg2", query=urlencode(query, quote_via=quote)))


def _as_url(dsn: str) -> str:
    words = {key: str(value) for key, value in conninfo.conninfo_to_dict(dsn).items() if value is not None}
    user, password = quote(words.pop("user", "")), quote(words.pop("password", ""), safe="")
    login = f"{user}:{password}@" if password else f"{user}@"
    return f"postgresql://{login}/{quote(words.pop('dbname', ''))}?{urlencode(words, quote_via=quote)}"
