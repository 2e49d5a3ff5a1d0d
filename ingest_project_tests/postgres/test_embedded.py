"""The embedded server by what its users do to it: share it, leave it, kill it, kill themselves."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from ingest_project.errors import DatabaseUnreachable
from ingest_project.postgres import embedded

# Joins, says so, and leaves when told to.
USER = """
import sys
from pathlib import Path
from ingest_project.postgres import embedded
print(embedded.ensure_running(Path(sys.argv[1])), flush=True)
sys.stdin.readline()
"""
# Its child outlives it, in the same shared lock.
FORKING_USER = """
import os, sys, time
from pathlib import Path
from ingest_project.postgres import embedded
embedded.ensure_running(Path(sys.argv[1]))
if os.fork():
    print("forked", flush=True)
    sys.stdin.readline()
else:
    while os.getppid() == int(sys.argv[2]) or not Path(sys.argv[3]).exists():
        time.sleep(0.05)
"""
SHORT_CHILD = """
import os, sys
from pathlib import Path
from ingest_project.postgres import embedded
url = embedded.ensure_running(Path(sys.argv[1]))
if os.fork() == 0:
    assert embedded.ensure_running(Path(sys.argv[1])) == url
    sys.exit(0)
os.wait()
print(url, flush=True)
sys.stdin.readline()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that the server's own user can get to."""
    folder = Path(tempfile.mkdtemp(prefix="ingest-embedded-"))
    yield folder
    for process in psutil.process_iter():
        if any(str(folder) in word for word in _command(process)):
            process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() if process.name() == "postgres" else []
    except psutil.Error:
        return []


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(home: Path, program: str = USER, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", program, str(home), *arguments]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def leave(process: "subprocess.Popen[str]") -> None:
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


def pid(home: Path) -> int:
    return int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def is_up(home: Path) -> bool:
    return (home / "postgres" / "postmaster.pid").exists()


def answer(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("select 1").fetchone()
    assert row
    return row[0]


def test_it_starts_with_its_database_and_durable_settings(root: Path, start: Start) -> None:
    assert not embedded.is_running(root / "home")
    url = said(start(root / "home"))
    assert embedded.is_running(root / "home")
    with psycopg.connect(url) as connection:
        row = connection.execute(
            """select current_database(), current_setting('fsync'), current_setting('synchronous_commit'),
                      current_setting('max_connections'), current_setting('max_wal_size'),
                      current_setting('listen_addresses'), current_setting('server_encoding')"""
        ).fetchone()
    assert row == ("ingest", "on", "on", "200", "4GB", "", "UTF8")


def test_two_processes_share_it_and_the_last_stops_it(root: Path, start: Start) -> None:
    one, two = start(root / "home"), start(root / "home")
    url = said(one)
    assert said(two) == url
    server = pid(root / "home")
    leave(one)
    assert answer(url) == 1
    assert pid(root / "home") == server
    leave(two)
    assert not is_up(root / "home")


def test_a_killed_process_is_not_counted(root: Path, start: Start) -> None:
    victim, other = start(root / "home"), start(root / "home")
    url = said(victim)
    said(other)
    victim.kill()
    victim.wait()
    assert answer(url) == 1
    leave(other)
    assert not is_up(root / "home")


def test_a_server_that_nobody_stopped_is_adopted(root: Path, start: Start) -> None:
    victim = start(root / "home")
    url = said(victim)
    server = pid(root / "home")
    victim.kill()
    victim.wait()
    assert answer(url) == 1
    heir = start(root / "home")
    assert said(heir) == url
    assert pid(root / "home") == server
    leave(heir)
    assert not is_up(root / "home")


@pytest.mark.parametrize("whose", ["nobody's", "another program's"])
def test_a_killed_server_starts_again_with_its_data(root: Path, start: Start, whose: str) -> None:
    one = start(root / "home")
    with psycopg.connect(said(one)) as connection:
        connection.execute("create table kept as select 42 as answer")
    os.kill(pid(root / "home"), signal.SIGKILL)
    leave(one)
    assert is_up(root / "home"), "the pid file of a killed server stays"
    if whose == "another program's":
        file = root / "home" / "postgres" / "postmaster.pid"
        lines = file.read_text().splitlines()
        file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    two = start(root / "home")
    with psycopg.connect(said(two)) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)
    leave(two)
    assert not is_up(root / "home")


@pytest.mark.parametrize("name", ["with a space", "$HOME `x`", 'it\'s "quoted", and commas', "l" * 150, "ünïcode %41"])
def test_any_folder_name_will_do(root: Path, start: Start, name: str) -> None:
    user = start(root / name)
    assert answer(said(user)) == 1
    leave(user)
    assert not is_up(root / name)


def test_a_forked_child_does_not_stop_it_under_its_parent(root: Path, start: Start) -> None:
    parent = start(root / "home", SHORT_CHILD)
    assert answer(said(parent)) == 1
    leave(parent)
    assert not is_up(root / "home")


def test_a_parent_does_not_stop_it_under_its_forked_child(root: Path, start: Start) -> None:
    go = root / "go"
    parent = start(root / "home", FORKING_USER, "0", str(go))
    assert said(parent) == "forked"
    assert parent.stdin
    parent.stdin.write("\n")
    parent.stdin.flush()
    parent.wait(timeout=60)
    assert is_up(root / "home")
    go.touch()
    wait_until(lambda: not is_up(root / "home"))


def test_many_at_once_start_one(root: Path, start: Start) -> None:
    users = [start(root / "home") for _ in range(6)]
    assert len({said(user) for user in users}) == 1
    for user in users:
        leave(user)
    assert not is_up(root / "home")


def test_comings_and_goings_never_meet_a_stopping_server(root: Path, start: Start) -> None:
    for _ in range(3):
        leaver, comer = start(root / "home"), start(root / "home")
        assert answer(said(leaver)) == 1
        leave(leaver)
        assert answer(said(comer)) == 1
        leave(comer)


def test_initdb_killed_half_way_is_begun_again(root: Path, start: Start) -> None:
    (root / "home" / "postgres.new").mkdir(parents=True)
    (root / "home" / "postgres.new" / "PG_VERSION").write_text("18\n")
    assert answer(said(start(root / "home"))) == 1


def test_what_keeps_it_from_starting_is_said(root: Path) -> None:
    folder = root / "home" / "postgres"
    folder.mkdir(parents=True)
    (folder / "log").write_text("FATAL:  something only the log knows\n")
    with pytest.raises(DatabaseUnreachable) as caught:
        embedded.ensure_running(root / "home")
    assert "did not start" in caught.value.what
    assert "FATAL" in caught.value.what
    assert "INGEST_DATABASE_URL" in caught.value.todo


def test_a_process_asks_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[Path] = []
    monkeypatch.setattr(embedded, "_join", lambda home: joined.append(home) or "url")
    monkeypatch.setattr(embedded, "_urls", {})
    assert embedded.ensure_running(root) == embedded.ensure_running(root / ".") == "url"
    assert joined == [root]


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
