"""What keeps a connection from opening is said, and its password never is."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from ingest_project.errors import DatabaseUnreachable
from ingest_project.postgres.connection import connect, redacted, session
from ingest_project.settings import settings

SECRET = "Xyzzy0815"
DEBIAN = Path("/usr/lib/postgresql/15/bin")
UNHEARD = "postgresql://u:Xyzzy0815@127.0.0.1:1/d"


@pytest.fixture(scope="module")
def with_passwords() -> Iterator[str]:
    """Url, with the right password, of a server that asks for it: Debian's PostgreSQL 15."""
    if not (DEBIAN / "initdb").exists() or os.geteuid() != 0:
        pytest.skip("needs root and Debian's postgresql-15: the embedded server asks for no password")
    folder = Path(tempfile.mkdtemp(prefix="ingest-scram-"))
    (folder / "word").write_text(SECRET)
    user = pwd.getpwnam("postgres")
    for path in (folder, folder / "word"):
        os.chown(path, user.pw_uid, user.pw_gid)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data, options = str(folder / "data"), f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"

    def run(*command: str) -> None:
        command = (str(DEBIAN / command[0]), *command[1:])
        subprocess.run(
            command, check=True, user="postgres", group="postgres", cwd=folder, stdout=subprocess.DEVNULL, timeout=60
        )

    run("initdb", "-D", data, "-A", "scram-sha-256", "-U", "u", f"--pwfile={folder}/word", "--no-sync")
    run("pg_ctl", "start", "-w", "-D", data, "-l", str(folder / "log"), "-o", options)
    yield f"postgresql://u:{SECRET}@127.0.0.1:{port}/postgres"
    run("pg_ctl", "stop", "-m", "immediate", "-D", data)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two seconds, the least that libpq takes."""
    monkeypatch.setenv("INGEST_CONNECT_SECONDS", "2")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def refused(url: str) -> DatabaseUnreachable:
    """The error of this URL, after a look at all that is ever printed of it."""
    with pytest.raises(DatabaseUnreachable) as caught:
        connect(url)
    error = caught.value
    shown = [str(error), repr(error), *traceback.format_exception(error), repr(error.args), redacted(url)]
    for letters in (SECRET, SECRET[:5], SECRET[-5:]):
        assert not [text for text in shown if letters in text]
    assert "INGEST_DATABASE_URL" in error.todo
    return error


@pytest.mark.parametrize(
    "url",
    [
        UNHEARD,
        "postgresql://u:Xyzzy0815@no-such-host.invalid/d",
        "postgresql://u:Xyzzy0815@127.0.0.1:notaport/d",
        "postgresql://u:Xyzzy0815@127.0.0.1:99999/d",
        "postgresql://u:Xyzzy0815",
        "postgresql://u:Xyzzy/0815@127.0.0.1:1/d",
        "postgresql://u:/Xyzzy0815@127.0.0.1:1/d",
        "postgresql://u:Xyzzy@0815@127.0.0.1:1/d",
        "postgresql://u:Xyzzy?0815@127.0.0.1:1/d",
        "postgresql://u:Xyzzy#0815@127.0.0.1:1/d",
        "postgresql://u:Xyzzy[0815@127.0.0.1:1/d",
        "postgresql://u:Xyzzy%zz0815@127.0.0.1:1/d",
        "postgresql://u:Xyzzy0815@[127.0.0.1/d",
        "postgresql://127.0.0.1:1/d?user=u&password=Xyzzy0815",
        "postgresql://127.0.0.1:1/d?user=u&pasword=Xyzzy0815",
        "postgresql+psycopg://u:Xyzzy0815@127.0.0.1:1/d",
        "mysql://u:Xyzzy0815@127.0.0.1:1/d",
        "host=127.0.0.1 port=1 user=u password=Xyzzy0815",
        "host=127.0.0.1 port=1 user=u password='Xyzzy0815",
        "host=127.0.0.1 port=1 password=://Xyzzy0815@x",
        "Xyzzy0815",
    ],
)
def test_a_url_that_leads_nowhere_is_refused_without_its_password(url: str) -> None:
    refused(url)


def test_a_wrong_database_is_said(database: str) -> None:
    error = refused(urlunsplit(urlsplit(database)._replace(path="/no_such_database")))
    assert 'database "no_such_database" does not exist' in error.what


def test_nobody_at_the_port_is_said() -> None:
    error = refused(UNHEARD)
    assert "refused" in error.what
    assert error.where == {"database": "postgresql://u:***@127.0.0.1:1/d"}


def test_the_right_password_opens(with_passwords: str) -> None:
    with session(with_passwords) as connection:
        assert connection.info.server_version // 10000 == 15


@pytest.mark.parametrize("wrong", ["wrong" + SECRET, quote(f"/{SECRET}@", safe=""), ""])
def test_a_wrong_password_is_said_and_not_shown(with_passwords: str, wrong: str) -> None:
    error = refused(with_passwords.replace(f":{SECRET}@", f":{wrong}@" if wrong else "@"))
    assert "password" in error.what


def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time(patience: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        refused(f"postgresql://u:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/d")
    assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u:@h/d", "postgresql://u:@h/d"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql:///d?host=/var/run&port=5433", "postgresql:///d?host=/var/run&port=5433"),
        ("postgresql://postgres:@/d?host=/a%20b", "postgresql://postgres:@/d?host=/a+b"),
        ("postgresql://u:p@h1:1,h2:2/d", "postgresql://u:***@h1:1,h2:2/d"),
        ("postgresql://u:p@[::1]:5432/d", "postgresql://u:***@[::1]:5432/d"),
        ("postgresql://u:p:q@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p@q@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p?q@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p#q@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p%2Fq@h/d", "postgresql://u:***@h/d"),
        ("postgresql://h/d?password=p&sslpassword=q&sslmode=require", "postgresql://h/d?sslmode=require"),
        ("postgresql://h/d?PASSWORD=p&passfile=f", "postgresql://h/d"),
        ("postgresql://u:p/q@h/d", "(not a valid URL)"),
        ("postgresql://u:secret", "(not a valid URL)"),
        ("postgresql://h?password=p@q", "(not a valid URL)"),
        ("host=h password=p", "(a libpq connection string)"),
        ("host=h password=p://q", "(a libpq connection string)"),
        ("", "(a libpq connection string)"),
    ],
)
def test_a_redacted_url_says_where_and_not_how_to_get_in(url: str, shown: str) -> None:
    assert redacted(url) == shown
