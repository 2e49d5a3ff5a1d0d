"""Registered branches, and sessions to work on them from."""

from collections.abc import Iterator
from typing import Any

import pytest

from ingest_project.branches import registry
from ingest_project.branches.registry import Branch
from ingest_project.branches.spec import BranchSpec, parse_spec
from ingest_project.postgres.connection import Connection, session

LEAST: dict[str, Any] = {"name": "b", "source": "s", "location": "/x.csv", "key": "id", "mapping": {"name": "title"}}


def spec(**changed: object) -> BranchSpec:
    """The smallest spec, but for these settings."""
    return parse_spec({**LEAST, **changed}, origin="test.yaml")


def applied(connection: Connection, **changed: object) -> Branch:
    """A registered branch."""
    wanted = spec(**changed)
    registry.apply_branch(connection, wanted)
    return registry.get_branch(connection, wanted.name)


@pytest.fixture
def connection(own_database: str) -> Iterator[Connection]:
    """A session whose work is undone, where nobody else's branches are: these tests ask for all there are."""
    with session(own_database) as opened, opened.transaction(force_rollback=True):
        yield opened


@pytest.fixture
def branch(connection: Connection) -> Branch:
    """A branch in the session whose work is undone."""
    return applied(connection)


def one(connection: Connection, query: str, *values: object) -> Any:
    """The one value of a query."""
    row = connection.execute(query, values or None).fetchone()
    assert row
    return row[0]
