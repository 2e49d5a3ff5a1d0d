"""A server that lets nobody in for now is waited for; one that never will is said at once: by SQLSTATE."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ingest_project.errors import DatabaseUnreachable
from ingest_project.postgres import connection as connections
from ingest_project.postgres.connection import connect, open_another, session
from ingest_project.postgres.refusals import refusal

GERMAN = {"53300": "tut mir leid, schon zu viele Verbindungen", "57P03": "das Datenbanksystem startet"}


@contextmanager
def refusing(*codes: str) -> Iterator[tuple[str, list[str]]]:
    """Url of a server that answers each login with the next of these codes, the last one for ever; what it answered."""
    told: list[str] = []

    def serve(listener: socket.socket) -> None:
        with suppress(OSError, struct.error):
            while True:
                client, _ = listener.accept()
                with client:
                    (length,) = struct.unpack("!i", client.recv(4))
                    client.recv(length - 4)
                    code = codes[min(len(told), len(codes) - 1)]
                    told.append(code)
                    words = GERMAN.get(code, "Passwort-Authentifizierung fehlgeschlagen")
                    body = f"SFATAL\0VFATAL\0C{code}\0M{words}\0\0".encode()
                    client.sendall(b"E" + struct.pack("!i", 4 + len(body)) + body)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"postgresql://u@127.0.0.1:{listener.getsockname()[1]}/d?sslmode=disable&gssencmode=disable", told


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon."""
    monkeypatch.setattr(connections, "_PATIENCE_SECONDS", 0.5)


@pytest.fixture
def with_one_place(database: str, superuser: None) -> Iterator[str]:
    """Url for a role that may have a single session."""
    name = f"narrow_{uuid4().hex[:8]}"
    with session(database) as owner:
        owner.execute(sql.SQL("create role {} login connection limit 1").format(sql.Identifier(name)))
        place = urlsplit(database)
        yield urlunsplit(place._replace(netloc=f"{name}@{place.netloc.rpartition('@')[2]}"))
        owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (name,))
        owner.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@pytest.mark.parametrize("code", ["53300", "57P03", "28P01", "3D000"])
def test_the_code_of_a_refusal_is_read_whatever_the_language(code: str) -> None:
    with refusing(code) as (url, _):
        assert refusal(url, 5) == code


def test_a_server_that_lets_us_in_refuses_nothing(database: str) -> None:
    assert refusal(database, 5) == "00000"


def test_nobody_there_is_no_answer() -> None:
    assert refusal("postgresql://u@127.0.0.1:1/d", 5) == "08001"
    assert refusal("mysql://nonsense", 5) is None


def test_a_server_that_says_nothing_is_no_answer_in_time_and_stops_no_other_thread() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(refusal, f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/d", 2)
        turns = 0
        while not asked.done():
            turns += 1
            sleep(0.01)
        assert asked.result() == "08001"
        assert turns > 10


@pytest.mark.parametrize("code", ["53300", "57P03"])
def test_what_may_pass_is_tried_again_within_bounds_and_then_said(impatient: None, code: str) -> None:
    with refusing(code) as (url, told), pytest.raises(DatabaseUnreachable) as caught:
        connect(url)
    assert len(told) > 4, "each attempt asks why"
    assert (caught.value.where["sqlstate"], GERMAN[code] in caught.value.what) == (code, True)
    assert "resumes" in caught.value.todo


def test_what_will_not_pass_is_said_at_once() -> None:
    with refusing("28P01") as (url, told), pytest.raises(DatabaseUnreachable) as caught:
        connect(url)
    assert len(told) <= 2, "one attempt, and the question why"
    assert caught.value.where["sqlstate"] == "28P01"


def test_a_place_that_becomes_free_is_taken(with_one_place: str) -> None:
    held = connect(with_one_place)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(connect, with_one_place)
        while refusal(with_one_place, 5) != "53300":
            pass
        held.close()
        with waiting.result(60) as opened:
            assert opened.execute("select 1").fetchone() == (1,)


def test_a_place_that_was_free_again_when_asked_is_taken(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    really, refused = connections._Session.connect, [psycopg.OperationalError("sorry, too many clients already")]  # pyright: ignore[reportPrivateUsage]

    def connect_late(*words: Any, **settings: Any) -> Any:
        if refused:
            raise refused.pop()
        return really(*words, **settings)

    monkeypatch.setattr(connections._Session, "connect", connect_late)  # pyright: ignore[reportPrivateUsage]
    with connect(database) as opened:
        assert opened.execute("select 1").fetchone() == (1,)
    assert not refused


def test_no_place_in_time_is_said_with_what_to_do(with_one_place: str, impatient: None) -> None:
    with session(with_one_place), pytest.raises(DatabaseUnreachable) as caught:
        connect(with_one_place)
    assert caught.value.where["sqlstate"] == "53300"
    assert "max_connections" in caught.value.todo


def test_a_further_session_of_a_run_is_there_at_once_or_not_at_all(
    with_one_place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session(with_one_place) as one:
        monkeypatch.setattr(connections, "wait_random_exponential", lambda **_: pytest.fail("it waited"))
        with pytest.raises(DatabaseUnreachable):
            open_another(one)


def test_nobody_at_a_known_address_is_a_restart(
    database: str, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody there is waited for where somebody has been, and said at once where nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"postgresql://u@127.0.0.1:{listener.getsockname()[1]}/d"
    attempts: list[str] = []
    ask = connections.refusal
    monkeypatch.setattr(connections, "refusal", lambda url, seconds: attempts.append(url) or ask(url, seconds))
    with pytest.raises(DatabaseUnreachable):
        connect(url)
    assert len(attempts) == 1
    monkeypatch.setattr(connections, "_answered", {url})
    with pytest.raises(DatabaseUnreachable):
        connect(url)
    assert len(attempts) > 2


def test_a_failed_question_is_no_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(*_: object) -> None:
        raise psycopg.NotSupportedError("only on Linux")

    with refusing("53300") as (url, _):
        monkeypatch.setattr("ingest_project.postgres.refusals._is_open", unable)
        assert refusal(url, 5) is None


def test_it_is_told_in_a_process_that_holds_many_files() -> None:
    with refusing("53300") as (url, _), ExitStack() as held:
        while held.enter_context(Path(os.devnull).open()).fileno() < 1100:
            pass
        assert refusal(url, 5) == "53300"
