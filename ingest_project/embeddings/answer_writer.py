"""A thread that stores answers over a session of its own, so that the worker's session can claim meanwhile.

A commit waits for the disk, a claim for row locks; in one session they took most of a worker's time.
"""

import queue as queues
import threading
from contextvars import copy_context
from dataclasses import dataclass
from types import TracebackType

from ingest_project import failpoints
from ingest_project.embeddings.models import Model
from ingest_project.embeddings.provider_call import Answer
from ingest_project.embeddings.queue import Claim, Limits, Queue
from ingest_project.postgres.connection import session

_JOIN_SECONDS = 10.0  # for the statement that is under way when the worker ends


@dataclass(frozen=True)
class StoredAnswer:
    """An answer whose vectors are stored: `count` of them; the others were stale."""

    claim: Claim
    answer: Answer
    count: int


class AnswerWriter:
    """Stores answers one after another. Its thread is a daemon, as those of the calls are."""

    def __init__(self, url: str | None, model: Model, limits: Limits) -> None:
        self._url = url
        self._model = model
        self._limits = limits
        self._answers: queues.SimpleQueue[tuple[Claim, Answer] | None] = queues.SimpleQueue()
        self._stored: queues.SimpleQueue[StoredAnswer | BaseException] = queues.SimpleQueue()
        self._started = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), daemon=True)

    def __enter__(self) -> "AnswerWriter":
        """Open the session. Raises DatabaseUnreachable: before calls are paid for whose answers could not be stored."""
        self._thread.start()
        self._started.wait()
        if not self._stored.empty():
            self.get(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answers.put(None)
        self._thread.join(_JOIN_SECONDS)

    def put(self, claim: Claim, answer: Answer) -> None:
        """Hand over an answer, from any thread."""
        self._answers.put((claim, answer))

    def get(self, timeout: float) -> StoredAnswer | None:
        """The next stored answer, or None after the timeout. Raises what went wrong in the thread."""
        try:
            outcome = self._stored.get(timeout=timeout)
        except queues.Empty:
            return None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _run(self) -> None:
        try:
            with session(self._url) as connection:
                queue = Queue(connection, self._model, self._limits)
                self._started.set()
                while item := self._answers.get():
                    self._stored.put(_store(queue, *item))
        except BaseException as error:
            self._stored.put(error)
            self._started.set()


def _store(queue: Queue, claim: Claim, answer: Answer) -> StoredAnswer:
    failpoints.reach("answer_received")
    return StoredAnswer(claim, answer, queue.complete(claim, answer.done, answer.vectors) if answer.done else 0)
