"""A database of these tests' own whose work really commits: the upsert's temp tables end with its transactions."""

from collections.abc import Iterator

import pytest

from ingest_project import failpoints
from ingest_project.postgres.connection import Connection, session
from ingest_project_tests.upsert.making import Source


@pytest.fixture
def source(own_database: str) -> Iterator[Source]:
    """A new source, with a session that commits."""
    with session(own_database) as opened:
        yield Source(opened)


@pytest.fixture
def connection(source: Source) -> Connection:
    """The session of the source."""
    return source.connection


@pytest.fixture
def disarmed() -> Iterator[None]:
    """Leave no failpoint armed, whatever the test does."""
    yield
    failpoints.arm("")


@pytest.fixture(scope="module")
def any_source(own_database: str) -> Iterator[Source]:
    """A session for properties: their examples share fixtures, and each makes a source of its own."""
    with session(own_database) as opened:
        yield Source(opened)
