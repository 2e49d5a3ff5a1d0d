"""A session: how it is set up, what an interruption leaves of it, which transactions are tried again."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from urllib.parse import urlsplit

import psycopg
import pytest

from ingest_project.postgres.connection import Connection, database_url, retried, session
from ingest_project.settings import settings
from ingest_project.telemetry import correlated
from ingest_project_tests.postgres.conftest import one


class Terminated(BaseException):
    """Like the one by which Dagster ends a run: neither an Exception nor one that psycopg knows."""


def test_the_url_of_the_environment_is_taken(database: str) -> None:
    assert database_url() == database
    assert database not in repr(settings())
    with session() as connection:
        assert connection.info.dbname == urlsplit(database).path[1:]


def test_a_session_ends_with_its_block_whatever_happens(database: str) -> None:
    opened: list[Connection] = []
    with pytest.raises(Terminated), session(database) as connection:
        opened.append(connection)
        raise Terminated
    assert opened[0].closed


def test_a_session_is_known_by_the_run_it_works_for(database: str) -> None:
    with correlated("run-4711"), session(database) as connection:
        assert one(connection, "select application_name from pg_stat_activity where pid = pg_backend_pid()") == (
            "ingest/run-4711"
        )


def test_a_run_id_of_any_length_still_opens_a_session(database: str) -> None:
    with correlated("ü" * 100), session(database) as connection:
        assert one(connection, "select current_setting('application_name')")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("idle_in_transaction_session_timeout", "5min"),
        ("client_connection_check_interval", "10s"),
        ("statement_timeout", "0"),
        ("timezone", "UTC"),
    ],
)
def test_a_session_is_set_up(connection: Connection, setting: str, value: str) -> None:
    assert one(connection, "select current_setting(%s)", setting) == value


def test_a_wire_that_carries_nothing_is_noticed_within_a_minute(connection: Connection) -> None:
    options = {name: int(value) for name, value in connection.info.get_parameters().items() if value.isdecimal()}
    silent = options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"]
    assert (silent, options["tcp_user_timeout"] / 1000) == (60, 60)


def test_a_session_that_sits_idle_in_a_transaction_is_ended(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_IDLE_TRANSACTION_SECONDS", "1")
    settings.cache_clear()
    try:
        with (
            pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout),
            session(database) as connection,
            connection.transaction(),
        ):
            connection.execute("select 1")
            time.sleep(1.5)
            connection.execute("select 1")
    finally:
        monkeypatch.undo()
        settings.cache_clear()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, Terminated, SystemExit])
@pytest.mark.parametrize("query", ["select pg_sleep(30)", "copy (select pg_sleep(30)) to stdout"])
def test_an_interrupted_query_runs_on_nowhere(database: str, interruption: type[BaseException], query: str) -> None:
    with session(database) as opened, session(database) as watcher:
        pid = opened.info.backend_pid
        began = time.monotonic()
        with pytest.raises(interruption), interrupted_by(interruption), opened.transaction():
            if query.startswith("copy"):
                with opened.cursor().copy(query) as copy:
                    list(copy)
            else:
                opened.execute(query)
        expected = None if opened.closed else "idle"  # a server takes a moment to see a closed session
        while one(watcher, "select max(state) from pg_stat_activity where pid = %s", pid) != expected:
            assert time.monotonic() - began < 10
        if not opened.closed:
            assert one(opened, "select 42") == 42


def test_an_interruption_is_not_hidden_by_a_server_that_went_away(database: str) -> None:
    with session(database) as opened, session(database) as watcher:
        pid = opened.info.backend_pid

        def gone() -> None:
            watcher.execute("select pg_terminate_backend(%s, 5000)", (pid,))

        with pytest.raises(Terminated), interrupted_by(Terminated, gone), opened.transaction():
            opened.execute("select pg_sleep(30)")


def test_a_deadlock_is_tried_again_and_both_get_through(fresh_database: str) -> None:
    with session() as connection:
        connection.execute("create table rows as select n, 0 as hits from generate_series(1, 2) n")
    met, attempts = threading.Barrier(2), [0, 0]

    def work(me: int) -> None:
        with session() as connection:
            retried(lambda: transaction(connection, me))

    def transaction(connection: Connection, me: int) -> None:
        attempts[me] += 1
        with connection.transaction():
            for nth, row in enumerate([1, 2] if me == 0 else [2, 1]):
                if nth and sum(attempts) <= 2:
                    met.wait(timeout=30)
                connection.execute("update rows set hits = hits + 1 where n = %s", (row,))

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, [0, 1]))
    with session() as connection:
        assert connection.execute("select hits from rows order by n").fetchall() == [(2,), (2,)]
    assert sum(attempts) == 3


def test_a_lost_serializable_race_is_tried_again(fresh_database: str) -> None:
    with session() as one_session, session() as other:
        one_session.execute("create table counter as select 1 as n")
        attempts = 0

        def transaction() -> int:
            nonlocal attempts
            attempts += 1
            with one_session.transaction():
                one_session.execute("set transaction isolation level repeatable read")
                one_session.execute("select n from counter")
                if attempts == 1:
                    other.execute("update counter set n = n + 10")
                return one(one_session, "update counter set n = n + 1 returning n")

        assert retried(transaction) == 12
        assert attempts == 2


@pytest.mark.parametrize(
    ("sqlstate", "times"), [("40001", 5), ("40P01", 5), ("55P03", 1), ("57014", 1), ("23505", 1), ("08006", 1)]
)
def test_only_what_postgres_undid_is_tried_again_and_not_for_ever(
    connection: Connection, sqlstate: str, times: int
) -> None:
    tried: list[str] = []

    def transaction() -> None:
        tried.append(sqlstate)
        with connection.transaction():
            connection.execute(f"do $$ begin raise sqlstate '{sqlstate}'; end $$")

    with pytest.raises(psycopg.Error) as caught:
        retried(transaction)
    assert caught.value.sqlstate == sqlstate
    assert len(tried) == times


def test_an_error_that_is_not_of_postgres_is_not_tried_again() -> None:
    tried: list[int] = []
    with pytest.raises(ZeroDivisionError):
        retried(lambda: tried.append(1) or 1 // 0)
    assert tried == [1]


@contextlib.contextmanager
def interrupted_by(interruption: type[BaseException], first: Callable[[], None] = lambda: None) -> Generator[None]:
    """Raise it in the main thread, half a second from now."""

    def strike(number: int, frame: FrameType | None) -> None:
        first()
        raise interruption

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
