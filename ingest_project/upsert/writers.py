"""Parts written side by side: each writer has a session of its own, and each part is a fenced transaction of its own.

Parts of one activation have no key in common, so their order does not matter and none waits for another. While one
writer reads and encodes its part, Postgres is at work on that of another.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from contextvars import copy_context
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from ingest_project.branches.work import Work
from ingest_project.errors import DatabaseUnreachable
from ingest_project.postgres.connection import Connection, another
from ingest_project.telemetry import log
from ingest_project.upsert.counts import Counts
from ingest_project.upsert.probe import ValidPart

Write = Callable[[Work, ValidPart], Counts]


def side_by_side(work: Work, parts: Sequence[ValidPart], write: Write, writers: int) -> Iterator[Counts]:
    """Write the parts and yield what each came to as it becomes durable, in the order in which they end.

    What one writer raises is raised here, when the others have ended: each part is written as a whole or not at all.
    """
    with _sessions(work, min(writers, len(parts))) as sessions:
        if not sessions:
            yield from (write(work, part) for part in parts)
            return
        yield from _written(work, parts, write, sessions)


@contextmanager
def _sessions(work: Work, count: int) -> Generator[list[Connection]]:
    # None where one is enough, that of the run, or where others would not see what its transaction did. With those of
    # the writers beside it, it stays free for what parts have to ask.
    if work.connection.info.transaction_status != TransactionStatus.IDLE:
        count = 1
    with ExitStack() as opened:
        sessions: list[Connection] = []
        try:
            while count > 1 and len(sessions) < count:
                sessions.append(opened.enter_context(closing(another(work.connection))))
        except DatabaseUnreachable as error:
            log.warning("%d of %d writers: no session for more (%s)", len(sessions), count, error.what)
        yield sessions


def _written(work: Work, parts: Sequence[ValidPart], write: Write, sessions: Sequence[Connection]) -> Iterator[Counts]:
    free: SimpleQueue[Connection] = SimpleQueue()
    for session in sessions:
        free.put(session)

    def write_one(part: ValidPart) -> Counts:
        session = free.get()
        try:
            return write(replace(work, connection=session), part)
        finally:
            free.put(session)

    with ThreadPoolExecutor(len(sessions), thread_name_prefix="writer") as pool:
        futures = [pool.submit(copy_context().run, write_one, part) for part in parts]
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
