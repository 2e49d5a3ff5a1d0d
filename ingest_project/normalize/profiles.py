"""Profiles kept in Postgres, each with its drift against the last committed activation's."""

from collections.abc import Sequence
from typing import Any

import duckdb
from psycopg.types.json import Jsonb

from ingest_project.branches import activations
from ingest_project.branches.work import Work
from ingest_project.normalize.profile import drift, profiled
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection
from ingest_project.settings import settings
from ingest_project.telemetry import log

_SQL = statements.load(__name__, "profiles.sql")


def made(work: Work, paths: Sequence[str]) -> dict[str, Any] | None:
    """Profile the normalized parts; None where the settings say so, or where it fails: no data waits for it."""
    if not settings().profile:
        return None
    try:
        profile = profiled(paths).to_json()
    except duckdb.Error as error:
        log.warning("no profile of this activation: %s", error)
        return None
    last = activations.last_committed(work.connection, work.branch.branch_id)
    before = find(work.connection, last.activation_id) if last else None
    against = last.activation_id if last and before else None
    return {**profile, "against": against, "drift": drift(before, profile) if before else []}


def keep(connection: Connection, activation_id: int, profile: dict[str, Any]) -> None:
    """Write it down; part of the caller's fenced transaction."""
    connection.execute(_SQL["keep_profile"], {"activation_id": activation_id, "profile": Jsonb(profile)})


def find(connection: Connection, activation_id: int) -> dict[str, Any] | None:
    """The profile of an activation, if one was made."""
    row = connection.execute(_SQL["find_profile"], {"activation_id": activation_id}).fetchone()
    return row[0] if row else None
