"""Relations to read: tables of a test's own, on the server of the suite."""

from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest

from ingest_project.branches.spec import BranchSpec
from ingest_project_tests.extract.conftest import MakeSpec


def location_of(database: str, table: str, **words: str) -> str:
    """The database of a test as a location, without its password."""
    parts = urlsplit(database)
    query = {**dict(parse_qsl(parts.query)), **words, "table": table}
    login, at, host = parts.netloc.rpartition("@")
    bare = f"{login.partition(':')[0]}{at}{host}"
    return urlunsplit(parts._replace(netloc=bare, query=urlencode(query, quote_via=quote)))


def run(database: str, *statements: str) -> None:
    """Commit these statements."""
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


MakeTable = Callable[..., str]


@pytest.fixture
def table(database: str) -> Iterator[MakeTable]:
    """Make a schema with a table `t` from these statements; gives its qualified name."""
    schema = f"s{uuid4().hex[:8]}"

    def make(*statements: str) -> str:
        run(database, f"create schema {schema}", f"set search_path to {schema}", *statements)
        return f"{schema}.t"

    yield make
    run(database, f"drop schema if exists {schema} cascade")


@pytest.fixture
def branch(database: str, spec: MakeSpec) -> Callable[..., BranchSpec]:
    """A branch of a table of the suite's database."""
    return lambda name, *, location=None, **more: spec(location or location_of(database, name), **more)


Branch = Callable[..., BranchSpec]
PLACES = (
    "create table t (id int primary key, name text)",
    "insert into t select n, 'n' || n from generate_series(1, 10) n",
)
