"""The database and the sources of the upsert's tests, where items come from; and a ledger of one test's own."""

import pytest

from ingest_project.postgres.connection import Connection
from ingest_project_tests.embeddings.working import Ledger, make_ledger
from ingest_project_tests.upsert.conftest import any_source, connection, disarmed, source, three_sessions

__all__ = ["any_source", "connection", "disarmed", "source", "three_sessions"]


@pytest.fixture
def ledger(pgvector: None, connection: Connection, own_database: str) -> Ledger:
    """A model with nothing to do yet; its session commits."""
    return make_ledger(connection, own_database)
