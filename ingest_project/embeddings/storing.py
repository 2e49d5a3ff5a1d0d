"""Answers stored over a session of their own, while the worker claims over its own: neither waits for the other.

A commit waits for the disk, a claim for rows of others; one behind the other they took most of a worker's time.
"""

import queue as threads
import threading
from contextvars import copy_context
from dataclasses import dataclass
from types import TracebackType

from ingest_project import failpoints
from ingest_project.embeddings.asking import Answer
from ingest_project.embeddings.models import Model
from ingest_project.embeddings.queue import Claim, Limits, Queue
from ingest_project.postgres.connection import session

_LEAVE_SECONDS = 10.0  # for the statement that is under way, when the worker ends


@dataclass(frozen=True)
class Stored:
    """An answer, and how many of its vectors are stored and acknowledged; the others were stale."""

    claim: Claim
    answer: Answer
    count: int


class Storing:
    """Stores one answer after another in a thread of its own, which is a daemon as those of the calls are."""

    def __init__(self, url: str | None, model: Model, limits: Limits) -> None:
        self._url = url
        self._model = model
        self._limits = limits
        self._answers: threads.SimpleQueue[tuple[Claim, Answer] | None] = threads.SimpleQueue()
        self._stored: threads.SimpleQueue[Stored | BaseException] = threads.SimpleQueue()
        self._tried = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), daemon=True)

    def __enter__(self) -> "Storing":
        """Open the session. Raises DatabaseUnreachable: before calls are paid for whose answers could not be stored."""
        self._thread.start()
        self._tried.wait()
        if not self._stored.empty():
            self.get(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answers.put(None)
        self._thread.join(_LEAVE_SECONDS)

    def put(self, claim: Claim, answer: Answer) -> None:
        """Hand over an answer, from any thread."""
        self._answers.put((claim, answer))

    def get(self, timeout: float) -> Stored | None:
        """One that is stored, or None where none is in time. Raises what storing raised."""
        try:
            ended = self._stored.get(timeout=timeout)
        except threads.Empty:
            return None
        if isinstance(ended, BaseException):
            raise ended
        return ended

    def _run(self) -> None:
        try:
            with session(self._url) as connection:
                queue = Queue(connection, self._model, self._limits)
                self._tried.set()
                while ended := self._answers.get():
                    self._stored.put(_store(queue, *ended))
        except BaseException as error:
            self._stored.put(error)
            self._tried.set()


def _store(queue: Queue, claim: Claim, answer: Answer) -> Stored:
    failpoints.reach("answer_received")
    return Stored(claim, answer, queue.complete(claim, answer.done, answer.vectors) if answer.done else 0)
