"""PostgreSQL 15 as Debian packages it: an ordinary owner, no pgvector, TLS by a CA of its own, pgbouncer before it.

    python -m ingest_project_tests.debian pytest …    runs a command with INGEST_TEST_DATABASE_URL pointing there

Servers refuse to run as root: started by root, they run as the user `postgres` of the package.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

BINARIES = Path(os.environ.get("INGEST_TEST_POSTGRES_15", "/usr/lib/postgresql/15/bin"))
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
OWNER, PASSWORD, DATABASE = "places_owner", "p@ss w/rd", "places"
_ENCODED = "p%40ss%20w%2Frd"
_HBA = """
local all postgres trust
hostssl all all 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
"""
_INI = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = transaction
"""
_OPENSSL = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca-{name} -keyout {name}-ca.key -out {name}-ca.crt",
    "openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout {name}.key -out {name}.csr",
    "openssl x509 -req -days 2 -in {name}.csr -CA {name}-ca.crt -CAkey {name}-ca.key -CAcreateserial "
    "-extfile names.ext -out {name}.crt",
)


@dataclass(frozen=True)
class Server:
    """A running server; its URLs are those of the owner."""

    folder: Path
    port: int

    def url(self, host: str = "127.0.0.1", **words: str) -> str:
        query = "&".join(f"{word}={value}" for word, value in words.items())
        return f"postgresql://{OWNER}:{_ENCODED}@{host}:{self.port}/{DATABASE}{'?' if query else ''}{query}"

    @property
    def authority(self) -> Path:
        """The certificate that its own was signed with."""
        return self.folder / "server-ca.crt"


def missing() -> str | None:
    """Say what of it is not installed; None where all is."""
    found = {"postgresql 15": (BINARIES / "initdb").exists(), "openssl": shutil.which("openssl")}
    return ", ".join(name for name, there in found.items() if not there) or None


@contextmanager
def server() -> Iterator[Server]:
    """Start one, in a folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="ingest-15-"))
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    started = Server(folder, free_port())
    try:
        _certify(folder, "server")
        _make(started)
        yield started
    finally:
        with suppress(subprocess.CalledProcessError):
            _run(folder, BINARIES / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _make(started: Server) -> None:
    folder = started.folder
    data = folder / "data"
    _run(folder, BINARIES / "initdb", "-D", data, "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8")
    (data / "pg_hba.conf").write_text(_HBA)
    settings = {
        "port": started.port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": folder,
        "ssl": "on",
        "ssl_cert_file": folder / "server.crt",
        "ssl_key_file": folder / "server.key",
        "fsync": "off",
        "max_connections": 100,
    }
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    _run(folder, BINARIES / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "start")
    with psycopg.connect(f"host={folder} port={started.port} user=postgres dbname=postgres", autocommit=True) as admin:
        admin.execute(f"create role {OWNER} login createdb password '{PASSWORD}'".encode())
        admin.execute(f"create database {DATABASE} owner {OWNER}".encode())


@contextmanager
def pooler(behind: Server) -> Iterator[Server]:
    """Start pgbouncer in transaction mode before a server."""
    assert PGBOUNCER is not None
    folder, port = behind.folder, free_port()
    (folder / "pgbouncer.ini").write_text(_INI.format(server=behind.port, port=port, folder=folder))
    (folder / "users.txt").write_text(f'"{OWNER}" "{PASSWORD}"\n')
    with (folder / "pgbouncer.log").open("w") as log:
        process = subprocess.Popen(  # a list of our own words
            [PGBOUNCER, str(folder / "pgbouncer.ini")], stdout=log, stderr=log, user=_user(), cwd=folder
        )
    try:
        _wait_for(port)
        yield Server(folder, port)
    finally:
        process.kill()
        process.wait()


def _certify(folder: Path, name: str) -> None:
    (folder / "names.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for line in _OPENSSL:
        _run(folder, *line.format(name=name).split())


def other_authority(folder: Path) -> Path:
    """Make a CA that signed nothing of the server's."""
    (folder / "names.ext").write_text("subjectAltName=DNS:localhost\n")
    subprocess.run(_OPENSSL[0].format(name="other").split(), cwd=folder, check=True, capture_output=True)
    return folder / "other-ca.crt"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _wait_for(port: int) -> None:
    for _ in range(600):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nobody listens on port {port}")


def _user() -> str | None:
    return "postgres" if os.geteuid() == 0 else None


def _run(folder: Path, *words: str | Path) -> None:
    # Not captured: a server that is started would keep the pipe open.
    with (folder / "commands.log").open("a") as log:
        subprocess.run([str(word) for word in words], cwd=folder, user=_user(), check=True, stdout=log, stderr=log)


if __name__ == "__main__":
    with server() as running:
        environment = {**os.environ, "INGEST_TEST_DATABASE_URL": running.url()}
        sys.exit(subprocess.run(sys.argv[1:], env=environment, check=False).returncode)
