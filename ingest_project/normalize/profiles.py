"""Stores profiles in Postgres, each with its drift from the profile of the last committed activation."""

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value

_SQL = statements.load(__name__, "profiles.sql")


def save(connection: Connection, activation_id: int, profile: dict[str, Any]) -> None:
    """Store the profile, in the caller's fenced transaction."""
    connection.execute(_SQL["save_profile"], {"activation_id": activation_id, "profile": Jsonb(profile)})


def find(connection: Connection, activation_id: int) -> dict[str, Any] | None:
    """The profile of an activation, if one was made."""
    return fetch_value(connection, _SQL["find_profile"], {"activation_id": activation_id})


def has_same_items(connection: Connection, first: int, second: int) -> bool:
    """Whether the items of two activations are identical, so that their profiles are too."""
    return bool(fetch_value(connection, _SQL["has_same_items"], {"first": first, "second": second}))


def format_distinct(column: Mapping[str, Any]) -> str:
    """The number of distinct values of a profiled column, for people: with a ~ if it is an estimate."""
    return f"{'~' if column.get('approximate') else ''}{column['distinct']:,}"
