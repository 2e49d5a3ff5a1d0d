"""The oldest server that we promise: PostgreSQL 15, an ordinary owner, no pgvector, TLS, pgbouncer before it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from ingest_project import cli
from ingest_project.branches import registry
from ingest_project.errors import DatabaseUnreachable
from ingest_project.extract.kinds import open_source
from ingest_project.postgres.connection import connect, session
from ingest_project.postgres.migrations import migrate
from ingest_project.settings import settings
from ingest_project.torture import chain
from ingest_project_tests import debian
from ingest_project_tests.debian import Server
from ingest_project_tests.journey.conftest import FIRST, Ran, spec_of, write_csv
from ingest_project_tests.journey.states import rows

pytestmark = pytest.mark.xdist_group("postgres 15")
Settings = Callable[..., None]


@pytest.fixture(scope="module")
def fifteen() -> Iterator[Server]:
    missing = debian.missing()
    if missing:
        pytest.skip(f"needs Debian's {missing}")
    with debian.server() as started:
        yield started


@pytest.fixture(scope="module")
def bouncer(fifteen: Server) -> Iterator[Server]:
    if debian.PGBOUNCER is None:
        pytest.skip("needs Debian's pgbouncer")
    with debian.pooler(fifteen) as started:
        yield started


@pytest.fixture
def given(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Set INGEST_* for this test."""

    def give(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"INGEST_{name.upper()}", value)
        settings.cache_clear()

    yield give
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def ingest(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """`ingest` with these words, in this process."""

    def run(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["ingest", *words])
        capsys.readouterr()
        code = cli._exit_code()  # pyright: ignore[reportPrivateUsage]
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


def test_the_demo_by_an_ordinary_owner_behind_a_pooler(
    fifteen: Server, bouncer: Server, given: Settings, ingest: Callable[..., Ran]
) -> None:
    given(database_url=bouncer.url(), dagster_url=fifteen.url())
    first = ingest("demo")
    assert first.code == 0, first.err
    assert "no pgvector" in first.err
    again = ingest("demo")
    assert again.code == 0, again.err
    with session(fifteen.url()) as connection:
        assert connection.info.server_version // 10000 == 15
        (counts,) = rows(connection, "select count(*), count(*) filter (where version = 1) as fresh from core.items")
        states = rows(connection, "select state, inserted, unchanged, requests from ingest.activations order by 1, 2")
        me = rows(connection, "select rolsuper, rolcreaterole from pg_roles where rolname = current_user")
        vectors = rows(connection, "select to_regclass('core.item_embeddings') is null as none")
    assert counts["count"] == counts["fresh"] > 200
    assert [one["state"] for one in states] == ["done", "done"]
    assert sorted(one["inserted"] for one in states) == [0, counts["count"]]
    assert me == [{"rolsuper": False, "rolcreaterole": False}]
    assert vectors == [{"none": True}]


def test_without_a_way_around_the_pooler_dagster_says_what_it_needs(
    bouncer: Server, given: Settings, ingest: Callable[..., Ran]
) -> None:
    given(database_url=bouncer.url())
    ran = ingest("demo")
    assert ran.code == 2
    assert "goes through a pooler" in ran.err
    assert "INGEST_DAGSTER_URL" in ran.err


def test_what_a_session_sets_behind_a_pooler_ends_with_its_transaction(
    fifteen: Server, bouncer: Server, given: Settings
) -> None:
    given(statement_seconds="77", idle_transaction_seconds="66")
    shown = "select current_setting('statement_timeout'), current_setting('TimeZone')"
    with session(bouncer.url()) as ours, psycopg.connect(bouncer.url(), autocommit=True) as others:
        for _ in range(3):
            with ours.transaction(), ours.transaction():
                assert ours.execute(shown).fetchone() == ("77s", "UTC")
            assert ours.execute("select current_setting('TimeZone')").fetchone() == ("UTC",)
            found = others.execute("select current_setting('statement_timeout')").fetchone()
            assert found == ("0",)
    with session(fifteen.url()) as direct:
        assert direct.execute(shown).fetchone() == ("77s", "UTC")


def test_a_killed_run_is_taken_up_behind_a_pooler(
    fifteen: Server, bouncer: Server, given: Settings, tmp_path: Path
) -> None:
    given(database_url=bouncer.url())
    migrate()
    file = write_csv(tmp_path / "places.csv", FIRST)
    with session() as connection:
        registry.apply_branch(connection, spec_of(file, name="killed", source="killed"))
    child = chain.start("killed", run_id="killed", failpoint="batch_committed")
    child.join(120)
    assert child.exitcode == -9
    done = chain.ingest("killed", run_id="resumed")
    assert (done.state, done.rows_read, done.inserted) == ("done", 11, 9)


def test_a_table_behind_the_pooler_is_a_source(fifteen: Server, bouncer: Server, tmp_path: Path) -> None:
    with psycopg.connect(fifteen.url()) as connection:
        connection.execute(
            "create table public.pooled as select n as id, 'n' || n as name from generate_series(1, 5000) n"
        )
    location = (
        f"postgresql://{debian.OWNER}@127.0.0.1:{bouncer.port}/{debian.DATABASE}?table=pooled&passfile={tmp_path}/pass"
    )
    word = debian.PASSWORD
    (tmp_path / "pass").write_text(f"127.0.0.1:{bouncer.port}:*:{debian.OWNER}:{word}\n")
    (tmp_path / "pass").chmod(0o600)
    source = open_source(spec_of(Path("-"), location=location, updated_at=None, mapping={"name": "name"}))
    pages = list(source.pages(source.pin(), 2000, None))
    source.close()
    assert [page.table.num_rows for page in pages] == [2000, 2000, 1000]


def test_tls_is_verified_to_the_full(fifteen: Server, given: Settings, ingest: Callable[..., Ran]) -> None:
    full = {"sslmode": "verify-full", "sslrootcert": str(fifteen.authority)}
    given(database_url=fifteen.url("localhost", **full))
    assert ingest("db", "migrate").code == 0
    with session() as connection:
        (found,) = rows(connection, "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()")
    assert found["ssl"]
    shown = ingest("db", "url")
    assert "sslmode=verify-full" in shown.out
    assert "p%40ss" not in shown.out


def test_another_authority_is_refused_in_words(fifteen: Server, given: Settings, tmp_path: Path) -> None:
    wrong = str(debian.other_authority(tmp_path))
    with pytest.raises(DatabaseUnreachable, match="certificate verify failed") as caught:
        connect(fifteen.url("localhost", sslmode="verify-full", sslrootcert=wrong))
    assert "p@ss" not in str(caught.value)
    assert "p%40ss" not in str(caught.value)
    with pytest.raises(DatabaseUnreachable, match=r"root certificate file .* does not exist"):
        connect(fifteen.url("localhost", sslmode="verify-full", sslrootcert="/nowhere/ca.crt"))
