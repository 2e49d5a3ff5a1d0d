"""The database and the sources of the upsert's tests: items come from there."""

from ingest_project_tests.upsert.conftest import any_source, connection, disarmed, source

__all__ = ["any_source", "connection", "disarmed", "source"]
