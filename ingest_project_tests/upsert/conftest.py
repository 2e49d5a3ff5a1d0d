"""A database of these tests' own whose work really commits: the upsert's temp tables end with its transactions."""

from collections.abc import Iterator

import pytest

from ingest_project import failpoints
from ingest_project.postgres.connection import Connection, session
from ingest_project.settings import settings
from ingest_project.upsert import parallel
from ingest_project_tests.upsert.making import Source


@pytest.fixture(scope="package", autouse=True)
def _one_writer() -> Iterator[None]:
    """Parts one after the other, in the test's own thread, so that a test can stand between two of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGEST_WRITERS", "1")
        settings.cache_clear()
        yield
    settings.cache_clear()


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
def three_sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three sessions share whatever has fifteen rows or more."""
    monkeypatch.setenv("INGEST_WRITERS", "3")
    monkeypatch.setattr(parallel, "_ROWS_PER_SESSION", 5)
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def disarmed() -> Iterator[None]:
    """Leave no failpoint armed, whatever the test does."""
    yield
    failpoints.arm("")


@pytest.fixture(scope="module")
def any_source(own_database: str) -> Iterator[Source]:
    """A session for properties: their examples share fixtures, and each makes a source of its own.

    Its commits wait for no disk: no property is of a power cut.
    """
    with session(own_database) as opened:
        opened.execute("set synchronous_commit = off")
        yield Source(opened)
