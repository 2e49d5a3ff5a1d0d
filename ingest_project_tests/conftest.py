"""A real Postgres for every test that asks for one; nothing stands in for it.

The server is the embedded one, in a folder of this test session, shared by all xdist workers, or the one of
INGEST_TEST_DATABASE_URL (a role that may create databases on PostgreSQL 15 or later). Every worker migrates
one template and works in a database of its own, copied from it.

    database         url of the worker's database; INGEST_DATABASE_URL points there for the whole session
    connection       a session in it, inside a transaction that is rolled back; `transaction()` is a savepoint
    own_database     url of a migrated database of the module's own, for what commits and may be seen by its tests
    fresh_database   url of a database of the test's own, dropped after it; for what must really commit
    home             an empty INGEST_HOME
    superuser        skips where the role of the suite is none
    pgvector         skips where the server has no extension vector
    real_data        the folder of real source data; skips where it is not there
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings as hypothesis_settings
from psycopg import sql

from ingest_project.postgres import embedded
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.migrations import migrate
from ingest_project.settings import settings

SERVER_VARIABLE = "INGEST_TEST_DATABASE_URL"
REPOSITORY = Path(__file__).resolve().parent.parent

# A slow machine is no failure, and a failure comes back with its commit; --hypothesis-profile=search looks further.
hypothesis_settings.register_profile("search", deadline=None)
hypothesis_settings.register_profile("same", deadline=None, derandomize=True)
hypothesis_settings.load_profile("same")


@pytest.fixture(scope="session", autouse=True)
def _only_our_settings() -> Iterator[None]:
    """No INGEST_* of the caller reaches a test, but for those that the suite itself reads."""
    ours = {SERVER_VARIABLE, "INGEST_REAL_DATA"}
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("INGEST_") and name not in ours]:
            patch.delenv(name)
        settings.cache_clear()
        yield
    settings.cache_clear()


@pytest.fixture(scope="session")
def server() -> str:
    """Url of a database on the server of the suite; the last worker to end stops an embedded one."""
    given = os.environ.get(SERVER_VARIABLE)
    return given or embedded.ensure_running(_shared_folder())


def _shared_folder() -> Path:
    # Not pytest's own folder: each session of root closes that again to all others, the server's user too.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}"
    folder = Path(tempfile.gettempdir()) / f"ingest-tests-{run[:12]}"
    atexit.register(_remove_where_stopped, folder)  # runs after the server's own
    return folder


def _remove_where_stopped(folder: Path) -> None:
    if not (folder / "postgres" / "postmaster.pid").exists():
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    """Url of a migrated database of this worker that nobody connects to, so that it can be copied."""
    with _database(server, "template") as url:
        migrate(url)
        yield url


@pytest.fixture(scope="session")
def database(server: str, template: str, _only_our_settings: None) -> Iterator[str]:
    """Url of this worker's database; what is committed there is seen by its later tests."""
    with _database(server, "worker", template) as url, _pointed_at(url):
        yield url


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """Open a session whose work is undone at the end; nested `transaction()` blocks become savepoints."""
    with session(database) as opened, opened.transaction(force_rollback=True):
        yield opened


@pytest.fixture(scope="module")
def own_database(server: str, template: str) -> Iterator[str]:
    """Url of a migrated database of this module; its tests take sources and branches of their own in it."""
    with _database(server, "module", template) as url:
        yield url


@pytest.fixture
def fresh_database(server: str, template: str) -> Iterator[str]:
    """Url of a migrated database for one test; INGEST_DATABASE_URL points there meanwhile."""
    with _database(server, "fresh", template) as url, _pointed_at(url):
        yield url


@pytest.fixture
def empty_database(server: str) -> Iterator[str]:
    """Url of a database without any schema of ours; INGEST_DATABASE_URL points there meanwhile."""
    with _database(server, "empty") as url, _pointed_at(url):
        yield url


@pytest.fixture(scope="session")
def superuser(server: str) -> None:
    """Skip, visibly, where the role of the suite may not make roles and checkpoints: the product needs neither."""
    with psycopg.connect(server) as connection:
        row = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
    if not row or not row[0]:
        pytest.skip("this test makes roles or checkpoints: the role of the suite is no superuser")


@pytest.fixture(scope="session")
def pgvector(template: str) -> None:
    """Skip, visibly, where vectors cannot be stored: all else works without them."""
    with psycopg.connect(template) as connection:
        row = connection.execute("select to_regclass('core.item_embeddings') is not null").fetchone()
    if not row or not row[0]:
        pytest.skip("this server has no pgvector")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make an INGEST_HOME for parts and Dagster; no server starts there beside a database fixture."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("INGEST_HOME", str(folder))
    settings.cache_clear()
    yield folder
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real source data, `../shared/data` beside the repository or INGEST_REAL_DATA."""
    folder = Path(os.environ.get("INGEST_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; INGEST_REAL_DATA names another folder")
    return folder


@contextmanager
def _database(server: str, purpose: str, template: str | None = None) -> Iterator[str]:
    name = f"ingest_test_{purpose}_{uuid4().hex[:12]}"
    copied = urlsplit(template).path[1:] if template else "template0"
    make = sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(copied))
    _run(server, make)
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        _run(server, sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _run(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def _pointed_at(url: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGEST_DATABASE_URL", url)
        if password := urlsplit(url).password:
            patch.setenv("PGPASSWORD", unquote(password))  # locations of relations carry none
        settings.cache_clear()
        yield
    settings.cache_clear()
