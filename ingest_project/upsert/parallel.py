"""Pieces of work, such as parts, in parallel: each in one of several sessions, as a fenced transaction of its own.

Pieces have no key in common, so their order does not matter and none waits for another. While one writer reads and
encodes, Postgres is at work for another.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from contextvars import copy_context
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, TypeVar

import psycopg

from ingest_project.branches.work import Work
from ingest_project.errors import DatabaseUnreachable
from ingest_project.postgres.connection import Connection, another, is_idle
from ingest_project.settings import settings
from ingest_project.telemetry import log

Piece = TypeVar("Piece")
Outcome = TypeVar("Outcome")
Act = Callable[[Work, Piece], Outcome]
_WORTH_A_SESSION = 100_000  # rows, beside what it costs to open one and to find where to cut


def session_count(work: Work, rows: int) -> int:
    """How many sessions to share so many rows among; within a transaction, which others do not see, one."""
    return max(1, min(settings().writers, rows // _WORTH_A_SESSION)) if is_idle(work.connection) else 1


def in_parallel(work: Work, pieces: Sequence[Piece], act: Act[Piece, Outcome], writers: int) -> Generator[Outcome]:
    """Do the pieces and yield what each came to as it becomes durable, in the order in which they end.

    What one writer raises is raised here, when the others have ended: each piece is done as a whole or not at all.
    """
    with _sessions(work, min(writers, len(pieces))) as sessions:
        if not sessions:
            yield from (act(work, piece) for piece in pieces)
            return
        yield from _done(work, pieces, act, sessions)


@contextmanager
def _sessions(work: Work, count: int) -> Generator[list[Connection]]:
    # None where one is enough, that of the run, or where others would not see what its transaction did. With those of
    # the writers beside it, it stays free for what parts have to ask.
    if not is_idle(work.connection):
        count = 1
    with ExitStack() as opened:
        sessions: list[Connection] = []
        try:
            while count > 1 and len(sessions) < count:
                sessions.append(opened.enter_context(closing(another(work.connection))))
        except DatabaseUnreachable as error:
            log.warning("%d of %d writers: no session for more (%s)", len(sessions), count, error.what)
        yield sessions


def _done(
    work: Work, pieces: Sequence[Piece], act: Act[Piece, Outcome], sessions: Sequence[Connection]
) -> Iterator[Outcome]:
    free: SimpleQueue[Connection] = SimpleQueue()
    for session in sessions:
        free.put(session)

    def do_one(piece: Piece) -> Outcome:
        session = free.get()
        try:
            return act(replace(work, connection=session), piece)
        finally:
            free.put(session)

    with ThreadPoolExecutor(len(sessions), thread_name_prefix="writer") as pool:
        futures = [pool.submit(copy_context().run, do_one, piece) for piece in pieces]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            _stop(futures, sessions)
            raise


def _stop(futures: Sequence[Future[Any]], sessions: Sequence[Connection]) -> None:
    # An interrupted run must not wait for a lock that one of its writers waits for.
    for future in futures:
        future.cancel()
    while wait(futures, timeout=0.2).not_done:
        for session in sessions:
            with suppress(psycopg.Error):
                session.cancel_safe(timeout=5)
