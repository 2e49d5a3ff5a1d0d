"""Profiles kept in Postgres, each with its drift against the last committed activation's."""

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value

_SQL = statements.load(__name__, "profiles.sql")


def save(connection: Connection, activation_id: int, profile: dict[str, Any]) -> None:
    """Write it down; part of the caller's fenced transaction."""
    connection.execute(_SQL["keep_profile"], {"activation_id": activation_id, "profile": Jsonb(profile)})


def find(connection: Connection, activation_id: int) -> dict[str, Any] | None:
    """The profile of an activation, if one was made."""
    return fetch_value(connection, _SQL["find_profile"], {"activation_id": activation_id})


def same_parts(connection: Connection, one: int, other: int) -> bool:
    """Whether the items of two activations are the same to the byte, so that one profile is that of both."""
    return bool(fetch_value(connection, _SQL["same_parts"], {"one": one, "other": other}))


def different(column: Mapping[str, Any]) -> str:
    """How many different values a profiled column has, for a person: ~ where that is an estimate."""
    return f"{'~' if column.get('approximate') else ''}{column['distinct']:,}"
