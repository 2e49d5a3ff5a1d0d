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
from ingest_project.postgres.connection import Connection, is_idle, open_another
from ingest_project.settings import settings
from ingest_project.telemetry import log

Piece = TypeVar("Piece")
Outcome = TypeVar("Outcome")
Task = Callable[[Work, Piece], Outcome]
_ROWS_PER_SESSION = 100_000  # at least: fewer do not pay for opening a session and for finding where to cut


def session_count(work: Work, rows: int) -> int:
    """How many sessions to share `rows` among; one inside a transaction, which other sessions do not see."""
    return max(1, min(settings().writers, rows // _ROWS_PER_SESSION)) if is_idle(work.connection) else 1


def in_parallel(work: Work, pieces: Sequence[Piece], task: Task[Piece, Outcome], writers: int) -> Generator[Outcome]:
    """Run the task for each piece and yield the outcomes as they become durable, in the order of completion.

    What one writer raises is raised here, once the others have ended: each piece is done as a whole or not at all.
    """
    with _sessions(work, min(writers, len(pieces))) as sessions:
        if not sessions:
            yield from (task(work, piece) for piece in pieces)
            return
        yield from _run(work, pieces, task, sessions)


@contextmanager
def _sessions(work: Work, count: int) -> Generator[list[Connection]]:
    """Sessions beside that of the run; none where the run's own will do.

    That is where one is enough, and inside a transaction: other sessions would not see what it did. The run's own
    session is not among them, so that it stays free for other queries.
    """
    if not is_idle(work.connection):
        count = 1
    with ExitStack() as stack:
        sessions: list[Connection] = []
        try:
            while count > 1 and len(sessions) < count:
                sessions.append(stack.enter_context(closing(open_another(work.connection))))
        except DatabaseUnreachable as error:
            log.warning("%d of %d writers: no session for more (%s)", len(sessions), count, error.what)
        yield sessions


def _run(
    work: Work, pieces: Sequence[Piece], task: Task[Piece, Outcome], sessions: Sequence[Connection]
) -> Iterator[Outcome]:
    free: SimpleQueue[Connection] = SimpleQueue()
    for session in sessions:
        free.put(session)

    def run_task(piece: Piece) -> Outcome:
        session = free.get()
        try:
            return task(replace(work, connection=session), piece)
        finally:
            free.put(session)

    with ThreadPoolExecutor(len(sessions), thread_name_prefix="writer") as pool:
        futures = [pool.submit(copy_context().run, run_task, piece) for piece in pieces]
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
